"""humo.wording: anybody's words in seven languages, in those of the drawn world.

The sentences and their labels were written before anything read them: `wording/sentences.json` before the first line of
the code, `wording/second.json` when it was finished, as a first look at words that it had not seen.
Run: python -m pytest tests/wording/test_wording.py
"""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from humo.__main__ import main
from humo.pipeline import HuMoPipeline
from humo.portrait import Portrait
from humo.portrait.caption import complete_prompt
from humo.requests.call import read_call
from humo.space.page.wording_view import reading
from humo.wording import understand
from humo.wording.caption import OWN_WORDS, write
from humo.wording.colours import DRAWN, names, nearest
from humo.wording.hints import BACKGROUNDS, MOVEMENTS, PEOPLE, nearest_things
from humo.wording.language.lexicon import languages, lexicon
from humo.wording.language.tokens import fold, tokenize
from humo.wording.rewording import reword
from humo.wording.vocabulary import add_words, find_words
from humo.world.attributes import OPTIONS
from humo.world.captions import compose_caption
from humo.world.people import sample_person, sample_setting

FOLDER = Path(__file__).parent
SENTENCES = {
    name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in ("sentences", "second")
}
MINI = FOLDER.parents[1] / "assets" / "humo-mini"
VALUES = {**OPTIONS, "eye_colour": ("brown", "blue", "green"), "speech": ("talks", "silent")}


def _is_right(value: str | None, wanted: str | list[str]) -> bool:
    return value in (wanted if isinstance(wanted, list) else [wanted])


@pytest.mark.parametrize(("name", "number"), [("sentences", 120), ("second", 60)])
def test_nine_of_ten_attributes_of_strangers_sentences_are_read(name: str, number: int) -> None:
    cases = SENTENCES[name]
    hits = [
        _is_right(understand(case["text"]).attributes.get(attribute), wanted)
        for case in cases
        for attribute, wanted in case["attributes"].items()
    ]
    assert len(cases) == number and {case["language"] for case in cases} == set(languages())
    assert np.mean(hits) >= 0.9, np.mean(hits)


@pytest.mark.parametrize("case", [*chain(*SENTENCES.values())], ids=lambda case: case["text"][:40])
def test_nothing_denied_is_drawn_and_every_other_word_is_told(case: dict) -> None:
    understood = understand(case["text"])
    for attribute, values in case["not_drawn"].items():
        value = understood.attributes.get(attribute, "none")
        assert value == "none" or (values and value not in values), (attribute, value)
        if attribute in ("glasses", "beard") and not values:
            shown = understand(understood.prompt).attributes.get(attribute, "none")
            assert shown == "none", understood.prompt
    told = " | ".join([*understood.unknown, *(theirs for theirs, _ in understood.replaced)]).lower()
    for word in case["told"]:
        assert word.lower() in told, word
    _check(case["text"])


def _check(text: str) -> None:
    """What holds of any text."""
    understood = understand(text)
    assert understood.text == text and understood.prompt.strip()
    assert all(value in VALUES[name] for name, value in understood.attributes.items()), understood.attributes
    if not understood.is_as_written:
        again = understand(understood.prompt)
        assert again.is_as_written and not again.replaced and not again.unknown, (text, understood.prompt)
        seen = {name: value for name, value in understood.attributes.items() if value != "none"}
        for name, value in again.attributes.items():
            assert seen.get(name, {"garment": "shirt"}.get(name)) == value, (name, understood.prompt)
    ends = [0, *chain(*((span.start, span.end) for span in understood.spans)), len(text)]
    assert ends == sorted(ends)
    assert [text[span.start : span.end] for span in understood.spans if span.kind == "unknown"] == understood.unknown


def test_mini_reads_every_caption_of_the_world_as_it_is() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        person, setting = sample_person(rng), sample_setting(rng)
        shown = person if rng.random() < 0.8 else None
        talks, distractor = bool(rng.random() < 0.5), str(rng.choice(("none", "balloon", "second")))
        caption = compose_caption(rng, shown, setting, talks, distractor)
        truth = {name: getattr(person, name, getattr(setting, name, None)) for name in OPTIONS}
        truth["speech"] = "talks" if talks else "silent"
        understood = understand(caption.text)
        assert understood.is_as_written and not understood.unknown and not understood.replaced, caption.text
        assert understood.attributes == {name: truth[name] for name in truth if name in caption.named}, caption.text


