"""What flows between stages. Frozen: a stage returns a changed copy, made with ``dataclasses.replace``.

Conventions, stated once: images are RGB, HWC, integers at rest (uint8; uint16 holding the full 0..65535 range for
sources deeper than 8 bits). Pixel centers are at integer coordinates: the center of the top-left pixel is (0, 0).
Boxes are (x1, y1, x2, y2) float32 in pixels of the full frame. Affine matrices are (2, 3) float64 and map full-frame
(x, y) to crop (x, y).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError

Array = NDArray[Any]


class Reason(IntEnum):
    """Why a face, or a frame, is left as it is. The numbers are stored in surveys: never change one."""

    NOT_DETECTED = 1
    TOO_SMALL = 2
    TURNED = 3
    HIDDEN = 4
    NOT_CHOSEN = 5
    INTERRUPTED = 6
    BEFORE = 7
    AFTER = 8
    DROPPED = 9
    SAID = 10
    BESIDE = 11

    @property
    def text(self) -> str:
        """For a person: "the head is turned too far away"."""
        return _REASONS[self]


_REASONS = {
    Reason.NOT_DETECTED: "no face was detected",
    Reason.TOO_SMALL: "the face is too small (track.min_face)",
    Reason.TURNED: "the head is turned too far away (admit.max_yaw, admit.max_pitch)",
    Reason.HIDDEN: "the mouth is hidden or cannot be made out (admit.min_visible)",
    Reason.NOT_CHOSEN: "another face was chosen (track.faces)",
    Reason.INTERRUPTED: "a cut or a flash interrupts the shot here",
    Reason.BEFORE: "the speech has not begun",
    Reason.AFTER: "the speech has ended",
    Reason.DROPPED: "the face was dropped from the survey by hand",
    Reason.BESIDE: "the head is turned further than its landmarks say (parse.max_beyond)",
    Reason.SAID: "the footage says these words already (own_words)",
}


@dataclass(frozen=True)
class VideoInfo:
    """Facts about an opened face source, after rotation metadata has been applied."""

    path: str  # "" for arrays and iterators
    width: int
    height: int
    fps: Fraction  # average frame rate; timestamps, not this, drive timing
    frames: int | None  # None when it is not known before the end (iterators, some containers)
    duration: Fraction | None  # seconds
    time_base: Fraction
    bit_depth: int = 8
    codec: str = ""
    pix_fmt: str = ""
    rotation: int = 0  # degrees clockwise that were applied while reading
    sample_aspect_ratio: Fraction = Fraction(1)
    color: dict[str, int] = field(default_factory=dict)  # primaries, transfer, matrix, range (ISO/IEC 23091-2 codes)
    has_audio: bool = False
    has_alpha: bool = False
    interlaced: bool = False
    variable_rate: bool = False
    still: bool = False  # one image that serves for any duration
    floating: bool = False  # half or single precision floats (EXR)
    colorspace: str = ""  # as OpenColorIO names it, where it is not shown as it is
    mastering: str = ""  # HDR10's mastering display and light levels in the encoders' syntax, see ``video.hdr``
    naming: Any = None  # ``video.sequences.Naming`` of a sequence of pictures
    timecode: str = ""  # of the first frame, "01:00:00:00", or with ";" before the frames for drop-frame; "" = none
    begins: Fraction = Fraction(0)  # seconds of the file at which the footage begins: its in point
    slowed: Fraction = Fraction(1)  # how many times longer it lasts than in the file
    cut: bool = False  # whether it is a piece of the file, from ``begins`` on


@dataclass(frozen=True)
class Faces:
    """Arrays over all N faces of a chunk (any field but ``frame`` may still be None)."""

    frame: Array  # (N,) int64, index of the frame within the chunk, non-decreasing
    track: Array | None = None  # (N,) int64, stable over time; a cut starts new tracks
    box: Array | None = None  # (N, 4) float32, smoothed face box
    landmarks: Array | None = None  # (N, 5, 2) float32: left eye, right eye (image left first), nose, mouth corners
    to96: Array | None = None  # (N, 2, 3) float64, frame -> generator crop
    to512: Array | None = None  # (N, 2, 3) float64, frame -> FFHQ-aligned crop
    crop96: Array | None = None  # (N, S, S, 3) uint8, S = 96 for the official generator
    aligned: Array | None = None  # (N, 512, 512, 3) uint8
    synced: Array | None = None  # (N, 512, 512, 3) uint8, generated mouth in the aligned face
    synced96: Array | None = None  # (N, S, S, 3) uint8, the generator's own output
    mask: Array | None = None  # (N, 512, 512) uint8, 255 = take the synthesized face
    # (N, 2, 128, 128) uint8, 255 = lips, in the source face and in the synthesized one
    lips: Array | None = None
    restored: Array | None = None  # (N, 512, 512, 3) uint8
    mesh: Array | None = None  # (N, POINTS, 2) float32, dense landmarks in the frame, see ``mesh``
    pose: Array | None = None  # (N, 3) float32, degrees: yaw (+ = turned to image right), pitch (+ = up), roll
    visible: Array | None = None  # (N,) float32: probability that the mouth can be seen
    target: Array | None = None  # (N, POINTS, 2) float32, px of the frame: the mesh that the speech asks for
    strength: Array | None = None  # (N,) float32 in (0, 1]: share of the synthesized face; below 1 while it fades
    reason: Array | None = None  # (N,) uint8 ``Reason``, of faces that are left as they are
    score: Array | None = None  # (N,) float32 in [0, 1]: the detector's mean score of the face so far
    sharpness: Array | None = None  # (N,) float32: contrast of fine detail around the mouth, 8-bit steps
    light: Array | None = None  # (N,) float32: mean brightness around the mouth, 8-bit steps

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, which: Array) -> Faces:
        """Some of them: a mask or indices over all."""
        some: dict[str, Any] = {name: None if value is None else value[which] for name, value in vars(self).items()}
        return Faces(**some)

    def refused(self, reason: Array | int) -> Faces:
        """What is kept of faces that are left as they are, for a ``Reason`` or one each, (N,) uint8."""
        why = np.full(len(self), reason, np.uint8)
        return Faces(self.frame, self.track, self.box, self.landmarks, score=self.score, reason=why)

    def joined(self, other: Faces) -> Faces:
        """Both sets in order of frame; fields that only one of them has are dropped."""
        if not len(other):
            return self
        if not len(self):
            return other
        order = np.argsort(np.concatenate([self.frame, other.frame]), kind="stable")
        both: dict[str, Any] = {}
        for name, value in vars(self).items():
            more = getattr(other, name)
            both[name] = None if value is None or more is None else np.concatenate([value, more])[order]
        return Faces(**both)


@dataclass(frozen=True)
class Mouths:
    """Mouths of a face from all over its footage: K pictures and their measurements, in order of time."""

    # Rows and columns of the aligned 512 px face that the pictures show: a mouth, with room to open.
    WINDOW: ClassVar[tuple[slice, slice]] = (slice(272, 464), slice(144, 384))

    number: Array  # (K,) int64, frame of the footage
    picture: Array  # (K, 192, 240, 3) uint8
    mesh: Array  # (K, POINTS, 2) float32, in pixels of the aligned 512 px face
    pose: Array  # (K, 3) float32, degrees as in ``Faces.pose``
    light: Array  # (K,) float32, mean brightness of the picture in 8-bit steps

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True)
class References:
    """Frames of a face with a closed mouth, as the generator's references: K pictures, in order of time."""

    ROOM: ClassVar[float] = 0.3  # around the face's box in the picture, as a share of the box's size

    number: Array  # (K,) int64, frame of the footage
    picture: Array  # (K, 256, 256, 3) uint8: the face's box grown by ROOM on all sides, stretched
    opening: Array  # (K,) float32, see ``mesh.opening``
    pose: Array  # (K, 3) float32
    light: Array  # (K,) float32

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True, eq=False)
class Manner:
    """How a person's mouth moves otherwise than an articulation network predicts for everybody, learned from footage of
    the person with its own sound."""

    AJAR: ClassVar[float] = 0.6  # opening above which all is added: what the network closes stays closed

    weights: Array  # (K + 1,) float64: of ``inputs``; their sum is added to the opening
    lead: float  # seconds before speech at which the mouth may open: people breathe in
    network: str  # SHA-256 of the network's file

    @classmethod
    def inputs(cls, coefficients: Array) -> Array:
        """(T, K + 1): the network's coefficients (T, K) and 1, less and less of them where lips close."""
        ajar = np.clip(coefficients[:, :1] / cls.AJAR, 0, 1)
        return np.concatenate([ajar * coefficients, ajar], 1)

    def applied(self, coefficients: Array) -> Array:
        """(T, K) coefficients with the person's own opening, which is 0 or more."""
        out = np.array(coefficients, np.float64)
        out[:, 0] = np.maximum(out[:, 0] + self.inputs(out) @ self.weights, 0)
        return out


