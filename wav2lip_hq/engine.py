"""The stage protocol, wiring checks and the machinery that runs stages over chunks.

A stage is a frozen dataclass whose fields are its options. It holds no weights and no state: state lives in the locals
of ``run``, so one stage object can serve two videos at once.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from . import options
from .errors import OutOfMemory, StageError, Wav2LipHQError, WiringError, ran_out
from .types import Chunk, Faces

if TYPE_CHECKING:
    from .runtime import Runtime

T = TypeVar("T")

# Fields that the source fills; all others must be added by a stage before another reads them.
SOURCE_FIELDS = frozenset(
    {"frames", "pts", "source_pts", "mel", "phrase", "speech", "ahead", "alpha", "active", "start", "tracks"}
)
# Fields of the result, which are kept after their last reader.
KEPT_FIELDS = frozenset(
    {"frames", "pts", "alpha", "start", "active", "faces.frame", "faces.track", "faces.box", "left", "source_pts"}
)
KNOWN_FIELDS = SOURCE_FIELDS | {"boxes", "left"} | {f"faces.{f.name}" for f in fields(Faces)}


@dataclass(frozen=True)
class Stage:
    """Base of all stages. Subclass it as a frozen dataclass and implement ``process`` (or ``run`` to look ahead).

    Contract: one chunk in, one chunk out, same frames, same order, perhaps later. Frames are handed on: a stage may
    write into the ``frames`` it gets, so it returns none that it or its caller goes on using.
    """

    name: ClassVar[str] = ""
    reads: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ()  # read if an earlier stage adds them
    adds: ClassVar[tuple[str, ...]] = ()
    whole: ClassVar[bool] = False  # works on every frame, spoken or not, after all other stages and all voices
    fits: ClassVar[tuple[str, ...]] = ()  # architectures (keys of models.ARCHS) its checkpoints may have; () = any

    def __post_init__(self) -> None:
        """Check the options by the rules of their fields. A stage with further checks calls this first."""
        options.check(self)

    @property
    def lookahead(self) -> int:
        """Frames beyond a chunk's end that this stage waits for before it yields the chunk."""
        return 0

    @property
    def context(self) -> int:
        """Frames before a span that this stage must process for the span to be the same as in the whole clip."""
        return 0

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the checkpoints this stage needs with its present options."""
        return ()

    @property
    def code(self) -> tuple[str, ...]:
        """References to the user's own code that it runs, as "package.module:name"."""
        return ()

    @property
    def magnification(self) -> int:
        """How many times as large its pictures are as those it gets."""
        return 1

    def load(self, runtime: Runtime) -> None:
        """Load the networks of ``models``, so that missing ones are reported before any work. Raises
        CheckpointError."""
        for name in self.models:
            runtime.model(name, self.fits or None)

    def process(self, chunk: Chunk, runtime: Runtime) -> Chunk:
        """Return ``chunk`` with the fields of ``adds`` filled in."""
        raise StageError(f"stage '{self.name}' implements neither process() nor run()")

    def run(self, chunks: Iterator[Chunk], runtime: Runtime) -> Generator[Chunk, None, None]:
        """Transform a stream of chunks. The default calls ``process`` on each."""
        for chunk in chunks:
            yield self.process(chunk, runtime)


def check_wiring(stages: Sequence[Stage], given: Iterable[str] = ()) -> None:
    """Raise WiringError if a stage reads something no earlier stage adds, or names a field that does not exist.

    given: fields that the chunks have already, besides the source's own.
    """
    have = {*SOURCE_FIELDS, *given}
    for position, stage in enumerate(stages):
        for name in (*stage.reads, *stage.optional, *stage.adds):
            if name not in KNOWN_FIELDS:
                raise WiringError(f"stage '{stage.name}' names the field '{name}', which no chunk has")
        for name in stage.reads:
            if name in have:
                continue
            later = [s.name for s in stages[position + 1 :] if name in s.adds]
            hint = f"{later[0]} adds it but comes later" if later else "no stage in this pipeline adds it"
            raise WiringError(f"{stage.name} reads '{name}'; {hint}")
        have.update(stage.adds)


def get_field(chunk: Chunk, name: str) -> Any:
    """Value of ``name`` ("mel", "faces.box") in a chunk; None if absent."""
    if name.startswith("faces."):
        return getattr(chunk.faces, name[6:]) if chunk.faces is not None else None
    return getattr(chunk, name)


def _drop(chunk: Chunk, names: Iterable[str]) -> Chunk:
    """The chunk with fields set to None, which frees their memory."""
    own = {n: None for n in names if not n.startswith("faces.")}
    face = {n[6:]: None for n in names if n.startswith("faces.")}
    if face and chunk.faces is not None:
        chunk = replace(chunk, faces=replace(chunk.faces, **face))  # type: ignore[arg-type]
    return replace(chunk, **own) if own else chunk  # type: ignore[arg-type]


