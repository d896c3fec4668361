"""The confirmation pages that file hosts show before a download."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin


class NoDownload(Exception):
    """The page does not lead to a file."""


class _Form(HTMLParser):
    """The first form of a page: its action and hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {k: v or "" for k, v in attrs}
        if tag == "form" and self.action is None:
            self.action, self._inside = values.get("action", ""), True
        elif tag == "input" and self._inside and values.get("type") == "hidden":
            self.fields[values.get("name", "")] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


def behind(page: bytes, base: str) -> tuple[str, str]:
    """(address, query) behind the "too large to scan for viruses" page of a file host. Raises NoDownload for others."""
    text = page.decode("utf-8", "replace")
    form = _Form()
    form.feed(text)
    if form.action is None or "confirm" not in form.fields:
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.I | re.S)
        said = f': "{unescape(title[1]).strip()[:80]}"' if title else ""
        quota = "; its download quota is used up for now" if "quota" in text.lower() else ""
        raise NoDownload(f"the server answers with a web page{said}, not the file{quota}")
    return urljoin(base, form.action), urlencode(form.fields)
