"""Arguments that other pipelines of diffusers take are refused with what stands for them here."""

from __future__ import annotations

import pytest

from humo.pipeline import HuMoPipeline


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("generator", None, r"HuMo's pipeline takes no argument 'generator': seed=3 draws its noise\."),
        ("guidance_scale", 5.0, r'guidance={"rule": "constant", "text": 5\.0} has a scale for each condition\.'),
        ("callback_on_step_end", print, r"on_step= is called after every step\."),
        ("promt", "a man", r"no argument 'promt': see help\(pipe\.__call__\) for what there is\."),
    ],
)
def test_an_argument_that_is_not_there_names_what_is(
    mini_pipeline: HuMoPipeline, name: str, value: object, sentence: str
) -> None:
    with pytest.raises(TypeError, match=sentence):
        mini_pipeline(prompt="a man", num_frames=5, num_inference_steps=1, **{name: value})


def test_what_is_advised_works(mini_pipeline: HuMoPipeline) -> None:
    steps: list[int] = []
    advised = {"guidance": {"rule": "constant", "text": 5.0}, "on_step": lambda state: steps.append(1)}
    output = mini_pipeline(prompt="a man", num_frames=5, num_inference_steps=1, seed=3, **advised)
    assert output.frames.dtype == "uint8" and steps == [1] and output.seed == 3
