"""The process that speaks with espeak-ng's library; see ``child.py``. Imports nothing of this package."""

from __future__ import annotations

import array
import ctypes
import json
import os
import re
import sys
import tempfile
from typing import Any

SYNCHRONOUS, UTF8, WORD = 2, 1, 1
LONGEST_PATH = 140  # espeak-ng copies the path of its data into a field of 160 bytes


class Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))


class Library:
    """espeak-ng, set up to give samples and the times of words."""

    def __init__(self) -> None:
        import espeakng_loader

        self.lib = ctypes.CDLL(espeakng_loader.get_library_path())
        place = os.path.dirname(espeakng_loader.get_data_path())
        if len(os.fsencode(place)) > LONGEST_PATH:
            self.short = tempfile.TemporaryDirectory()
            os.symlink(os.path.join(place, "espeak-ng-data"), os.path.join(self.short.name, "espeak-ng-data"))
            place = self.short.name
        self.rate = self.lib.espeak_Initialize(SYNCHRONOUS, 0, os.fsencode(place), 0)
        if self.rate <= 0:
            raise RuntimeError("its data cannot be read")
        self.samples = array.array("h")
        self.events: list[tuple[int, float]] = []  # place of a word in the text, counted from 1; seconds
        self.callback = Callback(self.heard)
        self.lib.espeak_SetSynthCallback(self.callback)

    def heard(self, wave: Any, count: int, events: Any) -> int:
        """Take samples and the times of words from the library."""
        if wave and count > 0:
            self.samples.frombytes(ctypes.string_at(wave, count * 2))
        n = 0
        while events[n].type:
            if events[n].type == WORD:
                self.events.append((events[n].text_position, events[n].audio_position / 1000))
            n += 1
        return 0

    def speak(self, text: str, voice: str) -> tuple[array.array[int], list[tuple[str, float, float]]]:
        """Samples, and words with start and end in seconds."""
        del self.samples[:], self.events[:]
        if self.lib.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"there is no voice '{voice}'")
        data = text.encode()
        if self.lib.espeak_Synth(data, len(data) + 1, 0, 1, 0, UTF8, None, None):
            raise RuntimeError("the text cannot be spoken")
        self.lib.espeak_Synchronize()
        end = len(self.samples) / self.rate
        # What is between spaces is a word; "25" has an event for each number that is said.
        starts = []
        for match in re.finditer(r"\S+", text):
            inside = [at for place, at in self.events if match.start() < place <= match.end()]
            if inside:
                starts.append((match[0], min(inside)))
            elif starts:
                starts[-1] = (f"{starts[-1][0]} {match[0]}", starts[-1][1])
        ends = [at for _, at in starts[1:]] + [end]
        return self.samples, [(word, at, max(at, until)) for (word, at), until in zip(starts, ends, strict=True)]


def main() -> None:
    """Answer requests until stdin ends."""
    library = None
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        try:
            asked = json.loads(line)
            library = library or Library()
            samples, words = library.speak(asked["text"], asked["voice"])
            if sys.byteorder == "big":
                samples.byteswap()
            head, data = {"rate": library.rate, "samples": len(samples), "words": words}, samples.tobytes()
        except Exception as error:
            head, data = {"error": " ".join(str(error).split())[:300]}, b""
        out.write(json.dumps(head).encode() + b"\n" + data)
        out.flush()


if __name__ == "__main__":
    main()
