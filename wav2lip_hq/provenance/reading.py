"""What a file says of its origin, and whether that holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..video import notice_of
from .claim import ALGORITHM, BINDING, LABEL
from .damage import cut_off, shown
from .identity import load_identity
from .library import EMBEDS, OTHERS, c2pa, context, reason
from .seal import LIST, listing, sidecar_of

# From the best to the worst; a folder of pictures has the state of its worst picture.
STATES = {
    "trusted": "intact, signed by a signer you named as trusted",
    "valid": "intact, signed by your own identity, which others do not know",
    "untrusted": "intact, but no one you trust vouches for the signer",
    "invalid": "there is a manifest, but it does not hold",
    "stripped": "made with wav2lip_hq, as the file's metadata says, but its manifest was removed",
    "tampered": "changed after it was signed",
    "none": "no manifest, and no notice of ours: the file says nothing of its origin",
}
KNOWN = ("trusted", "valid")
_ORDER = ("trusted", "valid", "untrusted", "none", "stripped", "invalid", "tampered")

PICTURES = (".png", ".exr", ".dpx")
SHOWN = 5  # pictures of a folder that are named

_TAMPERED = ("mismatch", "assertion.missing", "hardBinding", "malformed")
_OTHER = "the file is not the one that was signed; it was edited, or the manifest is another file's"
_WORDS = {
    "assertion.bmffHash.mismatch": _OTHER,
    "assertion.dataHash.mismatch": _OTHER,
    "assertion.boxesHash.mismatch": _OTHER,
    "assertion.hashedURI.mismatch": "a statement in the manifest was changed",
    "claimSignature.mismatch": "the signature is not that of the manifest",
    "signingCredential.expired": "the certificate had expired",
    "claimSignature.outsideValidity": "it was signed outside the certificate's time",
    "signingCredential.invalid": "the certificate is not one for signing",
    "signingCredential.untrusted": "the signer's certificate leads to no one you trust",
    "signingCredential.ocsp.revoked": "the certificate was revoked",
}


@dataclass(frozen=True)
class Ingredient:
    """A file that went in. state: of its own manifest: "none", "intact" or "tampered"."""

    name: str
    relation: str
    state: str


@dataclass(frozen=True)
class Found:
    """What a file says. state: a key of STATES; where: "embedded", a sidecar's path, or ""; time: a timestamp server's,
    "" if none was asked; time_trusted: whether you trust that server; marks: what the invisible
    marks of wav2lip_hq in it say, 8 hexadecimal digits each; synthesis: what wav2lip_hq states, {} for files
    of others."""

    file: str
    state: str
    where: str = ""
    problems: tuple[str, ...] = ()
    signer: str = ""
    organization: str = ""
    algorithm: str = ""
    time: str = ""
    time_trusted: bool = False
    made_by: str = ""
    actions: tuple[str, ...] = ()
    source_type: str = ""
    ingredients: tuple[Ingredient, ...] = ()
    marks: tuple[str, ...] = ()
    synthesis: dict[str, Any] = field(default_factory=dict)
    files: int = 1  # pictures, of a folder

    @property
    def meaning(self) -> str:
        """The state in words."""
        return STATES[self.state]

    @property
    def known(self) -> bool:
        """Whether it is intact and its signer is known."""
        return self.state in KNOWN


def read(path: Path, anchors: Sequence[str] = ()) -> Found:
    """Read and verify the manifest of a file, or of a folder's pictures. anchors: root certificates, PEM, that are
    trusted. Nothing is fetched. Raises InputError: no such file, neither a manifest nor a picture in it, no library."""
    if path.is_dir() and (path / LIST).is_file():
        return _listed(path, anchors)
    if path.is_dir():
        pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
        if not pictures:
            raise InputError(f"{path} is a folder without PNG, EXR or DPX pictures")
        every = [read(picture, anchors) for picture in pictures]
        worst = max(every, key=lambda found: _ORDER.index(found.state))
        problems = worst.problems if worst.known else (f"{Path(worst.file).name}: {worst.meaning}", *worst.problems)
        return replace(worst, file=str(path), files=len(every), problems=problems)
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    suffix = path.suffix.lower()
    store, where = None, "embedded"
    beside = sidecar_of(path)
    try:
        if suffix not in EMBEDS and beside.is_file() and beside != path:
            store, where = beside.read_bytes(), str(beside)
        found = _read(path, anchors, store, where)
        if found is None and store is None and beside.is_file() and beside != path:  # of a container that refused it
            store, where = beside.read_bytes(), str(beside)
            found = _read(path, anchors, store, where)
        if found is not None and found.state == "tampered":
            found = replace(found, problems=(*shown(path, found.synthesis), *found.problems))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    if found is not None:
        return found
    if not _has_notice(path):
        return Found(str(path), "none")
    return Found(str(path), "stripped", problems=_alone(path, beside))


def _alone(path: Path, beside: Path) -> tuple[str, ...]:
    """What is said of a result of ours without a manifest whose kind has it in a file of its own."""
    if path.suffix.lower() not in OTHERS:
        return ()
    return (f"this kind of file has it beside it, and there is no {beside.name} here",)


def _listed(folder: Path, anchors: Sequence[str]) -> Found:
    """A folder whose list of pictures is signed: the list has to hold, and the folder to have what it lists."""
    found = read(folder / LIST, anchors)
    try:
        lines = (folder / LIST).read_text(encoding="utf-8").splitlines()
        said = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        there = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in PICTURES and not p.name.startswith(".")]
        now = {name: digest for digest, _, name in (line.partition("  ") for line in listing(there).splitlines())}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{folder} cannot be read ({error})") from error
    problems = [f"{name} is missing" for name in said if name not in now]
    problems += [f"{name} is not the one that was signed" for name in said if now.get(name, said[name]) != said[name]]
    problems += [f"{name} was not there when it was signed" for name in now if name not in said]
    if found.state == "none":  # the list alone says nothing
        return replace(found, file=str(folder), state="stripped" if any(map(notice_of, there)) else "none")
    if len(problems) > SHOWN:
        problems = [*problems[:SHOWN], f"and {len(problems) - SHOWN} more"]
    state = "tampered" if problems else found.state
    return replace(found, file=str(folder), state=state, files=len(now), problems=(*found.problems, *problems))


def _read(path: Path, anchors: Sequence[str], store: bytes | None, where: str) -> Found | None:
    """What the manifest says; None if there is none."""
    library = c2pa()
    own = _own()
    trusted = [*anchors, *([own[1]] if own else [])]
    kind = EMBEDS.get(path.suffix.lower()) or OTHERS.get(path.suffix.lower())
    try:
        with path.open("rb") as file:
            if store is None:
                reader = library.Reader(None, file, context=context(*trusted))
            else:
                reader = library.Reader(kind or "application/octet-stream", file, store, context=context(*trusted))
            whole = json.loads(reader.json())
    except library.C2paError.ManifestNotFound:
        return None
    except library.C2paError.NotSupported:
        return None
    except (library.C2paError, ValueError) as error:
        if store is None and kind is None:
            return None  # a container that holds no manifests, or no container at all
        return _broken(path, where, reason(error))
    return _found(path, where, whole, own, anchors)


def _broken(path: Path, where: str, why: str) -> Found:
    """A file that the library cannot read. Raises InputError if it is neither a video nor a picture."""
    _has_notice(path)
    cut = cut_off(path) if where == "embedded" else ""
    return Found(str(path), "invalid", where, (cut or f"the manifest cannot be read: {why}",))


def _has_notice(path: Path) -> bool:
    """Whether our notice is in a file. Raises InputError if that is no video or picture, and no list of them."""
    return path.name != LIST and notice_of(path)


def _own() -> tuple[int, str] | None:
    """Serial number and root of the user's own identity, if there is one that can be read."""
    try:
        chain = load_identity(make=False).chain
    except (InputError, OSError):
        return None
    return chain.serial, chain.root


