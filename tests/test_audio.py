"""Speech: the reference's mel, windows by timestamp, silence."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from media import write_wav

from wav2lip_hq import audio


def test_mel_parity(shared):
    data = np.load(shared("golden/mel.npz"))
    mel = audio.mel_spectrogram(data["wav"].astype(np.float32) / 32768)
    assert mel.shape == data["mel"].shape and mel.dtype == np.float32
    assert np.abs(mel - data["mel"]).max() < 1e-4 * 8


def test_mel_of_silence_and_of_little():
    assert (audio.mel_spectrogram(np.zeros(16000, np.float32)) == audio.SILENCE).all()
    assert audio.mel_spectrogram(np.zeros(10, np.float32)).shape == (80, 1)


def test_windows_follow_the_timestamp():
    mel = np.tile(np.arange(400, dtype=np.float32), (80, 1))
    windows = audio.mel_windows(mel, [Fraction(1001 * n, 24000) for n in range(100)])
    for n in range(90):
        assert windows[n, 0, 0] == int(1001 * n / 24000 * 80 + 1e-9)
    shifted = audio.mel_windows(mel, [Fraction(1)], -40.0)
    assert shifted[0, 0, 0] == 76


def test_beyond_the_ends_is_silence():
    mel = np.zeros((80, 100), np.float32)
    first, last, after = audio.mel_windows(mel, [Fraction(-1, 10), Fraction(12, 10), Fraction(5)])
    assert (first[:, :8] == -4).all() and (first[:, 8:] == 0).all()
    assert (last[:, :4] == 0).all() and (last[:, 4:] == -4).all()
    assert (after == -4).all()


def test_timing_holds_for_hours():
    """Other tools' 16-bit indices wrap after seven minutes."""
    mel = np.tile(np.arange(80 * 7200, dtype=np.float32), (80, 1))
    time = Fraction(7199)
    assert audio.mel_windows(mel, [time])[0, 0, 0] == 7199 * 80


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (48000, 1)])
def test_any_rate_and_channels(tmp_path, rate, channels):
    wav = audio.load_audio(write_wav(tmp_path / "a.wav", 1.0, rate, channels))
    same = audio.load_audio(write_wav(tmp_path / "b.wav", 1.0, 16000, 1))
    assert wav.dtype == np.float32 and abs(len(wav) - 16000) <= 2
    n = min(len(wav), len(same))
    assert np.corrcoef(wav[:n], same[:n])[0, 1] > 0.97


def test_speech_activity_finds_pauses():
    rng = np.random.default_rng(0)
    wav = rng.normal(0, 0.001, 16000 * 4).astype(np.float32)  # a quiet room
    wav[16000:32000] += 0.2 * np.sin(np.arange(16000) * 0.1).astype(np.float32)
    activity = audio.speech_activity(wav, [Fraction(n, 10) for n in range(40)])
    assert (activity[11:19] > 0.9).all()
    assert (activity[:8] < 0.1).all() and (activity[23:] < 0.1).all()


def test_speech_without_pauses_is_all_speech():
    wav = (0.2 * np.sin(np.arange(32000) * 0.1)).astype(np.float32)
    assert (audio.speech_activity(wav, [Fraction(n, 10) for n in range(2, 18)]) > 0.9).all()
    assert not audio.speech_activity(np.zeros(32000, np.float32), [Fraction(1)]).any()
