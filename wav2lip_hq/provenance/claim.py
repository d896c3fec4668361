"""What a manifest says of a result: what it was made of, with what, and where it was changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..version import VERSION
from ..video import NOTICE
from .consent import Consent

LABEL = "wav2lip_hq.synthesis"  # of our own assertion, beside those that C2PA defines
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MOST = 2000  # stretches of frames that are listed; a file must not swell with flickering detections
BINDING = "c2pa.soft-binding"  # the assertion that ties an invisible mark to the manifest
ALGORITHM = "wav2lip_hq.mark.1"  # what our mark is called there
SOURCE, SPEECH = "source", "speech"  # what the actions call their ingredients


@dataclass(frozen=True)
class Input:
    """A file that went in. path: None for what came from memory; sha256: of its content, "" if there is no file."""

    name: str
    path: Path | None = None
    sha256: str = ""

    def plain(self) -> dict[str, str]:
        """Name and hash."""
        return {"name": self.name, **({"sha256": self.sha256} if self.sha256 else {})}


@dataclass(frozen=True)
class Claim:
    """Everything that is said. changed: (face, first frame, last frame) of each stretch that was synthesized;
    marks: what the invisible marks in them say, 8 hexadecimal digits each."""

    title: str
    source: Input
    speech: tuple[Input, ...]
    models: Mapping[str, str] = field(default_factory=dict)  # name -> SHA-256
    stages: Sequence[str] = ()
    frames: int = 0
    changed: Sequence[tuple[int, int, int]] = ()
    consent: Consent | None = None
    marks: Sequence[str] = ()
    label: str = ""  # text of the visible notice

    def synthesis(self) -> dict[str, Any]:
        """Our own assertion. Numbers stand by name, since the library takes lists of numbers for bytes."""
        said: dict[str, Any] = {
            "statement": NOTICE,
            "version": VERSION,
            "source": self.source.plain(),
            "speech": [one.plain() for one in self.speech],
            "models": [{"name": name, "sha256": sha} for name, sha in sorted(self.models.items())],
            "stages": list(self.stages),
            "frames": self.frames,
            "synthesized": [{"face": f, "first": a, "last": b} for f, a, b in self.changed[:MOST]],
        }
        if len(self.changed) > MOST:
            said["stretches_not_listed"] = len(self.changed) - MOST
        if self.consent is not None:
            said["consent"] = self.consent.plain()
        if self.label:
            said["visible_label"] = self.label
        return said

    def definition(self) -> dict[str, Any]:
        """The manifest, as the library takes it; ingredients are added apart.

        No times stand in it: the only one that means anything is a timestamp server's."""
        edited: dict[str, Any] = {
            "action": "c2pa.edited",
            "digitalSourceType": COMPOSITE,
            "description": NOTICE,
            "softwareAgent": {"name": "wav2lip_hq", "version": VERSION},
        }
        if self.speech:
            edited["parameters"] = {"ingredientIds": [f"{SPEECH}{n}" for n in range(len(self.speech))]}
        first: dict[str, Any] = {"action": "c2pa.opened", "parameters": {"ingredientIds": [SOURCE]}}
        if self.source.path is None:
            first = {"action": "c2pa.created", "digitalSourceType": COMPOSITE, "description": "frames from memory"}
        marked = [{"action": "c2pa.watermarked.bound"}] if self.marks else []
        bindings = [
            {"label": BINDING, "data": {"alg": ALGORITHM, "blocks": [{"scope": {}, "value": mark}], "pad": ""}}
            for mark in self.marks
        ]
        return {
            "title": self.title,
            "claim_generator_info": [{"name": "wav2lip_hq", "version": VERSION}],
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": [first, edited, *marked]}},
                {"label": LABEL, "data": self.synthesis()},
                *bindings,
            ],
        }


@dataclass(frozen=True)
class Moved(Claim):
    """A copy of a file whose sound was moved: the file is its parent, and nothing was synthesized.

    later_ms: by how much later the sound is heard."""

    later_ms: float = 0.0

    def definition(self) -> dict[str, Any]:
        """The manifest, as the library takes it."""
        said = f"the sound was moved by {self.later_ms:+.0f} ms against the picture; neither was encoded anew"
        edited = {
            "action": "c2pa.edited",
            "description": said,
            "softwareAgent": {"name": "wav2lip_hq", "version": VERSION},
        }
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [SOURCE]}}
        return {
            "title": self.title,
            "claim_generator_info": [{"name": "wav2lip_hq", "version": VERSION}],
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [opened, edited]}}],
        }
