"""Tensors out of the files that torch.save writes, without unpickling them.

Such a file holds a pickle, which is a program: loading it runs code that its writer chose. Here its instructions are
read but not executed. Functions that it would call are noted by name and never looked up; names other than the few that
a flat dictionary of tensors needs are refused. The values are stored outside the pickle, as they are in memory.

Both formats are read: a zip archive, and the older format of several pickles followed by the values
(torch/serialization.py of torch 0.1.10 to 1.5).
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.regular_files import MOST_WEIGHTS_BYTES, open_regular

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
}
_DICTS = ("dict", "collections.OrderedDict")
# The arguments, or in old files the state, begin with storage, offset, size and stride.
_TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch.FloatTensor")
# The arguments, or in old files the state, begin with a tensor.
_PARAMETERS = ("torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter")
_DAMAGED, _CUT = "its pickle is damaged", "it is cut off or damaged"
_KNOWN = frozenset({*_STORAGES, *_DICTS, *_TENSORS, *_PARAMETERS})


def read_tensors(path: Path, names: Collection[str]) -> dict[str, Tensor]:
    """Read some tensors of a state dict; the values of the others are skipped.

    Parameters
    ----------
    path
        A file that torch.save wrote.
    names
        The tensors to read.

    Returns
    -------
    dict
        The tensors by name, on the processor.

    Raises
    ------
    DpedtoolError
        The file is missing or damaged, lacks a name, or holds anything other than a flat dictionary of tensors.

    """
    try:
        with open_regular(path, MOST_WEIGHTS_BYTES) as file:
            read = _read_zip if zipfile.is_zipfile(file) else _read_legacy
            file.seek(0)
            return read(file, names)
    except OSError as error:
        raise DpedtoolError(f"{path} cannot be read ({error.strerror or error}): choose another file.") from None
    except (ValueError, OverflowError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        reason = (str(error) or "it is damaged").splitlines()[0]
        raise DpedtoolError(
            f"{path} cannot be used, since {reason}: only flat dictionaries of tensors saved by torch.save can be read."
        ) from None


@dataclass
class _Made:
    """The result of a call in the pickle, with the called name; the call is not executed."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class _Name:
    """A name that the pickle would import; it is not looked up."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """Values that are stored outside the pickle."""

    dtype: torch.dtype
    key: str
    count: int

    @property
    def length(self) -> int:
        """The length in bytes."""
        return self.count * self.dtype.itemsize

    def tensor(self, content: bytes) -> Tensor:
        _require(len(content) == self.length, _CUT)
        return torch.frombuffer(bytearray(content), dtype=self.dtype) if content else torch.empty(0, dtype=self.dtype)


@dataclass(frozen=True)
class _View:
    """A tensor: a part of a storage."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def of(self, values: Tensor) -> Tensor:
        steps = zip(self.size, self.stride, strict=True)
        last = self.offset + sum((length - 1) * step for length, step in steps)
        _require(last < self.storage.count or 0 in self.size, "a tensor reaches beyond its values")
        # A step of 0 would turn one value into any number of values.
        _require(math.prod(self.size) <= self.storage.count, "a tensor repeats its values")
        return values.as_strided(self.size, self.stride, self.offset).clone()


