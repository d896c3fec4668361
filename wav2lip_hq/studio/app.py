"""The web application: the page, and the HTTP API that the page and programs use alike. See docs/studio.md."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from .. import __version__
from ..errors import InputError, OptionError, Wav2LipHQError, told
from ..progress import complain
from . import offers, speech
from .accounts import TooMany, WrongPassword
from .choices import LOCAL
from .files import TYPES, Absent, Incoming, TooLarge
from .guard import Guard
from .studio import Studio

PAGE = Path(__file__).parent / "page"
COOKIE = "wav2lip_hq_studio"
MOST = 1 << 20  # bytes of a JSON request

Handler = Callable[[Request], Awaitable[Response]]
# Error and HTTP status; the first match counts.
STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Absent, 404), (TooLarge, 413), (TooMany, 429), (WrongPassword, 401), (InputError, 400), (OptionError, 400),
)  # fmt: skip


class _Wrong(Exception):
    """A request that is refused as it is."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def build(studio: Studio) -> Guard:
    """The application of an opened studio."""

    @contextlib.asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        studio.queue.start()
        try:
            yield
        finally:
            await run_in_threadpool(studio.close)

    api = _Api(studio)
    app = Starlette(routes=api.routes(), lifespan=running)
    return Guard(app, () if studio.shared else LOCAL)


def _error(error: Exception) -> Response:
    """What went wrong, in one line."""
    if isinstance(error, _Wrong):
        return JSONResponse({"error": error.text}, error.status)
    if isinstance(error, Wav2LipHQError):
        status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
        return JSONResponse({"error": told(error)[0]}, status)
    complain(f"wav2lip-hq studio: {told(error)[0]}")
    return JSONResponse({"error": "something went wrong here; the studio's terminal says what"}, 500)


def _token(request: Request) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token if kind.lower() == "bearer" else request.cookies.get(COOKIE, "")


