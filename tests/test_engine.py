"""The stage protocol: wiring is checked before anything runs, a stage that breaks its contract is named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest

from wav2lip_hq.engine import Stage, check_wiring, prefetch, run_stages
from wav2lip_hq.errors import StageError, WiringError
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages import STAGES, Align, Blend, Detect, LipSync, Parse, Restore, Track
from wav2lip_hq.types import Chunk, Faces


def chunks(sizes=(3, 3, 2)):
    start = 0
    for size in sizes:
        frames = np.full((size, 4, 4, 3), start, np.uint8)
        yield Chunk(start, frames, tuple(Fraction(start + i, 25) for i in range(size)))
        start += size


@pytest.fixture(scope="module")
def runtime():
    return Runtime(device="cpu")


@dataclass(frozen=True)
class Boxes(Stage):
    name: ClassVar[str] = "boxes"
    reads: ClassVar[tuple[str, ...]] = ("frames",)
    adds: ClassVar[tuple[str, ...]] = ("boxes",)

    def process(self, chunk, runtime):
        return replace(chunk, boxes=tuple(None for _ in range(len(chunk))))


@dataclass(frozen=True)
class Peek(Stage):
    name: ClassVar[str] = "peek"
    reads: ClassVar[tuple[str, ...]] = ("boxes",)

    def process(self, chunk, runtime):
        assert chunk.boxes is not None
        return chunk


def test_the_usual_order_is_wired():
    check_wiring([Detect(), Track(), Align(), LipSync(), Parse(), Restore(), Restore(), Blend()])


def test_a_wrong_order_names_the_stage_that_adds_the_field():
    with pytest.raises(WiringError, match="track adds it but comes later"):
        check_wiring([Detect(), Align(), Track(), LipSync(), Blend()])
    with pytest.raises(WiringError, match="no stage in this pipeline adds it"):
        check_wiring([Detect(), Track(), Align(), Restore(), Blend()])


def test_a_field_that_does_not_exist_is_refused():
    @dataclass(frozen=True)
    class Odd(Stage):
        name: ClassVar[str] = "odd"
        reads: ClassVar[tuple[str, ...]] = ("faces.moustache",)

    with pytest.raises(WiringError, match="moustache"):
        check_wiring([Odd()])


@pytest.mark.parametrize("name", sorted(STAGES))
def test_every_stage_names_itself_and_known_fields(name):
    kind = STAGES[name]
    assert kind.name == name and kind.__doc__
    assert kind.adds, "a stage that adds nothing changes nothing"
    stage = kind()
    assert stage == kind() and isinstance(stage.models, tuple)
    assert stage.lookahead >= 0


def test_fields_are_dropped_after_their_last_reader_unless_kept(runtime):
    assert [c.boxes for c in run_stages([Boxes(), Peek()], chunks(), runtime)] == [None] * 3
    kept = list(run_stages([Boxes(), Peek()], chunks(), runtime, keep=("boxes",)))
    assert all(c.boxes is not None and len(c.boxes) == len(c) for c in kept)


def test_seconds_are_attributed_to_the_stage_that_spent_them(runtime):
    import time

    @dataclass(frozen=True)
    class Slow(Boxes):
        name: ClassVar[str] = "slow"

        def process(self, chunk, runtime):
            time.sleep(0.02)
            return super().process(chunk, runtime)

    clock: dict[str, float] = {}
    list(run_stages([Slow(), Peek()], chunks(), runtime, clock=clock))
    assert clock["slow"] >= 0.06 and clock["peek"] < clock["slow"] / 2


def broken(body):
    @dataclass(frozen=True)
    class Broken(Boxes):
        name: ClassVar[str] = "broken"

        def run(self, chunks, runtime):
            yield from body(chunks)

    return Broken()


def full(chunk):
    return replace(chunk, boxes=(None,) * len(chunk))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (lambda chunks: (full(c) for n, c in enumerate(chunks) if n != 1), "'broken' returned frames 6"),
        (lambda chunks: (full(c) for n, c in enumerate(chunks) if n < 2), "'broken' lost frames 6"),
        (lambda chunks: (replace(full(c), frames=c.frames[:1]) for c in chunks), "expected frames 0"),
        (lambda chunks: (c for c in chunks), "adds 'boxes' but did not"),
        (lambda chunks: (1 / 0 for c in chunks), "'broken' failed: ZeroDivisionError"),
    ],
)
def test_a_stage_that_breaks_its_contract_is_named(runtime, body, message):
    with pytest.raises(StageError, match=message):
        list(run_stages([broken(body)], chunks(), runtime))


def test_closing_early_closes_stages_and_source(runtime):
    closed = []

    def source():
        try:
            yield from chunks((1,) * 100)
        finally:
            closed.append("source")

    def body(stream):
        try:
            for chunk in stream:
                yield full(chunk)
        finally:
            closed.append("stage")

    stream = run_stages([broken(body)], source(), runtime)
    next(stream)
    stream.close()
    assert closed == ["stage", "source"]


def test_prefetch_keeps_order_passes_errors_and_stops():
    assert list(prefetch(range(50))) == list(range(50))

    def fails():
        yield 1
        raise OSError("the share is gone")

    stream = prefetch(fails())
    assert next(stream) == 1
    with pytest.raises(OSError, match="the share is gone"):
        next(stream)
    produced = []
    stream = prefetch((produced.append(n) or n for n in range(10_000)), depth=2)
    assert next(stream) == 0
    stream.close()
    assert len(produced) < 10, "prefetch must not run far ahead"


def test_a_chunk_without_faces_needs_no_face_arrays(runtime):
    @dataclass(frozen=True)
    class Nobody(Stage):
        name: ClassVar[str] = "nobody"
        adds: ClassVar[tuple[str, ...]] = ("faces.frame", "faces.box")

        def process(self, chunk, runtime):
            return replace(chunk, faces=Faces(np.zeros(0, np.int64)))

    assert len(list(run_stages([Nobody()], chunks(), runtime))) == 3
