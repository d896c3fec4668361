"""Input that is hostile or merely odd: bounded, refused before work, and always in one line."""

from __future__ import annotations

import errno
import functools
import os
import signal
import struct
import subprocess
import sys
import time
import wave
import zlib
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from media import clip, tiny_pipeline, write_video, write_wav
from talker import talker

from wav2lip_hq import boundary, documents, errors, places, survey, video
from wav2lip_hq.cli import main
from wav2lip_hq.errors import (
    CheckpointError,
    InputError,
    OptionError,
    OutOfMemory,
    OutputError,
    StageError,
    Wav2LipHQError,
    ran_out,
    told,
)
from wav2lip_hq.pipeline import HQPipeline
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.video import movie
from wav2lip_hq.voice import load_speech

ROOT = Path(__file__).parents[1]


@pytest.fixture
def face(tmp_path: Path) -> Path:
    return write_video(tmp_path / "face.mp4", clip(4))


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "speech.wav", 0.5)


def png(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and holds next to nothing."""

    def block(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = block(b"IHDR", head) + block(b"IDAT", zlib.compress(bytes(9000))) + block(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


# ---- pictures and footage


@pytest.mark.parametrize("side", [9000, 20_000, 60_000])
def test_a_pictures_size_is_looked_at_before_it_is_decoded(side: int, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png(side, side))
    began = time.process_time()
    with pytest.raises(InputError, match="large.png.*(80 megapixels|more pixels than any)"):
        video.open_video(path)
    assert time.process_time() - began < 1


def test_the_limit_is_an_option(face: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    video.write_png(path, clip(1)[0])
    for source in (path, face):
        with pytest.raises(InputError, match="160x120 pixels are more than 0.01 megapixels.*max_megapixels"):
            video.open_video(source, max_megapixels=0.01)
        assert video.open_video(source, max_megapixels=0.02).info.width == 160


@pytest.mark.parametrize("fps", [float("nan"), float("inf"), 1e9, 0, -1, "a", None.__class__, 10**400])
def test_frame_rates_that_are_none(fps: Any) -> None:
    with pytest.raises(OptionError, match="fps is"):
        video.open_video(clip(2), fps=fps)


def test_a_file_that_claims_a_monstrous_rate_is_not_extended_by_it(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "one.mkv", clip(2), pts=[Fraction(0), Fraction(1, 5000)], time_base=Fraction(1, 90000)
    )
    with video.open_video(path) as reader:
        assert reader.info.fps <= 1000


def test_a_playlist_is_read_only_when_asked_for(face: Path, tmp_path: Path) -> None:
    other = write_video(tmp_path / "other.ts", clip(6))
    lists = {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other.name}\n#EXT-X-ENDLIST\n",
        "concat.mp4": f"ffconcat version 1.0\nfile {other.name}\n",
        "late.mp4": f"\n\n#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other.name}\n#EXT-X-ENDLIST\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=f"{name} is a playlist.*--playlists"):
            video.open_video(tmp_path / name)
        with pytest.raises(InputError, match=f"{name} is a playlist"):
            video.decode_audio(tmp_path / name)
    with video.open_video(tmp_path / "list.m3u8", playlists=True) as reader:
        assert sum(1 for _ in reader) == 6
    (tmp_path / "net.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError, match="net.m3u8"):  # files on this machine, never a network
        video.open_video(tmp_path / "net.m3u8", playlists=True)


def test_pipes_and_devices_are_called_that(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="pipe.mp4 is a pipe or a device"):
        video.open_video(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="/dev/zero is a pipe or a device"):
        load_speech("/dev/zero")


# ---- sound


def test_a_sound_of_one_sample_a_second_is_refused_at_once(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "slow.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(1)
        file.writeframes(bytes(32_000))
    began = time.process_time()
    with pytest.raises(InputError, match="slow.wav: a rate of 1 samples a second"):
        load_speech(tmp_path / "slow.wav")
    assert time.process_time() - began < 1


@pytest.mark.parametrize("rate", [0, -1, 1, 10**9, 16000.5, "a", None, True])
def test_rates_of_samples_in_memory(rate: Any) -> None:
    with pytest.raises(InputError, match="samples a second"):
        load_speech((np.zeros(16000, np.float32), rate))


@pytest.mark.parametrize(
    "given", [None, 5, (), (1,), (None, 16000), (["a"] * 16000, 16000), ([[1], [1, 2]], 16000), b"x"]
)
def test_speech_that_is_none(given: Any) -> None:
    with pytest.raises(InputError):
        load_speech(given)


# ---- what is passed from Python


@pytest.mark.parametrize(
    "call",
    [
        lambda: HQPipeline(None),  # type: ignore[arg-type]
        lambda: HQPipeline(5),  # type: ignore[arg-type]
        lambda: HQPipeline([None]),  # type: ignore[list-item]
        lambda: HQPipeline().set(None),  # type: ignore[arg-type]
        lambda: Runtime(batch_size="a"),  # type: ignore[arg-type]
        lambda: Runtime(batch_size=10**9),
        lambda: Runtime(device=None),  # type: ignore[arg-type]
        lambda: tiny_pipeline().run(None, (np.zeros(16000), 16000), "/tmp/never.mp4"),  # type: ignore[arg-type]
        lambda: tiny_pipeline().run(b"x", (np.zeros(16000), 16000), "/tmp/never.mp4"),  # type: ignore[arg-type]
        lambda: tiny_pipeline().run(iter([None]), (np.zeros(16000), 16000), "/tmp/never.mp4"),  # type: ignore[list-item]
        lambda: tiny_pipeline().run(clip(2), (np.zeros(16000), 16000), None),  # type: ignore[arg-type]
        lambda: tiny_pipeline().run("a\0b.mp4", (np.zeros(16000), 16000), "/tmp/never.mp4"),
    ],
)
def test_arguments_that_are_none(call: Any) -> None:
    with pytest.raises(Wav2LipHQError):
        call()


def test_a_network_known_already_is_still_the_wrong_one() -> None:
    """The detector in the generator's place: reported when it is loaded, not by its forward()."""
    runtime = Runtime()
    runtime.model("embedded-detector", expect="retinaface_mobilenet0.25")
    with pytest.raises(CheckpointError, match="this is a RetinaFace detector.*expected a Wav2Lip generator"):
        runtime.model("embedded-detector", expect="wav2lip")


# ---- outputs


def test_links_and_pipes_are_not_replaced(face: Path, wav: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "target.mp4").write_bytes(b"precious")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "target.mp4")
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    before = sorted(tmp_path.iterdir())
    for name, said in (
        ("pipe", "is a pipe"),
        ("link", "is a link to .*target"),
        ("dangling", "is a link to .*nowhere"),
    ):
        with pytest.raises(OutputError, match=said):
            tiny_pipeline().run(face, wav, tmp_path / f"{name}.mp4")
        with pytest.raises(OutputError, match=said):
            video.write_png(tmp_path / f"{name}.mp4", clip(1)[0])
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "target.mp4").read_bytes() == b"precious"


