"""humo.world.captions: what is named is said in one of its words, and nothing else is.

Run: python -m pytest tests/world/test_world_captions.py
"""

from __future__ import annotations

import re

import numpy as np

from humo.world import plan_clip, render_clip
from humo.world.captions import SYNONYMS, compose_caption, write_caption
from humo.world.people import IDENTITY_ATTRIBUTES, Setting, sample_person, sample_setting


def _says(key: str, caption: str) -> bool:
    return any(re.search(rf"\b{re.escape(word)}\b", caption) for word in SYNONYMS.get(key, (key,)))


def test_what_a_caption_names_is_there_in_one_of_its_words():
    rng = np.random.default_rng(0)
    named = set()
    for _ in range(600):
        person, setting = sample_person(rng), sample_setting(rng)
        caption = compose_caption(rng, person, setting, talks=True)
        named |= caption.named
        if "speech" in caption.named:
            assert _says("talks", caption.text)
        for attribute in caption.named - {"speech"}:
            owner = person if hasattr(person, attribute) else setting
            for key in _keys(attribute, getattr(owner, attribute)):
                assert _says(key, caption.text), (attribute, key, caption.text)
    assert named == {*IDENTITY_ATTRIBUTES, *Setting.__dataclass_fields__, "speech"}


def _keys(attribute: str, value: str) -> list[str]:
    """Keys of the synonyms, one of whose words the caption must hold; none where the word is free."""
    special = {
        ("hair_style", "bald"): [], ("hair_style", "bun"): [], ("pattern", "stripes"): ["striped"],
        ("pattern", "dots"): [], ("skin", "brown"): ["brown skin"],
    }  # fmt: skip
    if (attribute, value) in special:
        return special[attribute, value]
    return [f"{value} hair"] if attribute == "hair_colour" else [value]


def test_full_detail_names_all_that_can_be_seen():
    rng = np.random.default_rng(1)
    for _ in range(200):
        person, setting = sample_person(rng), sample_setting(rng)
        caption = compose_caption(rng, person, setting, talks=False, detail=1.0)
        expected = {"gender", "skin", "hair_style", "garment", "colour", "background", "motion"}
        expected |= {"hair_colour"} if person.hair_style != "bald" else set()
        expected |= {name for name in ("glasses", "beard") if getattr(person, name) != "none"}
        assert expected <= caption.named


def test_without_a_person_no_looks_are_named():
    rng = np.random.default_rng(2)
    looks = re.compile(r"\b(hair|skin|beard|moustache|mustache|woman|man|lady|guy|girl|glasses|sunglasses|bald|bun)\b")
    for _ in range(300):
        caption = compose_caption(rng, None, sample_setting(rng), talks=True)
        assert not looks.search(caption.text), caption.text
        assert caption.named.isdisjoint(IDENTITY_ATTRIBUTES)


def test_captions_are_lower_case_clean_and_varied():
    captions = set()
    for index in range(600):
        plan, rng = plan_clip(index), np.random.default_rng(index)
        caption = write_caption(rng, plan.person, plan.setting, bool(plan.sentence), plan.distractor)
        assert caption == caption.lower() and re.fullmatch(r"[a-z ,-]+", caption), caption
        assert "  " not in caption and ",," not in caption and caption == caption.strip(" ,")
        captions.add(caption)
    assert len(captions) > 590


def test_a_clip_tells_its_own_caption():
    clip = render_clip(plan_clip(0), 1, 32)
    one, same = (clip.caption(np.random.default_rng(4)) for _ in range(2))
    assert one == same != clip.caption(np.random.default_rng(5))
    assert not _says(clip.plan.person.gender, clip.caption(np.random.default_rng(4), name_person=False))