class _Walk:
    """Follow the instructions of one pickle (Lib/pickletools.py); make plain values, names and notes of calls."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._steps: dict[str, Callable[[Any], None]] = {
            **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _: None),
            **dict.fromkeys(("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1"), self._stack.append),
            **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"), self._stack.append),
            "NONE": lambda _: self._stack.append(None),
            "NEWTRUE": lambda _: self._stack.append(True),
            "NEWFALSE": lambda _: self._stack.append(False),
            "MARK": lambda _: self._marks.append(len(self._stack)),
            "EMPTY_TUPLE": lambda _: self._stack.append(()),
            "EMPTY_LIST": lambda _: self._stack.append([]),
            "EMPTY_DICT": lambda _: self._stack.append(_Made("dict")),
            "TUPLE": lambda _: self._stack.append(tuple(self._since_mark())),
            "TUPLE1": lambda _: self._stack.append(tuple(self._last(1))),
            "TUPLE2": lambda _: self._stack.append(tuple(self._last(2))),
            "TUPLE3": lambda _: self._stack.append(tuple(self._last(3))),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT"), self._remember),
            "MEMOIZE": lambda _: self._remember(len(self._memo)),
            **dict.fromkeys(("BINGET", "LONG_BINGET"), self._recall),
            "APPEND": lambda _: self._extend(self._last(1)),
            "APPENDS": lambda _: self._extend(self._since_mark()),
            "SETITEM": lambda _: self._set(self._last(2)),
            "SETITEMS": lambda _: self._set(self._since_mark()),
            "GLOBAL": lambda name: self._name(name.replace(" ", ".")),
            "STACK_GLOBAL": lambda _: self._name(_joined(self._last(2))),
            "REDUCE": lambda _: self._make(*self._last(2)),
            "NEWOBJ": lambda _: self._make(*self._last(2)),
            "BUILD": lambda _: self._build(*self._last(1)),
            "BINPERSID": lambda _: self._stack.append(_storage(*self._last(1))),
        }

    def result(self, stream: BinaryIO) -> Any:
        """Read one pickle to its end and return its value."""
        for instruction, argument, _ in pickletools.genops(stream):
            step = self._steps.get(instruction.name)
            if step is None:
                raise ValueError(f"its pickle has the instruction {instruction.name}")
            step(argument)
        return self._last(1)[0]

    def _last(self, count: int) -> list[Any]:
        _require(len(self._stack) >= count, _DAMAGED)
        values = self._stack[-count:]
        del self._stack[-count:]
        return values

    def _since_mark(self) -> list[Any]:
        _require(bool(self._marks), _DAMAGED)
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _top(self, kind: type[Any]) -> Any:
        _require(bool(self._stack) and isinstance(self._stack[-1], kind), _DAMAGED)
        return self._stack[-1]

    def _remember(self, key: int) -> None:
        self._memo[key] = self._top(object)

    def _recall(self, key: int) -> None:
        _require(key in self._memo, _DAMAGED)
        self._stack.append(self._memo[key])

    def _extend(self, values: list[Any]) -> None:
        self._top(list).extend(values)

    def _set(self, values: list[Any]) -> None:
        _require(len(values) % 2 == 0, _DAMAGED)
        self._top(_Made).items.extend(zip(values[::2], values[1::2], strict=True))

    def _name(self, name: str) -> None:
        _require(name in _KNOWN, f"it asks for {name}")
        self._stack.append(_Name(name))

    def _make(self, called: Any, arguments: Any) -> None:
        _require(isinstance(called, _Name) and isinstance(arguments, tuple), _DAMAGED)
        self._stack.append(_Made(called.name, arguments))

    def _build(self, state: Any) -> None:
        self._top(_Made).state = state


def _read_zip(file: BinaryIO, names: Collection[str]) -> dict[str, Tensor]:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        _require(len(pickles) == 1, "it is not an archive written by torch.save")
        folder = pickles[0].removesuffix("data.pkl")
        # torch.save never compresses; uncompressed data takes no more memory than the file has bytes.
        _require(all(entry.compress_type == zipfile.ZIP_STORED for entry in entries.values()), "it is compressed")
        order = f"{folder}byteorder"
        _require(order not in entries or archive.read(order) == b"little", "its values are big-endian")
        views = _views(_Walk().result(io.BytesIO(archive.read(pickles[0]))))
        _require(set(names) <= set(views), f"it lacks {', '.join(sorted(set(names) - set(views)))}")
        return {name: views[name].of(_entry(archive, folder, views[name].storage)) for name in names}


def _entry(archive: zipfile.ZipFile, folder: str, storage: _Storage) -> Tensor:
    name = f"{folder}data/{storage.key}"
    _require(name in archive.namelist() and archive.getinfo(name).file_size == storage.length, _CUT)
    return storage.tensor(archive.read(name))


def _read_legacy(file: BinaryIO, names: Collection[str]) -> dict[str, Tensor]:
    head = [_Walk().result(file), _Walk().result(file)]
    _require(head == [_MAGIC, _PROTOCOL], "it is not a file written by torch.save")
    system = _Walk().result(file)
    _require(isinstance(system, _Made) and ("little_endian", True) in system.items, "its values are big-endian")
    views = _views(_Walk().result(file))
    _require(set(names) <= set(views), f"it lacks {', '.join(sorted(set(names) - set(views)))}")
    keys = _Walk().result(file)
    wanted = {views[name].storage.key for name in names}
    values = _values(file, keys, {view.storage.key: view.storage for view in views.values()}, wanted)
    return {name: views[name].of(values[views[name].storage.key]) for name in names}


def _values(file: BinaryIO, keys: Any, storages: Mapping[str, _Storage], wanted: set[str]) -> dict[str, Tensor]:
    """Read the wanted values; the values are stored in the order of the keys, each after its length."""
    _require(isinstance(keys, list) and all(isinstance(key, str) for key in keys), _DAMAGED)
    _require(sorted(keys) == sorted(storages), _CUT)
    values = {}
    for key in keys:
        storage = storages[key]
        _require(int.from_bytes(file.read(8), "little") == storage.count, _CUT)
        if key in wanted:
            values[key] = storage.tensor(file.read(storage.length))
        else:
            file.seek(storage.length, io.SEEK_CUR)
    return values


def _storage(note: Any) -> _Storage:
    """Read a reference to values outside the pickle: kind, type, key, device, count, and in old files a view."""
    _require(isinstance(note, tuple) and len(note) in (5, 6) and note[0] == "storage", _DAMAGED)
    _, kind, key, _, count, *view = note
    _require(isinstance(kind, _Name) and kind.name in _STORAGES, "its values have an unknown type")
    _require(isinstance(key, str) and _are_counts(count) and view in ([], [None]), _DAMAGED)
    return _Storage(_STORAGES[kind.name], key, count)


def _views(made: Any) -> dict[str, _View]:
    _require(isinstance(made, _Made) and made.name in _DICTS, "it holds something else")
    # Python 2 gave the items of an OrderedDict as an argument.
    _require(all(isinstance(pairs, list) for pairs in made.arguments), _DAMAGED)
    items = [*(item for pairs in made.arguments for item in pairs), *made.items]
    _require(all(isinstance(item, list | tuple) and len(item) == 2 for item in items), _DAMAGED)
    _require(all(isinstance(name, str) for name, _ in items), "it is nested")
    return {name: _view(value, name) for name, value in items}


def _view(made: Any, name: str) -> _View:
    if isinstance(made, _Made) and made.name in _PARAMETERS:
        made = _first_of(made)[0]
    _require(isinstance(made, _Made) and made.name in _TENSORS, f"{name} is not a tensor")
    parts = _first_of(made)
    _require(len(parts) >= 4 and isinstance(parts[0], _Storage), f"{name} is not a tensor")
    storage, offset, size, stride = parts[:4]
    are_tuples = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)
    _require(are_tuples and _are_counts(offset, *size, *stride), f"{name} is not a tensor")
    return _View(storage, offset, size, stride)


def _joined(names: list[Any]) -> str:
    # For tuples that contain each other twice, the text would grow as a power of two.
    _require(all(isinstance(name, str) for name in names), _DAMAGED)
    return ".".join(names)


def _first_of(made: _Made) -> tuple[Any, ...]:
    parts = made.arguments or made.state
    _require(isinstance(parts, tuple) and len(parts) > 0, _DAMAGED)
    return tuple(parts)


def _are_counts(*values: Any) -> bool:
    return all(type(value) is int and 0 <= value < 1 << 40 for value in values)


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise ValueError(reason)
