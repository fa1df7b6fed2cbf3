"""From waveform to windows: the published figures, a literal table, chunks, and errors."""

from __future__ import annotations

import numpy as np
import published
import pytest
import tiny
import torch

from humo.audio import AudioEncoder, encode_audio, merge_bands, window_audio


def test_bands_and_windows_equal_the_published_figures() -> None:
    figures = published.figures("audio")
    features = merge_bands(published.tensor("input/whisper_hidden_states", (1, 38, 33, 8)))[0]
    torch.testing.assert_close(features, figures["features_25fps"])
    for num_frames in (9, 17, 29):
        torch.testing.assert_close(window_audio(features, num_frames), figures[f"windows/{num_frames}"])


def test_window_indices_against_a_table() -> None:
    """Each feature holds its own number from 1 on; 0 is the padding."""
    features = torch.arange(1.0, 12.0).view(11, 1, 1).expand(11, 5, 1)
    windows = window_audio(features, 13)[:, :, 0, 0]
    assert windows.tolist() == [
        [0, 0, 0, 0, 0, 1, 2, 3],
        [0, 1, 2, 3, 4, 5, 6, 7],
        [4, 5, 6, 7, 8, 9, 10, 11],
        [8, 9, 10, 11, 0, 0, 0, 0],
    ]


def test_windows_reach_past_the_video_where_there_is_sound() -> None:
    features = torch.arange(1.0, 12.0).view(11, 1, 1).expand(11, 5, 1)
    assert window_audio(features, 5)[1, :, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert window_audio(features, 1).shape == (1, 8, 5, 1)
    assert window_audio(features[:0], 5).abs().max() == 0


@pytest.mark.parametrize("num_frames", [0, 2, 4, 96])
def test_windows_need_4k_plus_1_frames(num_frames: int) -> None:
    with pytest.raises(ValueError, match=r"num_frames must be 4k\+1"):
        window_audio(torch.zeros(10, 5, 2), num_frames)


def test_bands_of_five_states_are_the_states() -> None:
    states = torch.randn(2, 10, 5, 3)
    bands = merge_bands(states)
    assert bands.shape == (2, 5, 5, 3)
    torch.testing.assert_close(bands[:, [0, -1]], states[:, [0, -1]])  # aligned corners
    assert merge_bands(states[:, :9].bfloat16()).shape == (2, 4, 5, 3)
    assert merge_bands(states.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(("shape", "message"), [((1, 10, 6, 2), "6 states"), ((1, 1, 5, 2), "1 positions")])
def test_bands_refuse_what_does_not_fit(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        merge_bands(torch.zeros(shape))


@torch.no_grad()
def test_long_sound_is_encoded_in_chunks() -> None:
    extractor, encoder = tiny.feature_extractor(), tiny.audio_encoder()
    waveform, _ = tiny.voice(2 * tiny.CHUNK_SECONDS + 0.53)
    features = encode_audio(waveform, extractor, encoder)
    assert features.shape == (len(waveform) // 640, 5, tiny.AUDIO_CHANNELS)
    assert features.dtype == torch.float32
    first = encode_audio(torch.from_numpy(waveform[: 16_000 * tiny.CHUNK_SECONDS]), extractor, encoder)
    # Interpolation over a longer sound lies at most 20 ms beside the shorter one's.
    torch.testing.assert_close(features[:5], first[:5], atol=0.3, rtol=0.1)


@torch.no_grad()
def test_encoding_is_whispers_states_merged() -> None:
    extractor, encoder = tiny.feature_extractor(), tiny.audio_encoder()
    waveform, _ = tiny.voice(tiny.CHUNK_SECONDS)
    mel = extractor(waveform, sampling_rate=16_000, return_tensors="pt").input_features
    states = torch.stack(encoder(mel, output_hidden_states=True).hidden_states, dim=2)
    torch.testing.assert_close(encode_audio(waveform, extractor, encoder), merge_bands(states)[0])


@pytest.mark.parametrize("shape", [(100,), (2, 16_000)])
def test_other_waveforms_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mono"):
        encode_audio(np.zeros(shape, np.float32), tiny.feature_extractor(), tiny.audio_encoder())


def test_encoder_round_trip_saves_no_decoder(tmp_path) -> None:
    encoder = tiny.audio_encoder()
    encoder.save_pretrained(tmp_path)
    again, info = AudioEncoder.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not [name for name in again.state_dict() if "decoder" in name]
    torch.testing.assert_close(dict(again.state_dict()), dict(encoder.state_dict()))
