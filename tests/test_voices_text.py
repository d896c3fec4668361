"""Texts on their way to speech and back: markup, sentences, subtitles, scripts, time."""

from __future__ import annotations

import re

import numpy as np
import pytest
from voice_doubles import Tone

from wav2lip_hq.errors import EngineError, InputError, OptionError
from wav2lip_hq.voices import DubOptions, Line, Role, SayOptions, Script, Segment, Spoken, Word, script, subtitles
from wav2lip_hq.voices.fit import faster, fit
from wav2lip_hq.voices.lipsync import stretches
from wav2lip_hq.voices.markup import Piece, pieces
from wav2lip_hq.voices.mix import RATE, bed, voices
from wav2lip_hq.voices.narrate import Voicebox, narrate, sentences

# ---- markup


def test_ssml_breaks_paragraphs_and_aliases():
    text = """<speak>Hello <break time="500ms"/> you <break strength="strong"/>
    <p>The <sub alias="World Wide Web">WWW</sub>.</p><s>Bread &amp; <em>butter</em></s></speak>"""
    assert pieces(text) == [
        Piece("Hello", 0.5),
        Piece("you", 0.7),
        Piece("The World Wide Web.", 0.6),
        Piece("Bread & butter", 0.25),
    ]


def test_pauses_in_plain_text():
    assert pieces("One [pause 0.5s] two\nthree.\n\nFour <five>.") == [
        Piece("One", 0.5),
        Piece("two three.", 0.6),
        Piece("Four <five>."),
    ]
    assert pieces("[pause 300ms] One") == [Piece("", 0.3), Piece("One")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing to say"),
        (" \n ... ", "nothing to say"),
        ("<speak><break time='1s'/></speak>", "nothing to say"),
        ("<speak>Hello", "cannot be read: no element found in line 1"),
        ("<speak><break time='1 hour'/>a</speak>", "a pause is a time like 500ms"),
        ("<speak><break time='3600s'/>a</speak>", "60 s at most"),
        ("<speak><break strength='huge'/>a</speak>", "a break's strength is none"),
        ("<speak><sub>a</sub></speak>", "attribute alias"),
        ("a" * 300_000, "200000 are the most"),
    ],
)
def test_texts_that_cannot_be_said(text, words):
    with pytest.raises(InputError, match=words):
        pieces(text)


def test_ssml_takes_nothing_from_outside():
    bomb = '<!DOCTYPE speak [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><speak>&b;</speak>'
    for text in (bomb.replace("<!DOCTYPE", "<speak/><!DOCTYPE"), "<speak>&file;</speak>"):
        with pytest.raises(InputError):
            pieces(text)
    assert pieces(bomb)[0].text.startswith("<!DOCTYPE")  # not SSML: read out as it is, nothing is expanded


def test_sentences():
    text = "This is the first sentence of all. And this is the second one! Oh no. " + "very " * 200 + "long."
    made = sentences(text)
    assert made[:2] == ["This is the first sentence of all.", "And this is the second one!" + made[1][27:]]
    assert " ".join(made) == " ".join(text.split()) and max(map(len, made)) <= 400


# ---- speech


def test_what_was_spoken_is_kept_when_the_voice_fails(tmp_path):
    Tone.spoken.clear()
    box = Voicebox(Tone(), "xx", tmp_path)
    said = [Piece("The first sentence is long enough.", 0.4), Piece("This one is broken, sadly enough.")]
    with pytest.raises(EngineError, match="sentence 2 of 2: the tone generator is broken; 1 before it are kept"):
        narrate(said, box)
    said[1] = Piece("This one is fine, gladly enough.")
    spoken, lines = narrate(said, Voicebox(Tone(), "xx", tmp_path))
    assert [text for text, _ in Tone.spoken] == [said[0].text, said[1].text]  # the first only once
    assert lines[1].start == pytest.approx(lines[0].end + 0.4, abs=0.01)
    assert spoken.seconds == pytest.approx(lines[1].end, abs=0.01)
    assert lines[1].words[0].start == pytest.approx(lines[1].start, abs=0.05)
    assert [w.text for w in spoken.words][:2] == ["The", "first"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "no samples and rate"),
        ((np.zeros(100), 16000), "silence"),
        ((np.full(100, np.nan), 16000), "cannot be used"),
        ((np.ones((100, 2)), 16000), "cannot be used"),
        ((np.ones(100), 1), "cannot be used"),
    ],
)
def test_odd_engines_are_told(tmp_path, answer, words):
    class Odd(Tone):
        def speak(self, text, language, voice=""):
            return answer

    with pytest.raises(EngineError, match=words):
        Voicebox(Odd(), "xx", tmp_path).speak("hello")
    assert not list(tmp_path.iterdir())


# ---- time


def speech(seconds: float) -> Spoken:
    t = np.arange(round(seconds * 16000)) / 16000
    words = tuple(Word(f"w{n}", n * seconds / 4, (n + 1) * seconds / 4) for n in range(4))
    return Spoken((0.5 * np.sin(2 * np.pi * 200 * t)).astype(np.float32), 16000, words)


def test_speech_gets_faster_at_the_same_pitch():
    quick = faster(speech(2.0), 1.25)
    assert quick.seconds == pytest.approx(1.6, abs=0.03)
    assert quick.words[-1].end == pytest.approx(1.6)
    crossings = np.count_nonzero(np.diff(np.signbit(quick.wav[1600:-1600]))) / 2
    assert crossings / ((len(quick.wav) - 3200) / 16000) == pytest.approx(200, rel=0.03)


