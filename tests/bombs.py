"""Tiny checkpoint files that demand much memory, time or both. Run as a program, it tries to load each and prints the
cost."""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."  # the old format's three headers
V2 = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little")


def zipped(path: Path, program: bytes, *, weights: bytes = bytes(16), compress: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("m/data.pkl", b"\x80\x02" + program + b".", compress)
        archive.writestr("m/byteorder", b"little")
        archive.writestr("m/data/0", weights)


def tensor(size: bytes, stride: bytes) -> bytes:
    """A call of _rebuild_tensor_v2 on the storage "0"."""
    return V2 + STORAGE + b"K\x00" + size + stride + b"\x89NtR"


def state(*items: tuple[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in items) + b"u"


def memo_index(path: Path) -> None:
    """The C unpickler makes room for so many entries."""
    zipped(path, b"}r\xff\xff\xff\x7f")


def long_bytearray(path: Path) -> None:
    zipped(path, b"\x96" + struct.pack("<Q", 1 << 34))


def long_text(path: Path) -> None:
    path.write_bytes(b"\x80\x02\x8d" + struct.pack("<Q", 1 << 40) + b"x" * 200)


def long_frame(path: Path) -> None:
    path.write_bytes(b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"x" * 200)


def old_storage(path: Path) -> None:
    """The old format, with a storage of 2**61 numbers."""
    body = b"\x80\x02" + state(("w", tensor(b"K\x02\x85", b"K\x01\x85"))) + b"."
    path.write_bytes(MAGIC + body + b"\x80\x02](X\x01\x00\x00\x000e." + struct.pack("<Q", 1 << 61) + bytes(16))


def stride_0(path: Path) -> None:
    zipped(path, state(("w", tensor(number(1 << 40) + b"\x85", b"K\x00\x85"))))


def many_views(path: Path) -> None:
    """20,000 views of one storage of 4 MB."""
    head = STORAGE + b"q\x00" + b"0"
    call = V2 + b"(h\x00K\x00" + number(1 << 20) + b"\x85K\x01\x85\x89NtR"
    zipped(path, head + state(*((f"w{n}", call) for n in range(20_000))), weights=bytes(4 << 20))


def deflated(path: Path) -> None:
    zipped(path, b"]" + b"N0" * (60 << 20), compress=zipfile.ZIP_DEFLATED)


def deflated_byteorder(path: Path) -> None:
    zipped(path, b"}")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("m/byteorder", b" " * (60 << 20), zipfile.ZIP_DEFLATED)


def repeated_list(path: Path) -> None:
    """A list of lists of lists, ten times each: printing or copying it never ends."""
    zipped(path, b"](Neq\x00" + b"".join(b"](" + b"h\x00" * 10 + b"eq\x00" for _ in range(30)))


def repeated_key(path: Path) -> None:
    """The same as a storage's key, which is made text."""
    bomb = b"](Neq\x000" + b"".join(b"](" + b"h\x00" * 10 + b"eq\x000" for _ in range(30))
    pid = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nh\x00X\x03\x00\x00\x00cpuK\x04tQ"
    zipped(path, bomb + pid)


def repeated_mapping(path: Path) -> None:
    """OrderedDict(items), again and again."""
    pairs = b"](" + b"".join(text(f"k{n}") + b"N\x86" for n in range(20_000)) + b"eq\x00"
    again = b"ccollections\nOrderedDict\nq\x010](" + b"h\x01h\x00\x85R" * 20_000 + b"e"
    zipped(path, pairs + again)


def repeated_arguments(path: Path) -> None:
    """A call with 200,000 arguments, again and again."""
    zipped(
        path,
        b"("
        + b"N" * 200_000
        + b"tq\x000ctorch._utils\n_rebuild_parameter\nq\x010]("
        + b"h\x01h\x00R0" * 100_000
        + b"e",
    )


def colliding_keys(path: Path) -> None:
    """Whole numbers with one hash."""
    zipped(path, b"}(" + b"".join(number(n * ((1 << 61) - 1)) + b"N" for n in range(1, 40_000)) + b"u")


def deep_script(path: Path) -> None:
    """Modules within modules, with long names."""
    zipped(path, b"".join(b"}" + text("x" * 200) for _ in range(20_000)) + b"N" + b"s" * 20_000)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("m/constants.pkl", b"\x80\x02).")


def many_globals(path: Path) -> None:
    zipped(path, b"](" + b"ctorch\ndevice\n" * 300_000 + b"e")


def endless(path: Path) -> None:
    zipped(path, b"N0" * (7 << 20))


def shape_of_a_million(path: Path) -> None:
    zipped(path, state(("w", tensor(b"(" + b"K\x01" * 100_000 + b"t", b"(" + b"K\x01" * 100_000 + b"t"))))


def prefixes(path: Path) -> None:
    zipped(path, state(("module." * 100_000 + "w", tensor(b"K\x02\x85", b"K\x01\x85"))))


def overlapping(path: Path) -> None:
    """5,000 entries of the archive's directory that lead to one place of 8 MB."""
    items = []
    for n in range(5000):
        storage = STORAGE.replace(b"X\x01\x00\x00\x000", text(f"{n:04d}"))
        items.append((f"w{n}", V2 + storage + b"K\x00K\x04\x85K\x01\x85\x89NtR"))
    zipped(path, state(*items))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("m/data/0000", bytes(8 << 20))
        first = archive.getinfo("m/data/0000")
        for n in range(1, 5000):
            entry = zipfile.ZipInfo(f"m/data/{n:04d}")
            entry.header_offset, entry.CRC = first.header_offset, first.CRC
            entry.file_size = entry.compress_size = first.file_size
            archive.filelist.append(entry)
            archive.NameToInfo[entry.filename] = entry


def safetensors(path: Path, tensors: dict[str, list[int]], metadata: dict[str, str], data: bytes = b"") -> None:
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    for name, shape in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
    text_ = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text_)) + text_ + data)


