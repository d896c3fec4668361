"""What is heard: a bed under the speech, loudness, the footage's own tracks, languages; speech out of a mix."""

from __future__ import annotations

import json
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import clip, tiny_pipeline, write_video

import wav2lip_hq
from wav2lip_hq import jobs
from wav2lip_hq.errors import InputError, OptionError, OutputError
from wav2lip_hq.jobs import identity
from wav2lip_hq.jobs.worker import Worker
from wav2lip_hq.language import long_code
from wav2lip_hq.mixing import finish, measured, samples, true_peak
from wav2lip_hq.run_options import RunOptions
from wav2lip_hq.types import VideoInfo
from wav2lip_hq.video import Sound, audio_tracks, open_video
from wav2lip_hq.voice import load_speech

RATE = 48000
DEMO = Path(wav2lip_hq.__file__).parent / "_data" / "demo" / "speech.wav"


def tone(path, seconds, hertz, amplitude, rate=RATE):
    """A stereo tone."""
    at = np.arange(round(seconds * rate)) / rate
    mono = (amplitude * np.sin(2 * np.pi * hertz * at) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(mono[:, None], 2, 1).tobytes())
    return path


def level(wave_, hertz):
    """Amplitude of a tone in mono samples at 48 kHz."""
    at = np.arange(len(wave_)) / RATE
    return 2 * abs(np.mean(wave_ * np.exp(-2j * np.pi * hertz * at)))


@pytest.fixture
def desk(tmp_path):
    tone(tmp_path / "dub.wav", 1.0, 440, 0.2)
    tone(tmp_path / "me.wav", 3.0, 1000, 0.1)
    tone(tmp_path / "own.wav", 2.0, 250, 0.3)
    write_video(tmp_path / "a.mp4", clip(50), fps=25, sound=tmp_path / "own.wav")
    return tmp_path


def test_the_bed_lies_under_the_speech_as_long_as_the_picture(desk):
    quiet = {"bed": str(desk / "me.wav"), "bed_gain": -6}
    tiny_pipeline().run(desk / "a.mp4", desk / "dub.wav", desk / "out.mkv", **quiet)
    heard = samples(Sound(path=str(desk / "out.mkv")))[:, 0]
    assert len(heard) == 2 * RATE
    first, second = heard[:RATE], heard[RATE:]
    assert level(first, 440) == pytest.approx(0.2, abs=0.01) and level(second, 440) < 0.005
    assert level(first, 1000) == pytest.approx(0.05, abs=0.003) == level(second, 1000)


def test_loudness_is_matched_and_reported(desk):
    report = tiny_pipeline().run(desk / "a.mp4", desk / "dub.wav", desk / "out.mkv", loudness=-23)
    found = measured(samples(Sound(path=str(desk / "out.mkv"))))
    assert found == pytest.approx(-23, abs=0.1) and report.loudness == pytest.approx(found, abs=0.1)
    report = tiny_pipeline().run(desk / "a.mp4", desk / "dub.wav", desk / "own.mkv", loudness="source")
    own = measured(samples(Sound(path=str(desk / "a.mp4"))))
    assert measured(samples(Sound(path=str(desk / "own.mkv")))) == pytest.approx(own, abs=0.1)


def _finish(desk, wave_, **options):
    said = []
    info = VideoInfo("", 8, 8, Fraction(25), 50, Fraction(2), Fraction(1, 25))
    made = finish(
        Sound(samples=wave_, rate=RATE), None, info, RunOptions(**options), length=Fraction(2), warn=said.append
    )
    return made, said


