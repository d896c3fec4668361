"""A whole dub in the studio: with the client, and clicked through in a browser."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the studio's extra is not installed: pip install 'wav2lip-hq[studio]'")
pytest.importorskip("starlette", reason="the studio's extra is not installed: pip install 'wav2lip-hq[studio]'")

from media import write_video, write_wav
from studio_server import studio

import wav2lip_hq
from wav2lip_hq import video
from wav2lip_hq.studio import StudioError

DEMO = Path(wav2lip_hq.__file__).parent / "_data" / "demo"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Where to put what the browser shows, to look at it.
SHOTS = os.environ.get("WAV2LIP_HQ_STUDIO_SHOTS", "")

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def this_code(monkeypatch):
    """Workers are processes, which take the code that is tested."""
    monkeypatch.setenv("PYTHONPATH", str(Path(wav2lip_hq.__file__).parents[1]))


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return write_wav(tmp_path_factory.mktemp("short") / "short.wav", 1.0)


def test_a_dub_with_the_client(tmp_path, short):
    from wav2lip_hq.provenance.reading import read

    with studio(tmp_path / "studio") as running:
        client = running.client()
        face, speech = client.upload(DEMO / "face.mpg"), client.upload(short)
        found = client.faces(face, "fast")
        assert len(found) == 1 and found[0]["picture"]
        dub = client.dub(
            face, speech, consent="GRID corpus, CC BY 4.0", preset="fast", speaker=0, options={"trim": True}
        )
        seen: list[Any] = []
        done = client.wait(dub, seen.append)
        assert done["status"] == "done" and done["frames"] == 25
        out = client.download(dub, tmp_path / "out.mp4")
        facts = client.report(dub)
        assert facts["faces"]["synthesized"] == 25 and facts["consent"]["text"] == "GRID corpus, CC BY 4.0"
        assert str(tmp_path) not in str(facts) and "identity" in facts["provenance"]
        assert "/" not in facts["provenance"]
        text = running.ask("GET", "/api/report")[1].decode()
        assert str(tmp_path) not in text and "face.mpg" in text
        with video.open_video(out) as reader:
            assert reader.info.frames == 25 and (reader.info.width, reader.info.height) == (360, 288)
        assert read(out).known


def test_the_face_that_was_picked_speaks_and_the_other_keeps_every_pixel(tmp_path, short):
    import numpy as np
    from two_people import two

    from wav2lip_hq.provenance.reading import read
    from wav2lip_hq.survey import plan

    footage = two(tmp_path / "two.mp4", "l")
    with studio(tmp_path / "studio") as running:
        client = running.client()
        face, speech = client.upload(footage), client.upload(short)
        assert [row["face"] for row in client.faces(face)] == [0, 1]
        dub = client.dub(face, speech, consent="GRID", speaker=1, options={"trim": True}, format=".mkv", codec="ffv1")
        client.wait(dub)
        out = client.download(dub, tmp_path / "out.mkv")
        assert read(out).known, "the manifest, which Matroska cannot hold, lies beside it"
        row = json.loads(running.studio.dubs.jobfile("local").read_text())
        assert row["survey"] and row["plan"]
        places = plan.read(running.studio.database.home("local") / row["plan"]).faces
    with video.open_video(footage) as before, video.open_video(out) as after:
        pairs = [(a[1], b[1]) for a, b in zip(before, after, strict=False)]
    assert len(pairs) == 25
    right = places[1].at[0] > 360
    kept, spoken = (slice(0, 360), slice(360, 720)) if right else (slice(360, 720), slice(0, 360))
    assert all(np.array_equal(a[:, kept], b[:, kept]) for a, b in pairs)
    assert sum(not np.array_equal(a[:, spoken], b[:, spoken]) for a, b in pairs) >= 20


def test_failing_and_canceled_dubs_say_why_and_can_be_tried_again(tmp_path, short):
    import numpy as np

    with studio(tmp_path / "studio") as running:
        client = running.client()
        wall = client.upload(write_video(tmp_path / "wall.mp4", np.full((8, 96, 128, 3), 90, np.uint8)))
        speech = client.upload(short)
        dub = client.dub(wall, speech, consent="nobody", preset="fast")
        with pytest.raises(StudioError, match="no face was found") as failed:
            client.wait(dub)
        assert str(tmp_path) not in str(failed.value) and "wall.mp4" in str(failed.value)
        face = client.upload(DEMO / "face.mpg")
        dub = client.dub(face, speech, consent="GRID", preset="fast")
        while client.status(dub)["status"] == "pending":
            pass
        client.cancel(dub)
        with pytest.raises(StudioError, match="canceled"):
            client.wait(dub)
        client.retry(dub)
        assert client.wait(dub)["status"] == "done"


# ---- in a browser


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium with a microphone that beeps; skips where there is none."""
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    there = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    with sync.sync_playwright() as driver:
        if there is None and not Path(driver.chromium.executable_path).exists():
            pytest.skip("needs a Chromium: playwright install chromium, or the system's package")
        flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--no-sandbox"]
        made = driver.chromium.launch(executable_path=there, args=flags)
        yield made
        made.close()


