"""TensorFlow's V2 checkpoints, read without TensorFlow: PREFIX.index and PREFIX.data-KKKKK-of-NNNNN.

The index is a table in the format of LevelDB (its doc/table_format.md) from tensors' names to small protobuf messages,
TensorFlow's tensor_bundle.proto; the key "" has the header. The data files hold the tensors' bytes. Every block of the
table and every tensor has a CRC-32C, and all are verified: a flipped bit or a missing byte never becomes a weight.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.regular_files import MOST_WEIGHTS_BYTES, check_regular, read_regular

Array = npt.NDArray[Any]

_DATA_SUFFIX = re.compile(r"\.data-\d{5}-of-\d{5}$")
_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER_BYTES, _TRAILER_BYTES = 48, 5
_UNCOMPRESSED = 0
_CRC_SHIFT = 0xA282EAD8
"""LevelDB stores CRCs rotated by 15 bits and shifted by this, so that a CRC over stored CRCs is still useful."""

# Limits for files made by hand; TensorFlow's own files stay far below all of them.
_MOST_INDEX_BYTES, _MOST_NAME_BYTES, _MOST_SHARDS, _MOST_DIMENSIONS = 2**26, 4096, 99999, 32
# Each name is stored as a difference to the one before it, so a small file could hold any number of long names.
_MOST_BYTES_OF_NAMES = 2**24

_BFLOAT16 = 14
_DTYPES: Mapping[int, str] = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "<u1",
    5: "<i2",
    6: "<i1",
    9: "<i8",
    10: "|b1",
    _BFLOAT16: "<u2",
    17: "<u2",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}
"""By the numbers in TensorFlow's types.proto. numpy has no bfloat16, so its bits are read and widened."""


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a checkpoint, in the order of their names, and the files that held them."""

    files: tuple[Path, ...]
    """The index, then the data files."""
    tensors: Mapping[str, Array]
    """Tensors by name; bfloat16 has become float32."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read all tensors of a checkpoint and verify its CRCs.

    Parameters
    ----------
    path
        The common part of its file names (iphone_orig), or one of the files (iphone_orig.index).

    Raises
    ------
    DpedtoolError
        A file is missing or damaged, or holds data that cannot be read: compressed blocks, big-endian numbers, tensors
        stored in slices, text.

    """
    prefix = checkpoint_prefix(path)
    index = prefix.with_name(f"{prefix.name}.index")
    try:
        shards, entries = _read_index(index)
        files = [prefix.with_name(f"{prefix.name}.data-{shard:05}-of-{shards:05}") for shard in range(shards)]
        return Checkpoint((index, *files), _read_tensors(files, entries))
    except _DamageError as damage:
        raise DpedtoolError(f"{damage.path or index} is damaged ({damage}): download or copy it again.") from None


def checkpoint_prefix(path: Path) -> Path:
    """Return the common part of a checkpoint's file names, given that part or one of the files."""
    name = path.name.removesuffix(".index")
    return path.with_name(_DATA_SUFFIX.sub("", name))


class _DamageError(Exception):
    """What is wrong with a file, as a clause; without a path the file is the index."""

    def __init__(self, reason: str, path: Path | None = None) -> None:
        super().__init__(reason)
        self.path = path


class _Entry(NamedTuple):
    """The place of a tensor, from BundleEntryProto."""

    name: str
    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int


def _read_index(path: Path) -> tuple[int, list[_Entry]]:
    """Return the number of data files and the places of the tensors in them, in the order of their names."""
    rows = list(_table_rows(_read_file(path)))
    if not rows or rows[0][0] != b"":
        raise _DamageError("it has no header")
    shards = _shards(rows[0][1], path)
    _refuse_slices(rows, path)
    entries = [_entry(key, value, path) for key, value in rows[1:]]
    if not entries:
        raise DpedtoolError(f"{path} holds no tensors: choose a checkpoint of a trained network.")
    return shards, entries


def _read_file(path: Path) -> bytes:
    if not path.is_file():
        raise DpedtoolError(
            f"There is no file {path}: name a TensorFlow checkpoint by the common part of its file names, such as "
            "iphone_orig for iphone_orig.index and iphone_orig.data-00000-of-00001."
        )
    try:
        return read_regular(path, _MOST_INDEX_BYTES)
    except OSError as error:
        raise _DamageError(error.strerror or "it cannot be read") from None


def _shards(header: bytes, path: Path) -> int:
    """Return the number of data files from BundleHeaderProto."""
    fields = _scalars(header)
    if fields.get(2, 0) != 0:
        raise DpedtoolError(
            f"{path} was saved on a big-endian machine and cannot be read: save it again on a little-endian machine."
        )
    if not 1 <= fields.get(1, 0) <= _MOST_SHARDS:
        raise _DamageError(f"it claims {fields.get(1, 0)} data files")
    return fields[1]


