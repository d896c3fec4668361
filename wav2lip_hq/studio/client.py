"""A client of the studio's HTTP API for programs, with nothing but the standard library."""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from ..errors import InputError, OptionError, Wav2LipHQError
from ..places import beside

ENDED = ("done", "failed", "canceled")


class StudioError(Wav2LipHQError, RuntimeError):
    """What the studio answered in place of a result. ``status``: HTTP's number, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """A studio somewhere.

    Files and dubs are mappings, as the API gives them: ``id``, ``name``, ``status`` and so on; wherever one is
    wanted its id will do.

    Args:
        address: As the studio prints it, say http://127.0.0.1:7870.
        name: An account, where there are accounts.
        password: Its password.
        timeout: Seconds without any answer after which a request fails; making speech of long texts takes a while.

    Raises:
        OptionError: An address that is none.
        StudioError: No answer, or the wrong password.
    """

    def __init__(self, address: str, name: str = "", password: str = "", *, timeout: float = 600.0) -> None:
        if urlsplit(address).scheme not in ("http", "https"):
            raise OptionError(f"a studio's address begins with http:// or https://, not '{address[:60]}'")
        self.address, self.timeout, self._token = address.rstrip("/"), timeout, ""
        # No redirects, and no proxy that the environment names: what is sent goes to this address alone.
        self._opener = urllib.request.build_opener(_Stay, urllib.request.ProxyHandler({}))
        if name:
            self._token = str(self._json("POST", "/api/login", {"name": name, "password": password})["token"])

    def about(self) -> dict[str, Any]:
        """Version, limits, and whose account this is (None: log in)."""
        return dict(self._json("GET", "/api"))

    def options(self) -> dict[str, Any]:
        """Presets with their options, the options of a run, and kinds of files."""
        return dict(self._json("GET", "/api/options"))

    def files(self) -> list[dict[str, Any]]:
        """What was uploaded or spoken, newest first."""
        return list(self._json("GET", "/api/files"))

    def upload(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Upload footage, a picture or speech. Raises InputError, StudioError."""
        file = Path(path)
        try:
            with file.open("rb") as data:
                where = f"/api/files?name={quote(file.name)}"
                return dict(self._json("POST", where, data, size=file.stat().st_size))
        except OSError as error:
            if isinstance(error, Wav2LipHQError):
                raise
            raise InputError(f"{file} cannot be read ({error.strerror or error})") from error

    def speak(self, text: str, language: str = "en", speaker: str = "auto", voice: str = "") -> dict[str, Any]:
        """A text as speech, as a file like an upload."""
        asked = {"text": text, "language": language, "speaker": speaker, "voice": voice}
        return dict(self._json("POST", "/api/speech", asked))

    def faces(self, file: Any, preset: str = "default") -> list[dict[str, Any]]:
        """The faces in a file, from the one found first on; waits until all of it has been looked at."""
        where = f"/api/files/{_id(file)}/faces"
        found = self._json("POST", where, {"preset": preset})
        while found["status"] == "running":
            time.sleep(0.3)
            found = self._json("GET", where)
        if found["status"] == "failed":
            raise StudioError(found["message"])
        return list(found["faces"])

    def dub(
        self,
        face: Any,
        speech: Any,
        *,
        consent: str = "",
        preset: str = "default",
        options: dict[str, Any] | None = None,
        speaker: int | str = "",
        format: str = ".mp4",
        codec: str = "",
    ) -> dict[str, Any]:
        """Put a video in the queue.

        Args:
            face: Footage or a picture.
            speech: What it is to say.
            consent: Who agreed to this.
            preset: How the mouth is made.
            options: ``{"extend": "hold", "blend.texture": 0.8}``; ``options()`` lists them.
            speaker: The number of a face of ``faces()``, "largest", "all" or "speaker".
            format: .mp4, .mov or .mkv.
            codec: One that fits the format; "" takes the first.
        """
        what = {"face": _id(face), "speech": _id(speech), "consent": consent, "speaker": speaker}
        how = {"preset": preset, "options": options or {}, "format": format, "codec": codec}
        return dict(self._json("POST", "/api/dubs", {**what, **how}))

    def dubs(self) -> list[dict[str, Any]]:
        """All videos that were asked for, newest first."""
        return list(self._json("GET", "/api/dubs"))

    def status(self, dub: Any) -> dict[str, Any]:
        """How far a video is: ``status``, ``frames`` of ``total``, ``message``."""
        return dict(self._json("GET", f"/api/dubs/{_id(dub)}"))

    def wait(self, dub: Any, on_progress: Callable[[dict[str, Any]], None] = lambda state: None) -> dict[str, Any]:
        """Wait until a video is done. Raises StudioError with the reason if it failed or was canceled."""
        while True:
            state = self.status(dub)
            on_progress(state)
            if state["status"] == "done":
                return state
            if state["status"] in ENDED:
                raise StudioError(state["message"] or f"{state['title']} was {state['status']}")
            time.sleep(0.5)

    def cancel(self, dub: Any) -> dict[str, Any]:
        """Stop a video."""
        return dict(self._json("POST", f"/api/dubs/{_id(dub)}/cancel", {}))

    def retry(self, dub: Any) -> dict[str, Any]:
        """Try one that failed or was canceled again."""
        return dict(self._json("POST", f"/api/dubs/{_id(dub)}/retry", {}))

    def report(self, dub: Any) -> dict[str, Any]:
        """What was made of what, with all settings: the sidecar of ``wav2lip-hq batch``."""
        return dict(self._json("GET", f"/api/dubs/{_id(dub)}/report"))

    def download(self, dub: Any, path: str | os.PathLike[str]) -> Path:
        """Save a finished video; it appears under its name when it is complete. The manifest of a Matroska file, which
        cannot hold its own, is saved beside it. Raises StudioError, OSError."""
        target, where = Path(path), f"/api/dubs/{_id(dub)}"
        if self.status(dub)["manifest"]:
            self._save(f"{where}/manifest", target.with_suffix(".c2pa"))
        return self._save(f"{where}/result", target)

    def _save(self, where: str, target: Path) -> Path:
        temporary = beside(target)
        try:
            with self._open("GET", where) as answer, temporary.open("wb") as out:
                shutil.copyfileobj(answer, out, 1 << 20)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return target

    def write(self, topic: str, seconds: float = 20, language: str = "en") -> str:
        """A text about a topic, to be corrected and given to ``speak``."""
        return str(self._json("POST", "/api/text", {"topic": topic, "seconds": seconds, "language": language})["text"])

    def avatars(self) -> list[dict[str, Any]]:
        """Faces that are kept, with their notes of consent."""
        return list(self._json("GET", "/api/avatars"))

    def keep(self, name: str, file: Any, consent: str) -> dict[str, Any]:
        """Keep an uploaded face as an avatar."""
        return dict(self._json("POST", "/api/avatars", {"name": name, "file": _id(file), "consent": consent}))

    def avatar(self, name: str) -> dict[str, Any]:
        """An avatar's face as a file for ``dub``; its ``consent`` is the note that was kept."""
        return dict(self._json("POST", f"/api/avatars/{quote(name, safe='')}/use", {}))

    def delete_avatar(self, name: str) -> None:
        """Remove an avatar."""
        self._json("DELETE", f"/api/avatars/{quote(name, safe='')}")

    def delete_file(self, file: Any) -> None:
        """Delete an upload."""
        self._json("DELETE", f"/api/files/{_id(file)}")

    def delete(self, dub: Any) -> None:
        """Delete a video."""
        self._json("DELETE", f"/api/dubs/{_id(dub)}")

    def _json(self, method: str, where: str, body: Any = None, size: int | None = None) -> Any:
        with self._open(method, where, body, size) as answer:
            return json.loads(answer.read())

    def _open(self, method: str, where: str, body: Any = None, size: int | None = None) -> Any:
        headers = {"Accept": "application/json"}
        data: bytes | BinaryIO | None = body
        if isinstance(body, dict):
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        elif body is not None:
            headers |= {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(f"{self.address}{where}", data, headers, method=method)  # noqa: S310
        try:
            return self._opener.open(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            with error:
                raise StudioError(_said(error), error.code) from error
        except OSError as error:  # URLError, a broken connection, a timeout
            why = getattr(error, "reason", None) or error
            raise StudioError(f"{self.address} does not answer ({why}); is the studio running there?") from error


class _Stay(urllib.request.HTTPRedirectHandler):
    """Redirects are not followed."""

    def redirect_request(self, *args: Any) -> None:
        """None: the answer is an error."""


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(100_000))["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"the studio answered with {error.code}"


def _id(thing: Any) -> str:
    return quote(str(thing["id"] if isinstance(thing, dict) else thing), safe="")
