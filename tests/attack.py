"""An attack on everything that reads files: mutated footage, sound, pictures, checkpoints, surveys and YAML, and what
people type by mistake. Says how each attempt ended; a foreign error, a crash or a hang is a bug.

    PYTHONPATH=. python tests/attack.py --files 1000 --whole 100 --seed 0 --out FOLDER

Each attempt runs in a process that is watched from outside, under a limit of memory. What ended badly is kept in
FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENDS = ("clean error", "done", "foreign", "crash", "hang")
MEMORY = 8 << 30  # bytes of address space
PATIENCE = 90.0  # seconds an attempt may take


# ---- material


def material(folder: Path) -> dict[str, list[Path]]:
    """Good files of every kind that is read."""
    import av
    import cv2
    import numpy as np
    import torch
    import yaml
    from containers import write_bare, write_old_format, write_script
    from media import clip, tiny_pipeline, write_video, write_wav
    from PIL import Image

    from wav2lip_hq import checkpoints, config, models, survey
    from wav2lip_hq.training.tasks import RECIPES

    folder.mkdir(parents=True, exist_ok=True)
    frames = clip(10, width=128, height=96)
    wav = write_wav(folder / "s.wav", 0.5)
    videos = [
        write_video(folder / "a.mp4", frames, sound=wav),
        write_video(folder / "a.mov", frames, codec="prores_ks", pix_fmt="yuv422p10le"),
        write_video(folder / "a.mkv", frames),
        write_video(folder / "v9.webm", frames, codec="libvpx-vp9", time_base=Fraction(1, 1000)),
        write_video(
            folder / "a.avi",
            frames,
            codec="mjpeg",
            pix_fmt="yuvj420p",
            time_base=Fraction(1, 25),
        ),
        write_video(folder / "a.ts", frames),
        write_video(folder / "f.mkv", frames, codec="ffv1", pix_fmt="bgr0"),
    ]
    sounds = [wav]
    for name, codec in (("s.flac", "flac"), ("s.mp3", "libmp3lame"), ("s.opus", "libopus"), ("s.m4a", "aac")):
        with av.open(str(folder / name), "w") as out, av.open(str(wav)) as source:
            track = out.add_stream(codec, rate=48000, layout="mono")
            resampler = av.AudioResampler(format=track.codec_context.format.name, layout="mono", rate=48000)
            for frame in source.decode(audio=0):
                for part in resampler.resample(frame):
                    part.pts = None
                    out.mux(track.encode(part))
            out.mux(track.encode(None))
        sounds.append(folder / name)
    pictures = []
    for end in ("png", "jpg", "bmp", "tif", "webp"):
        pictures.append(folder / f"p.{end}")
        Image.fromarray(frames[0]).save(pictures[-1])
    cv2.imwrite(str(folder / "deep.png"), frames[0].astype(np.uint16) * 257)
    pictures.append(folder / "deep.png")

    torch.manual_seed(0)
    network = models.build("wav2lip", width=0.0625)
    weights = [folder / "bare.pth", folder / "old.pth", folder / "script.pt"]
    write_bare(network, weights[0])
    write_old_format(network, weights[1])
    small = models.build("srvgg", num_feat=8, num_conv=2)
    for path, old in ((folder / "small.pth", False), (folder / "smallold.pth", True)):
        torch.save({"params_ema": small.state_dict(), "step": 5}, path, _use_new_zipfile_serialization=not old)
        weights.append(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_script(network, weights[2])
    weights.append(
        checkpoints.save(folder / "w.safetensors", network, "wav2lip", {"width": 0.0625}, {"a": 1}, packed=True)
    )

    made = tiny_pipeline().survey(videos[0])
    surveys = [survey.save(made, folder / "a.survey.npz")]
    registry = folder / "registry.yaml"
    shutil.copy(HERE.parent / "checkpoints" / "registry.yaml", registry)
    recipes = [shutil.copy(RECIPES / f"{n}.yaml", folder / f"recipe-{n}.yaml") for n in ("generator", "detector")]
    presets = [
        shutil.copy(config.folders()[0] / f"{n}.yaml", folder / f"preset-{n}.yaml") for n in ("gfpgan", "default")
    ]
    rows = [
        {"face": "a.mp4", "audio": "s.wav", "output": f"out/{n}.mp4", "crf": n, "set": ["track.faces=0"]}
        for n in (1, 2)
    ]
    rows.append({"face": "a.mov", "output": "c.mov", "segments": [{"in": "00:00:00:01", "out": 0.3, "audio": "s.wav"}]})
    batches = [folder / "jobs.yaml", folder / "jobs.csv", folder / "jobs.jsonl"]
    batches[0].write_text(yaml.safe_dump({"defaults": {"preset": "fast", "part_seconds": 2}, "jobs": rows}))
    batches[1].write_text("face,audio,output,in,out,who\na.mp4,s.wav,{face}.mp4,0,0.2,0\na.mov,s.wav,c.mov,,,largest\n")
    batches[2].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "video": videos,
        "sound": sounds,
        "picture": pictures,
        "checkpoint": weights,
        "survey": surveys,
        "registry": [registry],
        "recipe": [Path(p) for p in recipes],
        "preset": [Path(p) for p in presets],
        "job file": batches,
    }


WEIGHTS = {
    "video": 30,
    "sound": 18,
    "picture": 15,
    "checkpoint": 22,
    "survey": 5,
    "registry": 2,
    "recipe": 3,
    "preset": 5,
    "job file": 6,
}
SPICE = (
    b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"-1", b"1e999", b"[" * 200, b"*a", b"&a [*a]",
    b"!!int x", b"\xed\xa0\x80", b": ", b"9" * 400,
)  # fmt: skip


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A copy with something wrong: bits, bytes, numbers, pieces lost, repeated or moved; mostly near the beginning,
    where the headers are."""
    out = bytearray(data)

    def place() -> int:
        near = rng.random() < 0.6
        return rng.randrange(max(1, min(len(out), 600) if near else len(out)))

    for _ in range(rng.choice((1, 1, 2, 3, 8, 30))):
        if not out:
            break
        at, kind = place(), rng.randrange(9)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.randrange(256)
        elif kind == 2:  # a number that is too large, or none
            size = rng.choice((2, 4, 8))
            out[at : at + size] = rng.choice((b"\xff", b"\0", b"\x7f", b"\x80")) * size
        elif kind == 3:
            del out[at : at + rng.choice((1, 4, 64, 5000))]
        elif kind == 4:
            piece = out[at : at + rng.choice((4, 40, 4000))]
            there = place()
            out[there:there] = piece
        elif kind == 5 and rng.random() < 0.4:
            del out[at:]
        elif kind == 6:
            out[at:at] = rng.choice(SPICE)
        elif kind == 7:
            out[at : at + 16] = rng.randbytes(16)
        else:
            there = place()
            piece = out[there : there + 32]
            out[at : at + len(piece)] = piece
    return bytes(out)


