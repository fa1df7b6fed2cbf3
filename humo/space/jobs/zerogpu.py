"""A GPU by the call: on a ZeroGPU Space, whatever computes runs in a process of its own that has the GPU for a while.

The package `spaces`, which such Spaces have, forks that process and pickles what goes in and what comes out. No call
back reaches the page from there, but what a generator yields does, and closing the generator ends it. So a task is run
as a generator, here and there alike:

    def moments(task):                                     # pipe is not an argument: the fork has it already
        pipe = model.get()
        yield from stream(lambda emit: task.run(pipe, lambda state: emit(look(pipe, state))))

    moments = accelerate(moments, lambda task: task.seconds(model.get()))

`look` turns a step into something that can be pickled: numbers and pictures, no tensors of the GPU. Everywhere but on
ZeroGPU `accelerate` returns the function itself. `spaces` reads from the context of the request whose quota a call
takes: a thread that calls has to be started in a copy of it (`contextvars.copy_context().run`).

Source: spaces 0.51 and the Hub's documentation of 2026; nothing here has run on a real ZeroGPU Space.
"""

from __future__ import annotations

import contextvars
import functools
import importlib
import importlib.util
import math
import os
import queue
import re
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MARGIN = 1.5
"""Of the expected time, for a call that takes longer than it asked for is ended. Ours, as are the next three."""
START_SECONDS = 10.0
"""For moving the weights, encoding and decoding."""
SHORTEST, LONGEST = 15, 300
"""Seconds that are ever asked for: a visitor without an account has 120 a day."""
_END = object()


class Closed(BaseException):
    """Ends a function of `stream` whose generator was closed; no `except Exception` on its way may hold it up."""


def is_zero_gpu(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a ZeroGPU Space: SPACES_ZERO_GPU says so and the package `spaces` is there."""
    is_on = environment.get("SPACES_ZERO_GPU", "").lower() in ("1", "true", "yes", "on")
    return is_on and importlib.util.find_spec("spaces") is not None


_SPACES = importlib.import_module("spaces") if is_zero_gpu() else None
"""Imported with this module, for it has to come before anything that touches CUDA."""


def accelerate(events: Callable[P, Generator[T]], seconds: Callable[P, float]) -> Callable[P, Generator[T]]:
    """The same generator function, on a GPU that ZeroGPU lends for each call; the function itself elsewhere.

    Args:
        events: a generator function. Its arguments and what it yields must be picklable, and what it needs beside the
            arguments must be there before the first call.
        seconds: expected time of a call, from the same arguments.

    Returns:
        A generator function that raises `ValueError` where `events` does, and where the Hub refuses the GPU.
    """
    if _SPACES is None:
        return events
    import gradio as gr

    def duration(*args: P.args, **kwargs: P.kwargs) -> int:
        return gpu_seconds(seconds(*args, **kwargs))

    lent = _SPACES.GPU(duration=duration)(_refusals_yielded(events))

    @functools.wraps(events)
    def run(*args: P.args, **kwargs: P.kwargs) -> Generator[T]:
        try:
            for is_refusal, value in lent(*args, **kwargs):
                if is_refusal:
                    raise ValueError(value)
                yield value
        except gr.Error as error:  # the visitor's quota is used up, or no GPU is free
            raise ValueError(re.sub(r"<[^>]*>", "", str(error.message))) from None

    return run


def _refusals_yielded(events: Callable[P, Iterator[T]]) -> Callable[P, Iterator[tuple[bool, Any]]]:
    """The function with its `ValueError` as a last value: of an exception only the name would come back."""

    def run(*args: P.args, **kwargs: P.kwargs) -> Iterator[tuple[bool, Any]]:
        try:
            for event in events(*args, **kwargs):
                yield False, event
        except ValueError as error:
            yield True, str(error)

    return run


def stream(work: Callable[[Callable[[Any], None]], Any]) -> Generator[Any]:
    """A function that calls back, as a generator: what it calls back with, and at last what it returns.

    The function runs in a thread and rests at every call back until the next value is asked for. Closing the generator
    ends it there, with `Closed`, and waits for that: afterwards the device is free.

    Args:
        work: the function, given what it is to call back.

    Yields:
        The arguments of its calls, then its result.

    Raises:
        Exception: whatever the function raises.
    """
    values: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    resume, is_closed = threading.Semaphore(0), threading.Event()

    def emit(value: Any) -> None:
        values.put((value, None))
        resume.acquire()
        if is_closed.is_set():
            raise Closed

    def run() -> None:
        try:
            values.put((work(emit), _END))
        except Closed:
            pass
        except BaseException as error:  # raised again, by whoever asks for the next value
            values.put((error, error))

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="stream", daemon=True)
    thread.start()
    try:
        while True:
            value, end = values.get()
            if isinstance(end, BaseException):
                raise end
            yield value
            if end is _END:
                return
            resume.release()
    finally:
        is_closed.set()
        resume.release()
        thread.join()


def gpu_seconds(expected: float) -> int:
    """For how long to borrow the GPU.

    Args:
        expected: seconds of the denoising, or of the whole call where that was measured.

    Returns:
        Whole seconds between `SHORTEST` and `LONGEST`.
    """
    return min(LONGEST, max(SHORTEST, math.ceil(MARGIN * expected + START_SECONDS)))
