"""humo.wording.vocabulary, sentence and dense_caption: words to choose, and what they make in any order.

Run: python -m pytest tests/wording/test_vocabulary.py
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from humo.space.page.dense_caption import FIELDS, dense_caption
from humo.wording.vocabulary import BUN, GROUPS, NO_HAIR, add_words, find_words
from humo.world.attributes import OPTIONS
from humo.world.captions import compose_caption
from humo.world.people import sample_person, sample_setting

MINI = Path(__file__).parents[2] / "assets" / "humo-mini"
WORDS = {group.key: list(group.words) for group in GROUPS}
WORLD_NAMES = {
    "bald": NO_HAIR, "bun": BUN, "round": "round glasses", "square": "square glasses", "stripes": "striped",
    "dots": "dotted", "left": "on the left", "centre": "in the middle", "right": "on the right",
    "still": "holds still", "shakes": "shakes the head", "medium": "medium shot", "wide": "wide shot",
}  # fmt: skip
"""What is written for a value of the world, where it is not the value's own name."""


def _written(value: str) -> str:
    return WORLD_NAMES.get(value, value)


def test_the_words_are_those_of_the_world() -> None:
    for key, options in OPTIONS.items():
        assert set(WORDS[key]) == {_written(value) for value in options if value != "none"}, key
    assert set(WORDS) - set(OPTIONS) == {"speech"}
    assert len({group.title for group in GROUPS}) == len(GROUPS)


def test_the_bundled_model_knows_every_word() -> None:
    tokenizer = Tokenizer.from_file(str(MINI / "tokenizer" / "tokenizer.json"))
    unknown = tokenizer.encode("xyzzy", add_special_tokens=False).ids[0]
    for key, words in WORDS.items():
        for word in words:
            sentence = add_words("", key, word)
            assert unknown not in tokenizer.encode(sentence).ids, sentence


