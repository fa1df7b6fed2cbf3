"""`python -m humo deploy`: puts the project on a Hugging Face Space as the Spacefile says.

The settings come first and the files last, in one commit, so that the Space is built once. `--dry-run` shows the whole
plan and asks nobody; `--refresh` writes into the Spacefile and the README what follows from the weights and from the
Spacefile.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from huggingface_hub import SpaceHardware

from humo.space.deploy.spacefile import (
    NAME,
    ROOT,
    Spacefile,
    Volume,
    front_matter,
    read_spacefile,
    seconds,
    with_front_matter,
)
from humo.space.deploy.upload import check_tree, collect_files, hash_weights, with_hashes
from humo.system.files import write_text

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from humo.space.deploy.hub import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a deployment will do."""

    spacefile: Spacefile
    space: str
    """owner/name."""
    hardware: str
    fallback: str | None
    files: dict[str, Path]
    """Path in the Space: file here."""

    def describe(self) -> str:
        """All of it in lines; no secret is among them, for the Spacefile knows only names."""
        file, sizes = self.spacefile, {name: path.stat().st_size for name, path in self.files.items()}
        total, most = sum(sizes.values()) / 1e6, file.files.max_bytes / 1e6
        lines = [
            f"Space       {self.space} ({file.space.visibility})",
            f"Hardware    {self.hardware}, or else {self.fallback or 'none'}",
            *(f"Volume      {_described(self.space, volume)}" for volume in file.storage.volumes),
            *(f"Variable    {name}={value}" for name, value in file.env.variables.items()),
            *(f"Secret      {name}, from your environment" for name in file.env.secrets),
            f"Model       {file.model.path}, {len(file.model.files)} weights files, their SHA-256 is right",
            f"Check       {file.checks.url} answers {file.checks.expect} within {file.checks.timeout}",
            f"Files       {len(sizes)} of {total:.1f} MB, where {most:.1f} MB are allowed",
            *(f"{size:>11,} {name}" for name, size in sizes.items()),
            "",
            "README.md begins with:",
            front_matter(file),
        ]
        return "\n".join(lines).rstrip()


def _described(space: str, volume: Volume) -> str:
    optional = ", left out where the Hub refuses it" if volume.optional else ""
    return f"{volume.type} {space.partition('/')[0]}/{volume.source} at {volume.mount_path}{optional}"


def make_plan(space: str, hardware: str | None = None, root: Path = ROOT) -> Plan:
    """Read the Spacefile, check everything that it names, and settle what is to be done.

    Args:
        space: owner/name, or the owner alone for the Spacefile's own name.
        hardware: takes the place of the Spacefile's, without a fallback.
        root: folder of the Spacefile.

    Returns:
        The plan; nothing has been asked of the Hub yet.

    Raises:
        ValueError: in one sentence, if anything is wrong.
    """
    spacefile = read_spacefile(root)
    name = space if "/" in space else f"{space}/{spacefile.space.id}"
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name):
        raise ValueError(f"There is no Space {space!r}: give owner/name.")
    known = [each.value for each in SpaceHardware]
    if hardware is not None and hardware not in known:
        raise ValueError(f"There is no hardware {hardware!r}: give one of {', '.join(known)}.")
    check_tree(spacefile, root)
    return Plan(
        spacefile=spacefile,
        space=name,
        hardware=hardware or spacefile.hardware.request,
        fallback=None if hardware else spacefile.hardware.fallback,
        files=collect_files(spacefile, root),
    )


def deploy(
    plan: Plan,
    api: HfApi,
    secrets: Mapping[str, str],
    report: Report,
    run_within: float | None = None,
    answer_within: float | None = None,
    poll: float = 5.0,
    settle: float = 20.0,
) -> str:
    """Carry out a plan.

    Args:
        plan: of `make_plan`.
        api: the Hub's client, with a token.
        secrets: values by name, more than the plan needs allowed.
        report: told each line of the report.
        run_within: seconds for building and starting; None for the Spacefile's.
        answer_within: seconds for the health check; None for the Spacefile's.
        poll: seconds between two looks.
        settle: see `humo.space.deploy.hub.wait_until_running`.

    Returns:
        Address of the Space's page.

    Raises:
        ValueError: in one sentence; the same plan again goes on where this one broke off.
    """
    from humo.space.deploy import hub

    file, space, env = plan.spacefile, plan.space, plan.spacefile.env
    report(f"Deploying to {space} as {hub.check_token(api)}.")
    exists = hub.space_exists(api, space)
    hub.check_secrets(api, space, env.secrets, secrets, exists)
    settle_hardware = hub.change_hardware if exists else hub.create_space
    settle_hardware(api, space, file, plan.hardware, plan.fallback, report)
    hub.mount_volumes(api, space, file.storage.volumes, report)
    hub.set_variables(api, space, env.variables, report)
    hub.set_secrets(api, space, env.secrets, secrets, report)
    commit = hub.commit_files(api, space, plan.files, report)
    checks = file.checks
    within = seconds(checks.run_within) if run_within is None else run_within
    runtime = hub.wait_until_running(api, space, commit, within, report, poll, settle)
    within = seconds(checks.timeout) if answer_within is None else answer_within
    url = hub.check_health(api, space, checks.url, checks.expect, within, min(poll, 2.0))
    page = f"{api.endpoint}/spaces/{space}"
    report(f"{url} answers {checks.expect}. The Space runs on {runtime.hardware}: {page}")
    return page


def refresh(root: Path = ROOT) -> list[str]:
    """Write the weights' SHA-256 into the Spacefile and the front matter into the README.

    Args:
        root: folder of both.

    Returns:
        Names of the files that have changed.
    """
    spacefile = read_spacefile(root)
    made = {
        NAME: lambda text: with_hashes(text, hash_weights(spacefile, root)),
        "README.md": lambda text: with_front_matter(text, spacefile),
    }
    changed = []
    for name, make in made.items():
        old = (root / name).read_text(encoding="utf-8")
        if (new := make(old)) != old:
            write_text(root / name, new)
            changed.append(name)
    return changed


def deploy_command(
    space: Annotated[
        str | None, typer.Option(help="owner/name of the Space, or the owner alone for the Spacefile's name.")
    ] = None,
    hardware: Annotated[str | None, typer.Option(help="In place of the Spacefile's, without a fallback.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and ask nobody.")] = False,
    refresh_files: Annotated[
        bool, typer.Option("--refresh", help="Only write the weights' SHA-256 and the README's front matter.")
    ] = False,
) -> None:
    """Put the project on a Hugging Face Space as the Spacefile says; again, it goes on or brings up to date."""
    if refresh_files:
        changed = refresh()
        typer.echo(f"Written: {', '.join(changed)}." if changed else f"{NAME} and README.md are up to date.")
        return
    if space is None and not dry_run:
        raise ValueError("No Space is given: add --space owner/name.")
    plan = make_plan(space or "OWNER", hardware)
    if dry_run:
        typer.echo(plan.describe())
        return
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        deploy(plan, HfApi(), os.environ, typer.echo)
    except KeyboardInterrupt:
        typer.echo("Stopped: the same command again goes on from here.", err=True)
        raise typer.Exit(130) from None
