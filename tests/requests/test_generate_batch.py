"""Videos made together as one batch: each is what it would be alone."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
from PIL import Image

from humo.pipeline import HuMoPipeline
from humo.requests.call import read_call
from humo.sampling import StepState, StopGeneration


def _given(mode: str, number: int) -> dict:
    given = {"prompt": f"person {number} talks", "num_frames": 9, "num_inference_steps": 2, "seed": number}
    if "I" in mode:
        given["image"] = Image.new("RGB", (40, 60), (90 * number, 40, 160))
    if "A" in mode:
        given["audio"] = tiny.voice(0.3 + 0.1 * number)
    return given


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["T", "TI", "TA", "TIA"])
@pytest.mark.parametrize("form", ["mini_pipeline", "wan_pipeline"])
def test_each_is_what_it_would_be_alone(form: str, mode: str, request: pytest.FixtureRequest) -> None:
    pipe = request.getfixturevalue(form)
    given = [_given(mode, number) for number in range(3)]
    together = pipe.generate_batch([read_call(pipe, **one) for one in given])
    for one, output in zip(given, together, strict=True):
        alone = pipe(**one)
        assert np.abs(alone.frames.astype(int) - output.frames).max() <= 1, "but for rounding"
        assert output.settings == alone.settings and output.notes == alone.notes and output.seed == one["seed"]
        assert (output.audio is None) == ("A" not in mode)
    assert np.abs(together[0].frames.astype(int) - together[1].frames).max() > 8, "and they differ"


@pytest.mark.slow
def test_long_ones_share_their_windows() -> None:
    pipe = tiny.pipeline("mini", max_trained_frames=9)
    given = [_given("TA", number) | {"num_frames": 21} for number in range(2)]
    together = pipe.generate_batch([read_call(pipe, **one) for one in given])
    for one, output in zip(given, together, strict=True):
        alone = pipe(**one)
        assert np.abs(alone.frames.astype(int) - output.frames).max() <= 1
        assert output.notes == alone.notes and "windows" in output.notes[-1]


def test_a_step_shows_all_of_them_and_can_stop_them(mini_pipeline: HuMoPipeline) -> None:
    seen: list[int] = []

    def stop(state: StepState) -> None:
        seen.append(len(state.clean))
        raise StopGeneration

    calls = [read_call(mini_pipeline, **_given("TI", number)) for number in range(3)]
    with pytest.raises(StopGeneration):
        mini_pipeline.generate_batch(calls, on_step=stop)
    assert seen == [3]


@pytest.mark.parametrize(
    "other",
    [{"num_frames": 13}, {"num_inference_steps": 3}, {"guidance": {"rule": "constant", "text": 2.0}}, {"image": None}],
)
def test_unequal_ones_are_refused(mini_pipeline: HuMoPipeline, other: dict) -> None:
    calls = [read_call(mini_pipeline, **one) for one in (_given("TIA", 0), _given("TIA", 1) | other)]
    with pytest.raises(ValueError, match="make each on its own"):
        mini_pipeline.generate_batch(calls)
