"""Options of ``say`` and ``dub``, for Python and the command line alike."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import OptionError
from ..options import check, described, option

FORMATS = ("srt", "vtt")  # of subtitles
_FORMATS = "Subtitles written beside the output: srt, vtt, both or none ([])."


def _check_formats(formats: tuple[str, ...]) -> None:
    for kind in formats:
        if kind not in FORMATS:
            raise OptionError(f"subtitles are {' or '.join(FORMATS)}, not '{kind[:40]}'")


@described
@dataclass(frozen=True)
class SayOptions:
    """Who says a text, and how."""

    language: str = option("en", "The language of the text, as en or pt-BR.")
    speaker: str = option("auto", "The speech engine; auto takes the first that is installed and knows the language.")
    voice: str = option("", "One of the engine's voices; see `wav2lip-hq voices NAME` (default: its first).")
    lead: float = option(0.3, "Silence before the first word.", unit="s", low=0, high=60)
    tail: float = option(0.3, "Silence after the last word.", unit="s", low=0, high=60)
    subtitles: tuple[str, ...] = option(FORMATS, _FORMATS)

    def __post_init__(self) -> None:
        check(self)
        _check_formats(self.subtitles)


@described
@dataclass(frozen=True)
class DubOptions:
    """How footage is dubbed into another language."""

    to: str = option("", "The language to dub into, as es or pt-BR.")
    source: str = option("en", "The language spoken in the footage; on the command line also --from.")
    listener: str = option("auto", "What writes down what is said.")
    speakers: str = option(
        "one",
        "Who says the lines that were heard: one person, or seen, whose mouth fits the sound (several people in one "
        "shot).",
        choices=("one", "seen"),
    )
    translator: str = option("auto", "What translates it.")
    glossary: str = option("", "A YAML file of lines and phrases whose translation you decide; its lines come first.")
    speaker: str = option("auto", "What speaks the translation.")
    voice: str = option(
        "", "The voice of everybody who has none in the script; without it each speaker gets another one."
    )
    fastest: float = option(
        1.35, "How much faster than the engine speaks a line may be said to fit its time.", low=1, high=3
    )
    spill: float = option(
        0.6, "How far a line may run on into the pause that follows it, before it is sped up.", unit="s", low=0, high=10
    )
    overlong: str = option(
        "cut",
        "What happens to a line that is too long at the fastest rate: cut ends it after the last word that fits and "
        "says so; refuse stops, so that you can shorten it in the script; slow makes all of the footage last "
        "longer, by optical flow, and cuts what does not fit then.",
        choices=("cut", "refuse", "slow"),
    )
    slowest: float = option(1.3, "How many times longer than itself slowed footage may last.", above=1, high=3)
    original: str = option(
        "remove",
        "What becomes of the footage's own sound where somebody is dubbed: remove, duck (18 dB quieter), or keep.",
        choices=("remove", "duck", "keep"),
    )
    subtitles: tuple[str, ...] = option(FORMATS, _FORMATS)

    def __post_init__(self) -> None:
        check(self)
        _check_formats(self.subtitles)
