"""Options of a run besides footage, speech and output, for Python, the command line and job files alike."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from .errors import OptionError
from .language import long_code
from .options import check, described, known, option

EXTEND = ("loop", "pingpong", "hold", "stop", "stretch")
CODECS = ("h264", "hevc", "prores_422hq", "prores_4444", "ffv1", "png", "exr", "dpx")
DELIVER = ("result", "patch", "matte", "offset")
ENCODER_PRESETS = (
    ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
)  # fmt: skip
# The fields that ``video.open_video`` takes
READING = (
    *("fps", "deinterlace", "max_megapixels", "playlists", "timecode", "start", "end"),
    *("colorspace", "ocio", "exposure"),
)


@described
@dataclass(frozen=True)
class RunOptions:
    """How a clip is read, filled, timed and written. The stages' own options belong to the stages."""

    codec: str | None = option(
        None, "How the picture is encoded; without it the output's ending decides (mostly h264).", choices=CODECS
    )
    crf: int | None = option(
        None, "Quality of h264 and hevc; lower is better and larger (default: visually lossless).", low=0, high=51
    )
    encoder_preset: str | None = option(
        None, "Speed of h264 and hevc; slower is smaller (default: medium).", choices=ENCODER_PRESETS
    )
    deliver: str = option(
        "result",
        "What is written: the result; patch, only what changed, with transparency; matte, where it changed; offset, "
        "the difference in linear light (exr).",
        choices=DELIVER,
    )
    pix_fmt: str | None = option(None, "Pixel format, say yuv422p10le (default: by codec and footage).")
    extend: str = option(
        "loop",
        "What to show when the speech is longer than the footage; hold repeats its last frame, stretch slows all of it "
        "down by optical flow.",
        choices=EXTEND,
    )
    trim: bool = option(False, "End with the speech instead of keeping the rest of the footage untouched.")
    sync_offset: float | str = option(
        0.0,
        "How much earlier the mouth moves, to follow sound that is later; "
        '"auto" measures it in a trial run of the first seconds.',
        unit="ms",
        low=-2000,
        high=2000,
    )
    fps: float | None = option(
        None, "Frame rate of pictures and arrays; files keep their own (default 25).", above=0, high=1000
    )
    start: float | str | None = option(
        None, "In point of the footage: seconds, 1:02.5, or a timecode like 01:00:10:12 (default: its beginning)."
    )
    end: float | str | None = option(None, "Out point of the footage: the first frame that is left out.")
    speech_start: float | str | None = option(
        None, "In point of the speech: seconds, 1:02.5, or a timecode counted from 0 at the footage's rate."
    )
    speech_end: float | str | None = option(None, "Out point of the speech.")
    timecode: str | None = option(
        None, "Timecode of the footage's first frame (default: the file's own); mov, mp4 and mxf keep it."
    )
    max_megapixels: float = option(
        80.0,
        "Refuse footage and pictures with larger frames, before they are decoded.",
        unit="megapixels",
        above=0,
        high=178,
    )
    playlists: bool = option(
        False, "Let the footage be a playlist (.m3u8, ffconcat, .mpd), which names other files on this machine to read."
    )
    colorspace: str = option(
        "auto",
        "The footage's color space, as OpenColorIO names it: ACEScg, arri_logc4, slog3_sgamut3cine; auto knows HDR "
        "video by its tags and takes EXR as linear Rec. 709 where it does not say.",
    )
    ocio: str = option("", "An OpenColorIO config (a file) that names color spaces; without it the ACES studio config.")
    exposure: float = option(
        0.0,
        "By how much brighter the networks see footage with a color space of its own; the result stays as bright.",
        unit="stops",
        low=-20,
        high=20,
    )
    deinterlace: bool = option(False, "Rebuild full frames of interlaced footage.")
    without_provenance: bool = option(
        False,
        "Leave out the signed manifest, and the notice in the metadata, which say that the lip movement is synthetic.",
    )
    consent: str = option(
        "",
        "Who agreed to this, to be stored in the manifest: a sentence, or a file. Of .txt and .md the text is stored, "
        "of other files name and SHA-256.",
    )
    label: str = option(
        "",
        "A visible notice in the corner of all frames that lip movement was generated: a language (de, en, fr, ...) or "
        "a text of your own.",
    )
    watermark: bool = option(
        True,
        "Mark synthesized mouths invisibly, and speech made by `say` and `dub` inaudibly, so that `wav2lip-hq detect` "
        "recognizes them (docs/detect.md).",
    )
    watermark_id: str = option(
        "", "What the invisible mark says, 8 hexadecimal digits; without it a hash of the driving speech."
    )
    compare: bool = option(False, "Write source and result side by side.")
    chunk_size: int | None = option(
        None, "Frames processed at a time; affects memory, never the result (default: by size).", low=1, high=1000
    )
    measure: bool = option(True, "Measure the audio-video offset of the result where a sync network is installed.")
    survey: str = option("", "A saved survey of this footage; without it the footage is surveyed first.")
    person: str = option(
        "",
        "A survey of other footage of the same person, a minute of it, say: more mouths to choose from, and how far "
        "the person opens the mouth.",
    )
    own_words: str = option(
        "keep",
        "Where the footage's own sound is the given speech and its mouth is in sync with it: keep those frames as they "
        "are, or redo them.",
        choices=("keep", "redo"),
    )
    plan: str = option(
        "",
        "A shot plan (YAML): which face speaks in each shot, in place of track.faces; `survey FACE --plan` writes one.",
    )
    report: str = option(
        "", "Also write a page (HTML) about the run: before and after, worst frames, what was left as it is and why."
    )
    sound: str = option(
        "dub", "Sound of the output: dub (the driving speech), source (the footage's own), or the path of a mix."
    )
    bed: str = option(
        "", "Music and effects (M&E) to mix under the speech, from the first frame on; they do not move the lips."
    )
    bed_gain: float = option(0.0, "How much louder the bed is made.", unit="dB", low=-60, high=20)
    loudness: float | str | None = option(
        None, 'Loudness of what is heard: LUFS, say -23, or "source" to match the footage (EBU R128).', low=-70, high=0
    )
    keep_tracks: bool = option(False, "Keep the footage's own sound tracks, with their languages, beside the speech.")
    language: str = option("", "Language of the speech, for players and editors: de, deu, de-AT.")
    clean_speech: str = option(
        "off",
        "Take noise and music from the speech before it drives the lips; what is heard stays as it is.",
        choices=("off", "rnnoise"),
    )

    @property
    def reading(self) -> dict[str, Any]:
        """Keyword arguments for ``video.open_video``."""
        return {name: getattr(self, name) for name in READING}

    def __post_init__(self) -> None:
        check(self)
        long_code(self.language)
        if isinstance(self.loudness, str) and self.loudness != "source":
            raise OptionError(f'loudness is a number of LUFS, or "source", not {self.loudness!r}')
        if isinstance(self.sync_offset, str) and self.sync_offset != "auto":
            raise OptionError(f'sync_offset is a time in ms, or "auto", not {self.sync_offset!r}')
        if self.watermark_id and not re.fullmatch("[0-9a-fA-F]{8}", self.watermark_id):
            raise OptionError(f"watermark_id is 8 hexadecimal digits, not {self.watermark_id[:50]!r}")


def run_options(run: RunOptions | None, changes: dict[str, Any]) -> RunOptions:
    """Run options with changes by name. Raises OptionError."""
    known(RunOptions, changes, "run")
    if isinstance(changes.get("fps"), Fraction):
        changes = {**changes, "fps": float(changes["fps"])}
    return replace(run or RunOptions(), **changes)