@dataclass(frozen=True)
class TrackFacts:
    """What is known of one face from its whole footage. Openings and widths: see ``mesh``, over the distance of the
    eyes."""

    closed: float  # opening of its closed mouth: the 5th percentile
    wide: float  # opening of its open mouth: the 95th percentile
    spread: float  # standard deviation of its opening
    neutral: Array  # (POINTS, 2) float32, in pixels of the aligned 512 px face: mean mesh of its most closed tenth
    mouths: Mouths
    references: References
    manner: Manner | None = None  # None = as the network predicts for everybody


@dataclass(frozen=True)
class Chunk:
    """T consecutive frames and what the stages have added."""

    start: int  # index of the first frame in the output
    frames: Array  # (T, H, W, 3) uint8 | uint16
    pts: tuple[Fraction, ...]  # exact presentation times in seconds, one a frame
    source_pts: tuple[Fraction, ...] | None = None  # times in the footage of the frames shown; differ where it loops
    mel: Array | None = None  # (T, 80, 16) float32 in [-4, 4]: each frame's own window of the speech
    phrase: Array | None = None  # (T, 80, 80) float32 in [-4, 4]: a second of the speech's mel around each frame
    speech: Array | None = None  # (T,) float32 in [0, 1]: how much speech there is at the frame; 0 = silence
    ahead: Array | None = None  # (T,) float32 seconds from the frame to the next speech; 0 within it
    alpha: Array | None = None  # (T, H, W) same dtype as the footage's pixels
    # (T, H, W, 3) the footage's own pixels, in its own color space (uint8, uint16, float16, float32), where ``frames``
    # are a picture of them for networks and people. What changes in ``frames`` is brought back after the stages.
    own: Array | None = None
    matte: Array | None = None  # (T, H, W) uint16: share of the synthesized face in each pixel, where it is asked for
    # A frame: (n, 15) float32 x1 y1 x2 y2 score, 5 landmarks (x, y); (0, 15) = no face, None = not looked at
    boxes: tuple[Array | None, ...] | None = None
    faces: Faces | None = None  # those to be synthesized
    left: Faces | None = None  # those that are left as they are: frame, track, box, landmarks and the reason
    tracks: Mapping[int, TrackFacts] | None = None  # by track number; what is known of the chunk's faces
    active: Array | None = None  # (T,) bool: False = speech has ended or not begun, leave the frame untouched

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def pixels(self) -> Array:
        """(T, H, W, 3): the pixels to write, in the footage's own color space."""
        return self.frames if self.own is None else self.own

    def part(self, first: int, end: int) -> Chunk:
        """Frames ``first`` to ``end`` (exclusive) of the chunk, with all that belongs to them."""
        sound, looks = ("mel", "phrase", "speech", "ahead", "active"), ("frames", "own", "alpha", "matte", "boxes")
        per_frame = ("pts", "source_pts", *sound, *looks)
        cut: dict[str, Any] = {n: v[first:end] for n in per_frame if (v := getattr(self, n)) is not None}
        for name in ("faces", "left"):
            faces: Faces | None = getattr(self, name)
            if faces is not None:
                some = faces.take((faces.frame >= first) & (faces.frame < end))
                cut[name] = replace(some, frame=some.frame - first)
        return replace(self, start=self.start + first, **cut)

    def with_faces(self, **changes: Any) -> Chunk:
        """Copy with some arrays of ``faces`` replaced."""
        assert self.faces is not None
        return replace(self, faces=replace(self.faces, **changes))

    def faded(self, share: Array, reason: Array | int) -> Chunk:
        """Copy whose faces are synthesized by no more than ``share``, (N,) in [0, 1] (``faces.strength``); those with 0
        are moved to ``left``, for a ``Reason`` or one each."""
        faces = self.faces
        assert faces is not None
        keep, others = share > 0, faces.refused(reason).take(share == 0)
        share = np.asarray(share, np.float32)
        faces = replace(faces, strength=share if faces.strength is None else np.minimum(share, faces.strength))
        return replace(self, faces=faces.take(keep), left=others if self.left is None else self.left.joined(others))


