"""The covered set-up: a drawn hand or microphone over the mouth, and the clip's own words.

The covered clips are in OUT/covered, losslessly encoded, for tools that are run elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wav2lip_hq import geometry
from wav2lip_hq.metrics import occluder
from wav2lip_hq.metrics.mouth import Mouth
from wav2lip_hq.types import Array
from wav2lip_hq.video import VideoWriter, open_video

from . import observe
from .mouths import Sight


def make(clip: Path, kind: str, sight: Sight, real: Mouth, target: Path) -> Path:
    """Path of the covered clip, which is made once: the frames of ``sight`` with the occluder over the face's mouth."""
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    with open_video(clip) as reader, VideoWriter(part, reader.info, codec="ffv1") as writer:
        for (pts, frame, _), layer in zip(reader, layers(kind, sight, real), strict=False):
            writer.write(occluder.composite(geometry.eight_bits(frame), layer), pts)
    os.replace(part, target)
    return target


def layers(kind: str, sight: Sight, real: Mouth) -> Iterator[Array]:
    """The occluder of each frame, (H, W, 4) uint8; transparent where no face was detected."""
    rgba = occluder.draw(kind)
    step = float(np.median(np.diff(sight.time))) if len(sight) > 1 else 0.04
    for n, mesh in enumerate(real.mesh):
        if np.isfinite(mesh).all():
            yield occluder.place(mesh, n, 1 / step, sight.size, rgba)
        else:
            yield np.zeros((*sight.size, 4), np.uint8)


def judge(video: Path, covered: Path, kind: str, sight: Sight, real: Mouth) -> dict[str, Any]:
    """The figures of ``occluder.Covered`` of a finished video against the covered clip."""
    facts, figures, shown = observe.Facts(), occluder.Covered(), 0
    times = sight.time.tolist()
    made, before = (observe.Film(v).frames(times, sight.size, facts) for v in (video, covered))
    for frame, source, layer, mesh in zip(made, before, layers(kind, sight, real), real.mesh, strict=False):
        figures.add(geometry.eight_bits(frame), geometry.eight_bits(source), layer[..., 3], mesh)
        shown += 1
    return {"frames": len(sight), "short": len(sight) - shown, **figures.compute(), "note": facts.note or None}