def shot(page: Any, name: str, whole: bool = False) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=whole)


def until(page: Any, what: str) -> None:
    """Wait for something in the page. Playwright's own way needs ``eval`` there, which the page forbids."""
    for _ in range(3000):
        if page.evaluate(what):
            return
        page.wait_for_timeout(100)
    raise AssertionError(what)


def opened(made: Any, running: Any, width: int, height: int) -> tuple[Any, list[str]]:
    page = made.new_page(viewport={"width": width, "height": height})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    mine = (running.address, "blob:", "data:")
    page.on("request", lambda asked: None if asked.url.startswith(mine) else wrong.append(asked.url))
    page.set_default_timeout(300_000)  # machines may be busy
    page.goto(running.address)
    page.wait_for_selector("body[data-ready]")
    return page, wrong


def test_a_dub_clicked_through(tmp_path):
    # Long enough to be seen growing: the page asks every 0.7 s, and one second is made between two of its questions.
    speech = write_wav(tmp_path / "speech.wav", 12.0)
    with studio(tmp_path / "studio") as running, browser() as made:
        page, wrong = opened(made, running, 1280, 900)
        shot(page, "1-empty")
        page.click("#go")
        assert page.inner_text("#go-problem") == "Choose a face first."
        (tmp_path / "text.mp4").write_text("this is no video")
        page.set_input_files("#face-file", tmp_path / "text.mp4")
        page.wait_for_selector("#face-chosen .problem")
        assert page.inner_text("#face-chosen .problem").startswith("text.mp4 is not a media file")
        shot(page, "2-bad-upload")
        page.set_input_files("#face-file", DEMO / "face.mpg")
        page.select_option("#preset", "fast")
        page.wait_for_selector("#faces .pick img", timeout=600_000)
        # a sound file, then the microphone, then the file again
        page.set_input_files("#speech-file", speech)
        page.wait_for_selector("#speech-chosen audio")
        page.click("[data-tab=microphone]")
        page.click("#record")
        page.wait_for_timeout(1500)
        page.click("#record")
        page.wait_for_selector("#speech-chosen b:has-text('recording')", timeout=300_000)
        shot(page, "3-microphone")
        page.click("#speech-earlier summary")
        page.click("#speech-earlier button:has-text('speech.wav')")
        page.click("#go")
        assert page.inner_text("#go-problem") == "Say who agreed to this video, and to what."
        page.fill("#consent", "The speaker of the GRID corpus, CC BY 4.0")
        page.click("#more > summary")
        page.select_option("[name=extend]", "pingpong")
        page.click("text=articulate:")
        shot(page, "4-options", whole=True)
        page.fill("[name='articulate.expression']", "1.2")
        page.press("[name='articulate.expression']", "Tab")
        assert page.inner_text("#changed") == "2 changed"
        page.click("#more > summary")
        page.click("#go")
        page.wait_for_selector("#stage-work progress", timeout=300_000)
        page.wait_for_selector("#stage-work small:has-text('frame')", timeout=600_000)
        shot(page, "5-progress")
        page.wait_for_selector("#stage-player video.after", timeout=600_000)
        until(page, "document.querySelector('video.after').readyState > 2")
        until(page, "document.querySelector('video.before').readyState > 2")
        page.click("#stage-player .controls button")
        until(page, "document.querySelector('video.after').currentTime > 0.4")
        page.click("#stage-player .controls button")
        page.fill(".compare input", "250")
        page.wait_for_timeout(500)
        times = page.evaluate("[...document.querySelectorAll('.compare video')].map((v) => v.currentTime)")
        assert abs(times[0] - times[1]) < 0.05
        assert page.evaluate("document.querySelector('.before').style.clipPath") == "inset(0px 75% 0px 0px)"
        shot(page, "6-compare")
        with page.expect_download() as saved:
            page.click("#stage-player a:has-text('Download')")
        assert saved.value.suggested_filename == "face-dub.mp4" and Path(saved.value.path()).stat().st_size > 10_000
        job = running.client().dubs()[0]
        options = running.client().report(job)["settings"]
        assert options["extend"] == "pingpong" and options["set"] == ["articulate.expression=1.2"]
        # one is canceled, and the list says so
        page.click("#go")
        page.wait_for_selector("#stage-work button:has-text('Cancel')", timeout=300_000)
        page.click("#stage-work button:has-text('Cancel')")
        page.wait_for_selector("#stage-work button:has-text('Try again')", timeout=300_000)
        page.click("nav a[href='#videos']")
        page.wait_for_selector("#list article.canceled")
        page.click("#list article.done summary")
        page.wait_for_selector("#list article.done dl")
        assert "GRID corpus" in page.inner_text("#list article.done dl")
        shot(page, "7-videos", whole=True)
        assert wrong == []
        # a phone: nothing is wider than the screen
        page.set_viewport_size({"width": 390, "height": 844})
        for where in ("videos", "make"):
            page.click(f"nav a[href='#{where}']")
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            shot(page, f"8-phone-{where}", whole=True)


