"""Getting weights: downloads from a bad server, mirrors, licenses, import of local files."""

from __future__ import annotations

import argparse
import hashlib
import http.server
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from containers import write_bare
from torch import nn

from wav2lip_hq import checkpoints, models
from wav2lip_hq.checkpoints import Entry, Notes, Registry, Variant, fetching, transfer
from wav2lip_hq.errors import CheckpointError, OptionError, OutputError

Shared = Callable[[str], Path]
pytestmark = pytest.mark.usefixtures("own_folder")


BODY = np.random.default_rng(0).bytes(300_000)
DIGEST = hashlib.sha256(BODY).hexdigest()


class Server:
    """A web server whose behavior on each request is the next item of ``script`` (the last one repeats)."""

    def __init__(self) -> None:
        self.script: list[str] = ["ok"]
        self.requests: list[tuple[str, str | None]] = []
        self.body = BODY
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                outer.requests.append((self.path, self.headers.get("Range")))
                step = outer.script.pop(0) if len(outer.script) > 1 else outer.script[0]
                self.close_connection = True
                getattr(self, f"do_{step}")()

            def send(self, body: bytes, start: int = 0, stop: int | None = None, kind: str = "a/b") -> None:
                """Announce everything from ``start``, send up to ``stop``."""
                self.send_response(206 if start else 200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body) - start))
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                self.end_headers()
                self.wfile.write(body[start:stop])
                self.wfile.flush()

            def start(self) -> int:
                match = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
                return int(match[1]) if match else 0

            def do_ok(self) -> None:
                if self.start() >= len(outer.body):
                    self.send_error(416)
                else:
                    self.send(outer.body, self.start())

            def do_truncate(self) -> None:
                self.send(outer.body, self.start(), max(self.start(), 100_000))

            def do_stall(self) -> None:
                self.send(outer.body, self.start(), self.start() + 50_000)
                time.sleep(1.0)

            def do_corrupt(self) -> None:
                self.send(bytes(len(outer.body)))

            def do_ignore_range(self) -> None:
                self.send(outer.body)

            def do_wrong_range(self) -> None:
                self.send_response(206)
                self.send_header("Content-Range", f"bytes 5-{len(outer.body) - 1}/{len(outer.body)}")
                self.send_header("Content-Length", str(len(outer.body) - 5))
                self.end_headers()
                self.wfile.write(outer.body[5:])

            def do_endless(self) -> None:
                self.send_response(200)
                self.end_headers()
                for _ in range(20):
                    self.wfile.write(outer.body)

            def redirect(self, where: str) -> None:
                self.send_response(302)
                self.send_header("Location", where)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_redirect(self) -> None:
                self.redirect("/moved/file.pth")

            def do_loop(self) -> None:
                self.redirect(self.path)

            def do_leave_the_web(self) -> None:
                self.redirect("file:///etc/passwd")

            def do_page(self) -> None:
                self.send(b"<html><title>Quota exceeded</title>quota</html>", kind="text/html")

            def do_confirm(self) -> None:
                if "confirm=t" in self.path:
                    return self.do_ok()
                page = (
                    f'<html><form action="/download?" method="get"><input type="hidden" name="id" value="abc">'
                    f'<input type="hidden" name="confirm" value="t"><input type="submit" value="{self.path}"></form>'
                )
                self.send(page.encode(), kind="text/html; charset=utf-8")

            def do_busy(self) -> None:
                self.send_error(503)

            def do_gone(self) -> None:
                self.send_error(404)

            def do_drop(self) -> None:
                self.connection.shutdown(socket.SHUT_RDWR)

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.handle_error = lambda *a: None  # type: ignore[method-assign]
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def url(self, path: str = "/file.pth") -> str:
        return f"http://127.0.0.1:{self.httpd.server_address[1]}{path}"

    def close(self) -> None:
        self.httpd.shutdown()
        self.httpd.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(transfer, "BLOCK", 1 << 14)
    made = Server()
    yield made
    made.close()


def catalog(*variants: Variant, arch: str | None = None, drive: str = "") -> Registry:
    entry = Entry("thing", "A thing", "thing.pth", arch, "Some license 1.0", "its README", "no", variants)
    return Registry({"thing": entry}, drive)


def get(*variants: Variant, arch: str | None = None, drive: str = "", **options: Any) -> Path:
    return checkpoints.fetch(
        "thing",
        catalog=catalog(*variants, arch=arch, drive=drive),
        **{"accept": True, "pause": 0.0, "timeout": 0.4, **options},
    )


def left_over(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} - {"notes.json"}


