"""The C2PA library, loaded when it is first needed, and how it is set."""

from __future__ import annotations

from typing import Any

from ..errors import InputError

# By a file's ending: what the library calls the formats that it can write a manifest into.
EMBEDS = {
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".avi": "video/avi",
    ".png": "image/png",
}
OTHERS = {".mkv": "video/x-matroska"}  # manifests beside the file
SMALL = 16  # MB of a file that the library keeps in memory; more goes through the folder for temporary files


def c2pa() -> Any:
    """The library. Raises InputError that says what to do where there is none."""
    try:
        import c2pa as library
    except (ImportError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"outputs cannot be signed here: c2pa-python cannot be loaded ({reason}); install it (pip install "
            "c2pa-python), or leave the manifest out (--without-provenance)"
        ) from error
    return library


def context(*anchors: str, verify: bool = False) -> Any:
    """Settings of one reading or signing: nothing is fetched, no thumbnails. anchors: root certificates, PEM, that are
    trusted besides none; verify: read again and verify what has been signed."""
    settings: dict[str, Any] = {
        "verify": {
            "remote_manifest_fetch": False,
            "ocsp_fetch": False,
            "verify_after_sign": verify,
            "verify_trust": True,
        },
        "builder": {"thumbnail": {"enabled": False}},
        "core": {"backing_store_memory_threshold_in_mb": SMALL},
    }
    if anchors:
        settings["trust"] = {"user_anchors": "\n".join(anchors)}
    return c2pa().Context.from_dict(settings)


def reason(error: BaseException) -> str:
    """The library's words for an error, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.removeprefix("Other: ")[:300]
