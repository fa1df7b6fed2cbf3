"""What the people of the world say: sentences from word lists, different ones for training and for tests."""

from __future__ import annotations

import numpy as np

_WHO = ("my brother", "the old doctor", "our teacher", "a farmer", "the captain", "your neighbour", "the baker",
        "nobody", "the painter", "his mother", "a young pilot", "the whole team", "everyone", "the mayor", "a poor boy",
        "the moon", "her father", "the blue bird", "this machine", "a clever fox")  # fmt: skip
_DOES = (
    "found",
    "opened",
    "wanted",
    "bought",
    "painted",
    "followed",
    "lost",
    "carried",
    "moved",
    "showed us",
    "borrowed",
    "washed",
    "made",
    "forgot",
    "watched",
    "put away",
    "built",
    "saw",
    "remembered",
    "broke",
)
_WHAT = ("the window", "a purple boat", "five apples", "the wrong room", "some fresh bread", "a map of the town",
         "two big boxes", "the morning paper", "a cup of tea", "the radio", "my favourite book", "an empty bottle",
         "the garden gate", "a hundred roses", "the main road", "a warm coat", "the yellow umbrella", "a piano",
         "the last piece of cake", "an awful lot of money")  # fmt: skip
_WHEN = ("today", "every day", "last summer", "before lunch", "at half past four", "in the afternoon", "a while ago",
         "on monday", "all by himself", "without a word", "for you and me", "by the river", "near the old bridge",
         "in the open air", "over and over", "because of the rain", "in no time", "at home")  # fmt: skip
_SHORT = ("hello and welcome", "how are you", "I do not know", "oh no", "what a lovely view", "please come in",
          "good morning everybody", "thank you very much", "wait for me", "maybe tomorrow", "who are you",
          "now we go home", "that is my problem", "you may be right", "mamma mia", "bye bye")  # fmt: skip

_TEST_WHO = ("the quiet nurse", "a famous author", "our cousin", "the tall waiter", "that funny clown",
             "a wise old owl", "the postman", "somebody else")  # fmt: skip
_TEST_DOES = ("repaired", "dropped", "loved", "imagined", "cooked", "closed", "hid", "photographed")
_TEST_WHAT = ("a wooden spoon", "the museum door", "seven pieces of wood", "a bowl of soup", "the final page",
              "an orange motorbike", "the other shoe", "a beam of light")  # fmt: skip
_TEST_WHEN = ("yesterday evening", "before the show", "with great care", "for the first time", "under the apple tree",
              "in a few hours", "once upon a time", "with open arms")  # fmt: skip
_TEST_SHORT = ("nice to meet you", "my goodness", "see you above the clouds", "we hope to hear from you",
               "open your mouth and say ah", "far away from here")  # fmt: skip


def sample_sentence(rng: np.random.Generator, held_out: bool = False) -> str:
    """Draws something to say; words of the test sentences are never combined in training.

    Args:
        rng: the source of chance.
        held_out: whether to draw from the test lists.
    """
    lists = (_TEST_WHO, _TEST_DOES, _TEST_WHAT, _TEST_WHEN) if held_out else (_WHO, _DOES, _WHAT, _WHEN)
    short = _TEST_SHORT if held_out else _SHORT
    sentence = " ".join(words[rng.integers(len(words))] for words in lists)
    form = rng.integers(4)
    if form == 0:
        return f"{short[rng.integers(len(short))]}, {sentence}."
    if form == 1:
        return f"{sentence}; {short[rng.integers(len(short))]}!"
    if form == 2:
        return f"{short[rng.integers(len(short))]}. {short[rng.integers(len(short))]}. {sentence}."
    return f"{sentence}, and {sentence.split()[0]} {lists[1][rng.integers(len(lists[1]))]} it."
