"""A visible notice in a corner of the picture that lip movement was generated (the option ``label``)."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .errors import OptionError
from .types import Array, Chunk

TEXTS = {
    "cs": "Pohyb rtů vytvořen umělou inteligencí",
    "da": "Læbebevægelser skabt med AI",
    "de": "Lippenbewegung mit KI erzeugt",
    "el": "Η κίνηση των χειλιών δημιουργήθηκε με ΤΝ",
    "en": "Lip movement generated with AI",
    "es": "Movimiento de labios generado con IA",
    "fi": "Huulten liike luotu tekoälyllä",
    "fr": "Mouvement des lèvres généré par IA",
    "hu": "Az ajakmozgást MI készítette",
    "it": "Movimento delle labbra generato con IA",
    "nl": "Lipbewegingen gemaakt met AI",
    "pl": "Ruch ust wygenerowany przez AI",
    "pt": "Movimento labial gerado por IA",
    "ro": "Mișcarea buzelor generată cu IA",
    "sv": "Läpprörelser skapade med AI",
    "tr": "Dudak hareketi yapay zekâ ile üretildi",
    "uk": "Рух губ створено ШІ",
}
LONGEST = 80  # characters of a custom text
HEIGHT = 0.032  # of the letters, as a share of the picture's shorter side
SMALLEST = 11  # px; smaller letters are hard to read
MARGIN = 0.02  # to the picture's edges, as a share of its shorter side
SHADE = 0.62  # how much of the picture the dark behind the letters hides


def label_text(given: str) -> str:
    """The text for a language code, or a custom text, which has to contain a space; "" for "".

    Raises OptionError: no such language; too long; characters that the font does not have."""
    if not given:
        return ""
    code = given.strip().lower()
    if code in TEXTS:
        return TEXTS[code]
    text = " ".join(given.split())
    if " " not in text:
        raise OptionError(
            f"label is one of the languages {', '.join(TEXTS)}, or a text of your own of several words, not "
            f"'{given[:40]}'"
        )
    if len(text) > LONGEST:
        raise OptionError(f"the label has {len(text)} characters, {LONGEST} are the most")
    lost = sorted({c for c in text if not c.isspace() and not _has(c)})
    if lost:
        raise OptionError(f"the label's font has no {' '.join(repr(c) for c in lost[:5])}; write the text without")
    return text


def labeled(chunk: Chunk, text: str) -> Chunk:
    """A copy of a chunk with the text at the bottom left of each frame. Nothing else in the frames changes."""
    if not text or not len(chunk):
        return chunk
    height, width = chunk.frames.shape[1:3]
    shade, letters = drawn(text, width, height)
    tall, wide = shade.shape
    top, left = _place(width, height, tall)
    rows, columns = slice(top, top + tall), slice(left, left + wide)
    full = float(np.iinfo(chunk.frames.dtype).max)
    frames = chunk.frames.copy()
    under = frames[:, rows, columns].astype(np.float32)
    over = under * (1 - shade)[None, :, :, None]
    over += letters[None, :, :, None] * (full - over)
    frames[:, rows, columns] = np.rint(over).astype(frames.dtype)
    if chunk.alpha is None:
        return replace(chunk, frames=frames)
    alpha = chunk.alpha.copy()
    alpha[:, rows, columns] = np.iinfo(alpha.dtype).max  # to be seen on any background
    return replace(chunk, frames=frames, alpha=alpha)


def region(text: str, width: int, height: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in px of what ``labeled`` changes in a frame of that size."""
    tall, wide = drawn(text, width, height)[0].shape
    top, left = _place(width, height, tall)
    return left, top, left + wide, top + tall


def too_small(text: str, width: int, height: int) -> bool:
    """Whether frames of that size have no room for letters that can be read."""
    return _letters(text, width, height) < SMALLEST


def _place(width: int, height: int, tall: int) -> tuple[int, int]:
    margin = round(MARGIN * min(width, height))
    return height - tall - margin, margin


def _letters(text: str, width: int, height: int) -> int:
    """Size of the letters in px: as wanted, or as wide as the picture allows."""
    wanted = max(SMALLEST, round(HEIGHT * min(width, height)))
    room = width * (1 - 2 * MARGIN) - 2 * _padding(wanted)
    return max(4, min(wanted, int(wanted * room / max(_font(wanted).getlength(text), 1.0))))


def _padding(size: int) -> int:
    return max(2, size // 2)


@lru_cache(maxsize=8)
def drawn(text: str, width: int, height: int) -> tuple[Array, Array]:
    """((h, w), (h, w)) float32 in [0, 1]: how dark the picture gets, and how much of white letters is seen."""
    from PIL import Image, ImageDraw

    size = _letters(text, width, height)
    font, pad = _font(size), _padding(size)
    left, top, right, bottom = font.getbbox(text)
    wide = min(int(right - left) + 2 * pad, width - 2 * round(MARGIN * min(width, height)))
    tall = int(bottom - top) + pad
    picture = Image.new("L", (max(wide, 1), min(tall, height)))
    ImageDraw.Draw(picture).text((pad - left, pad // 2 - top), text, fill=255, font=font)
    letters = np.asarray(picture, np.float32) / 255
    return np.full(letters.shape, SHADE, np.float32), letters


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    """DejaVu Sans, which comes with matplotlib: Latin, Greek and Cyrillic with all accents."""
    from PIL import ImageFont

    found = importlib.util.find_spec("matplotlib")
    folders = [] if found is None else list(found.submodule_search_locations or [])
    for folder in folders:
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), size)
    raise OptionError("the label needs a font that comes with matplotlib: pip install matplotlib")


def _has(character: str) -> bool:
    """Whether the font has a glyph for a character, not only the box that stands for missing ones."""
    font = _font(32)
    return bytes(font.getmask(character)) != bytes(font.getmask("\U0010ffff")) and character.isprintable()