@pytest.mark.parametrize(
    "script",
    [
        ["ok"],
        ["truncate", "ok"],
        ["truncate", "truncate", "ignore_range"],
        ["stall", "stall", "ok"],
        ["corrupt", "ok"],
        ["truncate", "corrupt", "ok"],
        ["truncate", "wrong_range", "ok"],
        ["redirect", "ok"],
        ["redirect", "truncate", "redirect", "ok"],
        ["busy", "drop", "ok"],
        ["endless", "ok"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("size", [len(BODY), None], ids=["size known", "size unknown"])
def test_fetch_survives_a_bad_server(
    script: list[str], size: int | None, server: Server, own_folder: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(transfer, "LARGEST", 1_000_000)
    server.script = list(script)
    seen: list[tuple[int, int | None]] = []
    path = get(Variant((server.url(),), size, DIGEST), progress=lambda done, total: seen.append((done, total)))
    assert path == own_folder / "thing.pth" and path.read_bytes() == BODY
    assert left_over(own_folder) == {"thing.pth"}
    assert seen[-1] == (len(BODY), len(BODY))


def test_resume_asks_only_for_the_rest(server: Server, own_folder: Path) -> None:
    server.script = ["truncate"]
    variant = Variant((server.url(),), len(BODY), DIGEST)
    with pytest.raises(CheckpointError, match="ended after 100000 of 300000|broke after 100000"):
        get(variant)
    assert (own_folder / "thing.pth.part").stat().st_size == 100_000  # kept for the next call
    assert not (own_folder / "thing.pth").exists()
    server.script, server.requests = ["ok"], []
    assert get(variant).read_bytes() == BODY
    assert server.requests == [("/file.pth", "bytes=100000-")]


def test_what_a_stalled_server_sent_is_kept(server: Server, own_folder: Path) -> None:
    """Each attempt continues where the last one stalled, whatever the block size."""
    server.script = ["stall", "stall", "stall", "ok"]
    assert get(Variant((server.url(),), len(BODY), DIGEST), timeout=0.3).read_bytes() == BODY
    assert [r[1] for r in server.requests] == [None, "bytes=50000-", "bytes=100000-", "bytes=150000-"]


@pytest.mark.parametrize("file", ["../../../x.pth", "/etc/x.pth", "a/b.pth", "..", "", ".hidden", "a\0b", "a" * 300])
def test_no_registry_leads_out_of_the_cache(file: str) -> None:
    with pytest.raises(CheckpointError, match="not a plain file name"):
        Entry("thing", "A thing", file, None, "l", "o", "no", ())
    with pytest.raises(CheckpointError, match="not a plain file name"):
        Entry("thing", "A thing", "thing.pth", None, "l", "o", "no", (), other_files=(file,))


@pytest.mark.parametrize(
    "text",
    [
        "", "5", "checkpoints: 5", "checkpoints: {a: 5}", "checkpoints: {a: {variants: 3}}", "checkpoints: !!int x",
        "checkpoints: {a: {variants: [{urls: 5}], title: 1, file: a.pth, arch: null, license: 1, license_origin: 1}}",
        "checkpoints: {a: {variants: [{size: big}], title: 1, file: a.pth, arch: null, license: 1, license_origin: 1}}",
        "[" * 5000,
    ],
)  # fmt: skip
def test_a_registry_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "registry.yaml").write_text(text)
    with pytest.raises(CheckpointError, match="registry.yaml"):
        Registry.read(tmp_path / "registry.yaml")


@pytest.mark.parametrize("text", ["[]", "5", '{"accepted": 5, "trusted": []}', "[" * 100_000, '{"accepted', "\ud800"])
def test_damaged_notes_are_ignored(text: str, server: Server, own_folder: Path) -> None:
    own_folder.mkdir()
    (own_folder / "notes.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    variant = Variant((server.url(),), len(BODY), DIGEST)
    with pytest.raises(OptionError, match="license was not accepted"):
        get(variant, accept=False)
    assert get(variant).read_bytes() == BODY
    assert Notes().accepted(catalog(variant).require("thing"))


@pytest.mark.parametrize(
    "url",
    ["", "http://", "http://[", "http://a b/c", "https://\n", "//x", "http://x:port/", "gdrive:../../x", "ftp://x/y"],
)
def test_addresses_that_are_none(url: str, own_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="could not be downloaded"):
        get(Variant((url,), None, DIGEST), drive="http://[{id}")
    assert left_over(own_folder) == set()


def test_part_of_another_version_is_not_continued(server: Server, own_folder: Path) -> None:
    server.script = ["truncate"]
    with pytest.raises(CheckpointError):
        get(Variant((server.url(),), None, "0" * 64))
    server.script, server.requests = ["ok"], []
    assert get(Variant((server.url(),), len(BODY), DIGEST)).read_bytes() == BODY
    assert server.requests[0][1] is None


def test_without_a_hash_nothing_is_continued(server: Server, own_folder: Path) -> None:
    server.script = ["truncate", "ok"]
    assert get(Variant((server.url(),))).read_bytes() == BODY
    assert [r[1] for r in server.requests] == [None, None]  # two versions joined in the middle would go unnoticed


@pytest.mark.parametrize("first", ["gone", "corrupt", "page", "busy", "loop", "leave_the_web", "stall"])
def test_the_next_mirror_is_tried(first: str, server: Server, own_folder: Path) -> None:
    bad = Server()
    bad.script = [first]
    try:
        variant = Variant((bad.url(), server.url()), len(BODY), DIGEST)
        assert get(variant, timeout=0.2).read_bytes() == BODY
    finally:
        bad.close()
    assert left_over(own_folder) == {"thing.pth"}


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("corrupt", "wrong content"),
        ("gone", "404"),
        ("busy", "503"),
        ("page", "Quota exceeded"),
        ("leave_the_web", "not allowed"),
        ("endless", "more than the file has"),
    ],
)
def test_failure_says_why_and_installs_nothing(script: str, message: str, server: Server, own_folder: Path) -> None:
    server.script = [script]
    with pytest.raises(CheckpointError, match=message) as caught:
        get(Variant((server.url(),), len(BODY), DIGEST))
    assert server.url() in str(caught.value) and "checkpoints import thing.pth --name thing" in str(caught.value)
    assert left_over(own_folder) == set()


def test_wrong_size_is_noticed_before_the_download(server: Server, own_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="another size"):
        get(Variant((server.url(),), 12345, DIGEST))
    assert len(server.requests) == 1


def test_only_web_addresses(own_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(BODY)
    with pytest.raises(CheckpointError, match="not a web address"):
        get(Variant(((tmp_path / "secret").as_uri(),), None, DIGEST))
    assert left_over(own_folder) == set()


def test_redirect_from_encrypted_to_open_is_not_followed() -> None:
    handler = transfer._HttpOnlyRedirects()
    request = urllib.request.Request("https://one.invalid/x")
    with pytest.raises(transfer.Dead, match="not safe"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://two.invalid/x")
    assert handler.redirect_request(request, None, 302, "Found", {}, "https://two.invalid/x") is not None


def test_unreachable_host(own_folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(CheckpointError, match="no connection"):
        get(Variant((f"http://127.0.0.1:{port}/x",), None, DIGEST))


def test_drive_link_with_confirmation_page(server: Server, own_folder: Path) -> None:
    server.script = ["confirm"]
    path = get(Variant(("gdrive:abc",), len(BODY), DIGEST), drive=server.url("/uc?id={id}"))
    assert path.read_bytes() == BODY
    assert [r[0] for r in server.requests] == ["/uc?id=abc", "/download?id=abc&confirm=t"]


def test_license_is_shown_and_accepted_once(server: Server, own_folder: Path) -> None:
    variant = Variant((server.url(),), len(BODY), DIGEST)
    with pytest.raises(OptionError, match="(?s)Some license 1.0.*commercial use: NOT allowed.*--accept"):
        get(variant, accept=False)
    shown: list[str] = []

    def ask(entry: Entry) -> bool:
        shown.append(entry.license)
        return len(shown) > 1

    with pytest.raises(OptionError):
        get(variant, accept=ask)
    assert server.requests == []  # no license, no download
    path = get(variant, accept=ask)
    path.unlink()
    get(variant, accept=False)  # asked once, remembered
    assert shown == ["Some license 1.0"] * 2
    server.requests.clear()
    get(variant, accept=False)  # installed: nothing to fetch
    assert server.requests == []


def test_installed_but_damaged_is_fetched_anew(server: Server, own_folder: Path) -> None:
    own_folder.mkdir()
    (own_folder / "thing.pth").write_bytes(b"rotten")
    said: list[str] = []
    path = get(Variant((server.url(),), len(BODY), DIGEST), directory=own_folder, say=said.append)
    assert path.read_bytes() == BODY and "damaged" in said[0]


def test_trust_on_first_use(server: Server, own_folder: Path, generator: nn.Module, tmp_path: Path) -> None:
    """Without a published hash: the right kind of network is required, its hash is recorded and held to."""
    variant = Variant((server.url(),))
    with pytest.raises(CheckpointError, match="gave something else"):
        get(variant, arch="wav2lip")  # random bytes are not a generator
    checkpoints.save(tmp_path / "g", generator, "wav2lip", {"width": 0.25})
    server.body = (tmp_path / "g").read_bytes()
    said: list[str] = []
    path = get(variant, arch="wav2lip", say=said.append)
    assert "trusted because it came first" in said[-1] and hashlib.sha256(server.body).hexdigest() in said[-1]
    (check,) = checkpoints.verify("thing", catalog=catalog(variant))
    assert check.state == "trusted" and check.path == path
    path.unlink()
    state = {k: v + 1 for k, v in generator.state_dict().items()}
    checkpoints.save(tmp_path / "h", state, "wav2lip", {"width": 0.25})
    server.body = (tmp_path / "h").read_bytes()
    with pytest.raises(CheckpointError, match="differs from the one first installed"):
        get(variant, arch="wav2lip")
    assert left_over(own_folder) == set()  # complete, but not to be continued or mistaken for the file


def test_two_downloads_of_one_file_do_not_mix(server: Server, own_folder: Path) -> None:
    pytest.importorskip("fcntl")
    own_folder.mkdir()
    variant = Variant((server.url(),), len(BODY), DIGEST)
    entry = catalog(variant).require("thing")
    with fetching._part(own_folder, entry, variant):
        with pytest.raises(CheckpointError, match="another download"):
            get(variant)


def test_full_disk_and_unwritable_folder(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variant = Variant((server.url(),), len(BODY), DIGEST)
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda p: argparse.Namespace(free=1000))
    with pytest.raises(OutputError, match="300000 bytes, 1000 are free"):
        get(variant)
    (tmp_path / "a file").touch()
    with pytest.raises(OutputError, match="a file"):
        get(variant, directory=tmp_path / "a file" / "sub")


# ---------------------------------------------------------------------------------------------------- import


def test_import(own_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "whatever I called it.pth"
    source.write_bytes(BODY)
    listed = catalog(Variant((), len(BODY), DIGEST))
    entry, path = checkpoints.import_file(source, catalog=listed)  # recognized by its hash
    assert entry.name == "thing" and path == own_folder / "thing.pth" and path.read_bytes() == BODY
    assert source.exists()
    source.write_bytes(BODY + b"x")
    with pytest.raises(OptionError, match="--name"):
        checkpoints.import_file(source, catalog=listed)
    with pytest.raises(CheckpointError, match="not the published 'thing'"):
        checkpoints.import_file(source, "thing", catalog=listed)
    with pytest.raises(CheckpointError, match="no such file"):
        checkpoints.import_file(tmp_path / "nothing", "thing", catalog=listed)
    with pytest.raises(OptionError, match="did you mean thing"):
        checkpoints.import_file(source, "thng", catalog=listed)
    assert path.read_bytes() == BODY


def test_import_checks_the_kind_of_network(generator: nn.Module, own_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "esrgan_yunying.pth"
    write_bare(generator, source)
    with pytest.raises(CheckpointError, match="this is a Wav2Lip generator, expected a RRDBNet"):
        checkpoints.import_file(source)
    torch.save({"params": models.build("rrdbnet", num_feat=8, num_block=1).state_dict()}, source)
    said: list[str] = []
    entry, path = checkpoints.import_file(source, say=said.append)
    assert entry.name == "esrgan_hq" and Notes().trusted("esrgan_hq") and "trusted" in said[0]
    assert checkpoints.load("esrgan_yunying").name == "esrgan_hq"
    assert checkpoints.verify("esrgan_hq")[0].state == "trusted"
    # The file is replaced while it is being imported:
    torch.save({"params": models.build("rrdbnet", num_feat=8, num_block=2).state_dict()}, path)
    with pytest.raises(CheckpointError, match="not the published 'esrgan_hq', or damaged"):
        checkpoints.load("esrgan_hq")


def test_import_names_another_known_file(tmp_path: Path) -> None:
    source = tmp_path / "x.pth"
    source.write_bytes(BODY)
    first = Entry("first", "The first", "first.pth", None, "l", "o", "no", (Variant((), None, DIGEST),))
    other = Entry("other", "The other", "other.pth", None, "l", "o", "no", (Variant((), None, "0" * 64),))
    with pytest.raises(CheckpointError, match=r"this is 'first' \(The first\), not 'other'"):
        checkpoints.import_file(source, "other", catalog=Registry({"first": first, "other": other}))
