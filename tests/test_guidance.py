"""Guidance: weights sum to 1, equal the released formulas, and know what is absent."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from humo.guidance import (
    Branch,
    constant,
    cosine,
    describe_rule,
    linear,
    make_rule,
    paper,
    published_1_7b,
    published_17b,
    step,
)

RULES = [
    published_17b(),
    published_17b(text=linear(6.0, 3.0), audio=cosine(2.0, 5.5), switch=900),
    published_1_7b(),
    paper(early=(7.0, 5.0, 1.0)),
    constant(),
]
GENERATOR = np.random.default_rng(0)
VELOCITY = {Branch(*flags): GENERATOR.standard_normal(5) for flags in itertools.product((False, True), repeat=3)}
NAMED = {branch.name: velocity for branch, velocity in VELOCITY.items()}


def mix(weights: dict[Branch, float]) -> np.ndarray:
    """Guided velocity in float64."""
    return sum(weight * VELOCITY[branch] for branch, weight in weights.items())


def test_branch_names_are_unique_and_in_order() -> None:
    assert len(NAMED) == 8
    assert Branch(True, True, True).name == "TIA"
    assert Branch(text=True, audio=True).name == "TA"
    assert Branch().name == "null"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("has_image", "has_audio"), list(itertools.product((False, True), repeat=2)))
def test_weights_sum_to_one_and_show_only_what_is_present(rule, has_image: bool, has_audio: bool) -> None:
    for timestep in (999.0, 981.0, 980.0, 500.0, 1.0):
        weights = rule(timestep, has_image=has_image, has_audio=has_audio)
        assert sum(weights.values()) == pytest.approx(1, abs=1e-12)
        assert 0 not in weights.values()
        assert has_image or not any(branch.image for branch in weights)
        assert has_audio or not any(branch.audio for branch in weights)
        assert any(branch.text for branch in weights)


def test_published_17b_equals_the_released_formula() -> None:
    st, sa, v = 5.0, 5.5, NAMED
    rule = published_17b(text=st, audio=sa, switch=980)
    early = sa * (v["TIA"] - v["TI"]) + st * (v["TI"] - v["I"]) + v["I"]
    late = sa * (v["TIA"] - v["TI"]) + (st - 2.0) * (v["TI"] - v["null"]) + v["null"]
    np.testing.assert_allclose(mix(rule(980.5)), early, atol=1e-12)
    np.testing.assert_allclose(mix(rule(980)), late, atol=1e-12)
    ta = sa * (v["TA"] - v["T"]) + st * (v["T"] - v["null"]) + v["null"]
    for timestep in (999, 100):
        np.testing.assert_allclose(mix(rule(timestep, has_image=False)), ta, atol=1e-12)
    ti = (st - 2.0) * (v["TI"] - v["null"]) + v["null"]
    np.testing.assert_allclose(mix(rule(500, has_audio=False)), ti, atol=1e-12)


def test_published_1_7b_equals_the_released_formula() -> None:
    st, sa, si, v = 7.5, 7.0, 4.0, NAMED
    rule = published_1_7b(text=st, audio=sa, image=si)
    ta = v["null"] + st * (v["T"] - v["null"]) + sa * (v["TA"] - v["T"])
    np.testing.assert_allclose(mix(rule(999)), ta + si * (v["TIA"] - v["TA"]), atol=1e-12)
    np.testing.assert_allclose(mix(rule(999, has_image=False)), ta, atol=1e-12)
    ti = v["null"] + st * (v["T"] - v["null"]) + si * (v["TI"] - v["T"])
    np.testing.assert_allclose(mix(rule(1, has_audio=False)), ti, atol=1e-12)


def test_paper_equals_equation_4() -> None:
    lt, li, la, v = 5.0, 4.0, 5.5, NAMED
    expected = la * (v["TIA"] - v["TI"]) + li * (v["TI"] - v["T"]) + lt * (v["T"] - v["null"]) + v["null"]
    np.testing.assert_allclose(mix(paper(lt, li, la)(990)), expected, atol=1e-12)
    adaptive = paper(lt, li, la, early=(1.0, 1.0, 1.0))
    np.testing.assert_allclose(mix(adaptive(981)), v["TIA"], atol=1e-12)
    np.testing.assert_allclose(mix(adaptive(980)), expected, atol=1e-12)


@pytest.mark.parametrize("has_image", [True, False])
@pytest.mark.parametrize("has_audio", [True, False])
def test_below_until_the_full_branch_is_all(has_image: bool, has_audio: bool) -> None:
    full = {Branch(True, has_image, has_audio): 1.0}
    for whole in (constant(3.0, 2.0, 4.0), paper(3.0, 2.0, 4.0, early=(5.0, 1.0, 1.0), switch=900)):
        ending = dataclasses.replace(whole, until=600.0)
        for timestep in (990, 700, 600):
            assert ending(timestep, has_image, has_audio) == whole(timestep, has_image, has_audio)
        assert ending(599.9, has_image, has_audio) == ending(0, has_image, has_audio) == full
        assert ending.scales(599.9) == (1.0, 1.0, 1.0) and ending.scales(600) == whole.scales(600)
        assert len(whole(0, has_image, has_audio)) > 1, "without it the guidance goes on to the end"


def test_zero_weights_are_removed() -> None:
    assert set(published_17b(text=5.0, audio=5.0)(999)) == {Branch(True, True, True), Branch(image=True)}
    assert set(constant(1.0, 1.0, 1.0)(500)) == {Branch(True, True, True)}


def test_ramps() -> None:
    assert [step(2.0, 5.0)(timestep) for timestep in (1000, 980.1, 980, 0)] == [2, 2, 5, 5]
    assert [linear(2.0, 6.0)(timestep) for timestep in (1000, 500, 0)] == [2, 4, 6]
    assert [cosine(2.0, 6.0)(timestep) for timestep in (1000, 500, 0)] == pytest.approx([2, 4, 6])


@pytest.mark.parametrize("rule", RULES)
def test_rules_survive_being_written_down(rule) -> None:
    assert make_rule(json.loads(json.dumps(describe_rule(rule)))) == rule
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.text = 1.0


def test_own_rules_are_described_for_people() -> None:
    assert describe_rule(lambda timestep, has_image, has_audio: {Branch(): 1.0})["rule"] == "custom"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "cfg"}, "rule 'cfg' is unknown: use one of published_17b"),
        ({}, "rule None is unknown"),
        ({"rule": "constant", "switch": 3}, "constant has no 'switch': it has text, image, audio, until"),
        ({"rule": "constant", "text": {"ramp": "wave"}}, "ramp 'wave' is unknown"),
    ],
)
def test_unknown_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_rule(settings)
