"""TVA and VLM-QA: a vision-language model says whether the video shows what was asked for.

The paper does not name its judge or give its prompt. Ours is Qwen2.5-VL-7B-Instruct, greedy, with eight frames of the
video in their order; prompts and parsing stand below, and its figures must not be read beside those of another judge.

- TVA: the model is asked for a whole number from 0 to 10; the answer must be that number, alone or as "N/10".
- VLM-QA: each question of the case is asked for yes or no; the score is the percentage of right answers.

An answer that cannot be read counts as wrong in VLM-QA, and as not measured in TVA.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from PIL import Image
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from humo.evaluation.published.cases import BenchCase, Question
from humo.evaluation.published.instruments.metric import Metric, Video, looks
from humo.evaluation.published.instruments.weights import Weights, WeightsFile, hub_files

QWEN = "Qwen2.5-VL-7B-Instruct"
FRAMES = 8
"""Frames that are shown, evenly from the first to the last."""
MAX_PIXELS = 448 * 448
"""Of a frame as it is shown; larger ones are shrunk."""
MAX_TOKENS = 16
"""Of an answer."""
SYSTEM = "You judge short generated videos. Answer with nothing but what is asked for."
TVA_PROMPT = (
    "These are {count} frames of one video in their order. The video was asked for with this text:\n{prompt}\n"
    "How well does the video show what the text says: people, clothes, things, place, action? "
    "Answer with one whole number from 0 (nothing of it) to 10 (all of it)."
)
QA_PROMPT = "These are {count} frames of one video in their order. {question}\nAnswer with yes or no."
_RATING = re.compile(r"(?:(?:rating|score|answer)\s*(?:is|:|=)?\s*)?(\d{1,2})(?:\s*(?:/|out of)\s*10)?\.?", re.I)
_PAD, _START, _END = "<|image_pad|>", "<|vision_start|>", "<|vision_end|>"


def read_rating(answer: str) -> float:
    """A rating in an answer.

    Args:
        answer: what the model said.

    Returns:
        0 to 10; NaN unless the answer is one such whole number, at most with "/10", "out of 10", a word such as
        "Rating:" before it, or a full stop.
    """
    text = answer.strip().strip("*\"'` \n")
    found = _RATING.fullmatch(text)
    return float(found[1]) if found and int(found[1]) <= 10 else math.nan


def read_yes_no(answer: str) -> str | None:
    """The "yes" or "no" with which an answer begins; None if it begins otherwise, or says both."""
    words = re.findall(r"[a-z]+", answer.lower())
    if not words or words[0] not in ("yes", "no") or {"yes", "no"} <= set(words):
        return None
    return words[0]


def score_answers(answers: Sequence[str], questions: Sequence[Question]) -> float:
    """Percentage of answers that are right; one that cannot be read is wrong."""
    right = [read_yes_no(answer) == one.answer for answer, one in zip(answers, questions, strict=True)]
    return 100 * sum(right) / len(right)


@dataclass(eq=False, slots=True)
class Judge:
    """The model with what turns frames and text into its input."""

    model: Qwen2_5_VLForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    pictures: Qwen2VLImageProcessorPil

    @torch.no_grad()
    def ask(self, frames: np.ndarray, question: str) -> str:
        """Ask about frames.

        Args:
            frames: (n, h, w, 3) uint8.
            question: the text after them.

        Returns:
            The answer, greedily decoded: the same question has the same answer.
        """
        shown = self.pictures([Image.fromarray(frame) for frame in frames], return_tensors="pt")
        counts = shown["image_grid_thw"].prod(-1) // self.pictures.merge_size**2
        input_ids = self.tokenizer(write_prompt(question, counts.tolist()), return_tensors="pt").input_ids
        is_picture = (input_ids == self.model.config.image_token_id).int()
        inputs = {
            "input_ids": input_ids,
            "attention_mask": torch.ones_like(input_ids),
            "mm_token_type_ids": is_picture,
            "pixel_values": shown["pixel_values"].to(self.model.dtype),
            "image_grid_thw": shown["image_grid_thw"],
        }
        made = self.model.generate(
            **{name: value.to(self.model.device) for name, value in inputs.items()},
            max_new_tokens=MAX_TOKENS,
            do_sample=False,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        return self.tokenizer.decode(made[0, input_ids.shape[1] :], skip_special_tokens=True)


def write_prompt(question: str, counts: list[int]) -> str:
    """The conversation as the model learned to read it: a system line, the frames, the question.

    Args:
        question: marks of the conversation in it are taken out, so that a prompt cannot speak for the judge.
        counts: tokens of each frame.
    """
    safe = re.sub(r"<\|[^|>]*\|>", " ", question)
    seen = "".join(f"{_START}{_PAD * count}{_END}" for count in counts)
    return f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{seen}{safe}<|im_end|>\n<|im_start|>assistant\n"


def load_judge(weights: Weights) -> Judge:
    """Qwen2.5-VL from the weights' folder, bfloat16 on a GPU and float32 on a CPU.

    Raises:
        ValueError: if it cannot be read.
    """
    dtype = torch.float32 if weights.device.type == "cpu" else torch.bfloat16
    model = weights.pretrained(Qwen2_5_VLForConditionalGeneration, QWEN, dtype=dtype)
    # The published settings ask for sampling; a judge shall say the same thing twice.
    model.generation_config.update(do_sample=False, temperature=None, top_p=None, top_k=None)
    folder = str(weights.folder / QWEN)
    return Judge(
        model,
        AutoTokenizer.from_pretrained(folder, local_files_only=True),
        Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True, max_pixels=MAX_PIXELS),
    )


@dataclass(eq=False)
class _Judged(Metric):
    """See the module."""

    name: ClassVar[str]
    family: ClassVar[str] = "language"
    needs: ClassVar[tuple[WeightsFile, ...]] = hub_files(
        "Qwen/Qwen2.5-VL-7B-Instruct",
        "cc594898137f460bfe9f0759e9844b3ce807cfb5",
        QWEN,
        {
            "config.json": 1_400,
            "generation_config.json": 220,
            "preprocessor_config.json": 350,
            "tokenizer.json": 7_030_000,
            "tokenizer_config.json": 5_700,
            "model.safetensors.index.json": 57_600,
            "model-00001-of-00005.safetensors": 3_900_000_000,
            "model-00002-of-00005.safetensors": 3_860_000_000,
            "model-00003-of-00005.safetensors": 3_860_000_000,
            "model-00004-of-00005.safetensors": 3_860_000_000,
            "model-00005-of-00005.safetensors": 1_090_000_000,
        },
        "Apache 2.0",
    )

    judge: Judge

    @classmethod
    def _read(cls, weights: Weights) -> Self:
        return cls(weights.once("judge", lambda: load_judge(weights)))

    def ask(self, video: Video, template: str, **input_ids: str) -> str:
        """The judge's answer about the video's frames; the template is filled with their `count` and what is told."""
        frames = video.frames[looks(len(video.frames), FRAMES)]
        return self.judge.ask(frames, template.format(count=len(frames), **input_ids))


class TextAlignment(_Judged):
    """The metric TVA."""

    name: ClassVar[str] = "TVA"
    meaning: ClassVar[str] = "rating of 0 to 10 by Qwen2.5-VL; another judge than the paper's, not comparable"

    def measure(self, video: Video, case: BenchCase) -> float:
        """0 to 10; NaN if the answer is no rating."""
        return read_rating(self.ask(video, TVA_PROMPT, prompt=case.prompt))


class QuestionAnswering(_Judged):
    """The metric VLM-QA."""

    name: ClassVar[str] = "VLM-QA"
    conditions: ClassVar[str] = "Q"
    meaning: ClassVar[str] = "percent of the bench's questions answered rightly, by Qwen2.5-VL"

    def measure(self, video: Video, case: BenchCase) -> float:
        """0 to 100."""
        return score_answers([self.ask(video, QA_PROMPT, question=one.ask) for one in case.questions], case.questions)
