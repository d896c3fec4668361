"""The process that speaks with piper; see ``child.py``. Imports nothing of this package."""

import json
import sys


def main() -> None:
    """Answer requests until stdin ends."""
    from piper import PiperVoice

    voices = {}
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # what libraries print must not mix with the answers
    for line in sys.stdin.buffer:
        try:
            asked = json.loads(line)
            path = asked["voice"]
            if path not in voices:
                voices[path] = PiperVoice.load(path)
            chunks = list(voices[path].synthesize(asked["text"]))
            data = b"".join(chunk.audio_int16_bytes for chunk in chunks)
            rate = voices[path].config.sample_rate
            head = {"rate": rate, "samples": len(data) // 2, "words": []}
        except Exception as error:
            head, data = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}, b""
        out.write(json.dumps(head).encode() + b"\n" + data)
        out.flush()


if __name__ == "__main__":
    main()
