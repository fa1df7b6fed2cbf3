"""What is said for the training on other voices: everyday words in many orders, so that most pairs of sounds occur."""

from __future__ import annotations

import numpy as np

_WHO = (
    "she", "he", "they", "we", "you", "the boy", "the girl", "my uncle", "our doctor", "the teacher",
    "their neighbour's dog", "the young woman", "an old man", "her sister", "the shopkeeper", "every child",
    "the whole family", "a tall stranger", "this engine", "the choir", "your father", "the judge", "a few sailors",
    "the driver", "my grandmother", "the cook", "both of them", "the guide", "a noisy crowd", "the youngest player",
    "our boss", "the soldier", "this author",
)  # fmt: skip
_VERB = (
    "bought", "brought", "caught", "chose", "cut", "drew", "drove", "enjoyed", "fixed", "gave away", "heard about",
    "held", "joined", "kept", "knew", "laughed at", "left", "liked", "looked for", "measured", "met", "missed",
    "mixed", "needed", "ordered", "passed", "picked up", "played with", "pulled", "pushed", "reached", "read about",
    "shared", "shook", "shouted at", "sold", "spoiled", "talked about", "threw away", "took", "touched",
    "turned over", "used", "visited", "wrote about", "watched over", "wished for", "worried about", "wrapped up",
    "zipped up", "hugged", "judged", "thanked",
)  # fmt: skip
_ADJECTIVE = (
    "bad", "beautiful", "big", "blue", "bright", "brown", "busy", "careful", "cheap", "cold", "cool", "dark",
    "deep", "dirty", "dry", "early", "empty", "fair", "famous", "few", "fresh", "funny", "good", "great", "green",
    "happy", "hard", "heavy", "huge", "kind", "large", "long", "loud", "lovely", "new", "nice", "noisy", "odd",
    "other", "poor", "pretty", "proud", "quick", "quiet", "rich", "round", "sharp", "short", "slow", "small",
    "smooth", "soft", "strange", "strong", "sweet", "thick", "thin", "unusual", "warm", "weak", "wet", "white",
    "wide", "wild", "wise", "wonderful", "yellow", "young",
)  # fmt: skip
_NOUN = (
    "answer", "apple", "arm", "bag", "ball", "bath", "beach", "bear", "bird", "boat", "book", "bottle", "box",
    "boy", "bread", "bridge", "butter", "cage", "cake", "car", "chair", "cheese", "choice", "church", "cloud",
    "coat", "coffee", "coin", "cow", "cup", "door", "dream", "edge", "egg", "engine", "fish", "flower", "foot",
    "garage", "garden", "glove", "guitar", "hair", "hat", "heart", "hill", "horse", "house", "ice", "idea",
    "island", "jacket", "journey", "juice", "judge", "key", "king", "kitchen", "lake", "leaf", "letter", "map",
    "measure", "milk", "money", "moon", "mouse", "mouth", "music", "noise", "number", "oil", "orange", "page",
    "paper", "path", "pen", "picture", "pie", "plane", "pool", "queen", "question", "rain", "rice", "river", "road",
    "room", "rope", "school", "sheep", "ship", "shoe", "shop", "sky", "snow", "song", "soup", "spoon", "star",
    "stone", "story", "street", "sugar", "sun", "table", "tea", "thing", "thumb", "town", "toy", "treasure", "tree",
    "truth", "value", "village", "vision", "voice", "wall", "watch", "water", "week", "wheel", "wind", "window",
    "wolf", "woman", "wood", "word", "world", "yard", "year", "youth", "zebra", "zoo",
)  # fmt: skip
_PLACE = (
    "in", "on", "under", "over", "behind", "beside", "above", "below", "near", "beyond", "without", "with", "for",
    "before", "after", "between you and", "opposite", "towards", "along", "across", "through", "because of",
    "instead of", "next to",
)  # fmt: skip
_OPENING = (
    "well", "yes", "no", "oh", "look", "listen", "perhaps", "of course", "usually", "last year", "this evening",
    "believe me", "by the way", "excuse me", "good evening", "how strange", "never mind", "on sunday", "thank you",
    "what a pity", "why not", "you see", "on my way home", "after a while", "at first", "in the end", "very often",
    "as you know",
)  # fmt: skip
_QUESTION = (
    "where is", "who took", "do you like", "have you seen", "what about", "how much is", "why did you choose",
    "could you show me", "shall we open", "which of us found", "would you rather have", "when can I see",
)  # fmt: skip
_ORDER = (
    "please give me", "put down", "don't touch", "let us share", "show me", "be careful with", "wash", "remember",
    "choose", "follow", "bring back", "look at", "move", "pour some water on",
)  # fmt: skip
_NUMBER = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "twenty",
    "thirty", "forty", "fifty", "a hundred", "a thousand", "zero", "both", "half a dozen",
)  # fmt: skip


def voice_sentence(rng: np.random.Generator) -> str:
    """Something to say, without a full stop: of two to four seconds for most voices."""

    def one(words: tuple[str, ...]) -> str:
        return words[rng.integers(len(words))]

    thing = f"the {one(_ADJECTIVE)} {one(_NOUN)}" if rng.random() < 0.6 else f"the {one(_NOUN)}"
    other = f"the {one(_NOUN)}" if rng.random() < 0.6 else f"your {one(_ADJECTIVE)} {one(_NOUN)}"
    form = rng.integers(8)
    if form == 0:
        return f"{one(_QUESTION)} {thing} {one(_PLACE)} {other}"
    if form == 1:
        return f"{one(_ORDER)} {thing} {one(_PLACE)} {other}"
    if form == 2:
        return f"{one(_NUMBER)}, {one(_NUMBER)}, {one(_NUMBER)}, {one(_NUMBER)}, {one(_NUMBER)}"
    if form == 3:
        return f"{one(_OPENING)}, {one(_WHO)} {one(_VERB)} {thing}"
    if form == 4:
        return f"{one(_NOUN)}, {one(_NOUN)}, {one(_ADJECTIVE)}, {one(_NOUN)}"
    if form == 5:
        return f"{one(_OPENING)}, {one(_OPENING)}. {one(_QUESTION)} {thing}"
    return f"{one(_WHO)} {one(_VERB)} {thing} {one(_PLACE)} {other}"
