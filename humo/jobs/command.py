"""`python -m humo generate --jobs LIST`: many videos in one load, and a report of each line. Ours."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from tqdm import tqdm

from humo.jobs.lines import read_lines
from humo.jobs.reading import FIELDS, BadLine, Reader, VideoJob
from humo.jobs.report import REPORT, Failed, Keeper, Made, write_entry, writing_report
from humo.space.jobs.model_choice import MINI, folder_of
from humo.system.command_line import FAILED, check_folder
from humo.system.digests import digest_pieces, fingerprint_folder
from humo.system.files import exclusive_lock
from humo.system.threads import adjust_threads

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline
    from humo.sampling import StepState

LOCK = ".jobs.lock"
_ABOUT_RUN = ("jobs", "out", "as_json", "compile_model", "quiet")
_NOT_HERE = ("prompts", "plan", "shots", "take")
"""Options that are about one video alone."""
_PIECES, _PIECE = 8, 1 << 16
"""Of a file of weights that tell it from others, and bytes of each."""


def make_jobs(path: Path, given: Mapping[str, Any], load: Callable[[], HuMoPipeline]) -> None:
    """Make the videos of a list; those that an earlier run made from the very same are left as they are.

    Args:
        path: of the list.
        given: options of `generate` that somebody gave, by name; those that a line may have too are for the lines that
            leave them out.
        load: loads the pipeline; called only if something is to be made.

    Raises:
        ValueError: if the list cannot be read at all, or an option does not fit it.
        typer.Exit: 1 if a video could not be made, 130 if somebody interrupted it.
    """
    options, model = _options(given)
    folder = check_folder(given.get("out", path.with_suffix("")))
    found = list(Reader(path.parent, options).read(read_lines(path)))
    bad = [Failed.of_line(each) for each in found if isinstance(each, BadLine)]
    wanted = [each for each in found if isinstance(each, VideoJob)]
    folder.mkdir(parents=True, exist_ok=True)
    teller = _Teller(bool(given.get("as_json")), len(found))
    with (
        exclusive_lock(folder / LOCK, f"Another process makes the videos of {folder}: waiting for it."),
        writing_report(folder) as report,
    ):
        try:
            for entry in _entries(bad, wanted, Keeper(folder, model), load, bool(given.get("fast")), teller):
                write_entry(report, entry)
                teller.tell(entry)
        except KeyboardInterrupt:
            teller.end(f"Stopped: the same command again goes on from here; {folder / REPORT}")
            raise typer.Exit(130) from None
    teller.end(str(folder / REPORT))
    if teller.num_failed:
        raise typer.Exit(FAILED)


def _entries(
    bad: list[Failed],
    wanted: list[VideoJob],
    keeper: Keeper,
    load: Callable[[], HuMoPipeline],
    is_fast: bool,
    teller: _Teller,
) -> Iterable[Made | Failed]:
    yield from bad
    missing = []
    for job in wanted:
        if (kept := keeper.find(job)) is None:
            missing.append(job)
        else:
            yield kept
    if not missing:
        return
    from humo.jobs.making import Maker
    from humo.space.jobs.batching import Batches

    pipe = load()
    batches = Batches.of_pipeline(pipe)
    with closing(teller.bar(len(missing))):
        maker = Maker(pipe, keeper, batches.quick if is_fast else batches.full, teller.on_step)
        possible, impossible = maker.check(missing)
        yield from impossible
        yield from maker.make(possible)


class _Teller:
    """What is said on the way: a line for each video, what is wrong as a note, and how far it is.

    Args:
        as_json: plain data for programs.
        total: lines of the list.
    """

    def __init__(self, as_json: bool, total: int) -> None:
        self._as_json, self._total = as_json, total
        self.num_made = self.num_kept = self.num_failed = 0
        self._bar: tqdm | None = None

    def tell(self, entry: Made | Failed) -> None:
        if isinstance(entry, Failed):
            self.num_failed += 1
        elif entry.is_kept:
            self.num_kept += 1
        else:
            self.num_made += 1
        if self._bar is not None:
            self._bar.set_description(self._count())
        if self._as_json:
            _say(json.dumps(entry.plain(), ensure_ascii=False))
        elif isinstance(entry, Failed):
            _say(entry.error, err=True)
        elif not entry.is_kept:
            told = entry.told
            _say(f"{entry.file}: {told['frames']} frames, {told['seconds']:.2f} s, seed {told['seed']}")

    def bar(self, num: int) -> tqdm:
        self._bar = tqdm(unit="step", desc=self._count(), file=sys.stderr)
        return self._bar

    def on_step(self, state: StepState) -> None:
        adjust_threads()
        if self._bar is not None:
            if state.index == 0:
                self._bar.reset(state.num_steps)
            self._bar.update()

    def end(self, told: str) -> None:
        if not self._as_json:
            _say(f"{self._count()}: {told}")

    def _count(self) -> str:
        kept = f", {self.num_kept} there already" if self.num_kept else ""
        failed = f", {self.num_failed} failed" if self.num_failed else ""
        return f"{self.num_made} of {self._total} videos made{kept}{failed}"


def _say(text: str, err: bool = False) -> None:
    """A line that does not run into the progress bar."""
    tqdm.write(text, file=sys.stderr if err else sys.stdout)


def _options(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the command says for lines that leave it out, and what it says of the model."""
    if others := [name for name in _NOT_HERE if name in given]:
        raise ValueError(f"--jobs and --{others[0]} cannot both be: give one of them.")
    plain = {name: value.value if isinstance(value, Enum) else value for name, value in given.items()}
    options = {name: value for name, value in plain.items() if name in FIELDS}
    if "prompt" in options:
        if len(options["prompt"]) > 1:
            raise ValueError(f"{len(options['prompt'])} prompts are given beside --jobs: give one, for all lines.")
        options["prompt"] = options["prompt"][0]
    told = {name: _identity(value) for name, value in plain.items() if name not in (*FIELDS, *_ABOUT_RUN)}
    return options, told | {"preset": _identity(folder_of(plain.get("preset", MINI)) or plain["preset"])}


def _identity(value: Any) -> Any:
    """What an option of the model stands for; of a folder or file, also one with a weight behind it, the content."""
    if isinstance(value, list):
        return [_identity(each) for each in value]
    file, _, weight = str(value).rpartition(":")
    for name, rest in ((str(value), ""), (file, weight)):
        path = Path(name)
        if name and path.is_dir():
            return [fingerprint_folder(path), rest]
        if name and path.is_file():
            return [digest_pieces([("", path)], _PIECES, _PIECE), rest]
    return str(value)
