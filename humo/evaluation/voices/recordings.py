"""Recordings of people with the words they say, and the pieces of them that are measured. All ours.

None lies in the project. Two come from Debian's package pocketsphinx-testdata (LibriVox, public domain, and a man's
prompts); anybody's own lie in a folder: sounds with a text file of the same name beside each, or with one table.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from humo.media import read_sound
from humo.timing import FPS
from humo.world.alignment import SHIFT, Phone, align, as_phonemes
from humo.world.speech import Speech

PACKAGE = Path("/usr/share/pocketsphinx/test/data")
"""Where pocketsphinx-testdata lays its files."""
SOURCE = "source.txt"
"""A folder's file whose first line says where its recordings are from; the report repeats it."""
TABLE = "recordings.tsv"
"""A folder's table, with the columns path, text and, if known, speaker."""
BILABIALS, OPEN_VOWELS = ("P", "B", "M"), ("AA", "AE", "AO", "AY", "AW")
"""Phones (ARPAbet) at which the lips are shut, and at which the mouth is wide open."""
_SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
_PACKAGED = {"librivox": "transcription", "cards": "cards.transcription"}
_CLEAR = (0.03, 0.35)
"""Seconds between which a phone lasts whose place is trusted."""
_LOST = 0.6
"""A phone that lasts longer than these seconds says that the words were not found where they are."""
_FITS = -60.0
"""Mean score of a piece's phones (the aligner's log likelihood of 10 ms) below which other words were said there."""
_MORE = 1.5
"""Times its length from which a stretch's words are taken."""
_LEAD = 0.1
"""Seconds of a piece before its first word."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A sound and what is said in it."""

    name: str
    speaker: str
    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a recording, as long as the clips.

    Attributes:
        recording: from which it is.
        speech: the whole recording with its phonemes.
        phones: of the whole recording.
        start: of the stretch, seconds into the recording; a whole number of frames.
        num_frames: of the stretch.
    """

    recording: Recording
    speech: Speech
    phones: tuple[Phone, ...]
    start: float
    num_frames: int

    @property
    def text(self) -> str:
        """The words that begin in the stretch, and those that follow: another voice may take less time for them."""
        end = self.start + _MORE * self.num_frames / FPS
        words: dict[int, Phone] = {}
        for phone in self.phones:
            words.setdefault(phone.index, phone)
        spoken = [first for first in words.values() if first.name != "SIL"]
        return " ".join(first.word for first in spoken if self.start <= first.start < end)

    def frames_of(self, names: Sequence[str]) -> np.ndarray:
        """Where the middles of some phones lie, in frames of the stretch with fractions, (n,)."""
        return frames_of(self.phones, names, self.start, self.num_frames)


def frames_of(phones: Sequence[Phone], names: Sequence[str], start: float, num_frames: int) -> np.ndarray:
    """Where the middles of some phones lie, in frames of a stretch with fractions, (n,).

    Args:
        phones: of the whole sound.
        names: of the wanted ones, in ARPAbet; those that last 0.03 to 0.35 s count.
        start: of the stretch, seconds.
        num_frames: of the stretch; its first and last frame do not count.
    """
    clear = [each for each in phones if each.name in names and _CLEAR[0] <= each.end - each.start <= _CLEAR[1]]
    places = np.array([((each.start + each.end) / 2 + SHIFT - start) * FPS - 0.5 for each in clear])
    return places[(places >= 1) & (places <= num_frames - 2)]


def find_recordings(folder: Path | None = None) -> list[Recording]:
    """The recordings of a folder, or of the package.

    Args:
        folder: sounds (WAV, FLAC, OGG, MP3), each with a .txt of the same name beside it; the folder that they lie in
            names the speaker. Or sounds with a table recordings.tsv. Names that begin with "_" or "." are passed
            over. None takes pocketsphinx-testdata.

    Raises:
        ValueError: if there are none, or the table is not as above.
    """
    if folder is None:
        return _packaged()
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}: give one of sounds with a text file beside each.")
    found = _from_table(folder) if (folder / TABLE).is_file() else _from_texts(folder)
    if not found:
        raise ValueError(f"{folder.name} has no recordings: put a text file, NAME.txt, beside each NAME.wav.")
    return sorted(found, key=lambda recording: recording.name)


def describe_source(folder: Path | None = None) -> str:
    """Where recordings are from, for the report."""
    if folder is None:
        return "Debian's package pocketsphinx-testdata"
    lines = (folder / SOURCE).read_text(encoding="utf-8").splitlines() if (folder / SOURCE).is_file() else []
    return next((line.strip() for line in lines if line.strip()), f"the folder {folder.resolve().name}")


def cut_pieces(
    recordings: Sequence[Recording],
    num_pieces: int,
    num_frames: int,
    seed: int = 0,
    show: Callable[[int], object] | None = None,
) -> tuple[list[Piece], list[str]]:
    """Aligns recordings and takes pieces of them, as many of each speaker as is possible.

    Args:
        recordings: to choose from; their order is drawn.
        num_pieces: at most.
        num_frames: of a piece.
        seed: of the order.
        show: called with 1 after each recording that was looked at.

    Returns:
        The pieces, and why which recordings were left out, a sentence each.

    Raises:
        ValueError: if fewer than two pieces come out: no voice could be compared with another's.
    """
    order = _speaker_after_speaker(recordings, np.random.default_rng((31, seed)))
    pieces, left_out = list[Piece](), list[str]()
    waiting: list[list[Piece]] = []
    for recording in order:
        if len(pieces) == num_pieces:
            break
        try:
            first, *more = _pieces_of(recording, num_frames)
            pieces.append(first)
            waiting.append(more)
        except ValueError as error:
            left_out.append(f"{recording.name}: {error}")
        if show is not None:
            show(1)
    while len(pieces) < num_pieces and any(waiting):
        pieces += [more.pop(0) for more in waiting if more][: num_pieces - len(pieces)]
    if len(pieces) < 2:
        cause = f" ({left_out[0].rstrip('.')})" if left_out else ""
        raise ValueError(f"{len(pieces)} of {len(recordings)} recordings can be measured{cause}: give two or more.")
    return pieces, left_out


def _packaged() -> list[Recording]:
    found = []
    for folder, transcript in _PACKAGED.items():
        path = PACKAGE / folder / transcript
        if path.is_file():
            for text, name in re.findall(r"<s>\s*(.*?)\s*</s>\s*\((.*?)\)", path.read_text(encoding="utf-8")):
                found.append(Recording(f"{folder}/{name}", folder, PACKAGE / folder / f"{name}.wav", text))
    if not found:
        raise ValueError(
            "There are no recordings: apt-get install pocketsphinx-testdata brings a few of two people, "
            "--recordings FOLDER takes yours."
        )
    return found


def _from_table(folder: Path) -> list[Recording]:
    with (folder / TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    if rows and not {"path", "text"} <= set(rows[0]):
        raise ValueError(f"{TABLE} has the columns {', '.join(rows[0])}: it needs path and text, and may have speaker.")
    return [
        Recording(row["path"], row.get("speaker") or row["path"], folder / row["path"], row["text"]) for row in rows
    ]


def _from_texts(folder: Path) -> list[Recording]:
    found = []
    for path in folder.rglob("*"):
        inside, text = path.relative_to(folder), path.with_suffix(".txt")
        if path.suffix.lower() in _SOUNDS and text.is_file() and not any(part[0] in "._" for part in inside.parts):
            name = inside.with_suffix("").as_posix()
            speaker = inside.parent.as_posix() if len(inside.parts) > 1 else name
            found.append(Recording(name, speaker, path, text.read_text(encoding="utf-8").strip()))
    return found


def _speaker_after_speaker(recordings: Sequence[Recording], rng: np.random.Generator) -> list[Recording]:
    """In drawn order, one of each speaker before the second of any."""
    drawn = [recordings[index] for index in rng.permutation(len(recordings))]
    turns: dict[str, int] = {}
    turn = []
    for recording in drawn:
        turn.append(turns.setdefault(recording.speaker, 0))
        turns[recording.speaker] += 1
    return [drawn[index] for index in np.argsort(turn, kind="stable")]


def _pieces_of(recording: Recording, num_frames: int) -> list[Piece]:
    """Pieces of a recording that do not overlap, those with most speech first.

    Raises:
        ValueError: if the sound cannot be read or the words are not found in it.
    """
    waveform = read_sound(recording.path).waveform
    phones = align(waveform, recording.text)
    speech, length = Speech(waveform, as_phonemes(phones)), num_frames / FPS
    last = max(0.0, np.floor((speech.duration - length) * FPS) / FPS)
    begins = [first.start for before, first in zip(phones, phones[1:], strict=False) if first.index != before.index]
    starts = sorted({float(np.clip(np.floor((begin - _LEAD) * FPS) / FPS, 0.0, last)) for begin in (0.0, *begins)})
    taken: list[float] = []
    for start in sorted(starts, key=lambda start: -_spoken(phones, start, length)):
        is_free = all(abs(start - other) >= length for other in taken)
        if is_free and _spoken(phones, start, length) > 0.5 * length and _fit(phones, start, length) > _FITS:
            taken.append(start)
    if not taken:
        raise ValueError("its words are not found, or too few are said.")
    return [Piece(recording, speech, phones, start, num_frames) for start in taken]


def _fit(phones: Sequence[Phone], start: float, length: float) -> float:
    """Mean score of the phones in a stretch in which something is said."""
    inside = [each for each in phones if each.name != "SIL" and each.end > start and each.start < start + length]
    return float(np.mean([phone.score for phone in inside]))


def _spoken(phones: Sequence[Phone], start: float, length: float) -> float:
    """Seconds of speech in a stretch; none where a phone lasts so long that the aligner must have lost its way."""
    spoken = 0.0
    for phone in phones:
        inside = min(phone.end, start + length) - max(phone.start, start)
        if phone.name != "SIL" and inside > 0:
            if phone.end - phone.start > _LOST:
                return 0.0
            spoken += inside
    return spoken
