"""A studio that runs in this process, for tests: its own folder, its own port."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from wav2lip_hq.studio.app import build
from wav2lip_hq.studio.choices import StudioOptions
from wav2lip_hq.studio.client import Client
from wav2lip_hq.studio.studio import Studio


@dataclass
class Running:
    """A studio that answers."""

    studio: Studio
    address: str
    port: int

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """A request as it is: (status, JSON or bytes, headers)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body, named = json.dumps(body), {"Content-Type": "application/json", **named}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, json.loads(data) if "json" in found.get("content-type", "") else data, found

    def client(self, name: str = "", password: str = "") -> Client:
        """The client that users have."""
        return Client(self.address, name, password)


@contextlib.contextmanager
def studio(folder: Path, *people: str, **options: Any) -> Iterator[Running]:
    """A studio in ``folder``; with ``people``, whose passwords are "password of NAME", it is shared."""
    chosen = StudioOptions(folder=str(folder), device="cpu", **options)
    if people:
        from wav2lip_hq.studio.accounts import Accounts
        from wav2lip_hq.studio.database import Database

        for name in people:
            Accounts(Database(folder)).add(name, f"password of {name}")
    opened = Studio(chosen, shared=bool(people))
    place = socket.socket()
    place.bind(("127.0.0.1", 0))
    port = place.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(build(opened), log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    try:
        yield Running(opened, f"http://127.0.0.1:{port}", port)
    finally:
        server.should_exit = True
        thread.join(30)
        place.close()