async def _json(request: Request) -> dict[str, Any]:
    """The body of a request. It must say that it is JSON, which no form of another page can."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise _Wrong(415, "send JSON (Content-Type: application/json)")
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MOST:
            raise _Wrong(413, "this request is too long")
    try:
        found = json.loads(data or b"{}")
    except (ValueError, RecursionError) as error:
        raise _Wrong(400, "this is not JSON") from error
    if not isinstance(found, dict):
        raise _Wrong(400, "send a JSON object")
    return found


class _Api:
    """The routes."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def routes(self) -> list[Route | Mount]:
        """All of them: method, path, what does it."""
        do = self._route
        files, dubs, avatars = self.studio.files, self.studio.dubs, self.studio.avatars
        return [
            Route("/", self.page),
            Mount("/static", StaticFiles(directory=PAGE)),
            Route("/api", self.about),
            Route("/api/login", self.login, methods=["POST"]),
            Route("/api/logout", self.logout, methods=["POST"]),
            do("GET", "/api/options", lambda who, path, body: offers.listing()),
            do("GET", "/api/voices", lambda who, path, body: speech.listing()),
            do("GET", "/api/files", lambda who, path, body: [f.plain() for f in files.all(who)]),
            Route("/api/files", self.upload, methods=["POST"]),
            do("GET", "/api/files/{id}", lambda who, path, body: files.get(who, path["id"]).plain()),
            do("DELETE", "/api/files/{id}", self.remove_file),
            do("GET", "/api/files/{id}/content", self.content),
            do("GET", "/api/files/{id}/poster", self.poster),
            do("GET", "/api/files/{id}/play", self.play),
            do("GET", "/api/files/{id}/faces", lambda who, path, body: self.faces(who, path, None)),
            do("POST", "/api/files/{id}/faces", self.faces),
            do("GET", "/api/files/{id}/faces/{face:int}", self.face),
            do("POST", "/api/speech", self.speak),
            do("GET", "/api/dubs", lambda who, path, body: dubs.all(who)),
            do("POST", "/api/dubs", lambda who, path, body: dubs.ask(who, body)),
            do("GET", "/api/dubs/{id}", lambda who, path, body: dubs.get(who, path["id"])),
            do("DELETE", "/api/dubs/{id}", lambda who, path, body: dubs.remove(who, path["id"])),
            do("POST", "/api/dubs/{id}/cancel", lambda who, path, body: dubs.cancel(who, path["id"])),
            do("POST", "/api/dubs/{id}/retry", lambda who, path, body: dubs.retry(who, path["id"])),
            do("GET", "/api/dubs/{id}/result", self.result),
            do("GET", "/api/dubs/{id}/sheet", lambda who, path, body: _file(dubs.sheet(who, path["id"]))),
            do("GET", "/api/dubs/{id}/manifest", lambda who, path, body: _file(*dubs.manifest(who, path["id"]))),
            do("GET", "/api/dubs/{id}/report", lambda who, path, body: dubs.facts(who, path["id"])),
            do("GET", "/api/report", self.report),
            do("POST", "/api/text", lambda who, path, body: speech.written(body)),
            do("GET", "/api/avatars", lambda who, path, body: avatars.all(who)),
            do("POST", "/api/avatars", lambda who, path, body: avatars.keep(who, body)),
            do("DELETE", "/api/avatars/{name}", lambda who, path, body: avatars.remove(who, path["name"])),
            do("POST", "/api/avatars/{name}/use", lambda who, path, body: avatars.use(who, path["name"]).plain()),
            do("GET", "/api/avatars/{name}/poster", lambda who, path, body: _file(avatars.poster(who, path["name"]))),
        ]

    def _route(self, method: str, path: str, do: Callable[[str, dict[str, Any], dict[str, Any]], Any]) -> Route:
        """A route for whoever is logged in. do(owner, path, body): runs in a thread; JSON or a response comes back."""

        async def handle(request: Request) -> Response:
            try:
                owner = await self._owner(request)
                body = await _json(request) if method == "POST" else dict(request.query_params)
                made = await run_in_threadpool(do, owner, request.path_params, body)
            except Exception as error:  # noqa: BLE001 - every error is one line in the page
                return _error(error)
            return made if isinstance(made, Response) else JSONResponse(made)

        return Route(path, handle, methods=[method])

    async def _owner(self, request: Request) -> str:
        owner = await run_in_threadpool(self.studio.whose, _token(request))
        if owner is None:
            raise _Wrong(401, "log in first")
        return owner

    # ---- the page and who looks at it

    async def page(self, request: Request) -> Response:
        """The one page."""
        return HTMLResponse((PAGE / "index.html").read_text(encoding="utf-8"))

    async def about(self, request: Request) -> Response:
        """What anybody may know: version, limits, and who is logged in."""
        owner = await run_in_threadpool(self.studio.whose, _token(request))
        options = self.studio.options
        limits = {n: getattr(options, n) for n in ("max_upload", "max_minutes", "max_storage", "max_queue")}
        facts = {"version": __version__, "shared": self.studio.shared, "account": owner, "limits": limits}
        return JSONResponse({**facts, "require_consent": options.require_consent})

    async def login(self, request: Request) -> Response:
        """A session, as a cookie for browsers and as a token for programs."""
        try:
            body = await _json(request)
            name, password = body.get("name"), body.get("password")
            if not self.studio.shared or not isinstance(name, str) or not isinstance(password, str):
                raise _Wrong(400, "give a name and a password" if self.studio.shared else "there are no accounts here")
            token = await run_in_threadpool(self.studio.accounts.login, name[:100], password)
        except Exception as error:  # noqa: BLE001
            return _error(error)
        response = JSONResponse({"account": name, "token": token})
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure, max_age=14 * 24 * 3600)
        return response

    async def logout(self, request: Request) -> Response:
        """End the session."""
        await run_in_threadpool(self.studio.accounts.logout, _token(request))
        response = JSONResponse({})
        response.delete_cookie(COOKIE)
        return response

    # ---- files

    async def upload(self, request: Request) -> Response:
        """A file: its bytes are the body, its name is in the address."""
        coming: Incoming | None = None
        try:
            owner = await self._owner(request)
            name = request.query_params.get("name", "")
            coming = await run_in_threadpool(self.studio.files.begin, owner, name)
            size = request.headers.get("content-length", "")
            if size.isdecimal():
                coming.expect(int(size))
            async for piece in request.stream():
                await run_in_threadpool(coming.write, piece)
            coming.close()
            file = await run_in_threadpool(self.studio.files.finish, coming)
        except Exception as error:  # noqa: BLE001
            if coming is not None:
                coming.abandon()
            return Response(status_code=400) if isinstance(error, ClientDisconnect) else _error(error)
        return JSONResponse(file.plain(), 201)

    def remove_file(self, owner: str, path: dict[str, Any], body: dict[str, Any]) -> None:
        """Delete a file."""
        self.studio.faces.stop(self.studio.files.get(owner, path["id"]))
        self.studio.files.remove(owner, path["id"])

    def content(self, owner: str, path: dict[str, Any], body: dict[str, Any]) -> Response:
        """A file as it was uploaded."""
        file = self.studio.files.get(owner, path["id"])
        return _file(self.studio.files.path(file), file.name)

    def poster(self, owner: str, path: dict[str, Any], body: dict[str, Any]) -> Response:
        """A small picture of it."""
        return _file(self.studio.files.poster(self.studio.files.get(owner, path["id"])))

    def play(self, owner: str, path: dict[str, Any], body: dict[str, Any]) -> Response:
        """It, or what browsers can show in its place."""
        file = self.studio.files.get(owner, path["id"])
        proxy = self.studio.files.looks(file) / "proxy.mp4"
        return _file(proxy if proxy.is_file() else self.studio.files.path(file))

    def faces(self, owner: str, path: dict[str, Any], body: dict[str, Any] | None) -> dict[str, Any]:
        """Look for its faces (with a body), or say how far that is."""
        file = self.studio.files.get(owner, path["id"])
        if body is None:
            return self.studio.faces.known(file)
        return self.studio.faces.start(file, str(body.get("preset", "default")))

    def face(self, owner: str, path: dict[str, Any], body: dict[str, Any]) -> Response:
        """A picture of one face."""
        return _file(self.studio.faces.picture(self.studio.files.get(owner, path["id"]), path["face"]))

    def speak(self, owner: str, path: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """A text as speech, kept like an upload."""
        return self.studio.files.speak(owner, *speech.checked(body)).plain()

    # ---- results

    def result(self, owner: str, path: dict[str, Any], body: dict[str, Any]) -> Response:
        """The finished video."""
        found, name = self.studio.dubs.result(owner, path["id"])
        return _file(found, name, inline="play" in body)

    def report(self, owner: str, path: dict[str, Any], body: dict[str, Any]) -> Response:
        """A page of everything this account has made."""
        policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
        return HTMLResponse(self.studio.dubs.report(owner), headers={"Content-Security-Policy": policy})


def _file(path: Path, name: str = "", inline: bool = False) -> Response:
    """A file: to be saved under a name, or to be shown. Raises Absent."""
    if not path.is_file():
        raise Absent("there is no such file")
    kind = TYPES.get(path.suffix.lower(), "application/octet-stream")
    if not name:
        return FileResponse(path, media_type=kind)
    how = "inline" if inline else "attachment"
    return FileResponse(path, media_type=kind, filename=name, content_disposition_type=how)
