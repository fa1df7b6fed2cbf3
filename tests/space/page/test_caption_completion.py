"""humo.space.page.caption_completion and what it takes out of a sentence (`vocabulary.remove_words`).

Run: python -m pytest tests/space/page/test_caption_completion.py
"""

from __future__ import annotations

import pytest

from humo.portrait import Portrait
from humo.space.page.caption_completion import Completed, complete_prompt
from humo.wording.vocabulary import find_words, remove_words

HER = Portrait(
    gender="woman", skin="tan", hair_style="curly", hair_colour="red", glasses="round", beard="none",
    eye_colour="green", garment="hoodie", colour="green", background="blue",
)  # fmt: skip


def _completed(prompt: str, person: Portrait, before: Completed | None = None, *changed: str) -> Completed:
    return complete_prompt(prompt, person, before or Completed(), "talks", changed or None)


def test_an_empty_text_becomes_a_whole_caption_and_follows_the_person() -> None:
    first = _completed(" ", HER)
    looks = "curly red hair, tan skin and round glasses"
    assert first.text == f"a woman with {looks}, in a green hoodie, in front of a blue background, talks"
    bare = _completed(first.text, HER.with_changes(glasses="none"), first, "glasses")
    assert "glasses" not in bare.text and "curly red hair" in bare.text
    other = _completed(bare.text, Portrait(gender="man", hair_style="bald", colour="red"), bare)
    assert other.text == "a bald man, in a red shirt, talks"
    own = _completed(other.text + " loudly", HER, other)
    assert own.text == "a woman with curly hair, in a green hoodie, before a blue wall, talks loudly"


def test_in_a_text_of_the_visitor_only_what_is_missing_is_added() -> None:
    first = _completed("my friend waves", HER)
    assert find_words(first.text) == {"garment": "hoodie", "colour": "green", "background": "blue"}
    assert "my friend" in first.text and "waves" in first.text
    dressed = _completed("my friend in a purple dress", HER)
    assert find_words(dressed.text) == {"garment": "dress", "colour": "purple", "background": "blue"}
    second = _completed(first.text, Portrait(colour="white", background="red"), first)
    assert find_words(second.text)["colour"] == "white" and find_words(second.text)["background"] == "red"
    assert find_words(_completed(dressed.text, Portrait(colour="white"), dressed).text)["colour"] == "purple"


@pytest.mark.parametrize(
    ("attribute", "value", "found"),
    [
        ("hair_colour", "grey", "grey"),
        ("hair_style", "bun", "in a bun"),
        ("hair_style", "bald", "no hair"),
        ("glasses", "square", "square glasses"),
        ("glasses", "none", None),
        ("gender", "man", "man"),
        ("colour", "pink", "pink"),
        ("background", "white", "white"),
    ],
)
def test_a_button_changes_what_the_text_says(attribute: str, value: str, found: str | None) -> None:
    text = "a woman with long red hair and round glasses, in a blue shirt, before a green wall, sings"
    changed = _completed(text, HER.with_changes(**{attribute: value}), None, attribute)
    expected = {**find_words(text), attribute: found}
    if value == "bald":
        expected.pop("hair_colour")
    assert find_words(changed.text) == {name: word for name, word in expected.items() if word}
    assert changed.text.endswith("sings")


def test_no_english_is_mixed_into_another_language() -> None:
    text = "una mujer con camisa azul y gafas redondas habla"
    assert _completed(text, HER).text == text
    assert _completed(text, HER.with_changes(hair_style="bun"), None, "hair_style").text == text, "the picture's"
    changed = _completed(text, HER.with_changes(colour="red"), None, "colour").text
    assert changed == "a woman with round glasses, in a red shirt, talks"
    assert _completed(text, HER.with_changes(glasses="none"), None, "glasses").text == "a woman, in a blue shirt, talks"


def test_a_button_says_nothing_that_the_picture_carries() -> None:
    for attribute, value in (("hair_colour", "grey"), ("eye_colour", "blue"), ("skin", "pale"), ("beard", "beard")):
        person = HER.with_changes(**{attribute: value})
        assert _completed("somebody nods", person, None, attribute).text == "somebody nods"


@pytest.mark.parametrize(
    ("text", "group", "left"),
    [
        ("a woman with red hair and glasses, in a shirt", "glasses", "a woman with red hair, in a shirt"),
        ("a man with a beard, in a shirt", "beard", "a man, in a shirt"),
        ("a man with a beard and red hair", "beard", "a man with red hair"),
        ("a man with round glasses, red hair and pale skin", "glasses", "a man with red hair and pale skin"),
        ("a woman, in an orange shirt before a wall", "colour", "a woman, in a shirt before a wall"),
        ("a woman with curly red hair", "hair_style", "a woman with red hair"),
        ("a woman nods", "glasses", "a woman nods"),
    ],
)  # fmt: skip
def test_a_phrase_goes_with_what_joined_it(text: str, group: str, left: str) -> None:
    assert remove_words(text, group) == left
