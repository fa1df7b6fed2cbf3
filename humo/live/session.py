"""The live video: sound goes in, and frames that speak along come out, piece after piece without a seam.

A piece is made in a window of latent frames, not longer than the model was trained on. Its beginning is known, the
frames that were made last; its end is thrown away, for what the network and the codec draw at the end of a window lacks
what follows. Between them lies the piece. Text and pictures are encoded once; each latent frame keeps its noise, also
where it lies in two windows; the sound is heard with the seconds before it.

    | still | known ...       | the piece ...         | ahead |
      1       context - 1       pieces' latents          1

The first latent frame of a window stands for one frame, which is encoded anew (in training nothing else lies there).
A first window, made to silence, shows the person before anybody speaks. Where no picture says who it is, its last frame
is the picture from then on, so that they stay who they are; of drawn people one is drawn (`humo.live.settling`).

From a word to its mouth it takes the length of a piece, that of a latent frame, and what making it takes. All ours.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from humo.audio import encode_audio, window_audio
from humo.guidance import Rule
from humo.known import Known
from humo.layers.decoding import decode_latents, to_frames
from humo.live.heard import HeardSound
from humo.live.level import LevelKeeper
from humo.live.meter import Meter, Timing
from humo.live.settling import settle
from humo.references import encode_references, encode_video, to_pixels
from humo.requests.call import Picture, read_call
from humo.requests.continuing import OVERLAP, START_SIGMA
from humo.requests.noise import draw_noise
from humo.sampling import Conditions, StepState, StopGeneration, denoise
from humo.system.ranges import LARGEST_SEED
from humo.system.threads import adjust_threads, begin_threads
from humo.timing import FPS, FRAMES_PER_LATENT, SAMPLES_PER_FRAME, count_frames, count_latents

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline

PIECE, CONTEXT, AHEAD = 5, count_latents(OVERLAP), 1
"""Latent frames of a piece, of what is known before it, and of what is thrown away after it."""
MOST_WAITING = 3.0
"""Seconds of sound beyond a piece's that may wait; what is more is left out, the oldest first."""


@dataclass(frozen=True)
class Piece:
    """A stretch of a live video."""

    number: int
    """0 for the first."""
    frames: np.ndarray
    """RGB, uint8 (f, height, width, 3)."""
    sound: np.ndarray
    """What is played with them, float32 (samples,), at the rate at which it was heard."""
    last_sample: int
    """How many samples had been heard at its end, those included that were left out."""
    timing: Timing

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.frames) / FPS