@dataclass(frozen=True)
class Stretch:
    """Consecutive frames of the output in which one face (without a track: the frame) was synthesized, or left as it is
    for one reason."""

    first: int  # frame of the output
    last: int  # inclusive
    track: int | None
    reason: Reason | None  # None = synthesized


@dataclass(frozen=True)
class Report:
    """What a run did."""

    output: Path | None
    frames: int
    duration: Fraction  # seconds of output
    fps: float  # processed frames per second of wall time
    faces: int  # face instances synthesized
    tracks: int  # faces followed that were synthesized somewhere
    frames_without_face: int  # frames of the speech in which no mouth was synthesized
    seconds: dict[str, float]  # wall seconds inside each stage, plus "read", "write", "survey", "total"
    peak_memory: int  # bytes of resident memory at its highest
    offset_ms: float | None  # measured audio-video offset of the output; None = no sync network or too short
    warnings: tuple[str, ...] = ()
    sync_offset: float = 0.0  # ms that were applied, whether given or measured
    loudness: float | None = None  # LUFS of what is heard, where it was measured
    stretches: tuple[Stretch, ...] = ()  # which frames were synthesized, and why the others were not
    provenance: str = ""  # who signed the output, or that it is not signed
    watermarks: tuple[str, ...] = ()  # what the invisible marks say, one a voice, as hexadecimal digits; () = none

    def explain(self, frame: int) -> str:
        """Why a frame of the output looks as it does: a line for each face. Raises OptionError for a frame that does
        not exist."""
        if not 0 <= frame < self.frames:
            raise OptionError(f"there is no frame {frame}: the output has frames 0 to {self.frames - 1}")
        lines = []
        for stretch in self.stretches:
            if stretch.first <= frame <= stretch.last:
                whose = "" if stretch.track is None else f"face {stretch.track}: "
                what = "synthesized" if stretch.reason is None else f"left as it is: {stretch.reason.text}"
                lines.append(f"frame {frame}: {whose}{what} (frames {stretch.first} to {stretch.last})")
        return "\n".join(lines)
