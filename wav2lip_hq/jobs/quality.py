"""Figures of a finished job for its sidecar: does the mouth follow, and does it tremble?"""

from __future__ import annotations

import numpy as np

from .. import checkpoints, geometry
from ..engine import run_stages
from ..errors import InputError
from ..metrics.lipsync import FPS, benchmark_box, lip_sync_error
from ..pipeline import HQPipeline, load_speech
from ..source import chunks, schedule
from ..video import open_video
from .jobfile import Job

LONGEST = 10 * FPS
JUDGES = ("syncnet_v2", "embedded-syncnet")


def quality(job: Job, base: HQPipeline) -> dict[str, float]:
    """LSE-D and LSE-C of the output's first seconds by the best sync network there is; {} where it cannot be told."""
    judge = next((n for n in JUDGES if checkpoints.locate(n)), None)
    if judge is None or job.output.suffix == "" or len(job.spans) > 1 or job.reel:
        return {}
    speech = load_speech(job.spans[0].audio)
    crops = []
    stages = [s for s in base.stages if s.name in ("detect", "track")]
    with open_video(job.output) as reader:
        step = 1 / reader.info.fps
        frames = schedule(reader, min(speech.seconds, LONGEST * step), "stop", trim=True)
        for chunk in run_stages(stages, chunks(frames, speech), base.runtime):
            if chunk.faces is None or chunk.faces.box is None:
                continue
            for n, i in enumerate(chunk.faces.frame.tolist()):
                matrix = geometry.box_to_crop(benchmark_box(chunk.faces.box[n : n + 1]), 224)[0]
                crop = geometry.sample(chunk.frames[i], matrix, 224)
                crops.append((crop >> 8).astype(np.uint8) if crop.dtype == np.uint16 else crop)
    wav = np.round(np.clip(speech.wav, -1, 1) * 32767).astype(np.int16)
    try:
        result = lip_sync_error(
            np.stack(crops), wav, model=base.runtime.model(judge, "syncnet_v2"), centred=judge in checkpoints.EMBEDDED
        )
    except (InputError, ValueError):
        return {}
    return {"lse_d": round(result.lse_d, 3), "lse_c": round(result.lse_c, 3), "judge": judge}  # type: ignore[dict-item]
