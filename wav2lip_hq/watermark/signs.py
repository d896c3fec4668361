"""Which cell of the grid has which sign, and what it says.

A cell has two signs, of the cosine and of the sine of the beat: a complex number. A mark is four letters of eight
bits; each letter has a quarter of the cells, scattered evenly, and each of its 256 values has signs of its own there.
Because letters are recognized as a whole, they survive where single bits would not; together they also show that there
is a mark.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from ..types import Array

ROWS, COLUMNS = 24, 36  # cells
BITS = 32
LETTERS, VALUES = 4, 256
KEY = "wav2lip_hq 1"  # public on purpose: anyone can read the mark


@lru_cache(maxsize=1)
def places() -> Array:
    """(ROWS, COLUMNS) int64: the letter that each cell belongs to."""
    rows, columns = np.indices((ROWS, COLUMNS))
    return np.asarray((columns + 2 * rows) % LETTERS)  # an occluder takes a few cells of each letter


@lru_cache(maxsize=64)
def words(key: str = KEY) -> Array:
    """(VALUES, ROWS, COLUMNS) complex64 of +-1 +-1j: the signs of each value of a letter.

    They must never change, so they come from SHAKE-256 and not from a generator that a library may change.
    """
    count = VALUES * ROWS * COLUMNS
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(key.encode()).digest(2 * count // 8), np.uint8))
    both = bits.reshape(2, VALUES, ROWS, COLUMNS).astype(np.float32) * 2 - 1
    return np.asarray(both[0] + 1j * both[1], np.complex64)


@lru_cache(maxsize=16)
def meant(number: int, key: str = KEY) -> Array:
    """(ROWS, COLUMNS) complex64: the cells of a mark that says ``number`` (BITS bits)."""
    chosen = np.array([number >> 8 * k & 0xFF for k in range(LETTERS)])
    return np.asarray(np.take_along_axis(words(key), chosen[places()][None], 0)[0])


def speech_id(wav: Array) -> int:
    """The default payload of a mark: BITS bits of the SHA-256 of the driving speech (n,) float32 at 16 kHz, as 16-bit
    samples."""
    samples = np.round(np.clip(wav, -1, 1) * 32767).astype("<i2")
    return int.from_bytes(hashlib.sha256(samples.tobytes()).digest()[: BITS // 8], "big")
