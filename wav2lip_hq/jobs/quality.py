"""Lip-sync metrics of a finished job, for its sidecar."""

from __future__ import annotations

import numpy as np

from .. import checkpoints
from ..engine import run_stages
from ..errors import InputError
from ..metrics.lipsync import FPS, benchmark_crop, judge, lip_sync_error
from ..pipeline import HQPipeline
from ..source import chunks, schedule
from ..video import open_video
from ..voice import spoken
from .jobfile import Job

LONGEST = 10 * FPS


def quality(job: Job, base: HQPipeline) -> tuple[dict[str, float | str], str]:
    """LSE-D and LSE-C of the output's first seconds by the best sync network installed, and "". If they cannot be
    measured: {} and why."""
    network = judge()
    if network is None:
        return {}, "no sync network is installed"
    if job.output.suffix == "":
        return {}, "the output is a sequence of pictures"
    if len(job.spans) > 1 or job.reel:
        return {}, "the speech is not that of one voice throughout"
    with open_video(job.face, **job.run.reading) as reader:
        fps = reader.info.fps
    span = job.spans[0]
    speech = spoken(span.audio, (), start=span.speech_start, end=span.speech_end, fps=fps).speech
    crops = []
    stages = [s for s in base.stages if s.name in ("detect", "track")]
    with open_video(job.output) as reader:
        step = 1 / reader.info.fps
        frames = schedule(reader, min(speech.seconds, LONGEST * step), "stop", trim=True)
        for chunk in run_stages(stages, chunks(frames, speech), base.runtime):
            if chunk.faces is None or chunk.faces.box is None:
                continue
            for n, i in enumerate(chunk.faces.frame.tolist()):
                crops.append(benchmark_crop(chunk.frames[i], chunk.faces.box[n]))
    wav = np.round(np.clip(speech.wav, -1, 1) * 32767).astype(np.int16)
    try:
        result = lip_sync_error(
            np.stack(crops),
            wav,
            model=base.runtime.model(network, "syncnet_v2"),
            centered=network in checkpoints.EMBEDDED,
        )
    except (InputError, ValueError) as error:
        return {}, f"the clip is too short, or no face was found in it ({error})"
    lse = {"lse_d": round(result.lse_d, 3), "lse_c": round(result.lse_c, 3)}
    return {**lse, "judge": network}, ""