def wide_by_description(path: Path) -> None:
    """A network 1,000 times as wide as the real one, says the file."""
    safetensors(path, {"w": [0]}, {"arch": "wav2lip", "options": json.dumps({"width": 1000})})


def long_by_description(path: Path) -> None:
    safetensors(path, {"w": [0]}, {"arch": "srvgg", "options": json.dumps({"num_conv": 100_000_000})})


def wide_by_shape(path: Path) -> None:
    """Tensors with a size and no numbers."""
    shapes = {"body.0.weight": [1 << 16, 3, 3, 0], "body.1.weight": [1 << 16, 0], "body.2.weight": [48, 1 << 16, 3, 0]}
    safetensors(path, shapes, {})


def long_by_name(path: Path) -> None:
    shapes = {"body.0.weight": [8, 3, 3, 0], "body.1.weight": [0], "body.90000000.weight": [48, 8, 3, 0]}
    safetensors(path, shapes, {})


def nested_card(path: Path) -> None:
    safetensors(path, {"w": [0]}, {"arch": "wav2lip", "card": "[" * 100_000, "options": "[" * 100_000})


def long_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", (1 << 27) - 1) + b"{" + b'"a":' * 10)


BOMBS: tuple[Callable[[Path], None], ...] = (
    memo_index, long_bytearray, long_text, long_frame, old_storage, stride_0, many_views, deflated,
    deflated_byteorder, repeated_list, repeated_key, repeated_mapping, repeated_arguments, colliding_keys, deep_script,
    many_globals, endless, shape_of_a_million, prefixes, overlapping, wide_by_description, long_by_description,
    wide_by_shape, long_by_name, nested_card, long_header,
)  # fmt: skip


def main() -> None:
    """For each file named: its outcome, seconds and MiB beyond what was there before, as a line of JSON."""
    import resource

    from wav2lip_hq import checkpoints, models
    from wav2lip_hq.errors import CheckpointError

    models.build("srvgg"), models.build("wav2lip", width=0.125)  # imports do not count
    warm = io.BytesIO()
    pickle.dump(0, warm)
    for name in sys.argv[1:]:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.process_time()
        try:
            checkpoints.load(Path(name))
            outcome = "loaded"
        except CheckpointError as error:
            outcome = f"refused: {error}"
        except BaseException as error:  # noqa: BLE001 - what this is to find
            outcome = f"foreign: {type(error).__name__}: {error}"[:300]
        spent = time.process_time() - began
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(json.dumps({"name": Path(name).stem, "outcome": outcome, "seconds": spent, "mib": grown}), flush=True)


if __name__ == "__main__":
    main()
