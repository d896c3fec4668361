"""The generator's reference frame: the same face in another frame, with its mouth closed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .. import geometry
from ..types import Array, Faces, References, TrackFacts

# Distances are quantized to these steps. Of equally distant references the one with the most closed mouth is chosen, so
# that the choice, and with it the face, hardly changes from frame to frame.
TURN = 6.0  # degrees, Euclidean over the three angles
LIGHT = 24.0  # 8-bit steps of brightness


def references(faces: Faces, tracks: Mapping[int, TrackFacts] | None) -> Array:
    """(N, S, S, 3) uint8: for each face its track's reference that is nearest in pose and light, cropped as
    ``faces.crop96`` is; the crop itself where the track has no reference."""
    assert faces.crop96 is not None and faces.track is not None and faces.box is not None and faces.to96 is not None
    shown = faces.crop96
    if not tracks:
        return shown
    shown = shown.copy()
    size = shown.shape[1]
    for n, track in enumerate(faces.track.tolist()):
        facts = tracks.get(track)
        if facts is None or not len(facts.references):
            continue
        pose = None if faces.pose is None else faces.pose[n]
        light = None if faces.light is None else float(faces.light[n])
        picture = facts.references.picture[nearest(facts.references, pose, light)]
        shown[n] = geometry.sample(picture, _like(faces.to96[n], faces.box[n], len(picture)), size)
    return shown


def nearest(known: References, pose: Array | None, light: float | None) -> int:
    """Index of the reference for a face in this pose (3,) and light, either of which may be unknown; the face's own
    frame only if there is no other."""
    far = np.zeros(len(known))
    own = np.full(len(known), pose is not None and light is not None)
    if pose is not None:
        far += np.linalg.norm(known.pose - pose, axis=1) // TURN
        own &= (known.pose == pose).all(1)
    if light is not None:
        far += np.abs(known.light - light) // LIGHT
        own &= known.light == np.float32(light)
    return int(np.lexsort((known.opening, far, own))[0])


def _like(to96: Array, box: Array, side: int) -> Array:
    """(2, 3): a reference's picture -> the generator's crop, as ``to96`` cuts a face out around its own ``box``."""
    x1, y1, x2, y2 = np.asarray(box, np.float64)
    placed = np.array([[x2 - x1, 0, x1], [0, y2 - y1, y1]])  # a box of size 1 -> this one
    room = geometry.pad_box(np.array([[0.0, 0, 1, 1]]), (References.ROOM,) * 4)
    drawn = geometry.box_to_crop(room, side)[0]  # a box of size 1 -> the picture
    return geometry.compose(geometry.compose(to96, placed), geometry.invert(drawn))
