"""What grading puts into a kernel: limits, an answer's functions, and a judge whose verdicts have a way of their own.

An answer runs with a copy of the lesson's names, so it cannot change them, and only its functions are taken over. What
it prints is never read: a verdict is an output of a type of its own that carries a word which the answer is not told.
Nothing but the standard library and IPython is needed here. Ours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from IPython import get_ipython
from IPython.display import display

VERDICT = "application/vnd.humo.verdict+json"
"""Type of the output in which a verdict comes back."""
MAX_FILE = 2**28
"""Bytes of the largest file that a graded kernel may write."""


def limit(memory_gib: float) -> None:
    """Bounds the kernel's memory and files for good; does nothing where the system has no such limits (Windows).

    Args:
        memory_gib: of private memory, GiB.
    """
    try:
        import resource
    except ImportError:
        return
    memory = int(memory_gib * 2**30)
    for kind, most in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_FSIZE, MAX_FILE), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(kind, (most, most))


def take(source: str, names: Sequence[str]) -> None:
    """Runs an answer and puts its functions in the place of the learner's.

    Args:
        source: of the answer.
        names: of the functions that the exercise asks for.
    """
    lesson = get_ipython().user_ns
    space = dict(lesson)
    exec(compile(source, "<answer>", "exec"), space)
    lesson.update({name: space[name] for name in names})


class Judge:
    """Stands in the place of `notebooks.lesson.check`.

    Args:
        word: by which the grader knows its own judge.
    """

    def __init__(self, word: str) -> None:
        self._word = word

    def __call__(self, function: Callable[..., Any], test: Callable[[Callable[..., Any]], None], hint: str) -> None:
        """Tests the function and sends the verdict.

        Args:
            function: the answer's.
            test: of the exercise.
            hint: not used; the lesson shows it to the learner.
        """
        remark = None
        try:
            test(function)
        except AssertionError as error:
            remark = str(error) or "that is not the right value."
        except BaseException as error:  # noqa: BLE001 (an answer may also leave with SystemExit)
            remark = f"{type(error).__name__}: {error}"
        display({VERDICT: {"word": self._word, "passed": remark is None, "remark": remark or ""}}, raw=True)
        sys.stdout.flush()