class LiveSession:
    """A live video of one person. `hear` may be called while another thread is in `make`; all else by one alone.

    Attributes:
        opening: frames of the person before anybody spoke, uint8 (f, height, width, 3); set by `open`.
        meter: whether it keeps up.
        notes: what was decided, in sentences.
        left_out: seconds of sound that could not be kept up with.
    """

    def __init__(
        self,
        pipe: HuMoPipeline,
        prompt: str,
        image: Picture | Sequence[Picture] | None = None,
        *,
        rate: int = 48_000,
        num_inference_steps: int | None = None,
        guidance: Rule | Mapping[str, Any] | None = None,
        seed: int | None = None,
        height: int | None = None,
        width: int | None = None,
        as_is: bool = False,
    ) -> None:
        """Read and check what is asked for; nothing is computed yet.

        Args:
            pipe: the model; only its fast form is fast enough on a CPU.
            prompt: as of the pipeline's call, as are picture, steps, guidance, seed, size and `as_is`.
            image: one or several pictures of the person; None for one whom the text describes.
            rate: Hz of the sound, 8,000 to 192,000.
            num_inference_steps: steps of each piece.
            guidance: rule.
            seed: of the first window; each piece has the next one.
            height: pixels.
            width: pixels.
            as_is: show a photograph as it is to a model of drawn people.

        Raises:
            ValueError: in one sentence, if an input is not allowed.
        """
        self._pipe, self._window = pipe, CONTEXT + PIECE + AHEAD
        num_frames = count_frames(self._window)
        self._call = read_call(
            pipe,
            prompt,
            image=image,
            num_frames=num_frames,
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            guidance=guidance,
            seed=None if seed is None else min(seed, LARGEST_SEED),
            as_is=as_is,
        )
        if pipe.config.rewords_prompts and pipe.config.draws_photographs:
            self._call = settle(self._call, pipe.config.default_height)
        self.rate, self.notes, self.meter = rate, self._call.notes, Meter()
        self.opening, self.left_out = np.zeros((0, 0, 0, 3), np.uint8), 0.0
        at_once = pipe.audio_encoder.config.max_source_positions // 2  # frames that the encoder hears
        self._memory = max(at_once, num_frames)
        self._heard, self._level = HeardSound(rate, self._memory), LevelKeeper(pipe.config.heard_level)
        self._arrivals: list[tuple[int, float]] = []
        self._gone = 0  # samples that were left out
        self._scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)  # the pipeline's own may be in use
        self._number, self._stop, self._lock = 0, threading.Event(), threading.Lock()
        self._conditions: Conditions | None = None
        self._latents = self._noise = self._slots = torch.empty(0)
        self._recent = self.opening

    @property
    def seed(self) -> int:
        """What repeats the first window."""
        return self._call.request.seed

    @property
    def is_ready(self) -> bool:
        """Whether enough was heard for the next piece: its own sound and what lies ahead."""
        return self._waiting >= 0

    @property
    def _begin(self) -> int:
        """First frame of the next piece, counted from the first sound."""
        return FRAMES_PER_LATENT * PIECE * self._number

    @property
    def _waiting(self) -> int:
        """Frames that were heard beyond what the next piece needs; below 0, those that it lacks."""
        return self._heard.num_frames - self._begin - FRAMES_PER_LATENT * (PIECE + AHEAD)

    def stop(self) -> None:
        """Let `open` or `make` end at its next step, with `StopGeneration`; from any thread."""
        self._stop.set()

    def hear(self, samples: np.ndarray) -> None:
        """Hear what is said next.

        Args:
            samples: mono, (samples,), floats in about [-1, 1] or int16, any number of them.

        Raises:
            ValueError: if they are no such samples.
        """
        self._heard.add(samples)
        with self._lock:
            self._arrivals.append((self._heard.num_samples, time.monotonic()))

    def finish(self) -> None:
        """Hear silence until everything that was said has its piece; then `make` as long as it `is_ready`."""
        length = FRAMES_PER_LATENT * PIECE
        said = self._heard.num_samples
        pieces = next(count for count in itertools.count() if self._heard.sample_of(length * count) >= said)
        end = self._heard.sample_of(length * pieces + FRAMES_PER_LATENT * AHEAD)
        self.hear(np.zeros(end - said, np.float32))

    @torch.no_grad()
    def open(self) -> np.ndarray:
        """Draw the person, who listens; once, before the first piece.

        Returns:
            `opening`.

        Raises:
            StopGeneration: if it was stopped.
        """
        begin_threads()
        call, silence = self._call, np.zeros(count_frames(self._window) * SAMPLES_PER_FRAME, np.float32)
        given = self._pipe.encode_conditions(call.read_request, call.pictures, silence, call.notes)
        noise = self._draw_noise(self.seed, self._window + given.num_references)
        self._noise, self._slots = noise[:, :, : self._window], noise[:, :, self._window :]
        latents = self._denoise(given, self._noise)
        self.opening = self._decode(latents, 0, self._window - AHEAD)
        self._keep(latents, self.opening)
        self._conditions = given if given.references is not None else self._with_picture(given, self.opening[-1])
        return self.opening

    @torch.no_grad()
    def make(self) -> Piece:
        """Make the next piece; `is_ready` says whether there is sound for it.

        Raises:
            ValueError: if there is not, or `open` was never called.
            StopGeneration: if it was stopped.
        """
        if self._conditions is None or not self.is_ready:
            raise ValueError("The next piece needs more sound: open the session, and hear on until it is ready.")
        ready_at = time.monotonic()
        begin_threads()
        self._leave_out()
        begin, stop = self._begin, self._begin + FRAMES_PER_LATENT * PIECE
        new = self._draw_noise((self.seed + 1 + self._number) % (LARGEST_SEED + 1), PIECE)
        noise = torch.cat([self._noise, new], dim=2)
        conditions = replace(self._conditions, audio=self._hear_window(stop), known=self._known())
        latents = self._denoise(conditions, noise)
        frames = self._decode(latents, CONTEXT, PIECE)
        self._noise = noise  # only now: a piece that was stopped has changed nothing
        self._keep(latents, frames)
        sound = self._heard.played(begin, stop)
        timing = Timing(ready_at, time.monotonic())
        self.meter.count(timing, len(frames) / FPS, self._heard_at(self._heard.sample_of(stop)))
        self._heard.forget(stop)
        self._number += 1
        return Piece(self._number - 1, frames, sound, self._heard.sample_of(stop) + self._gone, timing)

    def _draw_noise(self, seed: int, num_latents: int) -> Tensor:
        request, scale = self._call.request, self._pipe.vae.config.scale_factor_spatial
        size = request.height // scale, request.width // scale
        shape = (1, self._pipe.transformer.config.out_channels, num_latents, *size)
        return draw_noise(shape, seed).to(self._pipe._execution_device)

    def _with_picture(self, conditions: Conditions, frame: np.ndarray) -> Conditions:
        """The conditions with a frame as the picture of the person, in the slot that is kept for one."""
        request, device = self._call.request, conditions.text.device
        person = [Image.fromarray(frame)]
        references = encode_references(person, self._pipe.vae, request.height, request.width, device)
        return replace(conditions, references=references)

    def _known(self) -> Known:
        """What was made last: a frame alone, encoded anew, and the latents after it; their last is the guess beyond."""
        still = encode_video(to_pixels(self._recent[:1]).to(self._latents.device), self._pipe.vae)
        held = self._latents[:, :, -1:].expand(-1, -1, PIECE + AHEAD, -1, -1)
        clean = torch.cat([still, self._latents, held], dim=2)
        mask = torch.zeros_like(clean[:, :1])
        mask[:, :, :CONTEXT] = 1
        return Known(clean, mask, start_sigma=START_SIGMA)

    def _hear_window(self, stop: int) -> Tensor:
        """Audio windows of all latent frames, with what was heard before them; of the piece that ends before `stop`."""
        stop += FRAMES_PER_LATENT * AHEAD
        waveform = self._level.bring(self._heard.heard(stop - self._memory, stop))
        features = encode_audio(waveform, self._pipe.feature_extractor, self._pipe.audio_encoder)
        num_frames = count_frames(self._window)
        windows = window_audio(features[-num_frames:], num_frames)
        nulls = torch.zeros_like(windows[:1]).expand(self._slots.shape[2], -1, -1, -1)
        return torch.cat([windows, nulls])[None].to(self._slots.device)

    def _denoise(self, conditions: Conditions, noise: Tensor) -> Tensor:
        pipe = self._pipe
        return denoise(
            pipe.transformer,
            self._scheduler,
            self._call.rule,
            conditions,
            torch.cat([noise, self._slots], dim=2),
            self._call.request.num_inference_steps,
            on_step=self._watch,
            batch_branches=pipe.config.batch_branches,
        )

    def _watch(self, state: StepState) -> None:
        adjust_threads()
        if self._stop.is_set():
            raise StopGeneration

    def _decode(self, latents: Tensor, first: int, count: int) -> np.ndarray:
        """Frames of some of a window's latent frames, drawn with those around them in sight."""
        begin = 0 if first == 0 else count_frames(first)
        wanted = range(begin, count_frames(first + count))
        return to_frames(decode_latents(latents, self._pipe.vae, wanted)[0])

    def _keep(self, latents: Tensor, frames: np.ndarray) -> None:
        """Keep what the next piece goes on from."""
        ends = self._window - AHEAD
        self._latents = latents[:, :, ends - CONTEXT + 1 : ends].clone()
        self._noise = self._noise[:, :, -(CONTEXT + AHEAD) :].clone()
        joined = np.concatenate([self._recent, frames]) if len(self._recent) else frames
        self._recent = joined[-count_frames(CONTEXT) :]

    def _heard_at(self, sample: int) -> float:
        """When so many samples had been heard; forgets what was before."""
        with self._lock:
            while len(self._arrivals) > 1 and self._arrivals[0][0] < sample:
                self._arrivals.pop(0)
            return self._arrivals[0][1]

    def _leave_out(self) -> None:
        """Where more waits than can be caught up with, leave its beginning out."""
        if self._waiting <= MOST_WAITING * FPS:
            return
        frames = self._waiting
        gone = self._heard.leave_out(self._begin, self._begin + frames)
        self.left_out += frames / FPS
        self._gone += gone
        with self._lock:
            self._arrivals = [(number - gone, at) for number, at in self._arrivals]
