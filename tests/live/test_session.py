"""A live session: its pieces join without losing a frame or a sample, whatever comes in at whatever pace.

Run: python -m pytest tests/live/test_session.py
"""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tiny
import torch

from humo.known import Known
from humo.live import session as sessions
from humo.live.heard import HeardSound, read_chunk
from humo.live.meter import Meter, Timing
from humo.live.session import CONTEXT, PIECE, LiveSession, Piece
from humo.pipeline import HuMoPipeline
from humo.sampling import StopGeneration

FRAMES = 4 * PIECE
AHEAD = 4
RATE = 16_000


def live(pipe: HuMoPipeline, rate: int = RATE, **options) -> LiveSession:
    session = LiveSession(pipe, "a woman talks", tiny.picture(), rate=rate, seed=3, **options)
    session.open()
    return session


def made(session: LiveSession) -> list[Piece]:
    pieces = []
    while session.is_ready:
        pieces.append(session.make())
    return pieces


@pytest.fixture(scope="module")
def said() -> np.ndarray:
    return tiny.voice(2.3)[0]


@pytest.fixture(scope="module")
def at_once(mini_pipeline: HuMoPipeline, said: np.ndarray) -> list[Piece]:
    session = live(mini_pipeline)
    session.hear(said)
    session.finish()
    return made(session)


def test_pieces_join_to_the_whole_sound(at_once: list[Piece], said: np.ndarray) -> None:
    assert [piece.number for piece in at_once] == [0, 1, 2]
    assert all(piece.frames.shape == (FRAMES, 64, 64, 3) and piece.frames.dtype == np.uint8 for piece in at_once)
    sound = np.concatenate([piece.sound for piece in at_once])
    np.testing.assert_array_equal(sound[: len(said)], said)
    assert np.abs(sound[len(said) :]).max(initial=0.0) == 0
    assert len(sound) == sum(len(piece.frames) for piece in at_once) * RATE // 25
    assert [piece.last_sample for piece in at_once] == [FRAMES * RATE // 25 * count for count in (1, 2, 3)]


def test_the_pace_at_which_sound_comes_changes_nothing(
    mini_pipeline: HuMoPipeline, said: np.ndarray, at_once: list[Piece]
) -> None:
    """A pause in the middle, a slow second after which much comes together, and stretches of any length."""
    session, pieces = live(mini_pipeline), []
    for stretch in (said[:5_000], said[5_000:5_001], said[5_001:9_000], said[9_000:]):
        session.hear(stretch)
        pieces += made(session)
    session.finish()
    pieces += made(session)
    assert len(pieces) == len(at_once)
    for piece, other in zip(pieces, at_once, strict=True):
        np.testing.assert_array_equal(piece.frames, other.frames)
        np.testing.assert_array_equal(piece.sound, other.sound)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000, 44_101])
def test_any_rate(mini_pipeline: HuMoPipeline, rate: int) -> None:
    said, _ = tiny.voice(1.2, rate)
    session = live(mini_pipeline, rate)
    session.hear((said * 32767).astype(np.int16))
    session.finish()
    pieces = made(session)
    sound = np.concatenate([piece.sound for piece in pieces])
    assert len(pieces) == 2 and len(sound) == round(2 * FRAMES * rate / 25)
    np.testing.assert_allclose(sound[: len(said)], said, atol=2e-4)


