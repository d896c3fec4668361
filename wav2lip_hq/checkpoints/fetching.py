"""Getting checkpoints: resumable, mirrored, verified downloads."""

from __future__ import annotations

import http.client
import http.cookiejar
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from ..errors import CheckpointError, OptionError, OutputError, Wav2LipHQError
from ..models import ARCHS
from .catalog import EMBEDDED, Entry, Notes, Registry, Variant, cache_dir, locate, registry
from .files import load_state, sha256
from .loading import check_hash, describe, missing

BLOCK = 1 << 18
TIMEOUT = 30.0  # seconds without a byte before a connection counts as stalled
ATTEMPTS = 4  # per mirror; each resumes where the last one stopped
LARGEST = 4 << 30  # bytes; nothing in the registry comes near

Accept = bool | Callable[[Entry], bool]
Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if known


class _Retry(Exception):
    """This attempt failed; the bytes received so far are kept."""


class _Unusable(Exception):
    """The bytes received so far are unusable; the next attempt starts from zero."""


class _Dead(Exception):
    """This mirror will not give the file."""


@dataclass(frozen=True)
class Check:
    """What verify found. state: "ok" | "trusted" | "unverified" | "damaged" | "missing"."""

    name: str
    path: Path | None
    state: str
    sha256: str = ""
    detail: str = ""


def license_text(entry: Entry) -> str:
    """What a user has to know before accepting, as a few lines."""
    use = {
        "yes": "allowed",
        "no": "NOT allowed",
    }.get(entry.commercial, "unclear: ask the authors before using it commercially")
    return (
        f"{entry.title} ({entry.name})\n"
        f"  license: {entry.license}\n  stated by: {entry.license_origin}\n  commercial use: {use}"
    )