def _last_readers(stages: Sequence[Stage], keep: Iterable[str]) -> list[list[str]]:
    """For each stage the fields that are not needed after it."""
    kept = KEPT_FIELDS | set(keep)
    last: dict[str, int] = {}
    for i, stage in enumerate(stages):
        for name in (*stage.reads, *stage.optional, *stage.adds):
            last[name] = i
    return [[n for n, at in last.items() if at == i and n not in kept] for i in range(len(stages))]


@contextmanager
def _named(stage: Stage) -> Iterator[None]:
    """Name the stage in unexpected errors."""
    try:
        yield
    except (Wav2LipHQError, GeneratorExit, KeyboardInterrupt):
        raise
    except Exception as error:
        if ran_out(error):
            raise OutOfMemory(
                f"stage '{stage.name}' ran out of memory; close other programs, or use smaller footage"
            ) from error
        raise StageError(f"stage '{stage.name}' failed: {type(error).__name__}: {error}") from error


def _guarded(
    stage: Stage, source: Iterator[Chunk], runtime: Runtime, done: Sequence[str], clock: dict[str, float]
) -> Generator[Chunk, None, None]:
    """Run a stage with the engine's checks. clock: gets the stage's own seconds, without those of its source."""
    pending: list[tuple[int, int]] = []
    upstream = 0.0

    def watch() -> Iterator[Chunk]:
        nonlocal upstream
        while True:
            t0 = time.perf_counter()
            chunk = next(source, None)
            upstream += time.perf_counter() - t0
            if chunk is None:
                return
            pending.append((chunk.start, len(chunk)))
            yield chunk

    body = stage.run(watch(), runtime)
    try:
        while True:
            t0, before = time.perf_counter(), upstream
            with _named(stage):
                chunk = next(body, None)
            clock[stage.name] = clock.get(stage.name, 0.0) + time.perf_counter() - t0 - (upstream - before)
            if chunk is None:
                break
            if not pending or (chunk.start, len(chunk)) != pending[0]:
                want = f"frames {pending[0][0]}+{pending[0][1]}" if pending else "nothing more"
                raise StageError(f"stage '{stage.name}' returned frames {chunk.start}+{len(chunk)}, expected {want}")
            pending.pop(0)
            for name in stage.adds:
                if get_field(chunk, name) is None and not (chunk.faces is not None and not len(chunk.faces)):
                    raise StageError(f"stage '{stage.name}' declares that it adds '{name}' but did not")
            yield _drop(chunk, done)
        if pending:
            raise StageError(f"stage '{stage.name}' lost frames {pending[0][0]} and later")
    finally:
        body.close()


def run_stages(
    stages: Sequence[Stage],
    chunks: Iterable[Chunk],
    runtime: Runtime,
    *,
    keep: Iterable[str] = (),
    clock: dict[str, float] | None = None,
    given: Iterable[str] = (),
) -> Generator[Chunk, None, None]:
    """Run ``stages`` over ``chunks`` lazily. keep: further fields to leave in the result (previews, tests); given:
    fields that the chunks have already besides the source's own; clock: gets wall seconds by stage.

    Closing the generator closes every stage and the source.
    """
    check_wiring(stages, given)
    clock = {} if clock is None else clock
    opened: list[Any] = []
    stream: Iterator[Chunk] = iter(chunks)
    opened.append(stream)
    for stage, done in zip(stages, _last_readers(stages, keep), strict=True):
        stream = _guarded(stage, stream, runtime, done, clock)
        opened.append(stream)
    try:
        yield from stream
    finally:
        for item in reversed(opened):
            if hasattr(item, "close"):
                item.close()


def prefetch(source: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """Iterate over ``source`` in a thread, at most ``depth`` items ahead. Errors are raised at the consumer's next
    step."""
    box: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(kind: str, item: Any) -> bool:
        while not stop.is_set():
            try:
                box.put((kind, item), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        iterator = iter(source)
        try:
            for item in iterator:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, whatever it is
            put("error", error)
        finally:
            close: Callable[[], None] | None = getattr(iterator, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, item = box.get()
            if kind == "end":
                return
            if kind == "error":
                raise item
            yield item
    finally:
        stop.set()
        thread.join(timeout=10)


def waited(source: Generator[T, None, None], clock: dict[str, float]) -> Generator[T, None, None]:
    """``source``, with the seconds that were spent waiting for it added to ``clock`` as "read"."""
    try:
        while True:
            began = time.perf_counter()
            item = next(source, None)
            clock["read"] = clock.get("read", 0.0) + time.perf_counter() - began
            if item is None:
                return
            yield item
    finally:
        source.close()
