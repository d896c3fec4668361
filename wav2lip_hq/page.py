"""Self-contained HTML pages in one common style: text is escaped, pictures are embedded."""

from __future__ import annotations

import base64
import html
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from .places import check_target, write_text
from .types import Array

STYLE = """
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1320px;padding:0 1.5rem;color:#222;background:#fff}
h1{font-size:1.6rem;margin-bottom:.2rem} h2{margin-top:2rem;font-size:1.2rem}
table{border-collapse:collapse;width:100%}
th,td{padding:.5rem .7rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}
th{position:sticky;top:0;background:#fff}
td.number{font-variant-numeric:tabular-nums;white-space:nowrap}
td:last-child{overflow-wrap:anywhere} .wide{overflow-x:auto}
img{max-width:100%;display:block} td img{height:150px;max-width:none}
figure{margin:0} figcaption{color:#666;font-size:12px} .row{display:flex;flex-wrap:wrap;gap:1rem}
.failed,.bad{background:#fdecea} .canceled{color:#888} .warn{color:#8a5a00} .good{color:#1a6b2f}
small{color:#666} code{font-size:12px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem} dt{font-weight:600} dd{margin:0}
"""


def escape(value: object) -> str:
    """Text as it may stand in HTML, in attributes too."""
    return html.escape(str(value))


def document(title: str, body: Iterable[str], *, style: str = "", script: str = "") -> str:
    """A whole page. body: HTML; title: plain text."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{STYLE}{style}</style>{''.join(body)}{f'<script>{script}</script>' if script else ''}</html>\n"
    )


def write(path: Path, text: str) -> None:
    """Write a page, whole or not at all. Raises OutputError."""
    check_target(path)
    write_text(path, text)


def table(head: Sequence[str], rows: Iterable[str]) -> str:
    """A table of rows made by ``row``."""
    names = "".join(f"<th>{escape(name)}" for name in head)
    return f'<div class="wide"><table><thead><tr>{names}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def row(cells: Iterable[str], kind: str = "") -> str:
    """A row of cells, which are HTML; those that begin with a digit or a sign are set as numbers."""
    made = []
    for cell in cells:
        number = cell[:1] in "+-−0123456789" and cell != ""
        made.append(f'<td class="number">{cell}' if number else f"<td>{cell}")
    return f'<tr class="{escape(kind)}">{"".join(made)}</tr>\n'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names (text) with their values (HTML)."""
    return f"<dl>{''.join(f'<dt>{escape(name)}<dd>{value}' for name, value in pairs)}</dl>"


def notes(warnings: Iterable[str]) -> str:
    """Warnings (text), a line each."""
    return "<br>".join(f'<span class="warn">{escape(text)}</span>' for text in warnings)


def jpeg(picture: Array, quality: int = 85) -> bytes:
    """A (H, W, 3) uint8 RGB picture as JPEG."""
    made = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return bytes(made)


def image(data: Array | bytes, alt: str, *, height: int | None = None) -> str:
    """A picture inside the page: (H, W, 3) uint8 RGB, or the bytes of a PNG or JPEG file."""
    packed = data if isinstance(data, bytes) else jpeg(data)
    kind = "png" if packed.startswith(b"\x89PNG") else "jpeg"
    size = f' style="height:{height}px"' if height else ""
    return f'<img alt="{escape(alt)}"{size} src="data:image/{kind};base64,{base64.b64encode(packed).decode()}">'


def figure(picture: str, caption: str) -> str:
    """A picture (HTML) above its caption (text)."""
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def made() -> str:
    """When the page was made."""
    return f"<small>{time.strftime('%Y-%m-%d %H:%M')}</small>"


def clock(seconds: float) -> str:
    """Time in footage: 0:02.960."""
    return f"{int(seconds // 60)}:{seconds % 60:06.3f}"


def milliseconds(value: float | None) -> str:
    """An offset: +40 ms; a dash where there is none."""
    return "–" if value is None else f"{value:+.0f} ms"