def fetch(
    name: str,
    *,
    accept: Accept = False,
    progress: Progress | None = None,
    directory: Path | None = None,
    force: bool = False,
    catalog: Registry | None = None,
    timeout: float = TIMEOUT,
    pause: float = 1.0,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Download a checkpoint into the cache (or ``directory``) unless it is installed already; returns its path.

    Embedded weights are part of the installation and are never downloaded.

    accept: True, or a function shown the entry that returns whether the user accepts its license; asked once for each
    license. A broken download of a file with a known hash is kept as FILE.part and continued by the next call.
    ``pause`` seconds (doubling) pass between attempts at one mirror. ``say`` gets one-line remarks. Raises OptionError
    (unknown name, license not accepted), CheckpointError (no mirror gave the right file), OutputError (cannot write,
    disk full).
    """
    catalog = catalog or registry()
    say = say or (lambda text: None)
    if name in EMBEDDED and catalog.get(name) is None:  # part of the installation: there is nothing to download
        if (present := locate(name)) is None:
            raise missing(name)
        return present
    entry = catalog.require(name)
    folder = directory or cache_dir()
    present = folder / entry.file if directory else locate(entry.name) or folder / entry.file
    if present.is_file() and not force:
        digest = sha256(present)
        try:
            check_hash(entry, present, digest)
            return present
        except CheckpointError as error:
            say(str(error))
    if not entry.fetchable:
        note = f" {entry.note}" if entry.note else ""
        raise CheckpointError(
            f"no download address is known for '{entry.name}'.{note} If you have the file:\n"
            f"    wav2lip-hq checkpoints import {entry.file} --name {entry.name}"
        )
    agree(entry, accept)

    target = folder / entry.file
    problems: list[str] = []
    for variant in entry.variants:
        for url in variant.urls:
            address = _address(url, catalog)
            try:
                with _part(folder, entry, variant) as part:
                    digest = _download(address, part, variant, timeout, pause, progress, say)
                    _check_content(entry, variant, part, digest)
                    if not variant.sha256:
                        try:
                            first_use(entry, digest, say)
                        except CheckpointError:
                            _truncate(part)  # complete, and not what it should be
                            raise
                    os.replace(part, target)
                    return target
            except _Dead as error:
                problems.append(f"{address}: {error}")
                say(problems[-1])
    raise CheckpointError(
        f"'{entry.name}' could not be downloaded:\n  "
        + "\n  ".join(problems)
        + f"\nIf you get the file another way: wav2lip-hq checkpoints import {entry.file} --name {entry.name}"
    )


def agree(entry: Entry, accept: Accept) -> None:
    """Make sure the license is accepted, now or earlier; raises OptionError if it is not."""
    notes = Notes()
    if notes.accepted(entry):
        return
    if not (accept(entry) if callable(accept) else accept):
        raise OptionError(
            f"the license was not accepted, nothing was downloaded:\n{license_text(entry)}\n"
            f"To accept it: wav2lip-hq checkpoints fetch {entry.name} --accept"
        )
    notes.accept(entry)


def verify(name: str | None = None, *, catalog: Registry | None = None) -> list[Check]:
    """Compare installed files with the known hashes: one checkpoint (OptionError if unknown), or all of them."""
    catalog = catalog or registry()
    return [_verify(entry) for entry in ([catalog.require(name)] if name else catalog)]


def _verify(entry: Entry) -> Check:
    path = locate(entry.name)
    if path is None:
        return Check(entry.name, None, "missing")
    digest = sha256(path)
    for variant in entry.variants:
        if variant.matches(digest):
            return Check(entry.name, path, "ok", digest, f"hash from {variant.hash_origin or 'the registry'}")
    trusted = Notes().trusted(entry.name)
    if trusted == digest:
        return Check(entry.name, path, "trusted", digest, "as first installed; no published hash is known")
    try:
        check_hash(entry, path, digest)
    except CheckpointError as error:
        return Check(entry.name, path, "damaged", digest, str(error))
    return Check(entry.name, path, "unverified", digest, "no published hash is known for this file")


def first_use(entry: Entry, digest: str, say: Callable[[str], None], replace: bool = False) -> None:
    """Record the hash of a file without a published one, or compare it with the one recorded before."""
    notes = Notes()
    before = notes.trusted(entry.name)
    if before and before != digest and not replace:
        raise CheckpointError(
            f"'{entry.name}': the file differs from the one first installed here (SHA-256 {digest}, before {before}). "
            "If that is intended, import it by hand"
        )
    notes.trust(entry.name, digest)
    say(
        f"No published SHA-256 is known for '{entry.name}'. Its hash {digest} is trusted because it came first; it was "
        "not compared with anything."
    )


def _check_content(entry: Entry, variant: Variant, part: Path, digest: str) -> None:
    """Refuse a file without a full published hash that is not the right kind of network."""
    if len(variant.sha256) == 64:
        return
    try:
        check_arch(entry, part)
    except CheckpointError as error:
        part.unlink(missing_ok=True)
        raise _Dead(f"gave something else ({error})") from error


def check_arch(entry: Entry, path: Path, arch: str | None = None) -> None:
    """Raise CheckpointError if a file is not the kind of network its entry (or ``arch``) says."""
    if entry.arch is not None and entry.arch in ARCHS:
        state, metadata = load_state(path)
        describe(path, state, metadata, arch or entry.arch)


@contextmanager
def _part(folder: Path, entry: Entry, variant: Variant) -> Iterator[Path]:
    """FILE.part, held by one process at a time; a part of another version of the file is thrown away."""
    part = folder / f"{entry.file}.part"
    origin = folder / f"{entry.file}.part.json"
    identity = {"sha256": variant.sha256, "urls": [] if len(variant.sha256) == 64 else list(variant.urls)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            before = json.loads(origin.read_text(encoding="utf-8")) if origin.is_file() else None
        except (ValueError, RecursionError):
            before = None
        if before != identity:
            part.unlink(missing_ok=True)
        origin.write_text(json.dumps(identity), encoding="utf-8")
        stream = open(part, "ab")  # noqa: SIM115 - held open for its lock
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write to {folder}: {error}") from error
    try:
        _lock(stream, part)
        yield part
        origin.unlink(missing_ok=True)
    finally:
        stream.close()
        if part.is_file() and part.stat().st_size == 0:
            part.unlink(missing_ok=True)
            origin.unlink(missing_ok=True)


def _lock(stream: Any, part: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: two downloads of one file at once end in a wrong hash, not in a wrong file
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise CheckpointError(f"{part}: another download of this file is running") from error


def _address(url: str, catalog: Registry) -> str:
    if url.startswith("gdrive:"):
        return catalog.drive.replace("{id}", quote(url.removeprefix("gdrive:"), safe=""))
    return url


def _download(
    url: str,
    part: Path,
    variant: Variant,
    timeout: float,
    pause: float,
    progress: Progress | None,
    say: Callable[[str], None],
) -> str:
    """Bring ``part`` to completeness from one mirror; returns its SHA-256. Raises _Dead when the mirror is no use."""
    opener = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()), _HttpOnlyRedirects()
    )
    unusable = False
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(min(pause * 2 ** (attempt - 1), 30.0))
        try:
            _transfer(opener, url, part, variant, timeout, progress)
            digest = sha256(part)
            if not variant.sha256 or variant.matches(digest):
                return digest
            raise _Unusable(f"wrong content (SHA-256 {digest}, expected {variant.sha256})")
        except _Unusable as error:
            _truncate(part)
            reason = str(error)
            if unusable:  # the second time it is the mirror, not the connection
                break
            unusable = True
        except _Retry as error:
            reason = str(error)
        except Wav2LipHQError:
            raise
        except (OSError, http.client.HTTPException) as error:
            reason = f"the connection broke ({error or 'stalled'})"
        except ValueError as error:  # numbers and addresses that are none, the server's or the registry's
            raise _Dead(f"not a usable address or answer ({error})") from error
        say(f"{url}: {reason}; trying again")
    raise _Dead(reason)


def _transfer(
    opener: urllib.request.OpenerDirector,
    url: str,
    part: Path,
    variant: Variant,
    timeout: float,
    progress: Progress | None,
) -> None:
    """One connection: append what is missing to ``part``."""
    if not variant.sha256:  # without a hash, a file joined from two versions would go unnoticed
        _truncate(part)
    have = part.stat().st_size if part.exists() else 0
    if variant.size is not None and have > variant.size:
        raise _Unusable("more bytes than the file has")
    if variant.size is not None and have == variant.size:
        return
    response = _open(opener, url, have, timeout)
    with response:
        if _is_page(response):
            url, data = _confirmation(response.read(1 << 20), response.url)
            response.close()
            response = _open(opener, f"{url}?{data}" if data else url, have, timeout)
            if _is_page(response):
                response.close()
                raise _Dead("the server answers with a web page, not the file")
        with response:
            total = _total(response, have, part)
            if response.status == 206:
                start = have
            else:  # the server does not continue downloads: start again
                start = 0
                _truncate(part)
            if variant.size is not None and total is not None and total != variant.size:
                raise _Dead(f"has a file of another size ({total} bytes, expected {variant.size})")
            _copy(response, part, start, total or variant.size, variant.size, progress)


def _open(opener: urllib.request.OpenerDirector, url: str, have: int, timeout: float) -> Any:
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise _Dead(f"not a usable address ({error})") from error
    if scheme not in ("http", "https"):
        raise _Dead(f"not a web address ({scheme or 'no scheme'})")
    headers = {"User-Agent": "wav2lip-hq", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing beyond what we have: complete, or of another file; the hash will tell
            raise _Unusable("the part downloaded before is not a part of this file") from error
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _Retry(f"the server answers {error.code} {error.reason}") from error
        raise _Dead(f"the server answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        raise _Retry(f"no connection ({getattr(error, 'reason', None) or error})") from error
    except ValueError as error:
        raise _Dead(f"not a usable address ({error})") from error


def _total(response: Any, have: int, part: Path) -> int | None:
    """Size of the whole file according to the server."""
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != have:
            raise _Unusable("the server continued at another place than asked")
        return None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _copy(
    response: Any, part: Path, start: int, total: int | None, expected: int | None, progress: Progress | None
) -> None:
    if total is not None:
        free = shutil.disk_usage(part.parent).free
        if total - start > free:
            raise OutputError(f"cannot write {part}: it needs {total - start} bytes, {free} are free")
    done = start
    try:
        with open(part, "r+b" if part.exists() else "wb") as out:
            out.seek(start)
            while True:
                try:
                    block = response.read1(BLOCK)  # what has come so far, so that a stall costs nothing
                except (TimeoutError, OSError, http.client.HTTPException) as error:
                    if isinstance(error, http.client.IncompleteRead) and error.partial:
                        out.write(error.partial)
                    raise _Retry(f"the connection broke after {done} bytes ({error or 'stalled'})") from error
                if not block:
                    break
                done += len(block)
                if done > (expected or LARGEST):
                    raise _Unusable("the server sends more than the file has")
                out.write(block)
                if progress is not None:
                    progress(done, total)
    except (_Retry, _Unusable):
        raise
    except OSError as error:
        raise OutputError(f"cannot write {part}: {error.strerror or error}") from error
    if total is not None and done < total:
        raise _Retry(f"the connection ended after {done} of {total} bytes")


def _truncate(part: Path) -> None:
    with open(part, "wb"):
        pass


def _is_page(response: Any) -> bool:
    return str(response.headers.get_content_type()) == "text/html"


class _HttpOnlyRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to web addresses, and never from an encrypted connection to an open one."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in ("http", "https") or (old == "https" and new != "https"):
            raise _Dead(f"redirects to an address that is not safe ({new})")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Form(HTMLParser):
    """The first form of a page: its action and hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {k: v or "" for k, v in attrs}
        if tag == "form" and self.action is None:
            self.action, self._inside = values.get("action", ""), True
        elif tag == "input" and self._inside and values.get("type") == "hidden":
            self.fields[values.get("name", "")] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


def _confirmation(page: bytes, base: str) -> tuple[str, str]:
    """(address, query) behind the "too large to scan for viruses" page of a file host. Raises _Dead for other pages."""
    text = page.decode("utf-8", "replace")
    form = _Form()
    form.feed(text)
    if form.action is None or "confirm" not in form.fields:
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.I | re.S)
        said = f': "{unescape(title[1]).strip()[:80]}"' if title else ""
        quota = "; its download quota is used up for now" if "quota" in text.lower() else ""
        raise _Dead(f"the server answers with a web page{said}, not the file{quota}")
    return urljoin(base, form.action), urlencode(form.fields)