def test_a_piece_waits_for_its_sound_and_a_little_more(mini_pipeline: HuMoPipeline) -> None:
    session = live(mini_pipeline)
    session.hear(np.zeros((FRAMES + AHEAD) * RATE // 25 - 1, np.float32))
    assert not session.is_ready
    with pytest.raises(ValueError, match="needs more sound"):
        session.make()
    session.hear(np.zeros(1, np.float32))
    assert session.is_ready
    session.make()
    assert not session.is_ready


def test_a_piece_goes_on_from_what_is_known(
    mini_pipeline: HuMoPipeline, said: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window begins with the latents that were made last, and the noise that they were made of."""
    seen: list[tuple[Known | None, torch.Tensor, torch.Tensor]] = []
    real = sessions.denoise

    def denoise(transformer, scheduler, rule, conditions, noise, *args, **options):
        latents = real(transformer, scheduler, rule, conditions, noise, *args, **options)
        seen.append((conditions.known, noise, latents))
        return latents

    monkeypatch.setattr(sessions, "denoise", denoise)
    session = live(mini_pipeline)
    session.hear(said)
    made(session)
    assert len(seen) == 3 and seen[0][0] is None
    for (_, noise_before, before), (known, noise, latents) in zip(seen, seen[1:], strict=False):
        assert known is not None and known.mask[0, 0, :, 0, 0].tolist() == [1.0] * CONTEXT + [0.0] * (PIECE + 1)
        torch.testing.assert_close(known.latents[:, :, 1:CONTEXT], before[:, :, PIECE + 1 : PIECE + CONTEXT])
        torch.testing.assert_close(latents[:, :, :CONTEXT], known.latents[:, :, :CONTEXT], atol=1e-5, rtol=0)
        torch.testing.assert_close(noise[:, :, : CONTEXT + 1], noise_before[:, :, PIECE : PIECE + CONTEXT + 1])
        assert not torch.equal(noise[:, :, CONTEXT + 1 :], noise_before[:, :, CONTEXT + 1 :])


def test_each_frame_hears_its_own_sound(mini_pipeline: HuMoPipeline, said: np.ndarray, at_once: list[Piece]) -> None:
    """Another sound in the second piece changes that piece, and not the first."""
    other = said.copy()
    other[(FRAMES + AHEAD) * RATE // 25 :] = 0
    session = live(mini_pipeline)
    session.hear(other)
    session.finish()
    pieces = made(session)
    np.testing.assert_array_equal(pieces[0].frames, at_once[0].frames)
    assert not np.array_equal(pieces[1].frames, at_once[1].frames)


def test_without_a_picture_the_first_frames_say_who_it_is(mini_pipeline: HuMoPipeline) -> None:
    session = LiveSession(mini_pipeline, "a woman talks", rate=RATE, seed=3)
    opening = session.open()
    assert opening.shape == (4 * (CONTEXT + PIECE) - 3, 64, 64, 3)
    assert session._conditions is not None and session._conditions.references is not None


def test_what_a_text_leaves_open_is_decided_by_the_seed() -> None:
    pipe = tiny.pipeline("mini", rewords_prompts=True, draws_photographs=True)
    calls = [LiveSession(pipe, "a woman with glasses", seed=seed)._call for seed in (1, 1, 2)]
    prompts = [call.read_request.prompt for call in calls]
    assert prompts[0] == prompts[1] != prompts[2] and prompts[0].startswith("a woman with glasses")
    assert calls[0].portrait is not None and calls[0].portrait.gender == "woman" and len(calls[0].pictures) == 1
    given = LiveSession(pipe, "a woman in a red hoodie before a blue wall", tiny.picture(), seed=1, as_is=True)._call
    assert given.read_request.prompt == "a woman in a red hoodie before a blue wall" and given.portrait is None


def test_what_cannot_be_kept_up_with_is_left_out(mini_pipeline: HuMoPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes, a piece's worth stays, and what follows is played without a hole."""
    monkeypatch.setattr(sessions, "MOST_WAITING", 1.0)
    said = np.linspace(-1, 1, 6 * RATE, dtype=np.float32)
    session = live(mini_pipeline)
    session.hear(said)
    piece = session.make()
    kept = (FRAMES + AHEAD) * RATE // 25
    np.testing.assert_array_equal(piece.sound, said[-kept:][: len(piece.sound)])
    assert session.left_out == pytest.approx(6 - kept / RATE) and not session.is_ready
    assert piece.last_sample == len(said) - AHEAD * RATE // 25


def test_stop_ends_a_piece_at_its_next_step(mini_pipeline: HuMoPipeline, said: np.ndarray) -> None:
    session = live(mini_pipeline)
    session.hear(said)
    session.stop()
    with pytest.raises(StopGeneration):
        session.make()


def test_sound_may_come_while_a_piece_is_made(mini_pipeline: HuMoPipeline, said: np.ndarray) -> None:
    session = live(mini_pipeline)
    stretches = np.array_split(said, 100)
    thread = threading.Thread(target=lambda: [session.hear(stretch) for stretch in stretches])
    thread.start()
    pieces = made(session)
    thread.join()
    session.finish()
    pieces += made(session)
    sound = np.concatenate([piece.sound for piece in pieces])
    np.testing.assert_array_equal(sound[: len(said)], said)


def test_memory_stays(mini_pipeline: HuMoPipeline) -> None:
    session = live(mini_pipeline)
    sizes = []
    for _ in range(4):
        session.hear(np.zeros(FRAMES * RATE // 25, np.float32))
        made(session)
        sizes.append((len(session._heard._kept), len(session._arrivals), session._latents.numel()))
    assert sizes[1:] == sizes[1:2] * 3


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros((2, 100), np.float32), "give mono samples"),
        (np.zeros(100, np.int32), "give mono samples"),
        (np.full(100, np.nan), "no samples"),
    ],
)
def test_what_is_no_sound_is_refused(samples: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_chunk(samples)


@pytest.mark.parametrize("rate", [0, 7_999, 16_000.5, True, "fast", 400_000])
def test_a_rate_that_is_none_is_refused(rate: object) -> None:
    with pytest.raises(ValueError, match="8000 to 192000"):
        HeardSound(rate, 10)


def test_the_meter_counts_what_comes_late() -> None:
    meter = Meter(margin=0.25)
    meter.count(Timing(10.0, 10.5), 1.0, heard_at=10.0)  # played from 10.75 to 11.75
    assert (meter.underruns, meter.delay, meter.real_time_factor) == (0, 1.75, 0.5)
    meter.count(Timing(11.0, 11.5), 1.0, heard_at=11.0)  # to 12.75
    assert (meter.underruns, meter.delay) == (0, 1.75)
    meter.count(Timing(12.0, 13.0), 1.0, heard_at=12.0)  # late: from 13.25 to 14.25
    assert (meter.underruns, meter.delay, meter.longest) == (1, 2.25, 1.0)
    meter.pause()
    meter.count(Timing(20.0, 20.5), 1.0, heard_at=20.0)
    assert (meter.underruns, meter.delay, meter.largest_delay) == (1, 1.75, 2.25)
    assert meter.pieces == 4 and meter.played == 4.0
