"""Reading and writing footage. With PyAV; no system ffmpeg is needed.

``open_video`` gives a ``VideoReader`` for files, stills, image sequences, arrays and iterators; ``VideoWriter`` writes
under a temporary name and renames when complete. Timestamps are exact fractions of a second from end to end.
"""

from .codecs import CODECS, available, check_output, lost
from .footage import open_video
from .join import clock_start, join_videos
from .look import Look, spaces
from .notice import NOTICE, notice_of
from .reader import DEFAULT_FPS, VideoReader
from .shift import shift_sound, shifted_name
from .sound import Sound, audio_tracks, check_rate, decode_audio, probe_sound
from .stills import load_image, write_png
from .stretch import stretched
from .writer import VideoWriter

__all__ = [
    "CODECS",
    "DEFAULT_FPS",
    "Look",
    "NOTICE",
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
    "notice_of",
    "open_video",
    "probe_sound",
    "shift_sound",
    "shifted_name",
    "spaces",
    "stretched",
    "write_png",
]