def _refuse_slices(rows: list[tuple[bytes, bytes]], path: Path) -> None:
    """Refuse partitioned variables; their slices have rows too, under keys that are not names."""
    for key, message in rows[1:]:
        if any(number == 7 for number, _ in _fields(message)):
            name = key.decode(errors="replace")
            raise DpedtoolError(f"{path} stores {name!r} in slices, which cannot be read: save it unpartitioned.")


def _entry(key: bytes, message: bytes, path: Path) -> _Entry:
    fields = _scalars(message)
    try:
        name = key.decode()
    except UnicodeDecodeError:
        raise _DamageError(f"the name {key!r} is not text") from None
    shape = tuple(size for number, value in _fields(message) if number == 2 for size in _shape(value))
    if len(shape) > _MOST_DIMENSIONS:
        raise _DamageError(f"{name} has {len(shape)} dimensions")
    if (dtype := fields.get(1, 0)) not in _DTYPES:
        raise DpedtoolError(
            f"{path} holds {name!r} of type {dtype} (types.proto), which cannot be read: only numbers can."
        )
    return _Entry(name, dtype, shape, fields.get(3, 0), fields.get(4, 0), fields.get(5, 0), fields.get(6, 0))


def _shape(message: int | bytes) -> Iterator[int]:
    """Yield the sizes of a TensorShapeProto, which has a message with size and name for each dimension."""
    for number, dimension in _fields(_bytes(message)):
        if number == 2:
            yield _scalars(_bytes(dimension)).get(1, 0)


def _read_tensors(files: list[Path], entries: list[_Entry]) -> dict[str, Array]:
    """Read the tensors file by file; each is checked against the file's length before anything is allocated."""
    found = {}
    for shard, file in enumerate(files):
        inside = sorted((entry for entry in entries if entry.shard == shard), key=lambda entry: entry.offset)
        found.update(_read_shard(file, inside))
    if beyond := [entry for entry in entries if entry.name not in found]:
        raise _DamageError(f"{beyond[0].name} lies in data file {beyond[0].shard} of {len(files)}")
    return {entry.name: found[entry.name] for entry in entries}


def _read_shard(file: Path, entries: list[_Entry]) -> dict[str, Array]:
    if not file.is_file():
        raise DpedtoolError(
            f"There is no file {file}, which the checkpoint's index needs: download or copy it as well."
        )
    try:
        length, end = check_regular(file, MOST_WEIGHTS_BYTES), 0
    except OSError as error:
        raise _DamageError(error.strerror or "it cannot be read", file) from None
    for entry in entries:
        # If tensors could share bytes, a small file could ask for any amount of memory.
        if entry.offset < end or entry.offset + entry.size > length:
            raise _DamageError(f"{entry.name} should lie at {entry.offset} with {entry.size} of {length} bytes", file)
        end = entry.offset + entry.size
    with file.open("rb") as stream:
        found = {}
        for entry in entries:
            stream.seek(entry.offset)
            found[entry.name] = _tensor(entry, stream.read(entry.size), file)
        return found


def _tensor(entry: _Entry, content: bytes, file: Path) -> Array:
    dtype = np.dtype(_DTYPES[entry.dtype])
    if prod(entry.shape) * dtype.itemsize != entry.size:
        raise _DamageError(f"{entry.name} has the shape {entry.shape}, which {entry.size} bytes do not fill")
    if len(content) != entry.size or _masked_crc(content) != entry.crc:
        raise _DamageError(f"{entry.name} fails its CRC", file)
    try:
        values = np.frombuffer(content, dtype).reshape(entry.shape)
    except ValueError:
        raise _DamageError(f"{entry.name} has the shape {entry.shape}") from None
    return (values.astype("<u4") << 16).view("<f4") if entry.dtype == _BFLOAT16 else values