def _found(path: Path, where: str, whole: dict[str, Any], own: tuple[int, str] | None, anchors: Sequence[str]) -> Found:
    manifest = whole.get("manifests", {}).get(whole.get("active_manifest"), {})
    results = whole.get("validation_results", {}).get("activeManifest", {})
    failures = [str(item.get("code", "")) for item in results.get("failure", [])]
    succeeded = {str(item.get("code", "")) for item in results.get("success", [])}
    signature = manifest.get("signature_info") or {}
    asserted = {str(a.get("label", "")): a.get("data") or {} for a in manifest.get("assertions", [])}
    acts = next((data for label, data in asserted.items() if label.startswith("c2pa.actions")), {})
    actions = [a for a in acts.get("actions", []) if isinstance(a, dict)]
    tools = manifest.get("claim_generator_info") or [{}]
    types = [str(a["digitalSourceType"]).rsplit("/", 1)[-1] for a in actions if a.get("digitalSourceType")]
    mine = own is not None and str(signature.get("cert_serial_number")) == str(own[0]) and own[1] not in anchors
    return Found(
        file=str(path),
        state=_state(failures, succeeded, mine),
        where=where,
        problems=tuple(dict.fromkeys(_WORDS.get(code, code) for code in failures)),
        signer=str(signature.get("common_name") or ""),
        organization=str(signature.get("issuer") or ""),
        algorithm=str(signature.get("alg") or ""),
        time=str(signature.get("time") or ""),
        time_trusted="timeStamp.trusted" in succeeded,
        made_by=f"{tools[0].get('name', '')} {tools[0].get('version', '')}".strip(),
        actions=tuple(str(a.get("action", "")) for a in actions),
        source_type=types[-1] if types else "",
        ingredients=tuple(_ingredient(one) for one in manifest.get("ingredients", [])),
        marks=_marks(manifest.get("assertions", [])),
        synthesis=asserted.get(LABEL, {}),
    )


def _marks(assertions: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """What our invisible marks say, by the assertions that tie them to the manifest."""
    out = []
    for one in assertions:
        data = one.get("data")
        if str(one.get("label", "")).startswith(BINDING) and isinstance(data, dict) and data.get("alg") == ALGORITHM:
            out += [str(block.get("value", "")) for block in data.get("blocks", []) if isinstance(block, dict)]
    return tuple(dict.fromkeys(out))


def _state(failures: Sequence[str], succeeded: set[str], mine: bool) -> str:
    unknown = "signingCredential.untrusted"
    rest = [code for code in failures if code != unknown]
    if any(word in code for code in rest for word in _TAMPERED):
        return "tampered"
    if rest or "claimSignature.validated" not in succeeded:
        return "invalid"
    if unknown in failures or "signingCredential.trusted" not in succeeded:
        return "untrusted"
    return "valid" if mine else "trusted"


def _ingredient(one: dict[str, Any]) -> Ingredient:
    """A file that went in, and what was found of its own manifest when it did."""
    results = (one.get("validation_results") or {}).get("activeManifest")
    state = "none"
    if results is not None:
        failures = [str(item.get("code", "")) for item in results.get("failure", [])]
        bad = [code for code in failures if code != "signingCredential.untrusted"]
        state = "tampered" if any(w in code for code in bad for w in _TAMPERED) else "invalid" if bad else "intact"
    return Ingredient(str(one.get("title", "")), str(one.get("relationship", "")), state)
