"""`python -m humo.evaluation.probes`: trains the probes anew, as those in assets/probes were. Ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from humo.system.command_line import check_folder, run
from humo.system.imports import require

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder of probes.safetensors and probes.json.")] = Path("runs/probes/new"),
    steps: Annotated[int | None, typer.Option(help="Training steps; fewer read worse.", min=1)] = None,
) -> None:
    """Train the probes and measure their accuracy on held-out renders."""
    require("speech", "espeakng_loader")
    check_folder(out)
    from humo.evaluation.probes.networks import ProbeSettings
    from humo.evaluation.probes.training import train_probes
    from humo.evaluation.report import probe_table

    settings = ProbeSettings() if steps is None else ProbeSettings(steps=steps)
    probes = train_probes(settings)
    probes.save(out, settings)
    typer.echo(probe_table(probes.accuracy))


if __name__ == "__main__":
    raise SystemExit(run(app, None, "python -m humo.evaluation.probes"))