@pytest.mark.parametrize("size", [200, 250, 255])
@pytest.mark.parametrize("letter", ["a", "é"])
def test_long_names_of_outputs(size: int, letter: str, face: Path, wav: Path, tmp_path: Path) -> None:
    """As long as a file's name may be: the temporary one has to be no longer."""
    stem = letter * ((size - 4) // len(letter.encode()))
    report = tiny_pipeline().run(face, wav, tmp_path / f"{stem}.mp4", extend="stop")
    assert report.output.is_file()
    assert len(os.fsencode(places.beside(Path("x" * 252 + ".mp4")).name)) <= places.LONGEST


@pytest.mark.parametrize("name", ["a" * 252 + ".mp4", "a\0b.mp4", "\ud800.mp4"])
def test_names_that_no_file_can_have(name: str, face: Path, wav: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        tiny_pipeline().run(face, wav, tmp_path / name)


def test_what_cannot_be_encoded_is_known_before_the_footage_is_surveyed(face: Path, wav: Path, tmp_path: Path) -> None:
    for options, error in (
        ({"pix_fmt": "yuv999"}, OptionError),
        ({"pix_fmt": "pal8"}, OutputError),
        ({"sound": str(tmp_path / "none.wav")}, InputError),
        ({"sound": str(face)}, Wav2LipHQError),  # without sound
    ):
        with pytest.raises(error):
            tiny_pipeline().run(face, wav, tmp_path / "o.mp4", on_survey=lambda *_: pytest.fail("too late"), **options)
        assert not (tmp_path / "o.mp4").exists()


# ---- YAML, surveys


def test_alias_bombs_and_tags() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    began = time.process_time()
    with pytest.raises(ValueError, match="aliases stand for more than"):
        documents.parse("\n".join(lines))
    merged = ["m0: &m0 {a: 1}"] + [f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}" for n in range(1, 40)]
    with pytest.raises(ValueError, match="aliases stand for more than"):
        documents.parse("\n".join(merged))
    for text in (
        "&a [*a]",
        "!!int x",
        "!!timestamp x",
        "!!binary é",
        "!!python/object:os.system x",
        "[" * 5000,
        "? [a]",
    ):
        with pytest.raises(ValueError):
            documents.parse(text)
    assert time.process_time() - began < 2
    assert documents.parse("x: &a {b: 1}\ny: {<<: *a, c: [*a, *a]}")["y"] == {"b": 1, "c": [{"b": 1}, {"b": 1}]}
    assert documents.parse("") is None


def test_a_survey_that_would_unpack_to_gigabytes(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", times=np.zeros(40 << 20), header=np.zeros(1, np.uint8))
    with pytest.raises(InputError, match="would unpack to 320 MiB"):
        survey.load(tmp_path / "bomb.npz")


# ---- the boundary


def test_any_error_becomes_one_line_and_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    def ends(error: BaseException) -> tuple[int, str]:
        def work() -> int:
            raise error

        code = boundary.guarded(work)
        return code, capsys.readouterr().err

    assert ends(InputError("x.mp4 is empty")) == (3, "wav2lip-hq: x.mp4 is empty\n")
    code, said = ends(ZeroDivisionError("a\nb"))
    assert code == 1 and "ZeroDivisionError: a b" in said and "--debug" in said and said.count("\n") == 1
    assert ends(MemoryError())[0] == 8 and ends(RuntimeError("std::bad_alloc"))[0] == 8
    assert ends(OSError(errno.ENOMEM, "Cannot allocate memory"))[0] == 8
    assert ends(OSError(errno.ENOSPC, "No space left on device"))[0] == 4
    assert ends(FileNotFoundError(2, "No such file", "a.wav")) == (3, "wav2lip-hq: a.wav: No such file\n")
    assert ends(KeyboardInterrupt())[0] == 130
    assert ends(InputError("\x1b[2Jgone"))[1] == "wav2lip-hq: ?[2Jgone\n"
    assert len(ends(InputError("x" * 10**6))[1]) < 5000
    wrapped = StageError("stage 'blend' failed: unable to allocate 5 GiB")
    wrapped.__cause__ = np.exceptions.AxisError("x")
    assert ends(wrapped)[0] == 8 and ran_out(wrapped)
    with pytest.raises(ZeroDivisionError):
        boundary.guarded(lambda: 1 // 0, debug=True)


def test_library_errors_count_as_out_of_memory_when_hardly_any_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, spoiled = BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), OutputError("cannot be written")
    spoiled.__cause__ = SystemError("Generic error in an external library")
    assert told(RuntimeError("could not create a primitive"))[1] == 8
    assert [told(error)[1] for error in (busy, spoiled)] == [1, 4]
    monkeypatch.setattr(errors, "cramped", lambda: True)
    assert [told(error)[1] for error in (busy, spoiled)] == [8, 8] and "out of memory" in told(spoiled)[0]
    for other in (InputError("x"), FileNotFoundError(2, "No such file", "x"), ValueError("x"), KeyError("x")):
        assert told(other)[1] != 8


def test_memory_that_runs_out_while_decoding_is_not_damage_of_the_file(
    face: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short:
        """A packet whose frames there is no room for."""

        def decode(self) -> Any:
            raise av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")

    container = SimpleNamespace(demux=lambda stream: [Short()])
    with video.open_video(face) as reader:
        with pytest.raises(InputError, match="damaged"):  # without a limit, the packet asked for too much
            list(movie._frames(reader, container, None, False))
        assert reader.damaged == 1
        monkeypatch.setattr(errors, "address_space", lambda: 1 << 32)
        with pytest.raises(OutOfMemory, match="face.mp4"):
            list(movie._frames(reader, container, None, False))
        assert reader.damaged == 1


def limited(size: int, *args: str) -> subprocess.CompletedProcess[str]:
    """The command line under a limit of address space, on one thread."""
    command = [sys.executable, "-W", "ignore", "-m", "wav2lip_hq.cli", *args]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    import resource  # not there on Windows

    limit = functools.partial(resource.setrlimit, resource.RLIMIT_AS, (size, size))
    return subprocess.run(command, text=True, env=env, preexec_fn=limit, capture_output=True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs ulimit -v")
@pytest.mark.parametrize(
    "command", [["run", "a.mp4", "b.wav", "o.mp4"], ["batch", "run", "jobs.yaml"], ["train", "expert"]]
)
def test_a_memory_limit_too_low_for_any_run_is_refused_at_once(command: list[str]) -> None:
    done = limited(10**9, *command)
    assert done.returncode == 8 and "may have 1.0 GB" in done.stderr and done.stderr.count("\n") == 1
    assert limited(10**9, "presets").returncode == 0, "what takes no networks works"


@pytest.mark.skipif(sys.platform != "linux", reason="needs ulimit -v")
def test_a_library_that_dies_under_a_limit_of_memory_is_one_line(tmp_path: Path, monkeypatch: Any) -> None:
    """Native code may read through the null that it was given instead of memory; here it does so at once."""
    (tmp_path / "code").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "code" / "sitecustomize.py").write_text(
        "import ctypes, os, pathlib\n"
        "if 'WAV2LIP_HQ_WATCHED' in os.environ:\n"
        "    from wav2lip_hq import places\n"
        f"    places.beside(pathlib.Path({str(tmp_path / 'out' / 'o.mp4')!r})).touch()\n"
        "    ctypes.string_at(0)\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", f"{tmp_path / 'code'}{os.pathsep}{ROOT}")
    done = limited(8 * 10**9, "run", "a.mp4", "b.wav", str(tmp_path / "out" / "o.mp4"))
    assert done.returncode == 8 and "SIGSEGV" in done.stderr and "8.0 GB" in done.stderr, done
    assert done.stderr.count("\n") == 1 and not list((tmp_path / "out").iterdir())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs ulimit -v")
@pytest.mark.parametrize("size", [1750, 1950, 2150, 2355, 2455])
def test_under_a_limit_of_memory(tmp_path: Path, size: int) -> None:
    """Between what loading takes and what a run of the smallest footage takes (here 2.5 GB)."""
    talker(tmp_path / "a.mp4", 1, 1.0)
    target = tmp_path / "o.mp4"
    done = limited(size * 10**6, "run", str(tmp_path / "a.mp4"), str(tmp_path / "a.wav"), str(target), "--quiet")
    print(size, done.returncode, done.stderr)
    if done.returncode != 0:  # where libraries take less, it may be enough
        assert done.returncode == 8 and done.stderr.count("\n") == 1 and "memory" in done.stderr, done
    made = ["o.mp4"] if done.returncode == 0 else []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "a.wav", *made]


def test_a_stage_without_memory_says_so(wav: Path) -> None:
    from dataclasses import dataclass

    from media import DrawnDetect

    @dataclass(frozen=True)
    class Hungry(DrawnDetect):
        def process(self, chunk: Any, runtime: Any) -> Any:
            raise MemoryError("Unable to allocate 5 TiB")

    with pytest.raises(OutOfMemory, match="stage 'detect' ran out of memory"):
        with tiny_pipeline().replace(detect=Hungry()).open(clip(4), wav) as chunks:
            list(chunks)


def test_debug_is_taken_at_the_end_and_shows_where(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        main(["run", str(tmp_path / "gone.mp4"), "b.wav", str(tmp_path / "o.mp4"), "--debug"])


def start(*args: str, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-m", "wav2lip_hq.cli", *args]
    # A shell lets what it starts in the background ignore Ctrl-C, and so do the children of that.
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, text=True, env=env, preexec_fn=heard, **more)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_stdout() -> None:
    with open("/dev/full", "w") as full:
        process = start("presets", stdout=full, stderr=subprocess.PIPE)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 4 and "No space left" in said and said.count("\n") == 1


def test_a_second_interrupt_lets_it_tidy_up(face: Path, tmp_path: Path) -> None:
    """One line, the code of an interruption, and nothing left, however often Ctrl-C is pressed."""
    speech = write_wav(tmp_path / "long.wav", 120)
    process = start(
        "run",
        str(face),
        str(speech),
        str(tmp_path / "o.mp4"),
        "-p",
        "fast",
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 90
    while not list(tmp_path.glob(".o.*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said and "interrupted" in said
    assert not list(tmp_path.glob("*o.*mp4")) or sorted(p.name for p in tmp_path.iterdir()) == ["face.mp4", "long.wav"]


# ---- the attack


@pytest.mark.slow
def test_a_part_of_the_attack(tmp_path: Path) -> None:
    """The whole one: python tests/attack.py."""
    import attack

    table = attack.attack(tmp_path, files=200, runs=10, seed=7, typed=False)
    bad = {kind: counts for kind, counts in table.items() if any(counts[end] for end in attack.ENDS[2:])}
    assert not bad and sum(table.values(), start=type(table["video"])()).total() == 210