# ---- the process that is attacked


def attempt(task: dict[str, Any]) -> str:
    """Do what a task says; returns how it ended, "clean error: ..." or "done". Anything else it raises is foreign."""
    from wav2lip_hq import checkpoints, config, survey, video
    from wav2lip_hq.errors import Wav2LipHQError
    from wav2lip_hq.voice import load_speech

    kind, path = task["kind"], Path(task.get("path", ""))
    try:
        if kind == "video" or kind == "picture":
            with video.open_video(path) as reader:
                for number, _ in enumerate(reader):
                    if number > 200:
                        break
        elif kind == "sound":
            video.probe_sound(path)
            load_speech(path)
        elif kind == "checkpoint":
            checkpoints.load(path)
        elif kind == "survey":
            survey.load(path)
        elif kind == "registry":
            checkpoints.Registry.read(path)
        elif kind == "recipe":
            from wav2lip_hq.training.tasks import load_recipe

            load_recipe(path)
        elif kind == "preset":
            config.read_preset(path)
        elif kind == "job file":
            from wav2lip_hq import jobs

            jobs.read_jobs(path)
        elif kind == "whole":
            return whole(task)
        elif kind == "typed":
            return typed(task["argv"])
    except Wav2LipHQError as error:
        return f"clean error: {error}"
    return "done"


def whole(task: dict[str, Any]) -> str:
    """Through all stages and the writer: nothing is left where it failed, and what was made can be read."""
    from media import tiny_pipeline

    from wav2lip_hq import video
    from wav2lip_hq.errors import Wav2LipHQError

    folder = Path(tempfile.mkdtemp(dir=task["folder"]))
    target = folder / "out.mp4"
    try:
        tiny_pipeline().run(task["path"], task["wav"], target, extend="stop", chunk_size=8)
    except Wav2LipHQError as error:
        if left := [p.name for p in folder.iterdir()]:
            raise AssertionError(f"left behind: {left}") from error
        return f"clean error: {error}"
    with video.open_video(target) as reader:
        if not sum(1 for _ in reader):
            raise AssertionError("an empty video was written")
    shutil.rmtree(folder)
    return "done"


def typed(argv: list[str]) -> str:
    """The command line, in this process."""
    import contextlib
    import io

    from wav2lip_hq.cli import main

    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code: Any = main(argv)
        except SystemExit as ended:  # argparse
            code = ended.code
    if code == 0:
        return "done"
    text = said.getvalue()
    if code not in range(2, 9) or "Traceback" in text:
        raise AssertionError(f"exit code {code}: {text[-300:]}")
    return f"clean error: {text.strip().splitlines()[-1][:200] if text.strip() else ''}"


