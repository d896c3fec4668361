"""Reading and writing footage. With PyAV; no system ffmpeg is needed.

``open_video`` gives a ``VideoReader`` for files, stills, image sequences, arrays and iterators; ``VideoWriter`` writes
under a temporary name and renames when complete. Timestamps are exact fractions of a second from end to end.
"""

from .footage import open_video
from .join import clock_start, join_videos
from .reader import DEFAULT_FPS, VideoReader, load_image
from .sound import Sound, audio_tracks, check_rate, decode_audio, probe_sound
from .stretch import stretched
from .writer import CODECS, VideoWriter, available, check_output, lost, write_png

__all__ = [
    "CODECS",
    "DEFAULT_FPS",
    "Sound",
    "VideoReader",
    "VideoWriter",
    "audio_tracks",
    "available",
    "check_output",
    "check_rate",
    "clock_start",
    "decode_audio",
    "join_videos",
    "load_image",
    "lost",
    "open_video",
    "probe_sound",
    "stretched",
    "write_png",
]
