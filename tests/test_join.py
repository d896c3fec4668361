"""Joined parts are what an undivided file would be: frames, times, shape of pixels, colors, depth, rate."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from media import clip, write_video
from talker import talker

from wav2lip_hq import jobs
from wav2lip_hq.video import VideoWriter, clock_start, join_videos, open_video

COUNT = 40
BT709 = {"color_primaries": 1, "color_trc": 1, "colorspace": 1, "color_range": 1}
BT2020 = {"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 2}
CASES = [
    ("h264", ".mp4"),
    ("h264", ".mov"),
    ("h264", ".mkv"),
    ("hevc", ".mp4"),
    ("hevc", ".mov"),
    ("hevc", ".mkv"),
    ("prores_422hq", ".mov"),
    ("prores_422hq", ".mkv"),
    ("ffv1", ".mkv"),
]


def uneven() -> list[Fraction]:
    """Times of frames of five lengths, none of them whole milliseconds."""
    steps = np.random.default_rng(0).choice([512, 1001, 1501, 2002, 3003], COUNT - 1)
    return [Fraction(0), *(Fraction(int(n), 30000) for n in np.cumsum(steps))]


def make(folder, kind):
    if kind == "uneven":
        return write_video(folder / "uneven.mp4", clip(COUNT), pts=uneven(), time_base=Fraction(1, 30000))
    if kind == "wide":
        return write_video(folder / "wide.mp4", clip(COUNT), sample_aspect_ratio=Fraction(4, 3), **BT709)
    if kind == "late":
        pts = [Fraction(n, 25) + Fraction(2, 25) for n in range(COUNT)]
        return write_video(folder / "late.mkv", clip(COUNT), pts=pts, time_base=Fraction(1, 1000), **BT2020)
    options = {"x265-params": "log-level=error"}
    frames = clip(COUNT, dtype=np.uint16)
    return write_video(folder / "deep.mp4", frames, codec="libx265", pix_fmt="yuv420p10le", options=options, **BT709)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    return {kind: make(folder, kind) for kind in ("uneven", "wide", "late", "deep")}


def whole(source, target, codec):
    with open_video(source) as reader, VideoWriter(target, reader.info, codec=codec, mark=False) as writer:
        for pts, frame, alpha in reader:
            writer.write(frame, pts, alpha)
    return target


def parts_of(source, folder, target, codec, step=Fraction(1, 2)):
    """Parts of ``step`` seconds, as a job writes them."""
    parts, writer, number = [], None, -1
    with open_video(source) as reader:
        for pts, frame, alpha in reader:
            if int(pts // step) != number:
                if writer is not None:
                    writer.close()
                number = int(pts // step)
                path = folder / f"part-{number}{target.suffix}"
                parts.append((path, clock_start(target, pts)))
                writer = VideoWriter(path, reader.info, codec=codec, mark=False)
            writer.write(frame, pts - parts[-1][1], alpha)
        writer.close()
    return parts


def facts(path):
    """What a player sees of a file: (facts, times, pictures)."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        stored = [p for p in container.demux(stream) if p.size]
        told = {
            "codec": context.name,
            "pix_fmt": context.pix_fmt,
            "sample_aspect_ratio": stream.sample_aspect_ratio,
            "primaries": int(context.color_primaries),
            "transfer": int(context.color_trc),
            "matrix": int(context.colorspace),
            "range": int(context.color_range),
            "time_base": stream.time_base,
            "packets": len(stored),
        }
        if path.suffix == ".mkv":  # states a rate; the others count frames and seconds
            told["rate"] = stream.average_rate
        assert all(b.dts > a.dts for a, b in pairwise(stored) if a.dts is not None and b.dts is not None)
    with open_video(path) as reader:
        frames = list(reader)
    assert not reader.damaged
    return told, [pts for pts, *_ in frames], [frame for _, frame, _ in frames]


