"""The studio's HTTP API: accounts, limits, whose files are whose, and what is refused."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from media import clip, write_video, write_wav

pytest.importorskip("uvicorn", reason="the studio's extra is not installed: pip install 'wav2lip-hq[studio]'")
pytest.importorskip("starlette", reason="the studio's extra is not installed: pip install 'wav2lip-hq[studio]'")

from studio_server import Running, studio

import wav2lip_hq
from wav2lip_hq.cli import main
from wav2lip_hq.errors import InputError, OptionError, OutputError
from wav2lip_hq.studio import Client, StudioError, accounts, offers
from wav2lip_hq.studio.accounts import Accounts
from wav2lip_hq.studio.database import Database


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "face.mp4", clip(12))
    write_wav(folder / "speech.wav", 0.5)
    write_wav(folder / "long.wav", 8)
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A studio for this machine alone, whose queue does nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wav2lip_hq.studio.queue.Queue.start", lambda self: None)
        with studio(tmp_path_factory.mktemp("alone"), max_upload=1, max_minutes=0.1) as running:
            yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One with accounts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wav2lip_hq.studio.queue.Queue.start", lambda self: None)
        with studio(tmp_path_factory.mktemp("shared"), "anna", "ben", "cleo", max_queue=2) as running:
            yield running


@pytest.fixture(scope="module")
def uploads(alone, media):
    client = alone.client()
    return client.upload(media / "face.mp4"), client.upload(media / "speech.wav")


# ---- accounts


def test_passwords_are_kept_as_salted_hashes(tmp_path):
    people = Accounts(Database(tmp_path))
    people.add("anna", "correct horse")
    people.add("ben", "correct horse")
    with sqlite3.connect(tmp_path / "studio.sqlite") as db:
        rows = db.execute("SELECT salt, hash FROM account").fetchall()
    assert len({salt for salt, _ in rows}) == len({hashed for _, hashed in rows}) == 2
    assert b"correct horse" not in (tmp_path / "studio.sqlite").read_bytes()
    token = people.login("anna", "correct horse")
    assert people.whose(token) == "anna" and people.whose("") is None and people.whose(token + "x") is None
    assert token.encode() not in (tmp_path / "studio.sqlite").read_bytes()
    assert os.stat(tmp_path).st_mode & 0o077 == 0


def test_a_new_password_ends_sessions_and_a_removed_account_is_nobody(tmp_path):
    people = Accounts(Database(tmp_path))
    token = people.login("anna", people.add("anna"))
    people.add("anna", "something else")
    assert people.whose(token) is None
    token = people.login("anna", "something else")
    people.remove("anna")
    assert people.whose(token) is None
    with pytest.raises(accounts.WrongPassword, match="wrong name or password"):
        people.login("anna", "something else")


def test_a_session_ends_by_itself(tmp_path, monkeypatch):
    people = Accounts(Database(tmp_path))
    monkeypatch.setattr(accounts, "LASTS", -1.0)
    assert people.whose(people.login("anna", people.add("anna"))) is None


def test_wrong_passwords_are_slowed_down(tmp_path, monkeypatch):
    people = Accounts(Database(tmp_path))
    people.add("anna", "correct horse")
    for _ in range(accounts.TRIES):
        with pytest.raises(accounts.WrongPassword):
            people.login("anna", "wrong")
    with pytest.raises(accounts.TooMany, match="try again in"):
        people.login("anna", "correct horse")
    monkeypatch.setattr(accounts, "PAUSE", 0.0)
    assert people.login("anna", "correct horse")


@pytest.mark.parametrize("name", ["", "..", "../anna", "Anna", "a/b", ".hidden", "local", "a" * 33, "a\n"])
def test_names_that_could_be_paths_are_no_accounts(tmp_path, name):
    with pytest.raises(OptionError):
        Accounts(Database(tmp_path)).add(name, "long enough password")


def test_short_passwords_are_refused(tmp_path):
    with pytest.raises(OptionError, match="10 to 200"):
        Accounts(Database(tmp_path)).add("anna", "short")


# ---- who may ask


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/files"), ("GET", "/api/dubs"), ("GET", "/api/options"), ("POST", "/api/files?name=a.mp4"),
     ("POST", "/api/dubs"), ("POST", "/api/speech"), ("GET", "/api/report"), ("GET", "/api/voices")],
)  # fmt: skip
def test_nobody_gets_anywhere_without_logging_in(shared: Running, method, path):
    status, found, _ = shared.ask(method, path, {} if method == "POST" else None)
    assert status == 401 and found == {"error": "log in first"}
    assert shared.ask(method, path, {} if method == "POST" else None, Authorization="Bearer nonsense")[0] == 401


def test_logging_in_gives_a_cookie_that_scripts_cannot_read(shared):
    status, found, headers = shared.ask("POST", "/api/login", {"name": "anna", "password": "password of anna"})
    assert status == 200 and found["account"] == "anna"
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    pair = cookie.partition(";")[0]
    assert shared.ask("GET", "/api", Cookie=pair)[1]["account"] == "anna"
    assert shared.ask("POST", "/api/logout", {}, Cookie=pair)[0] == 200
    assert shared.ask("GET", "/api", Cookie=pair)[1]["account"] is None
    assert shared.ask("POST", "/api/login", {"name": "anna", "password": "x"})[0] == 401


def test_accounts_do_not_see_each_other(shared, media):
    anna, ben = shared.client("anna", "password of anna"), shared.client("ben", "password of ben")
    face, speech = anna.upload(media / "face.mp4"), anna.upload(media / "speech.wav")
    dub = anna.dub(face, speech, consent="anna")
    assert ben.files() == [] and ben.dubs() == []
    for path in ("", "/content", "/poster", "/play", "/faces"):
        with pytest.raises(StudioError, match="no such file") as refused:
            ben._json("GET", f"/api/files/{face['id']}{path}")
        assert refused.value.status == 404
    for path in ("", "/result", "/sheet", "/report"):
        with pytest.raises(StudioError) as refused:
            ben._json("GET", f"/api/dubs/{dub['id']}{path}")
        assert refused.value.status == 404
    for refusal in (lambda: ben.cancel(dub), lambda: ben.retry(dub), lambda: ben.delete(dub),
                    lambda: ben.delete_file(face), lambda: ben.dub(face, speech, consent="ben")):  # fmt: skip
        with pytest.raises(StudioError, match="no such") as refused:
            refusal()
        assert refused.value.status == 404
    assert [d["id"] for d in anna.dubs()] == [dub["id"]] and len(anna.files()) == 2


def test_a_shared_studio_without_accounts_does_not_open(tmp_path):
    from wav2lip_hq.studio.choices import StudioOptions
    from wav2lip_hq.studio.studio import Studio

    with pytest.raises(OptionError, match="--share-with"):
        Studio(StudioOptions(folder=str(tmp_path)), shared=True)


def test_other_web_pages_and_other_names_are_refused(alone):
    assert alone.ask("GET", "/api")[0] == 200
    assert alone.ask("GET", "/api", Host="localhost")[0] == 200
    assert alone.ask("GET", "/api", Host="evil.example")[0] == 403  # a name that was made to point here
    assert alone.ask("POST", "/api/files?name=a.mp4", b"x", Origin="https://evil.example")[0] == 403
    assert alone.ask("GET", "/api/files", Sec_Fetch_Site="cross-site")[0] == 403
    assert alone.ask("POST", "/api/speech", b"{}", Content_Type="text/plain")[0] == 415


def test_the_page_loads_nothing_from_elsewhere(alone):
    status, page, headers = alone.ask("GET", "/")
    assert status == 200 and b"wav2lip_hq" in page
    assert "default-src 'self'" in headers["content-security-policy"] and headers["x-frame-options"] == "DENY"
    folder = Path(wav2lip_hq.__file__).parent / "studio" / "page"
    for file in folder.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text and "//cdn" not in text, file
        assert alone.ask("GET", f"/static/{file.name}")[0] == 200


# ---- uploads


def test_what_is_uploaded_is_looked_at(uploads):
    face, speech = uploads
    assert (face["kind"], face["name"], speech["kind"]) == ("video", "face.mp4", "sound")
    assert face["width"] and face["fps"] == 25 and speech["seconds"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd.mp4", "..\\..\\x.mp4", "/etc/x.mp4", "%2e%2e%2fx.mp4", "a\x00b.mp4", ".mp4.mp4"]
)
def test_names_of_uploads_never_become_paths(alone, media, name):
    from urllib.parse import quote

    home = alone.studio.database.home("local")
    status, found, _ = alone.ask("POST", f"/api/files?name={quote(name)}", (media / "face.mp4").read_bytes())
    assert status == 201 and "/" not in found["name"] and "\\" not in found["name"] and "\0" not in found["name"]
    assert (home / "files" / f"{found['id']}.mp4").is_file()
    alone.client().delete_file(found)
    assert not list((home / "files").glob(f"{found['id']}*"))


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/api/files/..%2f..%2fstudio.sqlite/content",
     "/api/files/../../studio.sqlite", "/api/dubs/..%2f/result", "/api/files/x/faces/../../content"],
)  # fmt: skip
def test_paths_lead_nowhere_else(alone, path):
    status, found, _ = alone.ask("GET", path)
    assert status == 404 and b"SQLite" not in (found if isinstance(found, bytes) else b"")


def test_too_large_is_one_line_and_leaves_nothing(alone):
    before = set(alone.studio.files.folder("local").iterdir())
    status, found, _ = alone.ask("POST", "/api/files?name=big.mp4", b"0" * 1_000_001)
    assert status == 413 and found["error"] == "big.mp4 is too large: files may have 1 MB"
    pieces = (b"0" * 100_000 for _ in range(20))  # without a length beforehand
    status, found, _ = alone.ask("POST", "/api/files?name=big.mp4", pieces)
    assert status == 413 and "files may have 1 MB" in found["error"]
    assert set(alone.studio.files.folder("local").iterdir()) == before


def test_too_long_wrong_and_empty_files_are_one_line_each(alone, media, tmp_path):
    client = alone.client()
    (tmp_path / "text.mp4").write_text("this is no video")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n/etc/passwd\n")
    for path, told in (
        (media / "long.wav", "long.wav is 0.1 minutes long; 0.1 are the most here: cut it first"),
        (tmp_path / "text.mp4", "text.mp4 is not a media file"),
        (tmp_path / "empty.wav", "empty.wav is empty"),
        (tmp_path / "notes.txt", "'notes.txt' is no video, picture or sound by its ending"),
        (tmp_path / "list.mp4", "list.mp4 is a playlist"),
    ):
        with pytest.raises(StudioError, match=told) as refused:
            client.upload(path)
        assert "\n" not in str(refused.value) and str(alone.studio.database.folder) not in str(refused.value)
    with pytest.raises(InputError, match="cannot be read"):
        client.upload(tmp_path / "absent.mp4")


def test_storage_has_an_end(tmp_path, media, monkeypatch):
    monkeypatch.setattr("wav2lip_hq.studio.queue.Queue.start", lambda self: None)
    with studio(tmp_path, max_storage=0.005) as running, pytest.raises(StudioError, match="are left to you") as refused:
        running.client().upload(media / "face.mp4")
    assert refused.value.status == 413


# ---- dubs


def test_a_dub_is_a_line_of_a_job_file(alone, uploads):
    from wav2lip_hq import jobs

    client = alone.client()
    wanted = {"extend": "hold", "trim": True, "blend.texture": 0.5}
    dub = client.dub(*uploads, consent="Anna agreed", options=wanted, preset="fast", format=".mov", codec="hevc")
    assert dub["status"] == "pending" and dub["title"] == "face + speech.wav"
    file = alone.studio.dubs.jobfile("local")
    job = next(j for j in jobs.read_jobs(file) if dub["id"] in j.name)
    assert not job.fault and (job.preset, job.run.extend, job.run.trim, job.run.codec) == ("fast", "hold", True, "hevc")
    assert job.set == ("blend.texture=0.5",) and job.output.suffix == ".mov"
    assert Path(job.run.consent).read_text() == "Anna agreed"
    assert client.cancel(dub)["status"] == "canceled"
    assert client.retry(dub)["status"] == "pending"
    client.delete(dub)
    assert client.dubs() == [] and not Path(job.run.consent).exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"consent": " "}, "who agreed"),
        ({"consent": 7}, "note of consent"),
        ({"preset": "/etc/passwd.yaml"}, "unknown preset"),
        ({"preset": "defualt"}, "did you mean 'default'"),
        ({"options": {"crf": 99}}, "crf is between 0 and 51, not 99"),
        ({"options": {"blend.textur": 1}}, "no option 'blend.textur'"),
        ({"options": {"without_provenance": True}}, "no option 'without_provenance'"),
        ({"options": {"watermark": False}}, "no option 'watermark'"),
        ({"options": {"sound": "/etc/passwd"}}, "no option 'sound'"),
        ({"options": {"playlists": True}}, "no option 'playlists'"),
        ({"options": {"restore.model": "os:system"}, "preset": "generated"}, "no option 'restore.model'"),
        ({"options": {"track.reference": "/etc/passwd"}}, "no option 'track.reference'"),
        ({"options": {"restore.strength": 1}}, "no stage 'restore'"),
        ({"options": [1]}, "mapping"),
        ({"format": ".exe"}, "not '.exe'"),
        ({"codec": "prores_4444"}, "holds h264, hevc here"),
        ({"speaker": "os:system"}, "who speaks"),
        ({"speaker": 3}, "there is no face 3"),
        ({"speech": "0" * 32}, "no such file"),
        ({"output": "/tmp/x.mp4"}, "has no 'output'"),
    ],
)
def test_what_cannot_be_made_is_refused_at_once(alone, uploads, changes, told):
    body = {"face": uploads[0]["id"], "speech": uploads[1]["id"], "consent": "Anna", **changes}
    status, found, _ = alone.ask("POST", "/api/dubs", body)
    assert status in (400, 404) and told in found["error"] and "\n" not in found["error"]
    assert alone.client().dubs() == []


def test_sound_is_no_face_and_silence_is_no_speech(alone, uploads, tmp_path):
    client = alone.client()
    with pytest.raises(StudioError, match="speech.wav is sound; the face is"):
        client.dub(uploads[1], uploads[1], consent="x")
    mute = client.upload(write_video(tmp_path / "mute.mp4", np.zeros((5, 64, 64, 3), np.uint8)))
    with pytest.raises(StudioError, match="mute.mp4 has no sound"):
        client.dub(uploads[0], mute, consent="x")
    with pytest.raises(StudioError, match="shows no face"):
        client.faces(uploads[1])


def test_a_note_of_consent_is_never_read_as_the_name_of_a_file(alone, uploads):
    from wav2lip_hq import jobs
    from wav2lip_hq.provenance import read_consent

    client = alone.client()
    dub = client.dub(*uploads, consent="/etc/passwd")
    job = next(j for j in jobs.read_jobs(alone.studio.dubs.jobfile("local")) if dub["id"] in j.name)
    assert read_consent(job.run.consent).text == "/etc/passwd"
    client.delete(dub)


def test_names_of_files_are_text_wherever_they_are_shown(alone, uploads, media):
    from urllib.parse import quote

    name = '<img src=x onerror=alert(1)> "a" & b.mp4'
    face = alone.ask("POST", f"/api/files?name={quote(name)}", (media / "face.mp4").read_bytes())[1]
    assert face["name"] == name
    client = alone.client()
    dub = client.dub(face, uploads[1], consent="Anna")
    page = alone.ask("GET", "/api/report")[1].decode()
    assert "<img src=x" not in page and "&lt;img src=x" in page
    assert str(alone.studio.database.folder) not in page
    where = alone.studio.dubs.database.home("local") / "files" / face["id"]
    alone.studio.dubs.failed("local", str(where.parents[1] / "results" / f"{dub['id']}.mp4"), f"no face in {where}.mp4")
    assert client.status(dub)["message"] == f"no face in {name}"
    client.delete(dub)
    client.delete_file(face)


def test_what_was_arriving_when_the_studio_ended_is_removed(tmp_path, media, monkeypatch):
    monkeypatch.setattr("wav2lip_hq.studio.queue.Queue.start", lambda self: None)
    with studio(tmp_path) as running:
        kept = running.client().upload(media / "speech.wav")
    files = tmp_path / "users" / "local" / "files"
    (files / f"{'0' * 32}.mp4").write_bytes(b"half a file")
    (files / f"{'0' * 32}.faces").mkdir()
    with studio(tmp_path) as running:
        assert [file["id"] for file in running.client().files()] == [kept["id"]]
        assert [path.name for path in files.iterdir()] == [f"{kept['id']}.wav"]


def test_a_line_that_cannot_be_used_any_more_fails_alone(tmp_path, media, monkeypatch):
    monkeypatch.setattr("wav2lip_hq.studio.queue.Queue.start", lambda self: None)
    with studio(tmp_path) as running:
        client, dubs = running.client(), running.studio.dubs
        face, speech = client.upload(media / "face.mp4"), client.upload(media / "speech.wav")
        first, second = (client.dub(face, speech, consent="Anna") for _ in range(2))
        text = dubs.jobfile("local").read_text().replace('"preset"', '"an option of old": 1, "preset"', 1)
        dubs.jobfile("local").write_text(text)
        assert second["id"] in dubs.next("local")
        assert client.status(first)["status"] == "failed" and client.status(second)["status"] == "pending"


def test_the_queue_has_an_end(shared, media):
    cleo = shared.client("cleo", "password of cleo")
    face, speech = cleo.upload(media / "face.mp4"), cleo.upload(media / "speech.wav")
    for _ in range(2):
        cleo.dub(face, speech, consent="cleo")
    with pytest.raises(StudioError, match="2 videos are waiting already"):
        cleo.dub(face, speech, consent="cleo")


def test_speech_takes_no_files_and_no_code(alone):
    for body, told in (
        ({"text": "hello", "speaker": "os:system"}, "unknown speaker"),
        ({"text": "hello", "speaker": "http"}, "unknown speaker"),
        ({"text": "hello", "speaker": "piper", "voice": "/tmp/x.onnx"}, "not a file"),
        ({"text": "hello", "language": "../en"}, "a language is a code"),
        ({"text": "  "}, "nothing to say"),
        ({"text": 7}, "text is text"),
        ({"text": "x" * 30_000}, "20000 are the most"),
    ):
        status, found, _ = alone.ask("POST", "/api/speech", body)
        assert status == 400 and told in found["error"], found


def test_options_are_those_of_the_command_line(alone):
    found = alone.client().options()
    assert found["presets"][0]["name"] == "default" and found["presets"][0]["missing"] == []
    extend = next(f for f in found["run"] if f["name"] == "extend")
    assert extend["choices"] == ["loop", "pingpong", "hold", "stop", "stretch"] and extend["default"] == "loop"
    names = {f"{s['name']}.{f['name']}" for p in found["presets"] for s in p["stages"] for f in s["fields"]}
    assert {"blend.texture", "articulate.expression", "restore.strength"} <= names
    assert not names & {"restore.model", "detect.model", "track.reference", "watermark.number"}
    for preset in found["presets"]:  # every default that is offered is accepted
        values = {f"{s['name']}.{f['name']}": f["default"] for s in preset["stages"] for f in s["fields"]}
        run = {f["name"]: f["default"] for f in found["run"] if f["default"] is not None}
        offers.checked(preset["name"], {**run, **values}, ".mp4", "")


# ---- avatars, texts


def test_avatars_are_kept_with_consent_and_used_by_their_owner_alone(shared, media):
    anna, ben = shared.client("anna", "password of anna"), shared.client("ben", "password of ben")
    face = anna.upload(media / "face.mp4")
    for name, note, told in (
        ("anna", " ", "who agreed"), ("../anna", "yes", "avatar's name"), ("anna/b", "yes", "avatar's name"),
    ):  # fmt: skip
        with pytest.raises(StudioError, match=told):
            anna.keep(name, face, note)
    kept = anna.keep("anna", face, "Anna Berg, 3 May")
    assert (kept["name"], kept["kind"], kept["said"]) == ("anna", "video", "Anna Berg, 3 May")
    with pytest.raises(StudioError, match="already") as refused:
        anna.keep("anna", face, "again")
    assert str(shared.studio.database.folder) not in str(refused.value)
    assert ben.avatars() == [] and anna.avatars() == [kept]
    for refusal in (lambda: ben.avatar("anna"), lambda: ben.delete_avatar("anna"), lambda: ben.keep("b", face, "yes")):
        with pytest.raises(StudioError, match="no such file|no avatar") as refused:
            refusal()
        assert refused.value.status == 404
    mine = {"Authorization": f"Bearer {anna._token}"}
    for path in ("..%2fdubs.jsonl", "..", "anna%2f..%2fanna"):
        assert shared.ask("GET", f"/api/avatars/{path}/poster", **mine)[0] == 404
    assert shared.ask("GET", "/api/avatars/anna/poster", **mine)[2]["content-type"] == "image/jpeg"
    file = anna.avatar("anna")
    assert file["kind"] == "video" and file["consent"] == "Anna Berg, 3 May"
    anna.delete_avatar("anna")
    assert anna.avatars() == []


def test_a_topic_becomes_a_text_to_correct(alone):
    assert len(alone.client().write("how bread is made", 10).split()) > 10
    for body, told in (({"topic": " "}, "what the text"), ({"topic": "x", "seconds": "long"}, "seconds is")):
        status, found, _ = alone.ask("POST", "/api/text", body)
        assert status == 400 and told in found["error"]


# ---- starting


@pytest.fixture
def start(capsys):
    def run(*args):
        code = main(["studio", *map(str, args)])
        return code, *capsys.readouterr()

    return run


def test_without_the_extra_it_says_what_to_install(tmp_path):
    code = (
        "import importlib.util as u, sys; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('starlette', 'uvicorn') else find(name, *a)\n"
        "from wav2lip_hq.cli import main; sys.exit(main(['studio']))"
    )
    root = str(Path(wav2lip_hq.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "pip install 'wav2lip-hq[studio]'" in done.stderr


def test_other_machines_need_accounts(start, tmp_path):
    code, _, told = start("--host", "0.0.0.0", "--port", 0, "--folder", tmp_path)
    assert code == 2 and "--share-with anna ben" in told and told.count("\n") == 1


def test_one_folder_is_opened_once_and_a_taken_port_is_one_line(start, alone, tmp_path):
    code, _, told = start("--folder", alone.studio.database.folder, "--port", 0)
    assert code == 4 and "is running already" in told and told.count("\n") == 1
    code, _, told = start("--folder", tmp_path, "--port", alone.port)
    assert code == 2 and "choose another --port" in told and told.count("\n") == 1
    code, _, told = start("--folder", tmp_path, "--certificate", "a.pem")
    assert code == 2 and "belong together" in told


def test_accounts_on_the_command_line(start, tmp_path, monkeypatch):
    people = Accounts(Database(tmp_path))
    token = people.login("anna", people.add("anna", "long enough"))
    assert start("--folder", tmp_path, "--accounts") == (0, "anna\n", "")
    monkeypatch.setattr("sys.stdin", io.StringIO("another one\n"))
    assert start("--folder", tmp_path, "--password", "anna")[0] == 0
    assert people.whose(token) is None and people.login("anna", "another one")
    code, _, told = start("--folder", tmp_path, "--remove-account", "ben")
    assert code == 2 and "no account 'ben'" in told
    assert start("--folder", tmp_path, "--remove-account", "anna")[0] == 0
    assert people.names() == []


def test_sharing_over_https_from_the_command_line(tmp_path, monkeypatch):
    certificate, key = _certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    root = str(Path(wav2lip_hq.__file__).parents[1])
    command = [
        *(sys.executable, "-W", "ignore", "-m", "wav2lip_hq.cli", "studio", "--share-with", "anna", "--port", "0"),
        *("--host", "127.0.0.1", "--folder", tmp_path / "studio", "--certificate", certificate, "--key", key),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root})
    try:
        assert process.stdout is not None
        password = re.fullmatch(r"account anna: password (\S+) \(shown this once\)\n", process.stdout.readline())[1]
        address = re.search(r"https://127\.0\.0\.1:\d+", process.stdout.readline())[0]
        assert "only their own files" in process.stdout.readline()
        with pytest.raises(StudioError, match="wrong name or password"):
            Client(address, "anna", "not it at all")
        client = Client(address, "anna", password)
        assert client.about()["account"] == "anna" and client.files() == []
        with pytest.raises(StudioError, match="log in first"):
            Client(address).files()
        request = urllib.request.Request(
            f"{address}/api/login", json.dumps({"name": "anna", "password": password}).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request) as answer:
            assert "Secure" in answer.headers["set-cookie"]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def _certificate(folder):
    """A certificate of this machine's own address, signed by itself."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "studio")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return folder / "cert.pem", folder / "key.pem"


def test_json_of_no_kind_is_refused(alone):
    for body, status in ((b"{", 400), (b"[]", 400), (b"[" * 100_000, 400), (b'"' + b"x" * (2 << 20) + b'"', 413)):
        assert alone.ask("POST", "/api/speech", body, Content_Type="application/json")[0] == status
    assert json.dumps(alone.client().about())


def test_a_damaged_database_is_named(tmp_path):
    (tmp_path / "studio.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(OutputError, match="studio.sqlite is damaged .* move it away: accounts and uploads start anew"):
        Database(tmp_path)
