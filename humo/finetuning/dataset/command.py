"""`python -m humo prepare`: a data set in HuMoSet's layout becomes shards to train on."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from humo.finetuning.dataset.settings import PrepareSettings
from humo.system.command_line import check_folder, check_given
from humo.system.imports import require
from humo.timing import round_down

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline


def prepare(
    source: Annotated[Path, typer.Option(help="Folder in HuMoSet's layout: video/, reference_image/, the table.")],
    out: Annotated[Path, typer.Option(help="Folder of the shards; a run that was stopped goes on in it.")],
    model: Annotated[str, typer.Option(help="Whose codec and encoders: mini, 1.7B, 17B, or a folder.")] = "1.7B",
    workers: Annotated[int, typer.Option(help="Processes that read, check and measure; 0 for none.")] = 4,
    shard: Annotated[str, typer.Option(help="Part of this machine: i/n, from 0/n to n-1/n.")] = "0/1",
    max_frames: Annotated[int | None, typer.Option(help="Longest clip, 4k+1; default the model's.")] = None,
    min_frames: Annotated[int | None, typer.Option(help="Shortest clip, 4k+1; default half of the longest.")] = None,
    area: Annotated[int | None, typer.Option(help="Pixels of a frame at most; default the model's.")] = None,
    max_references: Annotated[int, typer.Option(help="Reference pictures of a clip at most.")] = 1,
    min_sync: Annotated[float | None, typer.Option(help="Drop clips below this sync score; default keep all.")] = None,
    face_weights: Annotated[Path | None, typer.Option(help="YuNet's file; default OpenCV's cascade.")] = None,
    sync_weights: Annotated[Path | None, typer.Option(help="SyncNet's file; default mouth against loudness.")] = None,
    allow_faceless: Annotated[bool, typer.Option("--allow-faceless", help="Keep clips without a face.")] = False,
    allow_silent: Annotated[bool, typer.Option("--allow-silent", help="Keep clips without sound.")] = False,
    rows_per_unit: Annotated[int, typer.Option(help="Rows of the table in a shard.")] = 64,
    key_column: Annotated[str | None, typer.Option(help="Column of the videos; default a usual name.")] = None,
    caption_column: Annotated[str | None, typer.Option(help="Column of the captions; default a usual name.")] = None,
) -> None:
    """Encode a data set once, so that a training only reads: latents, text and sound features, face masks.

    Rows that cannot be used are dropped and counted in report.md, which also tells what a million clips would cost at
    the rates of this run. Several machines share the work by --shard, several GPUs of one by `accelerate launch`.
    """
    machine = parse_shard(shard)
    require("a table of clips", "pyarrow")
    check_folder(out)
    check_given(face_weights, "file of YuNet")
    check_given(sync_weights, "file of SyncNet")
    import torch  # after the cheap checks, for it takes seconds

    from humo.checkpoints import load
    from humo.finetuning.dataset.preparation import prepare_dataset, share_from_environment
    from humo.finetuning.dataset.report import as_markdown
    from humo.finetuning.dataset.rows import RowTable

    table = RowTable(source, key_column, caption_column)
    local = int(os.environ.get("LOCAL_RANK", 0))
    device = torch.device("cuda", local % torch.cuda.device_count()) if torch.cuda.is_available() else None
    pipe = load(model, device=device)
    settings = settings_for(
        pipe, max_frames=max_frames, min_frames=min_frames, area=area, max_references=max_references,
        min_sync=min_sync, face_weights=face_weights and str(face_weights),
        sync_weights=sync_weights and str(sync_weights),
        need_face=not allow_faceless, need_sound=not allow_silent, rows_per_unit=rows_per_unit,
    )  # fmt: skip

    def tell(index: int, facts: dict[str, Any]) -> None:
        kept, dropped = len(facts["samples"]), len(facts["dropped"])
        typer.echo(f"unit {index}: {kept} kept, {dropped} dropped, {facts['seconds']['wall']:.1f} s", err=True)

    report = prepare_dataset(table, pipe, out, settings, workers, share_from_environment(*machine), tell)
    if os.environ.get("RANK", "0") == "0":  # the others write the same files when they are done
        typer.echo(as_markdown(report))


def settings_for(pipe: HuMoPipeline, **changes: Any) -> PrepareSettings:
    """Settings that fit a pipeline.

    Args:
        pipe: whose sizes and lengths are taken.
        changes: fields of `PrepareSettings`; None leaves the pipeline's own.

    Returns:
        Settings: area of the pipeline's default size, its longest trained clip, and half of that as the shortest.

    Raises:
        ValueError: if a change does not fit.
    """
    config = pipe.config
    given = {name: value for name, value in changes.items() if value is not None}
    longest = given.get("max_frames") or config.max_trained_frames or config.max_frames or config.default_num_frames
    half = round_down(longest // 2)
    sizes = config.supported_sizes
    return replace(
        PrepareSettings(
            area=config.default_height * config.default_width,
            multiple=pipe.size_multiple,
            spatial_scale=pipe.vae.config.scale_factor_spatial,
            sizes=None if sizes is None else tuple(tuple(size) for size in sizes),
            max_frames=longest,
            min_frames=min(longest, max(1, half)),
        ),
        **given,
    )


def parse_shard(shard: str) -> tuple[int, int]:
    """Read "i/n".

    Returns:
        (i, n).

    Raises:
        ValueError: if it is not two numbers with 0 <= i < n.
    """
    number, _, total = shard.partition("/")
    if not (number.isdecimal() and total.isdecimal() and int(number) < int(total)):
        raise ValueError(f"shard is {shard!r}: give i/n with i from 0 to n - 1, such as 0/4.")
    return int(number), int(total)
