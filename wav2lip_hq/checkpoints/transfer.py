"""Transfers: one file from one mirror, continued where the last attempt stopped."""

from __future__ import annotations

import http.client
import http.cookiejar
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import OutputError, Wav2LipHQError
from .catalog import Variant
from .files import sha256
from .hostpage import NoDownload, behind

BLOCK = 1 << 18
TIMEOUT = 30.0  # seconds without a byte before a connection counts as stalled
ATTEMPTS = 4  # per mirror; each resumes where the last one stopped
LARGEST = 4 << 30  # bytes: largest download; files in the registry are much smaller
Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if known


class Retry(Exception):
    """This attempt failed; the bytes received so far are kept."""


class Unusable(Exception):
    """The bytes received so far are unusable; the next attempt starts from zero."""


class Dead(Exception):
    """This mirror will not give the file."""


def download(
    url: str,
    part: Path,
    variant: Variant,
    timeout: float,
    pause: float,
    progress: Progress | None,
    say: Callable[[str], None],
) -> str:
    """Complete ``part`` from one mirror; returns its SHA-256. Raises Dead when the mirror cannot provide the file."""
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
            raise Unusable(f"wrong content (SHA-256 {digest}, expected {variant.sha256})")
        except Unusable as error:
            truncate(part)
            reason = str(error)
            if unusable:  # the second time it is the mirror, not the connection
                break
            unusable = True
        except Retry as error:
            reason = str(error)
        except Wav2LipHQError:
            raise
        except (OSError, http.client.HTTPException) as error:
            reason = f"the connection broke ({error or 'stalled'})"
        except ValueError as error:  # malformed numbers or addresses, from the server or the registry
            raise Dead(f"not a usable address or answer ({error})") from error
        say(f"{url}: {reason}; trying again")
    raise Dead(reason)


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
        truncate(part)
    have = part.stat().st_size if part.exists() else 0
    if variant.size is not None and have > variant.size:
        raise Unusable("more bytes than the file has")
    if variant.size is not None and have == variant.size:
        return
    response = _open(opener, url, have, timeout)
    with response:
        if _is_page(response):
            try:
                url, data = behind(response.read(1 << 20), response.url)
            except NoDownload as error:
                raise Dead(str(error)) from error
            response.close()
            response = _open(opener, f"{url}?{data}" if data else url, have, timeout)
            if _is_page(response):
                response.close()
                raise Dead("the server answers with a web page, not the file")
        with response:
            total = _total(response, have, part)
            if response.status == 206:
                start = have
            else:  # the server does not continue downloads: start again
                start = 0
                truncate(part)
            if variant.size is not None and total is not None and total != variant.size:
                raise Dead(f"has a file of another size ({total} bytes, expected {variant.size})")
            _copy(response, part, start, total or variant.size, variant.size, progress)


def _open(opener: urllib.request.OpenerDirector, url: str, have: int, timeout: float) -> Any:
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise Dead(f"not a usable address ({error})") from error
    if scheme not in ("http", "https"):
        raise Dead(f"not a web address ({scheme or 'no scheme'})")
    headers = {"User-Agent": "wav2lip-hq", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing beyond what we have: complete, or of another file; the hash will tell
            raise Unusable("the part downloaded before is not a part of this file") from error
        if error.code in (408, 425, 429) or error.code >= 500:
            raise Retry(f"the server answers {error.code} {error.reason}") from error
        raise Dead(f"the server answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        raise Retry(f"no connection ({getattr(error, 'reason', None) or error})") from error
    except ValueError as error:
        raise Dead(f"not a usable address ({error})") from error


def _total(response: Any, have: int, part: Path) -> int | None:
    """Size of the whole file according to the server."""
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != have:
            raise Unusable("the server continued at another place than asked")
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
                    raise Retry(f"the connection broke after {done} bytes ({error or 'stalled'})") from error
                if not block:
                    break
                done += len(block)
                if done > (expected or LARGEST):
                    raise Unusable("the server sends more than the file has")
                out.write(block)
                if progress is not None:
                    progress(done, total)
    except (Retry, Unusable):
        raise
    except OSError as error:
        raise OutputError(f"cannot write {part}: {error.strerror or error}") from error
    if total is not None and done < total:
        raise Retry(f"the connection ended after {done} of {total} bytes")


def truncate(part: Path) -> None:
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
            raise Dead(f"redirects to an address that is not safe ({new})")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