def test_captions_are_written_in_words_of_the_bundled_model() -> None:
    tokenizer = Tokenizer.from_file(str(MINI / "tokenizer" / "tokenizer.json"))
    unknown = tokenizer.encode("xyzzy", add_special_tokens=False).ids[0]
    for name, values in VALUES.items():
        for value in values:
            assert unknown not in tokenizer.encode(write({name: value})).ids, (name, value)
    known = {word for word in tokenizer.get_vocab() if word.isalpha()}
    assert known <= OWN_WORDS


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("an elderly gentleman in a navy suit", "a man with grey hair, in a blue shirt"),
        ("", "a person"),
        ("?!", "a person"),
        ("🦄", "a person"),
        ("бородатый мужчина", "a person"),
        ("RED-HAIRED WOMAN!!!", "a woman with red hair"),
        ("a woman, 25 years, blue jeans", "a woman"),
        ("an old man with black hair", "a man with black hair"),
        ("a man with a beard but no moustache", "a man with a beard"),
        ("neither glasses nor a beard, a bald man", "a bald man"),
        ("a woman without glasses and with long hair", "a woman with long hair"),
        ("he isn't talking", "a man, is silent"),
        ("a woman, her hair dyed green, her shirt too", "a woman with blond hair, in a shirt"),
        ("women's day", "a woman"),
        ("woman in red", "a woman, in a red shirt"),
        ("a ginger cat on a green sofa", "a person with red hair"),
        ("Ein Herr mit dunkelblauem Wollpullover", "a man, in a blue turtleneck"),
        ("l'homme n'a ni barbe ni lunettes", "a man"),
        ("戴著太陽眼鏡的紅髮女孩", "a woman with red hair and sunglasses"),
        ("चश्मे के बिना एक महिला", "a woman"),
        ("والرجل بلحيته", "a man with a beard"),
    ],
)
def test_what_mini_reads(text: str, prompt: str) -> None:
    assert understand(text).prompt == prompt
    _check(text)


def test_any_text_is_understood_somehow() -> None:
    rng = np.random.default_rng(2)
    words = [case["text"].split() for case in chain(*SENTENCES.values())]
    marks = ["", "", "", ",", ".", "!", " -", "'", "\n", "&", "<b>"]
    for _ in range(150):
        mixed = [str(rng.choice(words[rng.integers(len(words))])) + str(rng.choice(marks)) for _ in range(8)]
        _check(" ".join(mixed))


@pytest.mark.parametrize(
    ("name", "clothes", "background", "hair"),
    [
        ("navy", "blue", "blue", "blue"),
        ("burgundy", "red", "red", "brown"),
        ("light grey", "white", "grey", "grey"),
        ("charcoal", "black", "grey", "black"),
        ("dark green", "green", "green", "blond"),
        ("lavender", "purple", "purple", "blue"),
        ("mustard", "yellow", "yellow", "blond"),
        ("salmon", "red", "red", "red"),
        ("off white", "white", "white", "grey"),
    ],
)
def test_colours_go_to_the_nearest_that_is_drawn(name: str, clothes: str, background: str, hair: str) -> None:
    assert nearest(name, "colour") == clothes
    assert nearest(name, "background") == background
    if hair in ("blue", "grey", "black", "red"):
        assert nearest(name, "hair_colour") == hair


def test_every_colour_of_both_lists_is_drawn_somehow() -> None:
    assert {"navy blue", "rebeccapurple", "forest green", "light grey"} <= set(names())
    for attribute, drawn in DRAWN.items():
        assert all(nearest(value, attribute) == value for value in drawn)
        assert all(nearest(name, attribute) in drawn for name in [*names()][::9])
    assert nearest("no such colour", "colour") is None


@pytest.mark.parametrize("language", sorted(languages()))
def test_tables_hold_folded_words_and_every_value(language: str) -> None:
    entries = lexicon(language).entries
    assert all(form and form == " ".join(piece.form for piece in tokenize(form)) for form in entries)
    said = {claim for meaning in entries.values() for claim in meaning.says}
    said |= {("hair_style" if each.name == "style" else each.name, each.value) for each in entries.values()}
    for attribute in ("gender", "hair_style", "garment", "motion", "position", "framing", "pattern"):
        for value in OPTIONS[attribute]:
            assert (attribute, value) in said, (attribute, value)
    for value in ("talks", "silent"):
        assert ("speech", value) in said
    assert {("glasses", "sunglasses"), ("beard", "beard"), ("beard", "moustache")} <= said
    colours = {each.value for each in entries.values() if each.name == "colour"}
    assert {*OPTIONS["colour"], "grey"} <= colours


