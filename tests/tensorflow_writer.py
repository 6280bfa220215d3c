"""Write TensorFlow V2 checkpoints, correct or wrong on purpose, by the published descriptions of the format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import google_crc32c
import numpy as np

DTYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "int64": 9, "bool": 10}
DTYPES |= {"uint16": 17, "float16": 19, "uint32": 22, "uint64": 23}
BFLOAT16, STRING = 14, 7
ROWS_A_BLOCK, ROWS_A_RESTART = 5, 3
Row = tuple[bytes, bytes]


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value) if value else b""


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def masked_crc(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def header(shards: int = 1, endianness: int = 0) -> bytes:
    return number(1, shards) + number(2, endianness) + message(3, number(1, 1))


def entry(
    values: np.ndarray, offset: int, shard: int = 0, dtype: int | None = None, shape: Sequence[int] | None = None
) -> bytes:
    sizes = values.shape if shape is None else shape
    content = values.tobytes()
    return (
        number(1, DTYPES[values.dtype.name] if dtype is None else dtype)
        + message(2, b"".join(message(2, number(1, size)) for size in sizes))
        + number(3, shard)
        + number(4, offset)
        + number(5, len(content))
        + varint(6 << 3 | 5)
        + masked_crc(content)
    )


def block(rows: Sequence[Row]) -> bytes:
    content, restarts, last = b"", [0], b""
    for place, (key, value) in enumerate(rows):
        shared = 0
        if place % ROWS_A_RESTART:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        elif place:
            restarts.append(len(content))
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return content + b"".join(place.to_bytes(4, "little") for place in (*restarts, len(restarts)))


def table(rows: Sequence[Row], compression: int = 0) -> bytes:
    """Return a LevelDB table of rows in the given order."""
    written, index = b"", []

    def add(content: bytes) -> bytes:
        nonlocal written
        handle = varint(len(written)) + varint(len(content))
        typed = content + bytes([compression])
        written += typed + masked_crc(typed)
        return handle

    for start in range(0, len(rows), ROWS_A_BLOCK):
        part = rows[start : start + ROWS_A_BLOCK]
        index.append((part[-1][0], add(block(part))))
    handles = add(block([])) + add(block(index))
    return written + handles.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def data_file(prefix: Path, shard: int, shards: int) -> Path:
    return prefix.with_name(f"{prefix.name}.data-{shard:05}-of-{shards:05}")


def index_file(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def write_rows(prefix: Path, rows: Sequence[Row], data: bytes = b"") -> None:
    """Write an index with these rows and one data file."""
    index_file(prefix).write_bytes(table(rows))
    data_file(prefix, 0, 1).write_bytes(data)


def write_checkpoint(prefix: Path, tensors: Mapping[str, np.ndarray], shards: int = 1) -> None:
    """Write tensors, distributed to the data files in turn."""
    contents, rows = [b""] * shards, [(b"", header(shards))]
    for place, (name, values) in enumerate(sorted(tensors.items())):
        shard = place % shards
        rows.append((name.encode(), entry(values, len(contents[shard]), shard)))
        contents[shard] += values.tobytes()
    index_file(prefix).write_bytes(table(rows))
    for shard, content in enumerate(contents):
        data_file(prefix, shard, shards).write_bytes(content)
