"""How a person speaks: learned from other footage of the person, kept if it predicts what it was not learned from."""

from __future__ import annotations

import itertools
import wave
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from media import clip, write_video, write_wav
from test_articulate import STAGE, body, chunk, facts, network, targets, turned
from test_survey import watched

from wav2lip_hq import HQPipeline, audio, mesh
from wav2lip_hq import survey as surveys
from wav2lip_hq.errors import InputError
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages.articulate import spoken
from wav2lip_hq.survey import manner as manners
from wav2lip_hq.survey import sheet
from wav2lip_hq.survey.persons import persons
from wav2lip_hq.types import Manner
from wav2lip_hq.video import open_video

FPS, COUNT = 25, 1500  # a minute


def predictions(seed=0, count=COUNT, k=6):
    """(T, K) smooth predictions, the opening not below 0."""
    noise = np.random.default_rng(seed).normal(size=(count + 8, k))
    out = np.stack([np.convolve(column, np.hanning(9), "valid") for column in noise.T], 1)
    out[:, 0] = np.maximum(out[:, 0] + 1, 0)
    return out


def pauses(count=COUNT, every=50, length=20):
    """(speech, ahead): a pause of ``length`` frames in every ``every``."""
    speech = (np.arange(count) % every >= length).astype(np.float32)
    wait = np.where(speech > 0, 0, length - np.arange(count) % every) / FPS
    return speech, wait.astype(np.float32)


def own(predicted, seed=1, noise=0.3):
    """The openings of somebody who opens less far than the network says, and further with its third coefficient."""
    drawn = np.random.default_rng(seed).normal(0, noise, len(predicted))
    return np.maximum(0.6 * predicted[:, 0] + 0.8 * predicted[:, 2] + 0.3 + drawn, 0)


def test_a_persons_own_openings_are_learned_from_a_minute():
    speech, ahead = pauses()
    predicted = predictions()
    made = manners.learned(predicted, speech, ahead, own(predicted) * spoken(speech, ahead), "abc")
    assert made is not None and made.network == "abc" and made.lead == 0
    unseen = predictions(seed=7)
    truth = own(unseen, noise=0)
    before, after = (np.corrcoef(x, truth)[0, 1] for x in (unseen[:, 0], made.applied(unseen)[:, 0]))
    assert after > before + 0.1
    assert abs(made.applied(unseen)[:, 0] - truth).mean() < 0.7 * abs(unseen[:, 0] - truth).mean()
    assert np.array_equal(made.applied(unseen)[:, 1:], unseen[:, 1:])  # the opening alone is the person's


def test_lips_meet_where_the_network_closes_them_and_where_the_persons_did():
    speech, ahead = pauses()
    predicted = predictions()
    real = own(predicted) * spoken(speech, ahead)
    closing = (np.arange(COUNT) % 25 < 3) & (speech > 0)  # short closures, as of p, b and m, that the network half sees
    predicted[closing, 0], real[closing] = 0.4, 0
    made = manners.learned(predicted, speech, ahead, real, "")
    assert made is not None
    assert made.applied(predicted)[closing, 0].mean() < 0.3 < real[speech > 0].mean()
    predicted[:, 0] = 0
    assert not made.applied(predicted)[:, 0].any()


def test_who_opens_the_mouth_before_speaking_is_given_the_time():
    speech, ahead = pauses()
    predicted = predictions()
    made = manners.learned(predicted, speech, ahead, own(predicted) * spoken(speech, ahead, 0.48), "")
    assert made is not None and made.lead == 0.48


@pytest.mark.parametrize("sound", ["another's", "as everybody", "late"])
def test_footage_that_teaches_nothing_is_not_learned_from(sound):
    speech, ahead = pauses()
    predicted = predictions()
    if sound == "as everybody":
        told = predicted[:, 0] * spoken(speech, ahead) + np.random.default_rng(3).normal(0, 0.3, COUNT)
    else:
        real = predictions(seed=9) if sound == "another's" else np.roll(predicted, 30, 0)
        told = own(real) * np.roll(spoken(speech, ahead), 0 if sound == "another's" else 30)
    assert manners.learned(predicted, speech, ahead, told, "") is None


def test_a_listener_is_not_taken_for_somebody_who_hardly_opens_the_mouth():
    speech, ahead = pauses()
    listens = 0.2 * np.abs(np.random.default_rng(0).normal(size=COUNT))
    assert manners.learned(predictions(), speech, ahead, listens, "") is None