def serve() -> None:
    """Take tasks as lines of JSON, and answer each with a line."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        began = time.monotonic()
        try:
            end = attempt(json.loads(line))
        except BaseException as error:  # noqa: BLE001 - this is what is looked for
            import traceback

            where = traceback.extract_tb(error.__traceback__)[-3:]
            trace = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(where))
            end = f"foreign: {type(error).__name__}: {str(error)[:300]} at {trace}"
        print(json.dumps({"end": end, "seconds": time.monotonic() - began}), file=answers, flush=True)


# ---- the one that watches


class Victim:
    """The process that is attacked, started anew when it dies or hangs."""

    def __init__(self) -> None:
        self.process: Any = None

    def try_(self, task: dict[str, Any]) -> tuple[str, float]:
        """(how it ended, seconds)."""
        if self.process is None:
            command = [sys.executable, "-W", "ignore", __file__, "--serve"]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
            )
        self.process.stdin.write(json.dumps(task) + "\n")
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        if not ready:
            self.stop()
            return "hang", PATIENCE
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.process = None
            return f"crash: exit {code}", 0.0
        answer = json.loads(line)
        return answer["end"], answer["seconds"]

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def attack(
    out: Path, files: int, runs: int, seed: int, say: Any = print, typed: bool = True
) -> dict[str, Counter[str]]:
    """The table: how attempts of each kind ended. What ended badly stays in ``out``."""
    from mistakes import mistakes

    rng = random.Random(seed)
    good = material(out / "good")
    (out / "runs").mkdir(exist_ok=True)
    (out / "bad").mkdir(exist_ok=True)
    table: dict[str, Counter[str]] = {}
    victim = Victim()
    face, wav = str(good["video"][0]), str(good["sound"][0])

    def note(kind: str, task: dict[str, Any], keep: Path | None) -> None:
        end, seconds = victim.try_(task)
        table.setdefault(kind, Counter())[end.partition(":")[0]] += 1
        bad = end.partition(":")[0] not in ENDS[:2]
        if bad or seconds > 20:
            say(f"{kind}: {end} ({seconds:.1f} s): {keep or task.get('argv')}", flush=True)
        if keep is not None and not bad:
            keep.unlink(missing_ok=True)

    kinds = rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=files) + ["whole"] * runs
    for number, kind in enumerate(kinds):
        sources = good["video"] + good["picture"][:3] if kind == "whole" else good[kind]
        source = rng.choice(sources)
        path = out / "bad" / f"{number:05d}-{source.name}"
        path.write_bytes(mutate(source.read_bytes(), rng))
        task = {"kind": kind, "path": str(path)}
        if kind == "whole":
            heard = rng.choice(good["sound"])
            if rng.random() < 0.3:  # the sound is what is damaged
                path.write_bytes(mutate(heard.read_bytes(), rng))
                task = {"kind": kind, "path": face, "wav": str(path), "folder": str(out / "runs")}
            else:
                task |= {"wav": str(heard), "folder": str(out / "runs")}
        note(kind if kind != "whole" else "whole pipeline", task, path)
    if typed:
        folder = out / "typed"
        folder.mkdir(exist_ok=True)
        if not (folder / "fifo.mp4").exists():
            os.mkfifo(folder / "fifo.mp4")
            (folder / "link.mp4").symlink_to(folder / "elsewhere.mp4")
        os.environ["WAV2LIP_HQ_CHECKPOINTS"] = str(folder / "cache")
        victim.stop()
        for argv in mistakes(face, wav, str(folder)):
            note("bad input", {"kind": "typed", "argv": argv}, None)
    victim.stop()
    return table


def text(table: dict[str, Counter[str]]) -> str:
    """As a Markdown table."""
    lines = ["| kind | tried | " + " | ".join(ENDS) + " |", "|---|" + "---|" * (len(ENDS) + 1)]
    whole_ = sum(table.values(), Counter())
    for kind, counts in [*table.items(), ("all", whole_)]:
        lines.append(f"| {kind} | {counts.total()} | " + " | ".join(str(counts[end]) for end in ENDS) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Attack everything that reads files.")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--files", type=int, default=1000, help="mutated files (default 1000)")
    parser.add_argument("--whole", type=int, default=100, help="of them more, through the whole pipeline (default 100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-typed", action="store_true", help="leave the command lines out")
    parser.add_argument("--out", type=Path, help="folder for what ended badly (default: a temporary one)")
    args = parser.parse_args()
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    if args.serve:
        serve()
        return 0
    out = args.out or Path(tempfile.mkdtemp(prefix="attack-"))
    table = attack(out, args.files, args.whole, args.seed, typed=not args.no_typed)
    print(text(table))
    return int(any(counts[end] for counts in table.values() for end in ENDS[2:]))


if __name__ == "__main__":
    sys.exit(main())
