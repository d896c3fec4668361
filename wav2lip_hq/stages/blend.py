"""Blend: write the face into the frame; nothing outside the mask changes, not even by rounding."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from .. import mesh as points
from ..engine import Stage
from ..errors import StageError
from ..options import described, option
from ..types import Array, Chunk, Faces, Mouths
from ._choice import Library, Wanted, shapes
from ._coarse import weighted
from ._generated import Picture, bands, change, look_at, transfer
from ._lent import Mouth, lendable
from ._outline import lower_face, on_canvas
from ._paste import CANVAS, painted
from ._spoken import Face, speak
from .parse import default_shape, feathered

if TYPE_CHECKING:
    from ..runtime import Runtime

REACH = 6  # frames to either side over which the path through the library of mouths is optimized
BEFORE = 8  # frames over which the colors of a synthesized face are averaged
FEATHER = 14.0  # px; width of the mask's soft edge where no parser made the mask


@dataclass(frozen=True)
class _Seen:
    """What is known of a face by its own frame alone."""

    target: Array | None = None  # (POINTS, 2), the mesh it is to have, on the canvas
    wanted: Wanted | None = None
    library: Library | None = None  # the mouths to choose from, and (K,) the cost of each
    costs: Array | None = None
    picture: Picture | None = None  # of a face made by a generator


@described
@dataclass(frozen=True)
class Blend(Stage):
    """Write the speaking face into the frame.

    With target landmarks (``faces.target``) the source's own lower face is warped to them, and between the lips the
    interior of a mouth is shown that the same face has elsewhere in its footage, or, if there is none, a synthetic one.
    Each pixel is sampled once, straight from the frame.

    Otherwise the restored (or synthesized) face is shown. Its colors are matched to the source by a smooth field
    measured on the skin around the mouth, and those of the lips (where ``parse`` has found them) by their mean,
    averaged over the track's last frames. A generator has only 96 pixels per face, and most of what it shows is in the
    source, too, only elsewhere: there the source's own pixels are shown, moved by optical flow. What is resampled into
    the frame is the *difference* to the source face.

    Either way 16-bit sources keep their precision, and pixels whose mask is 0 keep their exact values.
    """

    name: ClassVar[str] = "blend"
    reads: ClassVar[tuple[str, ...]] = ("frames", "faces.frame", "faces.track", "faces.aligned", "faces.to512")
    optional: ClassVar[tuple[str, ...]] = (
        "tracks",
        "faces.mesh",
        "faces.target",
        "faces.pose",
        "faces.strength",
        "faces.synced",
        "faces.synced96",
        "faces.to96",
        "faces.restored",
        "faces.mask",
        "faces.lips",
    )
    adds: ClassVar[tuple[str, ...]] = ("frames",)

    method: str = option(
        "multiband",
        "How a generated face is blended: multiband has wide transitions for color and narrow ones for detail, feather "
        "has one width for both.",
        choices=("multiband", "feather"),
    )
    texture: float = option(
        1.0,
        "Weight of the source's own pixels, moved to where the speaking mouth needs them; less makes lips and the skin "
        "around them soft, 0 shows the synthesis alone.",
        low=0,
        high=1,
    )
    recall: float = option(
        1.0,
        "Weight of the face's own mouths, from elsewhere in its footage, between the lips; 0 shows a synthetic, dark "
        "interior.",
        low=0,
        high=1,
    )
    # Restorers hallucinate slightly different skin in each frame, which flickers.
    steady: float = option(
        0.5,
        "Weight of the previous frame's synthesized detail where the face is at rest; more flickers less, too much "
        "smears.",
        low=0,
        high=1,
    )
    color: bool = option(
        True, "Match the synthesized face's colors to the source's, lips included; without it the border may show."
    )

    @property
    def lookahead(self) -> int:
        """Frames that the choice of mouths waits for."""
        return REACH

    @property
    def context(self) -> int:
        """Frames before a span that the choice of mouths and the steadying of colors look at."""
        return max(REACH, BEFORE)

    def run(self, chunks: Iterator[Chunk], runtime: Runtime) -> Generator[Chunk, None, None]:
        """Measure single faces first, then write each, given a fixed window of frames around it."""
        waiting: deque[Chunk] = deque()
        seen: deque[dict[int, _Seen]] = deque()  # for each frame: track -> what is known
        past: deque[dict[int, _Seen]] = deque(maxlen=self.context)
        libraries: dict[int, Library] = {}

        def ready(final: bool) -> Iterator[Chunk]:
            while waiting and (final or len(seen) >= len(waiting[0]) + REACH):
                chunk = waiting.popleft()
                faces = chunk.faces
                assert faces is not None and faces.track is not None
                frames = chunk.frames.copy() if len(faces) else chunk.frames
                for i in range(len(chunk)):
                    after = [seen[k] for k in range(min(REACH + 1, len(seen)))]
                    for n in np.flatnonzero(faces.frame == i).tolist():
                        track = int(faces.track[n])
                        recent = [s[track] for s in past if track in s]
                        now = seen[0].get(track, _Seen())
                        if now.picture is not None:
                            pictures = [s.picture for s in recent if s.picture is not None]
                            self._paint(frames[i], faces, n, now.picture, pictures)
                        elif now.target is not None:
                            window = [*recent[-REACH:], *[s[track] for s in after if track in s]]
                            self._speak(frames[i], faces, n, window, len(recent[-REACH:]))
                    past.append(seen.popleft())
                for track in [t for t in libraries if not any(t in frame for frame in (*past, *seen))]:
                    del libraries[track]  # long films have thousands of tracks
                yield replace(chunk, frames=frames)

        for chunk in chunks:
            assert chunk.faces is not None
            if chunk.faces.mask is None and len(chunk.faces):
                chunk = chunk.with_faces(mask=_masks(chunk))
            seen.extend(self._look(chunk, libraries))
            waiting.append(chunk)
            yield from ready(False)
        yield from ready(True)

    def _look(self, chunk: Chunk, libraries: dict[int, Library]) -> list[dict[int, _Seen]]:
        """What is known of each frame's faces, by track. Fills ``libraries``."""
        faces = chunk.faces
        assert faces is not None and faces.track is not None and faces.aligned is not None and faces.to512 is not None
        out: list[dict[int, _Seen]] = [{} for _ in range(len(chunk))]
        targets = faces.target if self.texture > 0 and faces.mesh is not None else None
        made = faces.synced if faces.restored is None else faces.restored
        if targets is None and made is None and len(faces):
            raise StageError("stage 'blend' has neither landmarks with a target nor a generated face to show")
        for n, i in enumerate(faces.frame.tolist()):
            track = int(faces.track[n])
            if targets is None:
                assert made is not None and faces.mask is not None
                lips = None if faces.lips is None else faces.lips[n]
                picture = look_at(chunk.start + i, faces.aligned[n], made[n], faces.mask[n], lips, self.color)
                out[i][track] = _Seen(picture=picture)
                continue
            target = on_canvas(targets[n], faces.to512[n])
            if not np.isfinite(target).all():
                continue
            wanted = _wanted(faces, n, target)
            facts = None if chunk.tracks is None or not self.recall else chunk.tracks.get(track)
            if facts is None or not len(facts.mouths):
                out[i][track] = _Seen(target, wanted)
                continue
            if track not in libraries or not libraries[track].holds(facts.mouths):
                libraries[track] = Library(facts.mouths)
            out[i][track] = _Seen(target, wanted, libraries[track], libraries[track].costs(wanted))
        return out

    def _paint(self, frame: Array, faces: Faces, n: int, now: Picture, before: Sequence[Picture]) -> None:
        """Write a generated face into ``frame``."""
        assert faces.to512 is not None
        mask = now.mask if faces.strength is None else now.mask * faces.strength[n]
        made = change(now, before, self.texture, self.steady, self.color)
        made = weighted(made, mask) if self.method == "feather" else bands(made, mask)
        transfer(frame, made, now.area, faces.to512[n])

    def _speak(self, frame: Array, faces: Faces, n: int, window: list[_Seen], at: int) -> None:
        """Move the face in ``frame`` to its target. window: the track's frames around it, which is number ``at``."""
        assert faces.mesh is not None and faces.to512 is not None and faces.aligned is not None
        target, mask = window[at].target, faces.mask
        assert target is not None and mask is not None
        strength = 1.0 if faces.strength is None else float(faces.strength[n])
        mesh = on_canvas(faces.mesh[n], faces.to512[n])
        if strength <= 0 or not mask[n].any() or not np.isfinite(mesh).all():
            return
        mouth, library = None, window[at].library
        if library is not None:
            # The library of footage that is read only once grows: costs are then computed anew with the present one.
            costs = [s.costs if s.library is library else library.costs(s.wanted) for s in window if s.wanted]
            chosen = library.chosen([c for c in costs if c is not None], at)
            lent, yaw = library.mouths, 0.0 if faces.pose is None else float(faces.pose[n, 0])
            openings = float(points.opening(mesh)), float(points.opening(target))
            lips = lendable(float(lent.pose[chosen, 0]), yaw, *openings)
            mouth = Mouth(lent.picture[chosen], Mouths.WINDOW, lent.mesh[chosen], lips)
        target = mesh + strength * (target - mesh)
        face = Face(faces.aligned[n], mask[n], mesh, target, faces.to512[n], frame.dtype == np.uint16)
        speak(frame, face, mouth, self.recall, strength)


