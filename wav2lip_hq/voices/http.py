"""Requests to a server that the user configured: limited in time and size, no redirects, errors in one line.

Nothing is sent anywhere unless an address is given in the environment and the engine ``http`` is asked for by name.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import EngineError

LARGEST = 64 << 20  # bytes of an answer
TIMEOUT = 120.0  # seconds of a whole request
TRIES = 3
AGAIN = {429, 500, 502, 503, 504}
LOCAL = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Server:
    """Where an engine's requests go: WAV2LIP_HQ_<KIND>_URL, _MODEL, _KEY, _TIMEOUT in the environment."""

    kind: str
    url: str
    model: str = ""
    key: str = ""
    timeout: float = TIMEOUT

    @staticmethod
    def configured(kind: str) -> Server | None:
        """From the environment; None if there is no address."""
        values = {name: os.environ.get(variable(kind, name), "") for name in ("URL", "MODEL", "KEY", "TIMEOUT")}
        if not values["URL"]:
            return None
        try:
            timeout = float(values["TIMEOUT"] or TIMEOUT)
        except ValueError:
            timeout = -1
        if not 0 < timeout <= 3600:
            raise EngineError(f"{variable(kind, 'TIMEOUT')} is a number of seconds up to 3600, not {values['TIMEOUT']}")
        return Server(kind, values["URL"].rstrip("/"), values["MODEL"], values["KEY"], timeout)

    @property
    def fault(self) -> str:
        """What is wrong with the configuration; "" if nothing is."""
        try:
            parts = urllib.parse.urlsplit(self.url)
            host = parts.hostname or ""
            _ = parts.port
        except ValueError:
            return f"{variable(self.kind, 'URL')} is not an address: {self.url}"
        if parts.scheme not in ("http", "https") or not host:
            return f"{variable(self.kind, 'URL')} begins with http:// or https://, not {self.url[:60]}"
        if parts.username or parts.password:
            return f"{variable(self.kind, 'URL')} holds a password; give keys in {variable(self.kind, 'KEY')}"
        if self.key and parts.scheme == "http" and host not in LOCAL:
            return f"a key is sent to https:// addresses only, and {variable(self.kind, 'URL')} is {self.url}"
        if re.search(r"[^\x21-\x7e]", self.key):
            return f"{variable(self.kind, 'KEY')} holds characters that no key has"
        return ""

    # ---- asking

    def json(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer to a JSON request."""
        return self._parsed(self.data(path, json.dumps(body).encode(), "application/json"))

    def form(self, path: str, fields: list[tuple[str, str]], file: tuple[str, bytes]) -> Any:
        """The JSON answer to a form with a file (name, contents)."""
        border = secrets.token_hex(16)
        parts = [f'--{border}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields]
        name, data = file
        head = f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        parts += [f"{head}Content-Type: audio/wav\r\n\r\n".encode(), data, f"\r\n--{border}--\r\n".encode()]
        return self._parsed(self.data(path, b"".join(parts), f"multipart/form-data; boundary={border}"))

    def data(self, path: str, body: bytes, kind: str) -> bytes:
        """The answer's bytes. What fails in passing is tried again. Raises EngineError."""
        if self.fault:
            raise EngineError(self.fault)
        for attempt in range(TRIES):
            try:
                return self._once(path, body, kind)
            except _Again as again:
                if attempt == TRIES - 1:
                    raise EngineError(str(again)) from again.__cause__
                time.sleep(again.wait if again.wait is not None else 0.5 * 4**attempt)
        raise AssertionError

    def _once(self, path: str, body: bytes, kind: str) -> bytes:
        headers = {"Content-Type": kind, "User-Agent": "wav2lip-hq"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        who = f"the {self.kind} at {self.url}"
        until = time.monotonic() + self.timeout
        try:
            request = urllib.request.Request(f"{self.url}/{path}", body, headers, method="POST")
            with _OPENER.open(request, timeout=self.timeout) as answer:
                return _read(answer, who, until)
        except urllib.error.HTTPError as error:
            with error:
                said = self._hidden(_words(error))
            text = f"{who} answered {error.code}{f' ({said})' if said else ''}"
            if error.code in AGAIN:
                raise _Again(f"{text}; tried {TRIES} times", _pause(error)) from error
            if error.code in (401, 403):
                text += f"; is {variable(self.kind, 'KEY')} right?"
            elif error.code == 404:
                text += f"; are {variable(self.kind, 'URL')} (it mostly ends in /v1) and _MODEL right?"
            elif 300 <= error.code < 400:
                text += "; redirects are not followed: give the address it leads to"
            raise EngineError(text) from error
        except TimeoutError as error:
            raise EngineError(f"{who} did not answer within {self.timeout:g} s") from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise EngineError(f"{who} did not answer within {self.timeout:g} s") from error
            why = getattr(error.reason, "strerror", None) or error.reason
            if isinstance(error.reason, socket.gaierror):
                raise EngineError(f"{who} cannot be reached ({why}); is the network up?") from error
            raise _Again(f"{who} cannot be reached ({why})", None) from error
        except (OSError, ValueError, urllib.error.ContentTooShortError) as error:
            raise _Again(f"{who} broke off ({' '.join(str(error).split())[:100]})", None) from error
        except http.client.HTTPException as error:
            raise EngineError(f"{who} gave no proper answer ({type(error).__name__})") from error

    def _parsed(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise EngineError(f"the {self.kind} at {self.url} answered with something that is not JSON") from error

    def _hidden(self, text: str) -> str:
        """Without the key, should the server repeat it."""
        return text.replace(self.key, "...") if self.key else text


class _Again(Exception):
    """It may work another time. wait: seconds, if the server said so."""

    def __init__(self, text: str, wait: float | None) -> None:
        super().__init__(text)
        self.wait = wait


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: a key would go with it."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Straight)


def variable(kind: str, name: str) -> str:
    """The environment's variable: WAV2LIP_HQ_SPEAKER_URL."""
    return f"WAV2LIP_HQ_{kind.upper()}_{name}"


def _read(answer: Any, who: str, until: float) -> bytes:
    parts, size = [], 0
    while block := answer.read1(1 << 16):
        size += len(block)
        if size > LARGEST:
            raise EngineError(f"{who} answered with more than {LARGEST >> 20} MB")
        if time.monotonic() > until:
            raise TimeoutError
        parts.append(block)
    return b"".join(parts)


def _words(error: urllib.error.HTTPError) -> str:
    """What the server says is wrong, shortened."""
    try:
        text = error.read(4096).decode("utf-8", "replace")
        found = json.loads(text)["error"]
        text = str(found["message"] if isinstance(found, dict) else found)
    except (OSError, ValueError, KeyError, TypeError):
        text = error.reason if isinstance(error.reason, str) else ""
    return " ".join(text.split())[:200]


def _pause(error: urllib.error.HTTPError) -> float | None:
    try:
        return min(30.0, max(0.0, float(error.headers.get("Retry-After", ""))))
    except ValueError:
        return None
