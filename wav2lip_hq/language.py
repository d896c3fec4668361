"""Languages of sound tracks, as containers want them: three letters, ISO 639-2."""

from __future__ import annotations

import re

from .errors import OptionError

# The languages that films are mostly dubbed into; any other is given by its three letters.
_LONG = dict(
    pair.split(":")
    for pair in (
        "ar:ara bg:bul bn:ben ca:cat cs:ces cy:cym da:dan de:deu el:ell en:eng es:spa et:est eu:eus fa:fas fi:fin "
        "fr:fra ga:gle gl:glg he:heb hi:hin hr:hrv hu:hun hy:hye id:ind is:isl it:ita ja:jpn ka:kat kk:kaz ko:kor "
        "lt:lit lv:lav mk:mkd ml:mal mr:mar ms:msa nb:nob nl:nld no:nor pa:pan pl:pol pt:por ro:ron ru:rus sk:slk "
        "sl:slv sq:sqi sr:srp sv:swe sw:swa ta:tam te:tel th:tha tr:tur uk:ukr ur:urd uz:uzb vi:vie zh:zho"
    ).split()
)


def long_code(text: str) -> str:
    """Three letters for "de", "deu" or "de-AT"; "" for "". Raises OptionError."""
    code = text.strip().lower().replace("_", "-").split("-")[0]
    if not text or re.fullmatch("[a-z]{3}", code):
        return code
    if code not in _LONG:
        raise OptionError(
            f"language is a code like de, deu or de-AT, not '{text[:40]}'; give three letters (ISO 639-2)"
        )
    return _LONG[code]


def known_code(text: str) -> str:
    """As ``long_code``, but "" for a language whose three letters are not known here."""
    try:
        return long_code(text)
    except OptionError:
        return ""
