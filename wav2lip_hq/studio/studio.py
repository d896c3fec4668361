"""The studio put together: database, accounts, files, faces, dubs and the queue, in one folder."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import OptionError, OutputError
from .accounts import ALONE, Accounts
from .avatars import Avatars
from .choices import StudioOptions
from .database import Database
from .dubs import Dubs
from .faces import Faces
from .files import Files
from .queue import Queue


def folder(given: str) -> Path:
    """Where the studio keeps everything: as given, else in the user's data. Raises OutputError."""
    if given:
        return Path(given)
    try:
        return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "wav2lip_hq" / "studio"
    except RuntimeError as error:
        raise OutputError("there is no home folder for the studio; name one with --folder") from error


class Studio:
    """One folder can be opened by one studio at a time. shared: whether people have to log in."""

    def __init__(self, options: StudioOptions, *, shared: bool) -> None:
        self.options, self.shared = options, shared
        self.database = Database(folder(options.folder))
        self.accounts = Accounts(self.database)
        if shared and not self.accounts.names():
            raise OptionError("nobody has an account yet; name who may use the studio: --share-with anna ben")
        self._lock = FileLock(self.database.folder / "lock", thread_local=False)  # released by another thread
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise OutputError(
                f"a studio with the folder {self.database.folder} is running already; use that, or another --folder"
            ) from error
        self.files = Files(self.database, options)
        self.files.sweep()
        self.faces = Faces(self.files, options)
        self.avatars = Avatars(self.database, self.files)
        self.dubs = Dubs(self.database, options, self.files, self.faces)
        self.queue = Queue(self.dubs, options.device)

    def whose(self, token: str) -> str | None:
        """Whose a request with this token is; None: nobody's, who has to log in first."""
        return self.accounts.whose(token) if self.shared else ALONE

    def close(self) -> None:
        """Stop working; what is unfinished goes on when the folder is opened again."""
        self.queue.close()
        self.faces.close()
        self._lock.release()
