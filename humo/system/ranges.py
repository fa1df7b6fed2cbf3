"""Which numbers may be asked for, by the library, the command line, the page and a file's settings alike. Ours.

NumPy's whole numbers count as such, truth values do not. Nothing heavy is imported, so that the command line refuses
a number before it loads a model.
"""

from __future__ import annotations

from numbers import Integral, Real

LARGEST_SEED = 2**63 - 1
"""Every seed from 0 on has a noise of its own (`humo.requests.noise`)."""
MOST = {
    "num_inference_steps": 1_000,
    "num_frames": 15_001,  # ten minutes, the longest sound, rounded up to 4k+1
    "height": 8_192,
    "width": 8_192,
}
"""Largest value of each number but the seed; a model may allow less."""
SCALES = (-100.0, 100.0)
"""Lowest and highest scale of guidance; useful ones are between 0 and 10."""
TIMESTEPS = (0.0, 1_000.0)
SHIFT = (-200, 200)
"""Milliseconds by which the model hears a sound earlier (below 0) or later than it is played."""
MAX_PROMPT_LENGTH = 2_000
"""Characters of a prompt."""
_LONGEST = 40
"""Characters of a value in a sentence."""


def read_whole(name: str, value: object) -> int:
    """A whole number as Python's own.

    Args:
        name: of the number; those in `MOST` have an end.
        value: anybody's.

    Raises:
        ValueError: if it is no whole number, or far too large, also below 0.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(f"{name} is {short(value)}: give a whole number.")
    if name in MOST and abs(int(value)) > MOST[name]:
        raise ValueError(f"{name} is {short(value)}: give a whole number of at most {MOST[name]:,}.")
    return int(value)


def check_seed(seed: int) -> None:
    """Refuse a seed that is none.

    Raises:
        ValueError: if it is not between 0 and `LARGEST_SEED`.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed must be between 0 and 2**63 - 1 but is {short(seed)}.")


def read_shift(value: object, has_sound: bool = True) -> int:
    """A shift of the sound as Python's own whole number.

    Args:
        value: anybody's, milliseconds.
        has_sound: whether there is a sound to shift.

    Raises:
        ValueError: if it is no whole number within `SHIFT`, or other than 0 without a sound.
    """
    refusal = f"give a whole number of milliseconds from {SHIFT[0]} to {SHIFT[1]}."
    if not isinstance(value, Integral) or isinstance(value, bool) or not SHIFT[0] <= int(value) <= SHIFT[1]:
        raise ValueError(f"audio_shift is {short(value)}: {refusal}")
    if value and not has_sound:
        raise ValueError(f"audio_shift is {short(value)} but there is no sound to shift: give one, or no shift.")
    return int(value)


def is_whole(value: object, lowest: int, highest: int) -> bool:
    """Whether a value is one of Python's whole numbers within a range."""
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest


def check_whole(name: str, value: object, lowest: int, highest: int) -> None:
    """Refuse what somebody chose if it is no whole number within a range.

    Raises:
        ValueError: if it is not.
    """
    if not is_whole(value, lowest, highest):
        raise ValueError(f"{name} is {short(value)}: choose a whole number from {lowest} to {highest}.")


def check_number(name: str, value: object, lowest: float, highest: float) -> None:
    """Refuse what is no number within a range.

    Raises:
        ValueError: if it is none, or outside; NaN is within none.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not lowest <= value <= highest:  # type: ignore[operator]  # a Real has an order
        raise ValueError(f"{name} is {short(value)}: it must be a number from {lowest:g} to {highest:g}.")


def check_enlarge(height: int, width: int, enlarge: int) -> None:
    """Refuse to enlarge pictures beyond the largest side.

    Args:
        height: pixels, of what is made.
        width: pixels.
        enlarge: whole number, 1 or more.

    Raises:
        ValueError: if they would be longer.
    """
    longest, most = max(height, width), MOST["height"]
    if longest * enlarge > most:
        raise ValueError(
            f"--enlarge is {enlarge}, which makes {width}x{height} pixels more than {most:,} long: use at most "
            f"{most // longest}."
        )


def short(value: object) -> str:
    """A value of anybody's on one line, so that a sentence stays a sentence."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return "far too large"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
