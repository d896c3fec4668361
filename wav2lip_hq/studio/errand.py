"""``python -m wav2lip_hq.studio.errand``: what opens users' files or loads networks, in a process of its own.

A JSON request on stdin; on stdout JSON lines: ``{"progress": [done, total]}``, and at the end ``result`` or ``error``.
What crashes or eats memory here takes the server with it no more than a wrong file does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..errors import InputError, Wav2LipHQError, told
from ..places import MOVIES, PICTURES

PLAYED = {"h264", "vp8", "vp9", "av1"}  # video codecs that browsers show
THUMB = 240  # height of a picture of a file in px
PROXY = 540  # height of what stands in for footage that browsers cannot show


def look(path: str, poster: str, wav: str, seconds: float) -> dict[str, Any]:
    """What a file is: kind, size, length; writes a small picture of it, and sound without a length anew as a WAV.
    Raises InputError: nothing that can be used, or longer than ``seconds``."""
    from .. import video

    file = Path(path)
    if file.suffix.lower() in PICTURES or (file.suffix.lower() in MOVIES and _has_picture(file)):
        with video.open_video(path, own=True) as reader:
            info = reader.info
            long = None if info.still else _length(file)
            _within(long, seconds, file.name)
            first = next(iter(reader), None)
            if first is None:
                raise InputError(f"{file.name} holds no picture")
            _thumbnail(reader.shown(first[1]), Path(poster))
        return {
            "kind": "picture" if info.still else "video",
            "width": info.width,
            "height": info.height,
            "fps": None if info.still else round(float(info.fps), 3),
            "seconds": long,
            "sound": info.has_audio,
            "plays": info.still or _plays(file, info),
        }
    found = video.probe_sound(path)
    if found.duration is None:  # what browsers record says nothing of its length
        long = _rewritten(path, Path(wav), seconds)
        return {"kind": "sound", "seconds": long, "plays": True, "suffix": ".wav"}
    long = _length(file)
    _within(long, seconds, file.name)
    return {"kind": "sound", "seconds": long, "plays": True}


def _has_picture(file: Path) -> bool:
    from ..video.opening import open_input

    with open_input(file) as container:
        return any(not s.disposition & 0x400 for s in container.streams.video)  # a cover is no footage


def _length(file: Path) -> float:
    """Seconds until the end of the last packet: headers may say anything."""
    from ..video.opening import open_input

    last = Fraction(0)
    first: Fraction | None = None
    with open_input(file) as container:
        for packet in container.demux():
            if packet.pts is None or packet.time_base is None:
                continue
            start = packet.pts * packet.time_base
            first = start if first is None else min(first, start)
            last = max(last, start + (packet.duration or 0) * packet.time_base)
    return round(float(last - (first or 0)), 3)


def _within(long: float | None, seconds: float, name: str) -> None:
    if long is not None and long > seconds:
        raise InputError(f"{name} is {long / 60:.1f} minutes long; {seconds / 60:g} are the most here: cut it first")


def _plays(file: Path, info: Any) -> bool:
    return (
        info.codec in PLAYED
        and info.pix_fmt in ("yuv420p", "yuvj420p")
        and file.suffix.lower() in (".mp4", ".m4v", ".mov", ".webm", ".mkv")
    )


def _thumbnail(image: Any, path: Path, height: int = THUMB) -> None:
    import cv2

    scale = min(1.0, height / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    if done:
        path.write_bytes(data.tobytes())


def _rewritten(path: str, wav: Path, seconds: float) -> float:
    from ..video import decode_audio
    from ..voices.narrate import save
    from ..voices.speech import Spoken

    samples = decode_audio(path, 48000)
    _within(len(samples) / 48000, seconds, Path(path).name)
    if not len(samples):
        raise InputError(f"{Path(path).name} holds no sound")
    save(Spoken(samples, 48000), wav)
    return round(len(samples) / 48000, 3)


def faces(path: str, preset: str, folder: str, device: str, proxy: bool) -> dict[str, Any]:
    """Survey footage, all faces; writes ``survey.npz``, ``face-N.jpg`` and ``plan.yaml`` into the folder, and with
    ``proxy`` what browsers can show in its place."""
    from .. import survey as surveys
    from ..pipeline import HQPipeline
    from ..survey import plan, sheet

    where = Path(folder)
    pipe = HQPipeline(preset, device=device).set("track.faces=all")
    made = pipe.survey(path, on_progress=_progress)
    rows = []
    for row in sheet.rows(made):
        number = row["face"]
        track = made.tracks.get(number)
        view = None if track is None else track.portrait
        if view is not None:
            _thumbnail(view, where / f"face-{number}.jpg")
        rows.append({**row, "picture": view is not None})
    if proxy:
        _proxy(path, where / "proxy.mp4")
    if rows:
        plan.write(plan.planned(made, "footage"), where / "plan.yaml")
    surveys.save(made, where / "survey.npz")
    return {"faces": rows, "frames": len(made), "without": sheet.empty_frames(made), "preset": preset}


def _proxy(path: str, target: Path) -> None:
    """A small H.264 copy without sound, for players."""
    import cv2

    from .. import video

    with video.open_video(path, own=True) as reader:
        info = reader.info
        scale = min(1.0, PROXY / info.height)
        size = (max(2, round(info.width * scale) // 2 * 2), max(2, round(info.height * scale) // 2 * 2))
        plain = replace(info, has_alpha=False, bit_depth=8, floating=False, mastering="", colorspace="", timecode="")
        with video.VideoWriter(target, plain, codec="h264", crf=20, preset="veryfast", mark=False, size=size) as out:
            zero: Fraction | None = None
            for time, image, _ in reader:
                zero = time if zero is None else zero
                out.write(cv2.resize(reader.shown(image), size, interpolation=cv2.INTER_AREA), time - zero)


def speak(text: str, language: str, speaker: str, voice: str, wav: str, seconds: float) -> dict[str, Any]:
    """A text as speech, in a WAV file."""
    from ..voices import engines, markup
    from ..voices.choices import SayOptions
    from ..voices.narrate import Voicebox, narrate, save
    from ..voices.saying import framed
    from ..voices.speech import Spoken

    chosen = SayOptions(language=language, speaker=speaker, voice=voice)
    pieces = markup.pieces(text)
    engine = engines.find("speaker", chosen.speaker, chosen.language)
    target = Path(wav)
    box = Voicebox(engine, chosen.language, target.with_suffix(".voice"))
    spoken, _ = narrate(pieces, box, chosen.voice, _progress)
    _within(spoken.seconds, seconds, "this speech")
    whole = framed(spoken, chosen.lead, chosen.tail)
    save(Spoken(whole, spoken.rate), target)
    return {"kind": "sound", "seconds": round(len(whole) / spoken.rate, 3), "plays": True, "speaker": box.label}


def keep(folder: str, name: str, face: str, consent: str) -> dict[str, Any]:
    """Put a face into a library of avatars. consent: the file with the note."""
    from ..avatars import AvatarLibrary

    return {"name": AvatarLibrary(folder).add(name, face, consent=consent).name}


def write(topic: str, seconds: float, language: str) -> dict[str, Any]:
    """A text about a topic, by a writer that is installed here."""
    from ..voices import engines

    engine = engines.find("writer", "auto", language)
    return {"text": str(engine.write(topic, seconds, language)).strip(), "writer": engines.label(engine)}


def _progress(done: int, total: int | None) -> None:
    _say({"progress": [done, total]})


_OUT = sys.stdout


def _say(row: dict[str, Any]) -> None:
    _OUT.write(f"{json.dumps(row)}\n")
    _OUT.flush()


ERRANDS: dict[str, Callable[..., dict[str, Any]]] = {
    "look": look,
    "faces": faces,
    "speak": speak,
    "keep": keep,
    "write": write,
}


def main() -> int:
    """Do what is asked for on stdin."""
    request = json.loads(sys.stdin.readline())
    sys.stdout = sys.stderr  # what libraries print is no answer
    try:
        _say({"result": ERRANDS[request.pop("errand")](**request)})
        return 0
    except Exception as error:  # noqa: BLE001 - told to whoever asked
        text, code = told(error)
        _say({"error": text.removesuffix("; add --debug to see where, and report it"), "code": code,
              "expected": isinstance(error, Wav2LipHQError)})  # fmt: skip
        return code


if __name__ == "__main__":
    sys.exit(main())
