"""The mark in synthesized speech: read after AAC, other rates, cuts and louder or softer; found nowhere else."""

from __future__ import annotations

from pathlib import Path

import av
import librosa
import numpy as np
import pytest

import wav2lip_hq
from wav2lip_hq import audio
from wav2lip_hq.watermark import heard, marked_sound
from wav2lip_hq.watermark.sound import pattern

DEMO = Path(wav2lip_hq.__file__).parent / "_data" / "demo" / "speech.wav"
RATE = 24000


@pytest.fixture(scope="module")
def speech():
    """(plain, marked), five seconds at 24 kHz."""
    plain = librosa.resample(audio.load_audio(DEMO)[: 5 * audio.RATE], orig_sr=audio.RATE, target_sr=RATE)
    return plain, marked_sound(plain, RATE)


def aac(wav, rate: int, path: Path, bits: int = 128_000) -> np.ndarray:
    """As it comes out of an AAC file."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=rate)
        stream.bit_rate, stream.layout = bits, "mono"
        frame = av.AudioFrame.from_ndarray(wav[None].astype(np.float32), format="fltp", layout="mono")
        frame.rate = rate
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return audio.load_audio(path)


def at(wav, rate: int) -> np.ndarray:
    return librosa.resample(wav, orig_sr=RATE, target_sr=rate)


def test_the_mark_in_speech_survives_aac_and_other_rates(speech, tmp_path):
    plain, marked = speech
    assert 10 * np.log10((plain**2).mean() / ((marked - plain) ** 2).mean()) > 21, "dB: what is added is far below"
    sounds = {
        "as it is": at(marked, 16000),
        "AAC 128k": aac(at(marked, 44100), 44100, tmp_path / "a.m4a"),
        "AAC 64k": aac(at(marked, 48000), 48000, tmp_path / "b.m4a", 64_000),
        "22050 Hz": librosa.resample(at(marked, 22050), orig_sr=22050, target_sr=16000),
        "cut": at(marked, 16000)[10_007:],
        "softer": 0.2 * at(marked, 16000),
    }
    found = {name: heard(wav) for name, wav in sounds.items()}
    assert all(reading.marked for reading in found.values()), found
    assert not heard(at(plain, 16000)).marked and not heard(at(marked, 16000), "another key").marked
    assert marked.dtype == np.float32 and marked.shape == plain.shape and np.abs(marked).max() <= 1


def test_sound_without_speech_is_not_marked():
    rng = np.random.default_rng(0)
    readings = [heard(rng.normal(0, 0.1, 4 * 16000).astype(np.float32)) for _ in range(20)]
    assert min(r.chance for r in readings) > 1e-3
    assert not heard(np.zeros(32000, np.float32)).marked and heard(np.zeros(100, np.float32)).chance == 1
    assert (marked_sound(np.zeros(5000, np.float32), 16000) == 0).all(), "silence stays silent"


def test_pieces_of_a_track_carry_one_pattern(speech):
    plain, _ = speech
    half = 2 * RATE
    pieces = np.concatenate([marked_sound(plain[:half], RATE), marked_sound(plain[half:], RATE, half / RATE)])
    assert heard(at(pieces, 16000)).marked


def test_the_pattern_of_sound_never_changes():
    assert pattern().shape == (64, 40)
    assert pattern()[5, :10].tolist() == [1, -1, 1, -1, -1, -1, 1, -1, -1, -1]