def _wanted(faces: Faces, n: int, target: Array) -> Wanted:
    """The mouth that face ``n`` is to show. target: (POINTS, 2), on the canvas."""
    assert faces.aligned is not None
    pose = np.zeros(3) if faces.pose is None else faces.pose[n].astype(np.float64)
    return Wanted(
        shapes(target[None])[0],
        float(points.opening(target)),
        pose,
        sum(cv2.mean(faces.aligned[n][Mouths.WINDOW])) / 3,
    )


def _masks(chunk: Chunk) -> Array:
    """(N, 512, 512) uint8, where no parser made them."""
    faces = chunk.faces
    assert faces is not None and faces.to512 is not None
    if faces.mesh is not None and faces.target is not None:
        shapes = (
            lower_face(on_canvas(m, to), on_canvas(t, to))
            for m, t, to in zip(faces.mesh, faces.target, faces.to512, strict=True)
        )
        masks = np.stack([np.round(255 * feathered(shape, FEATHER)).astype(np.uint8) for shape in shapes])
    else:
        masks = np.empty((len(faces), CANVAS, CANVAS), np.uint8)
        masks[:] = np.round(255 * feathered(default_shape(), FEATHER))
        if faces.to96 is not None and faces.synced96 is not None:
            where = painted(faces.to96, faces.to512, faces.synced96.shape[1])
            masks = np.round(masks * where).astype(np.uint8)
    if chunk.active is not None:
        masks[~chunk.active[faces.frame]] = 0
    return masks
