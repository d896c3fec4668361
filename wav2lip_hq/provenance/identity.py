"""The identity that signs: certificates and key in a folder of the user's, made when they are first needed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, OptionError, OutputError
from . import certificates
from .certificates import Chain
from .library import c2pa, context, reason

FOLDER = "WAV2LIP_HQ_IDENTITY"  # environment variable: another folder
NAME = "wav2lip_hq identity"
_CHAIN, _KEY, _SETTINGS = "certificates.pem", "key.pem", "settings.json"
_LARGEST = 1 << 20  # bytes of a file with certificates


@dataclass(frozen=True)
class Identity:
    """Who signs. timestamp: URL of a timestamp server, "" for none; made: whether it was made just now; own: whether
    it was made here, not issued by an authority that checks names; warning: what is wrong with it."""

    folder: Path
    chain: Chain
    timestamp: str = ""
    made: bool = False
    own: bool = True
    warning: str = ""

    def signer(self, timestamp: bool = True) -> Any:
        """The library's signer. timestamp: whether to ask the timestamp server."""
        library, url = c2pa(), self.timestamp if timestamp else ""
        info = library.C2paSignerInfo(self.chain.algorithm, self.chain.certificates, self.chain.key, url or None)
        return library.Signer.from_info(info)


def folder() -> Path:
    """Where the identity is: $WAV2LIP_HQ_IDENTITY, else in the user's configuration."""
    if given := os.environ.get(FOLDER):
        return Path(given)
    try:
        home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    except RuntimeError as error:
        raise OutputError(f"there is no home folder for the identity that signs; set {FOLDER} to a folder") from error
    return Path(home) / "wav2lip_hq" / "identity"


def load_identity(make: bool = True) -> Identity:
    """The identity of this user; if there is none, one is made. Raises InputError (unreadable, expired, wrong key, or
    none and make is False), OutputError (the folder cannot be written)."""
    place = folder()
    if _there(place):
        return _usable(_load(place))
    if not make:
        raise InputError(f"there is no identity in {place} yet; it is made when it is first needed")
    chain, key = certificates.make(NAME)
    mine = _put(place, chain, key, {"own": True})
    found = _usable(_load(place))
    return Identity(found.folder, found.chain, found.timestamp, mine, found.own, found.warning)


def exists() -> bool:
    """Whether there is an identity."""
    return _there(folder())


def renew(name: str = NAME) -> Identity:
    """A new identity in place of the present one, which is kept in a folder beside it."""
    chain, key = certificates.make(name or NAME)
    return _replaced(chain, key, own=True)


def install(chain: Path, key: Path) -> Identity:
    """Install the user's own certificates, PEM, the signer's first, and their key. Raises InputError: see
    ``certificates.parse``; also if they have expired, or cannot sign a C2PA manifest."""
    parsed = certificates.parse(read_file(chain), read_file(key), (str(chain), str(key)))
    if parsed.expired():
        raise InputError(f"the certificate in {chain} has expired on {parsed.until:%Y-%m-%d}: ask for a new one")
    try_out(Identity(folder(), parsed, own=False), str(chain))
    return _replaced(parsed.certificates, parsed.key, own=False)


def set_timestamp(url: str) -> Identity:
    """Have a timestamp server (RFC 3161) say when a result was signed; "" or "off" for none."""
    url = "" if url == "off" else url
    if url:
        try:
            parts = urllib.parse.urlsplit(url)
            fits = (
                parts.scheme in ("http", "https")
                and bool(parts.hostname)
                and url.isascii()
                and not set(url) & set(" \t\r\n")
            )
        except ValueError:
            fits = False
        if not fits:
            raise OptionError(f"a timestamp server is an address like http://timestamp.example.com, not {url[:200]!r}")
    now = load_identity()
    _write(now.folder / _SETTINGS, json.dumps({"own": now.own, "timestamp": url}).encode())
    return load_identity()


def try_out(who: Identity, name: str) -> None:
    """Sign a picture of one pixel, without asking a timestamp server. Raises InputError in the library's words."""
    from PIL import Image

    picture, signed = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (1, 1)).save(picture, "PNG")
    picture.seek(0)
    manifest = {"assertions": [], "claim_generator_info": [{"name": "wav2lip_hq"}]}
    library = c2pa()
    try:
        builder = library.Builder(json.dumps(manifest), context(who.chain.root, verify=True))
        builder.set_intent(library.C2paBuilderIntent.CREATE, library.C2paDigitalSourceType.DIGITAL_CREATION)
        builder.sign(who.signer(timestamp=False), "image/png", picture, signed)
    except library.C2paError as error:
        raise InputError(f"{name} cannot sign C2PA manifests: {reason(error)}") from error


# ---- files


def _there(place: Path) -> bool:
    return (place / _CHAIN).exists() or (place / _KEY).exists()


def _load(place: Path) -> Identity:
    chain, key = place / _CHAIN, place / _KEY
    parsed = certificates.parse(read_file(chain), read_file(key), (str(chain), str(key)))
    settings: Any = {}
    if (place / _SETTINGS).exists():
        try:
            settings = json.loads(read_file(place / _SETTINGS))
        except ValueError as error:
            raise InputError(f"{place / _SETTINGS} is not JSON; remove it") from error
    settings = settings if isinstance(settings, dict) else {}
    warning = ""
    if os.name == "posix" and key.stat().st_mode & 0o077:
        warning = f"others may read the key that signs: chmod 600 {key}"
    return Identity(place, parsed, str(settings.get("timestamp") or ""), own=bool(settings.get("own")), warning=warning)


def _usable(who: Identity) -> Identity:
    if who.chain.expired():
        todo = "wav2lip-hq identity --new" if who.own else "install new ones with wav2lip-hq identity --certificates"
        raise InputError(f"the certificate of {who.chain.name} has expired on {who.chain.until:%Y-%m-%d}: {todo}")
    return who


def read_file(path: Path) -> bytes:
    """A file with certificates or a key. Raises InputError."""
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path} is too large for certificates")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _write(path: Path, data: bytes) -> None:
    """A file that only its owner may read."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)  # 0600
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def _unwritable(place: Path, error: OSError) -> OutputError:
    return OutputError(
        f"the identity that signs cannot be kept in {place} ({error.strerror or error}); set {FOLDER} to a folder of "
        "yours, or leave the manifest out (--without-provenance)"
    )


def _put(place: Path, chain: bytes, key: bytes, settings: dict[str, Any]) -> bool:
    """Write an identity into a folder that does not exist yet, complete or not at all. False if another process was
    faster: then its identity counts."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".", dir=place.parent))  # 0700
    except OSError as error:
        raise _unwritable(place, error) from error
    try:
        _write(made / _KEY, key)
        _write(made / _CHAIN, chain)
        _write(made / _SETTINGS, json.dumps(settings).encode())
        os.rename(made, place)
        return True
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        if _there(place):
            return False
        if isinstance(error, OutputError):
            raise
        raise _unwritable(place, error) from error


def _replaced(chain: bytes, key: bytes, own: bool) -> Identity:
    place, timestamp = folder(), ""
    if _there(place):
        with contextlib.suppress(InputError):
            timestamp = _load(place).timestamp
        try:
            os.rename(place, place.with_name(f"{place.name}-until-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"))
        except OSError as error:
            raise _unwritable(place, error) from error
    _put(place, chain, key, {"own": own, "timestamp": timestamp})
    return load_identity()