def test_speech_that_is_ahead():
    wav = np.zeros(3 * audio.RATE, np.float32)
    wav[16000:32000] = 0.3 * np.sin(np.arange(16000) * 0.3)
    ahead = audio.SpeechActivity(wav).ahead([Fraction(1, 4), 0.5, 1.5, 2.5])
    assert ahead[0] == pytest.approx(0.75, abs=0.08) and ahead[1] == pytest.approx(0.5, abs=0.08)
    assert ahead[2] == 0 and np.isinf(ahead[3])
    assert np.isinf(audio.SpeechActivity(0 * wav).ahead([0.0, 1.0])).all()


def test_a_mouth_opens_before_speech_by_its_lead_alone():
    speech = np.array([0, 0, 0, 1, 0], np.float32)
    ahead = np.array([0.9, 0.5, 0.3, 0, np.inf], np.float32)
    assert spoken(speech, ahead).tolist() == [0, 0, 0, 1, 0]
    assert spoken(speech, ahead, 0.4).round(2).tolist() == [0, 0.07, 1, 1, 0]  # it begins a little earlier
    assert spoken(speech, None, 0.4).tolist() == [0, 0, 0, 1, 0]


def runtime(sha256="mine"):
    made = Runtime(device="cpu", precision="fp32")
    made.add_model("tiny", network(), "articulation", width=16)
    made.model("tiny").sha256 = sha256
    return made


def test_the_target_has_the_persons_manner_if_it_was_learned_of_this_network():
    seen = [turned(body(0.1))] * 6
    weights = np.zeros(17)
    weights[-1] = 0.5  # half a spread further open
    plain = facts(turned(body(0.02)))
    known = replace(plain, manner=Manner(weights, 0.0, "mine"))
    opening = [mesh.opening(targets(STAGE, chunk(seen, tracks={0: f}), runtime())) for f in (plain, known)]
    assert (opening[1] > opening[0] + 0.01).all()
    everybody = targets(STAGE, chunk(seen, tracks={0: plain}), runtime())
    assert np.array_equal(targets(STAGE, chunk(seen, tracks={0: known}), runtime("another")), everybody)
    assert np.array_equal(targets(replace(STAGE, manner=False), chunk(seen, tracks={0: known}), runtime()), everybody)


def test_a_breath_opens_the_mouth_and_silence_keeps_it_closed():
    seen = [turned(body(0.1))] * 4
    known = replace(facts(turned(body(0.02))), manner=Manner(np.append(np.zeros(16), 0.5), 0.4, "mine"))
    given = chunk(seen, tracks={0: known}, speech=[0, 0, 1, 0])
    given = replace(given, ahead=np.array([0.8, 0.2, 0, np.inf], np.float32))
    opening = mesh.opening(targets(STAGE, given, runtime()))
    assert opening[[1, 2]].min() > 0.02 and opening[[0, 3]].max() < 1e-3


def test_how_somebody_speaks_is_kept_with_the_survey_and_lent_to_other_footage(tmp_path):
    made = watched().survey(clip(30))
    told = {n: replace(t, manner=Manner(np.linspace(-1, 1, 17), 0.24, "net")) for n, t in made.tracks.items()}
    surveys.save(replace(made, tracks=told), tmp_path / "anna.npz")
    read = surveys.load(tmp_path / "anna.npz")
    kept = read.person.manner
    assert kept is not None and kept.lead == 0.24 and kept.network == "net"
    assert np.array_equal(kept.weights, np.linspace(-1, 1, 17))
    assert read.facts([0])[0].manner is read.tracks[0].manner
    assert sheet.rows(read)[0]["manner"] and not sheet.rows(made)[0]["manner"]
    here = watched().survey(clip(10))
    assert here.person.manner is None and here.facts([0])[0].manner is None
    assert here.told(read.person).facts([0])[0].manner is kept


@pytest.mark.parametrize("damage", ["not finite", "two dimensions", "a lead of days"])
def test_a_survey_with_a_manner_that_cannot_be_is_refused(tmp_path, damage):
    weights = np.full(17, np.nan) if damage == "not finite" else np.zeros((17, 2) if damage == "two dimensions" else 17)
    wrong = Manner(weights, 1e5 if damage == "a lead of days" else 0.0, "net")
    made = watched().survey(clip(5))
    surveys.save(replace(made, tracks={0: replace(made.tracks[0], manner=wrong)}), tmp_path / "anna.npz")
    with pytest.raises(InputError, match=r"anna\.npz is not a survey, or it is damaged"):
        surveys.load(tmp_path / "anna.npz")


