"""The one who works: a thread that lets ``wav2lip_hq.jobs`` render what is asked for, one account after the other."""

from __future__ import annotations

import threading
from typing import Any

from .. import jobs
from ..errors import OptionError, told
from ..progress import complain
from .dubs import Dubs

PAUSE = 30.0  # seconds after a full disk
TRIES = 3  # runs that leave a dub as it was


class _Closed(Exception):
    """The studio is being closed."""


class Queue:
    """Takes the next dub of each account in turn, so that a long list of one keeps nobody else waiting."""

    def __init__(self, dubs: Dubs, device: str) -> None:
        self.dubs, self.device = dubs, device
        self._closed = threading.Event()
        self._vain: dict[str, int] = {}
        self._thread = threading.Thread(target=self._work, name="studio queue", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop what is being rendered; it goes on where it was when the studio is opened again."""
        self._closed.set()
        self.dubs.changed.set()
        if self._thread.is_alive():
            self._thread.join(15)

    def _work(self) -> None:
        while not self._closed.is_set():
            self.dubs.changed.clear()
            try:
                if not self._round():
                    self.dubs.changed.wait(2.0)
            except _Closed:
                return
            except Exception as error:  # noqa: BLE001 - the queue must outlive whatever is wrong with one round
                complain(f"wav2lip-hq studio: {told(error)[0]}")
                self._closed.wait(PAUSE)

    def _round(self) -> bool:
        """One dub of each account; whether there was any."""
        worked = False
        for owner in self.dubs.owners():
            name = self.dubs.next(owner)
            if name is None:
                continue
            worked = True
            try:
                done = jobs.run(self.dubs.jobfile(owner), devices=[self.device], names=[name], on_progress=self._watch)
                full = done.full
            except OptionError:  # deleted just now
                full = False
            if full:
                complain("wav2lip-hq studio: the disk is full; make room, it goes on by itself")
                self._closed.wait(PAUSE)
            elif self.dubs.next(owner) != name:
                self._vain.pop(name, None)
            else:  # asked for again just now, or there is no worker that lives
                self._vain[name] = self._vain.get(name, 0) + 1
                if self._vain[name] >= TRIES:
                    self.dubs.failed(owner, name, "its worker could not be kept alive; the studio's terminal says more")
                    del self._vain[name]
        return worked

    def _watch(self, rows: Any, listed: Any) -> None:
        if self._closed.is_set():
            raise _Closed