@pytest.mark.parametrize(("codec", "suffix"), CASES)
@pytest.mark.parametrize("kind", ["uneven", "wide", "late", "deep"])
def test_joined_is_as_undivided(sources, tmp_path, kind, codec, suffix):
    undivided = whole(sources[kind], tmp_path / f"whole{suffix}", codec)
    target = tmp_path / f"joined{suffix}"
    parts = parts_of(sources[kind], tmp_path, target, codec)
    assert len(parts) >= 3 and join_videos(parts, target, mark=False) == COUNT
    (told, times, pictures), (want, due, expected) = facts(target), facts(undivided)
    assert told == want and times == due and len(times) == COUNT
    peak = np.iinfo(pictures[0].dtype).max
    for a, b in zip(pictures, expected, strict=True):  # coded apart, so alike, not equal
        assert np.sqrt(np.mean((a.astype(float) - b) ** 2)) < 0.01 * peak
    if suffix in (".mp4", ".mov"):
        with open_video(sources[kind]) as reader:
            assert times == [pts for pts, *_ in reader], "these count in the footage's own units"
    if kind == "wide":
        # Matroska takes it from a field that PyAV cannot set; only codecs that carry it themselves keep it there.
        if suffix != ".mkv" or codec in ("h264", "hevc"):
            assert told["sample_aspect_ratio"] == Fraction(4, 3)
        if codec != "ffv1":
            assert [told[k] for k in ("primaries", "transfer", "matrix", "range")] == [1, 1, 1, 1]
    if kind == "deep":
        assert pictures[0].dtype == np.uint16 and (codec != "hevc" or told["pix_fmt"] == "yuv420p10le")


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_shortest_hevc_files(sources, tmp_path, count, suffix):
    """x265 gives the packets of one or two frames random decoding times."""
    with open_video(sources["deep"]) as reader:
        frames = [item for item, _ in zip(reader, range(count), strict=False)]
        target = tmp_path / f"short{suffix}"
        with VideoWriter(target, reader.info, codec="hevc") as writer:
            for pts, frame, alpha in frames:
                writer.write(frame, pts, alpha)
    assert facts(target)[1] == [pts for pts, *_ in frames]


@pytest.mark.parametrize("kind", ["uneven", "wide"])
def test_avi_keeps_its_order_and_its_times(sources, tmp_path, kind):
    """AVI stores no presentation times: its packets are timed in the order of storing, joined or not."""
    target = tmp_path / "joined.avi"
    assert join_videos(parts_of(sources[kind], tmp_path, target, "h264"), target) == COUNT

    def stored(path):
        with av.open(str(path)) as container:
            return [p.dts * p.time_base for p in container.demux(video=0) if p.size]

    want = stored(whole(sources[kind], tmp_path / "whole.avi", "h264"))
    assert max(abs(a - b) for a, b in zip(stored(target), want, strict=True)) < (0.15 if kind == "uneven" else 0.005)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """film.mov and its speech: somebody talking in 10-bit HEVC, uneven frames, wide pixels, BT.709."""
    folder = tmp_path_factory.mktemp("film")
    talker(folder / "talk.mp4", 1, 2.4)
    with open_video(folder / "talk.mp4") as reader:
        frames = np.stack([frame.astype(np.uint16) * 257 for _, frame, _ in reader])
    pts, base = [Fraction(1201 * n + 300 * (n % 3), 30000) for n in range(len(frames))], Fraction(1, 30000)
    colors = {"sample_aspect_ratio": Fraction(4, 3), **BT709}
    options = {"x265-params": "log-level=error"}
    coded = {"codec": "libx265", "pix_fmt": "yuv420p10le", "options": options}
    return write_video(folder / "film.mov", frames, pts=pts, time_base=base, **coded, **colors)


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_a_job_in_parts_is_as_one_in_a_piece(film, tmp_path, suffix):
    row = {"face": str(film), "audio": str(film.with_name("talk.wav")), "codec": "hevc", "preset": "fast"}
    row |= {"extend": "stop", "encoder_preset": "ultrafast"}
    rows = [{**row, "output": f"{n}{suffix}", "part_seconds": seconds} for n, seconds in (("one", 30), ("parts", 1))]
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": rows}))
    done = jobs.work_here(tmp_path / "jobs.yaml")
    assert done.exit_code == 0, done.text()
    made = json.loads((tmp_path / f"parts{suffix}.json").read_text())
    assert made["parts"]["rendered"] == 3 and made["faces"]["synthesized"] > 0
    (told, times, _), (want, due, _) = facts(tmp_path / f"parts{suffix}"), facts(tmp_path / f"one{suffix}")
    assert told == want and times == due and len(times) == made["output"]["frames"] > 50
    assert told["pix_fmt"] == "yuv420p10le" and told["sample_aspect_ratio"] == Fraction(4, 3)
    assert [told[k] for k in ("primaries", "transfer", "matrix", "range")] == [1, 1, 1, 1]