@pytest.mark.parametrize("seed", range(5))
def test_words_in_any_order_make_one_clean_sentence(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        chosen = {key: rng.choice(words) for key, words in WORDS.items() if rng.random() < 0.7}
        if chosen.get("hair_style") == NO_HAIR:
            chosen.pop("hair_colour", None)
        sentence = ""
        for key in rng.sample(list(chosen), len(chosen)):
            if rng.random() < 0.5:  # somebody changes their mind
                sentence = add_words(sentence, key, rng.choice([word for word in WORDS[key] if word != NO_HAIR]))
            sentence = add_words(sentence, key, chosen[key])
        clothes = {"garment": "shirt"} if "colour" in chosen else {}  # a colour needs something to be the colour of
        assert find_words(sentence) == {**clothes, **chosen}, sentence
        assert all(re.search(rf"(?<![\w-]){word}(?![\w-])", sentence) for word in chosen.values()), sentence
        _check_grammar(sentence)
        assert all(add_words(sentence, key, word) == sentence for key, word in chosen.items()), sentence


def _check_grammar(sentence: str) -> None:
    joints = "(?:in|with|and|before|of)"
    bad = rf"  |,,| ,|,(?! )|\ba [aeiou]|\ban [^aeiou]|\b{joints} (?:an? )?{joints}\b|\b([\w-]+) \1\b|^[ ,]|[ ,]$"
    assert not re.search(bad, sentence), sentence


def test_captions_of_the_world_are_understood() -> None:
    rng, seen = np.random.default_rng(0), set()
    for _ in range(800):
        person, setting = sample_person(rng), sample_setting(rng)
        talks = bool(rng.random() < 0.5)
        caption = compose_caption(rng, person, setting, talks, distractor=str(rng.choice(("none", "balloon"))))
        truth = {name: getattr(person, name, getattr(setting, name, None)) for name in OPTIONS}
        truth["speech"] = "talks" if talks else "is silent"
        named = {key: _written(truth[key]) for key in caption.named & set(WORDS)}
        assert find_words(caption.text) == named, caption.text
        seen |= set(named.items())
    assert seen == {(key, word) for key, words in WORDS.items() for word in words}


def test_a_word_takes_the_place_of_an_earlier_one_and_leaves_the_others() -> None:
    rng = np.random.default_rng(1)
    for _ in range(600):
        caption = compose_caption(rng, sample_person(rng), sample_setting(rng), talks=True).text
        before = find_words(caption)
        key = str(rng.choice(list(WORDS)))
        word = str(rng.choice(WORDS[key]))
        after = find_words(add_words(caption, key, word))
        clothes = {"garment": "shirt"} if key == "colour" and "garment" not in before else {}
        expected = {**before, **clothes, key: word}
        if word == NO_HAIR:
            expected.pop("hair_colour", None)
        elif key == "hair_colour" and before.get("hair_style") == NO_HAIR:
            expected.pop("hair_style")
        assert after == expected, (caption, key, word)


OWN = ("my aunt Berta", "Captain Ahab", "a woman", "three friends", "A man", "the cat's owner")
DOES = ("sings a song of love", "eats cake and drinks tea", "with a kind smile", "looks to the left", "", "who is 90")
WHERE = ("in the rain", "on a boat, far away", "under the stars.", "!", "")


@pytest.mark.parametrize("seed", range(5))
def test_own_words_stay_in_their_order(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        prompt = re.sub(r" (?=[.!])", "", " ".join(filter(None, (rng.choice(part) for part in (OWN, DOES, WHERE)))))
        sentence = prompt
        keys = rng.sample(list(WORDS), 6)
        for key in keys:
            sentence = add_words(sentence, key, rng.choice(WORDS[key]))
        assert set(keys) - set(find_words(sentence)) <= {"hair_style", "hair_colour"}
        rest = iter(re.findall(r"[\w']+|[.!]", sentence))
        changing = {"woman", "man", "aunt", "a", "A"}  # the person's noun may be chosen anew, and its capital moves
        for word in re.findall(r"[\w']+|[.!]", prompt):
            assert word in changing or word in rest, (prompt, sentence, word)


@pytest.mark.parametrize(
    ("prompt", "steps", "expected"),
    [
        ("a woman with red hair", {"hair_colour": "blue"}, "a woman with blue hair"),
        ("", {"hair_colour": "red"}, "a person with red hair"),
        ("  ...", {"motion": "nods"}, "a person nods"),
        ("", {"gender": "woman", "hair_colour": "red", "glasses": "round glasses", "colour": "blue",
              "background": "green", "motion": "nods"},
         "a woman with red hair and round glasses, in a blue shirt, before a green wall, nods"),
        ("", {"motion": "nods", "colour": "orange", "gender": "man", "framing": "close-up"},
         "close-up of a man in an orange shirt nods"),
        ("", {"speech": "talks", "motion": "sways", "position": "on the right"},
         "a person sways and talks, on the right"),
        ("a woman in an orange shirt", {"colour": "blue", "garment": "hoodie"}, "a woman in a blue hoodie"),
        ("a woman before a white wall", {"background": "orange", "pattern": "striped"},
         "a woman before a striped orange wall"),
        ("A lady with long ginger hair.", {"hair_style": NO_HAIR, "beard": "moustache"},
         "A lady with no hair and a moustache."),
        ("the bald man", {"hair_colour": "grey"}, "the man with grey hair"),
        ("a man with a red bun", {"hair_style": "curly"}, "a man with curly red hair"),
        ("her curly, red hair shines", {"hair_style": BUN}, "her red hair in a bun shines"),
        ("someone with facial hair", {"beard": "moustache", "gender": "man"}, "a man with a moustache"),
        ("A woman with a hat and a dog", {"skin": "dark"}, "A woman with dark skin, a hat and a dog"),
        ("A woman with a hat", {"skin": "dark"}, "A woman with dark skin and a hat"),
        ("Santa Claus", {"framing": "wide shot"}, "Wide shot, Santa Claus"),
        ("nods", {"gender": "woman"}, "a woman nods"),
        ("She has red hair and a cold", {"glasses": "sunglasses"}, "She has red hair, sunglasses and a cold"),
        ("in a big nice blue wool shirt", {"colour": "red"}, "in a big nice red wool shirt"),
    ],
)  # fmt: skip
def test_sentences(prompt: str, steps: dict[str, str], expected: str) -> None:
    for key, word in steps.items():
        prompt = add_words(prompt, key, word)
    assert prompt == expected


def test_words_that_cannot_be_chosen_are_refused() -> None:
    for group, word in (("hair_colour", "green"), ("nose", "long"), ("", "")):
        with pytest.raises(ValueError, match="no word that can be chosen"):
            add_words("a woman", group, word)


def test_long_and_odd_prompts_are_no_trouble() -> None:
    for prompt in ("a " * 1000, "red " * 500 + "hair", "(" * 500, "hair,\n and\thair", "𝕒 wöman 🙂, ŕed hair"):
        for key, words in WORDS.items():
            assert words[0] in add_words(prompt, key, words[0]).lower()


def test_the_words_load_without_renderers_and_speech() -> None:
    code = "import sys, humo.wording.vocabulary;print({'scipy', 'torch', 'espeakng_loader'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_fields_become_one_dense_caption() -> None:
    assert dense_caption(**{field.key: field.example for field in FIELDS}) == (
        "A young woman with short black hair and freckles, wearing a grey wool coat over a white blouse, speaks to the "
        "camera with a calm smile. The scene is set in a small kitchen with plants on the window sill. A steady medium "
        "close-up at eye level. Soft morning light from the left, warm colours."
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"subject": "an old man "}, "The video shows an old man."),
        ({"subject": "a man.", "action": "reading\n a letter"}, "A man is reading a letter."),
        ({"subject": "a man", "clothes": "in a suit"}, "The video shows a man, wearing a suit."),
        ({"subject": "a man", "surroundings": "on a beach"}, "The video shows a man. The scene is on a beach."),
        ({"subject": "Mia", "clothes": "She wears a hat.", "action": "sings"}, "Mia sings. She wears a hat."),
        ({"subject": "Mia", "surroundings": "The scene is dark"}, "The video shows Mia. The scene is dark."),
    ],
)
def test_fields_as_people_fill_them_in(fields: dict[str, str], expected: str) -> None:
    assert dense_caption(**fields) == expected


def test_a_dense_caption_is_about_somebody() -> None:
    with pytest.raises(ValueError, match="say in a few words who"):
        dense_caption(subject=" .", action="sings")
