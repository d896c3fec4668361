"""A drawn face mesh: MediaPipe's 468 points of a frontal face whose mouth opens by given amounts."""

from __future__ import annotations

import numpy as np

from wav2lip_hq import mesh as layout

EYES = 80.0  # px between the outer corners of the eyes, of a face of 256 px


def drawn_mesh(openings: np.ndarray, middle: tuple[float, float] = (128.0, 128.0), scale: float = 1.0) -> np.ndarray:
    """(T, 468, 2) float32, in pixels; openings (T,) in eye distances, as ``metrics.mouth.opening`` reads them."""
    rng = np.random.default_rng(0)
    out = np.empty((len(openings), 468, 2))
    rings = layout.INDICES
    for frame, opening in zip(out, openings, strict=True):
        frame[:] = rng.uniform(-0.3, 0.3, (468, 2)) * EYES  # skin that no figure reads
        rng = np.random.default_rng(0)
        gap = opening * EYES
        for part, half, upper, lower in (
            (layout.INNER_LIPS, 0.3 * EYES, -gap / 2, gap / 2),
            (layout.OUTER_LIPS, 0.36 * EYES, -gap / 2 - 9, gap / 2 + 11),
        ):
            ring = rings[part]  # left corner, over the top to the right corner, back below
            count = len(ring) // 2
            for n, index in enumerate(ring):
                along = n / count if n <= count else 2 - n / count
                height = upper if n < count else lower
                flat = 0.0 if n in (0, count) else 1.0
                frame[index] = (half * (2 * along - 1), 0.55 * EYES + flat * height)
        jaw = rings[layout.JAW]
        for n, index in enumerate(jaw):
            angle = np.pi * (1 - n / (len(jaw) - 1))
            frame[index] = (0.85 * EYES * np.cos(angle), 1.25 * EYES * np.sin(angle) + gap * np.sin(angle))
        lid = (345, 346, 347, 348, 349, 350, 197, 121, 120, 119, 118, 117, 116)
        for n, index in enumerate(lid):
            frame[index] = (0.6 * EYES * (1 - n / 6), -0.05 * EYES)
        for n, index in enumerate((98, 97, 2, 326, 327)):
            frame[index] = ((n - 2) * 0.08 * EYES, 0.3 * EYES)
        frame[10] = (0, -0.9 * EYES)
        frame[33], frame[263] = (-EYES / 2, -0.2 * EYES), (EYES / 2, -0.2 * EYES)
    return (out * scale + np.asarray(middle)).astype(np.float32)


def words(seed: int, count: int = 100) -> np.ndarray:
    """(count,) openings of a mouth that talks: 0.02 to 0.3, smooth."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(size=count + 8)
    smooth = np.convolve(rough, np.hanning(9), "valid")
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return 0.02 + 0.28 * smooth**2