def test_text_two_faces_and_avatars(tmp_path):
    from two_people import two

    with studio(tmp_path / "studio") as running, browser() as made:
        page, wrong = opened(made, running, 1280, 900)
        page.set_input_files("#face-file", two(tmp_path / "two.mp4", "l"))
        page.wait_for_selector("#faces .pick img")
        assert page.locator("#faces .pick img").count() == 2
        page.locator("#faces .pick:has(img)").nth(1).click()
        page.click("[data-tab=text]")
        page.click("#topic-box summary")
        page.fill("#topic", "how bread is made")
        page.fill("#topic-seconds", "4")
        page.click("#topic-write")
        until(page, "document.getElementById('text').value.length > 20")
        shot(page, "a-text")
        page.fill("#text", "Good morning!")
        if page.is_enabled("#text-speak"):
            page.click("#text-speak")
            page.wait_for_selector("#speech-chosen b:has-text('Good morning')")
            page.fill("#consent", "Anna and Ben")
            page.click("#go")
            page.wait_for_selector("#stage-work:visible")
            row = json.loads(running.studio.dubs.jobfile("local").read_text())
            plan = (running.studio.database.home("local") / row["plan"]).read_text()
            assert row["survey"].endswith("survey.npz") and "speaks: 1" in plan
        shot(page, "b-two-faces")
        page.click("nav a[href='#avatars']")
        page.fill("#avatar-name", "duo")
        page.fill("#avatar-consent", "Anna and Ben agreed")
        page.click("#avatar-form button")
        page.wait_for_selector("#avatar-list article")
        shot(page, "c-avatars")
        page.click("#avatar-list button:has-text('Use')")
        page.wait_for_selector("#make:visible")
        page.wait_for_selector("#face-chosen b:has-text('duo.mp4')")
        assert page.input_value("#consent") == "Anna and Ben agreed"
        page.click("nav a[href='#avatars']")
        page.click("#avatar-list button:has-text('Remove')")
        page.wait_for_selector("#avatar-list p:has-text('No face is kept yet.')")
        assert wrong == []


def test_logging_in_and_out(tmp_path):
    with studio(tmp_path / "studio", "anna") as running, browser() as made:
        page, wrong = opened(made, running, 1280, 900)
        page.fill("#login-name", "anna")
        page.fill("#login-password", "not it at all")
        page.click("#login button")
        page.wait_for_selector("#notice:has-text('wrong name or password')")
        shot(page, "9-login")
        page.fill("#login-password", "password of anna")
        page.click("#login button")
        page.wait_for_selector("#make:visible")
        assert page.inner_text("#who-name") == "anna"
        page.click("#logout")
        page.wait_for_selector("#login:visible")
        assert wrong == []