def _table_rows(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a table, sorted by key.

    A table consists of its data blocks, the metaindex block, the index block and a footer, without gaps. A handle that
    points elsewhere is damaged.
    """
    metaindex, index = _footer(table)
    handles = [_handle(value) for _, value in _block_rows(_block(table, index))]
    end = 0
    for handle in (*handles, metaindex, index):
        if handle.offset != end:
            raise _DamageError(f"a block lies at {handle.offset}, not {end}")
        end += handle.size + _TRAILER_BYTES
    if end != len(table) - _FOOTER_BYTES:
        raise _DamageError(f"the blocks end at {end} of {len(table)} bytes")
    _block(table, metaindex)
    last, named = None, 0
    for handle in handles:
        for key, value in _block_rows(_block(table, handle)):
            named += len(key)
            if named > _MOST_BYTES_OF_NAMES:
                raise _DamageError(f"its names have more than {_MOST_BYTES_OF_NAMES} bytes")
            if last is not None and key <= last:
                raise _DamageError(f"the name {key!r} is out of order")
            last = key
            yield key, value


class _Handle(NamedTuple):
    """The place of a block, without its trailer."""

    offset: int
    size: int


def _handle(content: bytes) -> _Handle:
    reader = _Reader(content)
    return _Handle(reader.varint(), reader.varint())


def _footer(table: bytes) -> tuple[_Handle, _Handle]:
    """Return the handles of the metaindex block and of the index block."""
    if table[-len(_MAGIC) :] != _MAGIC or len(table) < _FOOTER_BYTES:
        raise _DamageError("it does not end as a table does")
    reader = _Reader(table[-_FOOTER_BYTES : -len(_MAGIC)])
    handles = _Handle(reader.varint(), reader.varint()), _Handle(reader.varint(), reader.varint())
    if any(reader.rest()):
        raise _DamageError("there are no zeros in the footer")
    return handles


def _block(table: bytes, handle: _Handle) -> bytes:
    """Return a block's content; it is followed by one byte for the compression and the CRC of both."""
    end = handle.offset + handle.size
    trailer = table[end : end + _TRAILER_BYTES]
    if len(trailer) < _TRAILER_BYTES:
        raise _DamageError(f"a block should lie at {handle.offset} with {handle.size} bytes")
    if _masked_crc(table[handle.offset : end + 1]) != int.from_bytes(trailer[1:], "little"):
        raise _DamageError(f"the block at {handle.offset} fails its CRC")
    if trailer[0] != _UNCOMPRESSED:
        raise DpedtoolError(
            f"The index of the checkpoint is compressed (kind {trailer[0]}), which cannot be read: save it "
            "uncompressed, which is TensorFlow's default."
        )
    return table[handle.offset : end]


def _block_rows(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a block: each key says how much it shares with the one before it.

    The block ends with the places where nothing is shared, 4 bytes each, and their number. They are used for searches.
    """
    restarts = int.from_bytes(block[-4:], "little")
    length = len(block) - 4 - 4 * restarts
    if len(block) < 4 or length < 0:
        raise _DamageError(f"a block of {len(block)} bytes claims {restarts} restarts")
    reader, key = _Reader(block[:length]), b""
    while reader.rest():
        shared, more, value = reader.varint(), reader.varint(), reader.varint()
        if shared > len(key) or shared + more > _MOST_NAME_BYTES:
            raise _DamageError(f"a name shares {shared} of {len(key)} bytes and has {more} more")
        key = key[:shared] + reader.take(more)
        yield key, reader.take(value)


class _Reader:
    """Reads bytes in order, never beyond the end."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    def rest(self) -> memoryview:
        """Return the bytes that are not read yet, without copying or consuming them."""
        return memoryview(self._content)[self._place :]

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        if count > len(self._content) - self._place:
            raise _DamageError(f"{count} bytes are promised, but {len(self._content) - self._place} are left")
        self._place += count
        return self._content[self._place - count : self._place]

    def varint(self) -> int:
        """Return a number below 2^64: 7 bits a byte, lowest first; the eighth bit is set in all but the last byte."""
        value = 0
        for place in range(10):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                # Writers put no zeros before a number, so a zero here reveals a flipped bit.
                if value >= 2**64 or (byte == 0 and place > 0):
                    break
                return value
        raise _DamageError("a number is badly encoded")


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message; a value is a number, or bytes (text or a message)."""
    reader = _Reader(message)
    while reader.rest():
        tag = reader.varint()
        kind = tag & 7
        if kind == 0:
            yield tag >> 3, reader.varint()
        elif kind in (1, 5):
            yield tag >> 3, int.from_bytes(reader.take(8 if kind == 1 else 4), "little")
        elif kind == 2:
            yield tag >> 3, reader.take(reader.varint())
        else:
            raise _DamageError(f"a message has a field of kind {kind}")


def _scalars(message: bytes) -> dict[int, int]:
    """Return the fields of a message that are numbers; fields left out are 0."""
    return {number: value for number, value in _fields(message) if isinstance(value, int)}


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _DamageError("there is a number where a message should be")
    return value


def _masked_crc(content: bytes) -> int:
    crc: int = google_crc32c.value(content)
    return ((crc >> 15 | crc << 17) + _CRC_SHIFT) & 0xFFFFFFFF