def test_a_manner_of_another_length_is_not_used():
    plain = facts(turned(body(0.02)))
    known = replace(plain, manner=Manner(np.ones(5), 0.0, "mine"))
    seen = [turned(body(0.1))] * 2
    made = [targets(STAGE, chunk(seen, tracks={0: f}), runtime()) for f in (plain, known)]
    assert np.array_equal(*made)


def test_footage_without_sound_or_with_little_teaches_no_manner(tmp_path):
    wav = write_wav(tmp_path / "speech.wav", 1.2)
    short = write_video(tmp_path / "short.mp4", clip(30), sound=wav)
    for footage in (short, clip(400)):
        pipe = watched().insert(STAGE, after="landmarks")
        assert pipe.survey(footage).person.manner is None


@pytest.fixture(scope="module")
def speaker(shared, tmp_path_factory):
    """(a clip, footage of ten others) of a real speaker nobody trained on, who opens his mouth before he speaks."""
    first, *others = sorted((shared("data/talking/grid") / "s4").glob("*.mpg"))[:11]
    frames, sound = [], []
    for path in others:
        shown = [image for _, image, _ in open_video(path)]
        wav = audio.load_audio(path)[: len(shown) * audio.RATE // FPS]
        frames += shown
        sound.append(np.pad(wav, (0, len(shown) * audio.RATE // FPS - len(wav))))
    folder = tmp_path_factory.mktemp("speaker")
    words = folder / "words.wav"
    with wave.open(str(words), "wb") as file:
        file.setparams((1, 2, audio.RATE, 0, "NONE", ""))
        file.writeframes((np.concatenate(sound) * 32767).astype("<i2").tobytes())
    return first, write_video(folder / "anna.mp4", np.stack(frames), sound=words)


def test_footage_of_the_person_brings_the_mouth_closer_to_their_own(speaker, tmp_path):
    first, footage = speaker
    pipe = HQPipeline("default")
    surveys.save(pipe.survey(footage), tmp_path / "anna.npz")
    alike = []
    for person in ("", str(tmp_path / "anna.npz")):
        with pipe.open(first, first, own_words="redo", person=person, keep=("faces.mesh", "faces.target")) as chunks:
            faces = [(chunk.faces.target, chunk.faces.mesh) for chunk in chunks]
        target, real = (mesh.opening(np.concatenate(each)) for each in zip(*faces, strict=True))
        alike.append(np.corrcoef(target, real)[0, 1])
    assert alike[1] > alike[0] + 0.03


# ---- who is one person


def test_a_person_is_known_again_after_a_cut_and_everything_of_it_counts():
    footage = clip(50)
    footage[20:30] = 30
    made = watched().survey(footage)
    assert persons(made) == [[0, 2], [1]]  # the gray pictures between them are somebody else
    person = made.person
    apart = [made.tracks[n] for n in (0, 2)]
    openings = np.concatenate([made.opening(n)[1] for n in (0, 2)])
    assert person.spread == pytest.approx(float(np.std(openings)))
    assert len(person.mouths) >= max(len(t.mouths) for t in apart)
    numbers = {m.number for m in person.mouths}
    assert numbers <= {m.number for t in apart for m in t.mouths}


def test_faces_of_one_frame_are_two_people_however_alike():
    made = watched().survey(clip(20))
    both = made.faces.joined(replace(made.faces, track=made.faces.track + 1))
    twice = replace(made, faces=both, coded=np.repeat(made.coded, 2, 0), tracks=dict.fromkeys((0, 1), made.tracks[0]))
    assert persons(twice) == [[0], [1]]


def test_people_are_told_apart_and_one_of_several_shots_is_one(shared):
    """Real footage: three clips of one speaker, one of another, as one."""
    folder = shared("data/talking/grid")
    paths = [*sorted((folder / "s4").glob("*.mpg"))[:3], sorted((folder / "s31").glob("*.mpg"))[0]]
    frames = [image for path in paths for _, image, _ in itertools.islice(open_video(path), 12)]
    made = HQPipeline("default").survey(np.stack(frames), fps=25.0)
    found = persons(made)
    assert len(found) == 2
    counts = [sum(int((made.faces.track == n).sum()) for n in one) for one in found]
    assert counts == [36, 12]