def test_lines_are_fitted_into_their_time():
    def done(seconds, spill=0.0, limit=10.0):
        return fit(speech(seconds), "w0 w1 w2 w3", 1.0, 2.0, limit, 1.5, spill)

    assert done(0.8).speed == 1 and done(0.8).end == pytest.approx(1.8)
    assert done(1.3, spill=0.5).speed == 1  # runs on into the pause
    assert done(1.3).speed == pytest.approx(1.3) and done(1.3).end == pytest.approx(2.0, abs=0.03)
    assert done(1.3, spill=5, limit=2.0).end <= 2.0  # but not into the next line
    long = done(3.0)
    assert long.speed == 1.5 and long.cut == "w2 w3" and long.end == pytest.approx(2.0, abs=0.05)
    assert [w.text for w in long.spoken.words] == ["w0", "w1"] and abs(long.spoken.wav[-1]) < 0.01
    bare = fit(speech(3.0)._replace(words=()), "one two three four", 1.0, 2.0, 10.0, 1.5, 0.0)
    assert bare.cut == "three four" and bare.spoken.words == ()


def test_stretches_bridge_short_pauses():
    assert stretches([(1, 2), (2.5, 4), (7, 8)], 7.5) == [(0.9, 4), (6.9, 7.5)]
    lines = [(n * 0.4 + n // 2 * 1.1, n * 0.4 + n // 2 * 1.1 + 0.3) for n in range(80)]
    many = stretches(lines, 100)
    assert len(many) == 24 and many[0][0] == 0 and many[-1][1] == lines[-1][1]
    assert all(a[1] < b[0] for a, b in zip(many, many[1:], strict=False))


def test_the_new_voice_is_as_loud_as_the_old_one():
    from wav2lip_hq.voices.fit import Fitted

    track = voices([Fitted(speech(1.0), 10.5)], 10.0, 12.0, 0.1)
    inside = track[round(0.6 * RATE) : round(1.4 * RATE)]
    assert np.sqrt(np.mean(inside**2)) == pytest.approx(0.1, rel=0.05)
    assert not track[: round(0.45 * RATE)].any() and len(track) == 2 * RATE


def test_the_footages_own_sound(tmp_path):
    from media import write_wav

    path = str(write_wav(tmp_path / "a.wav", 3.0))
    kept = bed(path, [(1, 2)], "keep", 3.0)
    removed, ducked = (bed(path, [(1, 2)], how, 3.0) for how in ("remove", "duck"))
    middle, outside = slice(RATE, 2 * RATE), slice(0, round(0.8 * RATE))
    assert not removed[middle].any() and np.array_equal(removed[outside], kept[outside])
    assert np.abs(ducked[middle]).max() == pytest.approx(np.abs(kept[middle]).max() * 10 ** (-18 / 20), rel=1e-3)


# ---- subtitles


def test_subtitles_are_short_and_in_time():
    words = [f"word{n}" for n in range(40)]
    timed = tuple(Word(w, 10 + n * 0.3, 10.3 + n * 0.3) for n, w in enumerate(words))
    made = subtitles.cues([Segment(10, 22, " ".join(words), words=timed), Segment(30, 31, "<b> & a")])
    assert " ".join(c.text for c in made[:-1]) == " ".join(words)
    assert all(len(c.text) <= 84 and c.end - c.start <= 6 for c in made)
    assert all(a.end <= b.start for a, b in zip(made, made[1:], strict=False)) and made[0].start == 10
    text = subtitles.srt([Segment(30.5, 3661.25, "hello")])
    assert text == "1\n00:00:30,500 --> 01:01:01,250\nhello\n"
    shown = subtitles.vtt([Segment(30, 31, "<b> & a")])
    assert shown.startswith("WEBVTT\n\n00:00:30.000 --> 00:00:31.000\n&lt;b&gt; &amp; a")
    assert all(len(line) <= 60 for line in subtitles.srt(made).splitlines())


# ---- scripts


def test_a_script_comes_back_as_it_was(tmp_path):
    lines = (
        Line(0.5, 1.25, "what's: your name", "¿Cómo te llamas? # no comment", "Anna"),
        Line(2.0, 3.0, "yes", None, "Ben"),
        Line(4.0, 5.0, "silent", "", "Ben"),
    )
    made = Script("en", "es", lines, {"Anna": Role("es+f2", "left"), "Ben": Role()}, "ab12")
    path = tmp_path / "a.script.yaml"
    made.save(path, "video\n- evil.mp4")
    assert script.read(path) == made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- 1", "is not a script"),
        ("lines: [1]", "line 1 is not a list of fields"),
        ("lines: [{start: 1, end: 1, text: a}]", "line 1: its end .1. is not after its start"),
        ("lines: [{start: x, end: 1}]", "line 1: 'start' is a time in seconds, not 'x'"),
        ("lines: [{start: .nan, end: 1}]", "'start' is a time"),
        ("lines: [{start: 0, end: 1, text: {a: b}}]", "'text' is text; put it in quotes"),
        ("lines: [{start: 0, end: 1, txet: a}]", "line 1: unknown field 'txet'; did you mean 'text'"),
        ("lines: []\nspeakers: {A: es}", "speaker 'A' has fields"),
        ("lines: [", "cannot be read"),
    ],
)
def test_scripts_that_cannot_be_used(tmp_path, text, words):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        script.read(path)
    assert str(path) in str(caught.value)


def test_options_say_what_is_wrong():
    with pytest.raises(OptionError, match="fastest is between 1 and 3"):
        DubOptions(to="es", fastest=9)
    with pytest.raises(OptionError, match=re.escape("subtitles are srt or vtt, not 'ass'")):
        SayOptions(subtitles=("ass",))