def test_folding_keeps_what_tells_words_apart() -> None:
    assert fold("Mädchen") == "madchen" and fold("ÉCOUTE") == "ecoute" and fold("weiß") == "weiss"
    assert fold("कमीज़") == fold("कमीज") and fold("मूँछ") == fold("मूंछ")
    assert fold("أحمر") == fold("احمر") and fold("نَظّارة") == fold("نظاره")
    assert [piece.form for piece in tokenize("doesn't")] == ["does", "nt"]


def test_hints_name_what_is_near() -> None:
    assert nearest_things("rain") == BACKGROUNDS and nearest_things("juggling") == MOVEMENTS
    assert nearest_things("dog") == PEOPLE and "picture" in nearest_things("green eyes")


def test_the_view_escapes_and_marks() -> None:
    shown = reading('a <i>man</i> in a navy suit & "rain"')
    assert "<i>" not in shown and "&lt;" in shown and "&amp;" in shown and "&quot;" in shown
    assert '<span class="is-replaced">navy</span>' in shown and '<del class="is-unknown">rain</del>' in shown
    assert "drawn as blue" in shown and reading(" ") == reading(None) == ""
    assert "reads all of it" in reading("a woman with red hair, in a blue shirt")


@pytest.fixture
def reworded(mini_pipeline: HuMoPipeline) -> HuMoPipeline:
    mini_pipeline.register_to_config(rewords_prompts=True)
    yield mini_pipeline
    mini_pipeline.register_to_config(rewords_prompts=False)


def test_a_call_keeps_both_texts_and_tells(reworded: HuMoPipeline) -> None:
    text = "an elderly gentleman in a navy suit, in the rain"
    output = reworded(text, num_frames=5, num_inference_steps=1, seed=0)
    assert output.settings["prompt"] == text
    assert output.settings["prompt_read"] == "a man with grey hair, in a blue shirt"
    assert "This model cannot draw: rain." in output.notes and any("navy: blue" in note for note in output.notes)
    same = reworded(output.settings["prompt_read"], num_frames=5, num_inference_steps=1, seed=0)
    assert np.array_equal(output.frames, same.frames) and "prompt_read" not in same.settings
    calls = [read_call(reworded, each, num_frames=5, seed=0) for each in (text, "a woman talks")]
    assert calls[0].shape == calls[1].shape, "made together"
    assert len(reworded.generate_batch(calls)) == 2


def test_other_models_read_the_text_itself(mini_pipeline: HuMoPipeline) -> None:
    call = read_call(mini_pipeline, "an elderly gentleman in the rain", num_frames=5, seed=0)
    assert call.prompt_read is None and call.read_request is call.request
    assert not any("draw" in note for note in call.notes)


def test_what_is_denied_becomes_the_negative_prompt(reworded: HuMoPipeline) -> None:
    text = "a woman without glasses"
    assert read_call(reworded, text).request.negative_prompt == "a person with round glasses"
    assert read_call(reworded, text, negative_prompt="a man").request.negative_prompt == "a man"
    assert read_call(reworded, "a clean-shaven man").request.negative_prompt == "a person with a beard"
    assert read_call(reworded, "a woman").request.negative_prompt == ""


def test_a_picture_completes_what_is_read() -> None:
    notes: list[str] = []
    (read,) = (each.prompt for each in reword(["ein Herr im marineblauen Anzug"], notes))
    person = Portrait(gender="man", garment="hoodie", colour="green", background="red")
    completed, added = complete_prompt(read, person)
    assert added == {"background": "red"} and "marineblauen: blue" in notes[0]
    named = understand(completed).attributes
    assert (named["garment"], named["colour"], named["background"]) == ("shirt", "blue", "red")


def test_a_chip_takes_the_place_of_a_visitors_own_word() -> None:
    assert find_words("an elderly lady in a navy suit") == {
        "gender": "woman", "hair_colour": "grey", "garment": "shirt", "colour": "blue",
    }  # fmt: skip
    assert add_words("a lady in a navy suit", "colour", "green") == "a lady in a green suit"
    assert add_words("a lady in a navy suit", "garment", "hoodie") == "a lady in a navy hoodie"
    assert add_words("a lady in a navy suit", "garment", "shirt") == "a lady in a navy shirt"


def test_the_command_prints_what_is_read(capsys: pytest.CaptureFixture) -> None:
    assert main(["wording", "an elderly gentleman in a navy suit"]) == 0
    told = capsys.readouterr().out
    assert "a man with grey hair, in a blue shirt" in told and "navy: blue" in told
    assert main(["wording", " "]) == 2 and "The text is empty" in capsys.readouterr().err
