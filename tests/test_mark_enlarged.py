"""The invisible mark in frames that were enlarged: it is written before, and stays readable."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import wav2lip_hq
from wav2lip_hq import HQPipeline, audio, forensics
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages import Frame
from wav2lip_hq.video import VideoWriter, open_video

DEMO = Path(wav2lip_hq.__file__).parent / "_data" / "demo"
NUMBER = "c0ffee15"


def twice(images):
    """An enlarging network's stand-in."""
    return np.stack([cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for image in images])


twice.scale = 2


@pytest.mark.parametrize("model", [twice, pytest.param("embedded-restorer", marks=pytest.mark.slow)])
def test_the_mark_is_read_from_frames_of_twice_the_size(tmp_path, model):
    pipe = HQPipeline("fast").insert(Frame(model, times=2), after="blend")
    with open_video(DEMO / "face.mpg") as reader:
        rate = reader.info.fps
        frames = np.stack([frame for time, frame, _ in reader if time < 2])
    speech = (audio.load_audio(DEMO / "speech.wav")[: 2 * audio.RATE], audio.RATE)
    with pipe.open(frames, speech, fps=rate, extend="stop", watermark_id=NUMBER) as chunks:
        large = np.concatenate([chunk.frames for chunk in chunks])
    assert large.shape[1:3] == (2 * frames.shape[1], 2 * frames.shape[2])
    path = tmp_path / "large.mp4"
    with open_video(large, fps=rate) as reader, VideoWriter(path, reader.info, codec="h264", crf=20) as writer:
        for time, frame, _ in reader:
            writer.write(frame, time)
    (face,) = forensics.look(path, Runtime("cpu"), judged=False)
    reading = face.marks.reading()
    assert reading.marked
    assert reading.number == int(NUMBER, 16) or reading.sure.min() < 1.5