def test_peaks_are_never_cut_off(desk):
    at = np.arange(2 * RATE) / RATE
    clicks = (0.02 * np.sin(2 * np.pi * 300 * at)).astype(np.float32)
    clicks[:: RATE // 2] = 0.9
    made, said = _finish(desk, clicks, loudness=-14)
    assert made.loudness < -20 and "peaks above -1 dBTP" in said[0]
    assert true_peak(made.sound.samples) == pytest.approx(-1, abs=0.1)
    made, said = _finish(desk, np.full(RATE, 0.95, np.float32), bed=str(desk / "own.wav"))
    assert np.abs(made.sound.samples).max() <= 1 and "were lowered by" in said[0]
    made, said = _finish(desk, np.zeros(RATE, np.float32), loudness=-23)
    assert made.loudness is None and "silent, or shorter" in said[0]
    with pytest.raises(OptionError, match="has no sound to match"):
        _finish(desk, clicks, loudness="source")


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.mov"])
def test_own_tracks_and_languages_stay_beside_the_dub(desk, name):
    source = desk / "two.mkv"
    with av.open(str(source), "w") as out, open_video(desk / "a.mp4") as reader:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        tracks = [out.add_stream("aac", rate=RATE, layout="stereo") for _ in range(2)]
        for track, language, title in zip(tracks, ("eng", "fra"), ("Original", "Version"), strict=True):
            track.metadata["language"], track.metadata["title"] = language, title
        for _, image, _ in reader:
            out.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(video.encode(None))
        for track, file in zip(tracks, ("own.wav", "me.wav"), strict=True):
            with av.open(str(desk / file)) as given:
                for piece in given.decode(audio=0):
                    out.mux(track.encode(piece))
            out.mux(track.encode(None))
    tiny_pipeline().run(source, desk / "dub.wav", desk / name, keep_tracks=True, language="de-AT", codec="h264")
    assert [language for language, _ in audio_tracks(desk / name)] == ["deu", "eng", "fra"]
    with av.open(str(desk / name)) as made:
        heard = []
        for stream in made.streams.audio:
            made.seek(0)
            resampler = av.AudioResampler("fltp", "stereo", RATE)
            pieces = [o.to_ndarray()[0] for f in made.decode(stream) for o in resampler.resample(f)]
            heard.append(np.concatenate(pieces)[RATE // 4 : RATE * 3 // 4])
    for n, (hertz, amplitude) in enumerate(((440, 0.2), (250, 0.3), (1000, 0.1))):
        assert level(heard[n], hertz) == pytest.approx(amplitude, rel=0.1)


def test_the_same_in_a_batch(desk, monkeypatch):
    monkeypatch.setattr(identity, "weights", lambda job, base, store: {})
    row = {"face": "a.mp4", "audio": "dub.wav", "output": "out.mkv", "bed": "me.wav", "loudness": -23}
    (desk / "j.yaml").write_text(json.dumps({"jobs": [{**row, "keep_tracks": True, "language": "fr"}]}))
    worker = Worker(desk / "j.yaml")
    worker._pipelines["default"] = tiny_pipeline()
    assert worker.work() == 1, jobs.Store(desk / "j.yaml").all()
    assert audio_tracks(desk / "out.mkv")[0][0] == "fra" and len(audio_tracks(desk / "out.mkv")) == 2
    assert measured(samples(Sound(path=str(desk / "out.mkv")))) == pytest.approx(-23, abs=0.1)
    assert json.loads((desk / "out.mkv.json").read_text())["loudness"] == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"bed": "gone.wav"}, InputError, "gone.wav does not exist"),
        ({"language": "klingon"}, OptionError, "language is a code like de"),
        ({"loudness": "loud"}, OptionError, "loudness is a number of LUFS"),
        ({"loudness": 5}, OptionError, "between -70 and 0"),
        ({"clean_speech": "magic"}, OptionError, "off or rnnoise"),
    ],
)
def test_what_cannot_be(desk, options, error, says):
    with pytest.raises(error, match=says):
        tiny_pipeline().run(desk / "a.mp4", desk / "dub.wav", desk / "o.mp4", **options)
    assert not (desk / "o.mp4").exists()


def test_the_bed_is_not_overwritten(desk):
    (desk / "bed.mkv").write_bytes((desk / "a.mp4").read_bytes())
    with pytest.raises(OutputError, match="is also an input"):
        tiny_pipeline().run(desk / "a.mp4", desk / "dub.wav", desk / "bed.mkv", bed=str(desk / "bed.mkv"))


def test_languages():
    assert [long_code(t) for t in ("de", "DEU", "pt_BR", "yue", "")] == ["deu", "deu", "por", "yue", ""]


def test_speech_is_cleaned_for_the_lips_alone(desk):
    """Noise between the words goes, the words stay where they are; what is heard is what was given."""
    pytest.importorskip("pyrnnoise", reason="cleaning needs the extra 'voice-clean'")
    clean = load_speech(DEMO).wav
    rng = np.random.default_rng(0)
    noisy = clean + clean.std() * rng.standard_normal(len(clean)).astype(np.float32)
    made = load_speech((noisy, 16000), clean="rnnoise").wav
    assert len(made) == len(clean)
    error = [np.square(x - clean).mean() for x in (noisy, made)]
    assert error[1] < 0.3 * error[0]
    lags = range(-160, 161, 4)
    best = max(lags, key=lambda n: float(np.dot(np.roll(made, n)[200:-200], clean[200:-200])))
    assert abs(best) <= 16  # 1 ms
