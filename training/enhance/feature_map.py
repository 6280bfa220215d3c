"""A feature map of a whole photo: rows are held in memory up to a limit, and the rest in a file."""

from __future__ import annotations

import errno
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from dpedtool.dataset.errors import Rejection


class Scratch:
    """A nameless temporary file that disappears with the process, even if that crashes.

    Parameters
    ----------
    file
        The file, unbuffered: a buffer would report a full disk too late.
    folder
        The folder of the file, for messages.

    """

    def __init__(self, file: io.FileIO, folder: Path) -> None:
        self._file, self._folder = file, folder
        self._size = 0

    def reserve(self, size: int) -> int:
        """Return where the next `size` bytes of the file begin."""
        start, self._size = self._size, self._size + size
        return start

    def write(self, offset: int, values: Tensor) -> None:
        """Write a contiguous tensor of the processor.

        Raises
        ------
        Rejection
            `too_little_disk`: the disk is full or fails.

        """
        rest = _bytes(values)
        try:
            self._file.seek(offset)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._failed("grow", error) from None

    def read(self, offset: int, values: Tensor) -> Tensor:
        """Fill a contiguous tensor of the processor with values written earlier.

        Raises
        ------
        Rejection
            `too_little_disk`: the disk fails.

        """
        rest = _bytes(values)
        try:
            self._file.seek(offset)
            while rest:
                count = self._file.readinto(rest)
                if not count:
                    raise OSError(errno.EIO, "its end is missing")
                rest = rest[count:]
        except OSError as error:
            raise self._failed("be read", error) from None
        return values

    def _failed(self, doing: str, error: OSError) -> Rejection:
        return Rejection(
            "too_little_disk",
            f"The scratch file in {self._folder} cannot {doing} ({error.strerror}): free disk space, or choose another "
            "folder.",
        )


@contextmanager
def open_scratch(folder: Path) -> Iterator[Scratch]:
    """Yield a scratch file in a folder, which is created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        yield Scratch(file, folder)


def _bytes(values: Tensor) -> memoryview:
    """Return the memory of a contiguous tensor; it works for bfloat16 too, which numpy does not know."""
    return values.flatten().view(torch.uint8).numpy().data


class FeatureMap:
    """Values (height, width, channels), written and read by rows.

    Parameters
    ----------
    shape
        (height, width, channels).
    dtype
        Type of the values.
    rows
        How many rows the memory holds, from the top; the others are in the file.
    scratch
        The file; None if the memory holds all rows.
    device
        The device whose memory holds the rows.

    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: torch.dtype,
        *,
        rows: int,
        scratch: Scratch | None,
        device: torch.device,
    ) -> None:
        height, *row = shape
        self._held = torch.empty((min(rows, height), *row), dtype=dtype, device=device)
        self._row_bytes = row[0] * row[1] * dtype.itemsize
        self._scratch = scratch
        if rows < height and scratch is None:
            raise ValueError(f"{height - rows} of {height} rows have no place")
        self._offset = scratch.reserve((height - rows) * self._row_bytes) if scratch and rows < height else 0

    def write(self, start: int, rows: Tensor) -> None:
        """Write rows (h, W, C), beginning at row `start`."""
        held = min(max(len(self._held) - start, 0), len(rows))
        self._held[start : start + held] = rows[:held]
        if held < len(rows) and self._scratch:
            self._scratch.write(self._place(start + held), rows[held:].to("cpu", self._held.dtype).contiguous())

    def read(self, start: int, stop: int, device: torch.device) -> Tensor:
        """Return rows `start` to `stop` on a device; do not change them, they may be the map's own memory."""
        held = self._held[start:stop].to(device)
        missing = stop - start - len(held)
        if not missing or not self._scratch:
            return held
        rest = torch.empty((missing, *self._held.shape[1:]), dtype=self._held.dtype)
        self._scratch.read(self._place(start + len(held)), rest)
        return torch.cat([held, rest.to(device)]) if len(held) else rest.to(device)

    def _place(self, row: int) -> int:
        return self._offset + (row - len(self._held)) * self._row_bytes


class Store:
    """A stream that writes the rows it passes on into a feature map, beginning at the map's first row."""

    def __init__(self, feature_map: FeatureMap) -> None:
        self._map = feature_map
        self._next = 0

    def push(self, rows: Tensor) -> Tensor:
        """Write the next rows and pass them on."""
        self._map.write(self._next, rows)
        self._next += len(rows)
        return rows

    def finish(self) -> None:
        """Nothing is held back."""


class Plus:
    """A stream that adds the rows of a feature map to the rows it passes on, beginning at the map's first row."""

    def __init__(self, feature_map: FeatureMap) -> None:
        self._map = feature_map
        self._next = 0

    def push(self, rows: Tensor) -> Tensor:
        """Add to the next rows, in place."""
        start, self._next = self._next, self._next + len(rows)
        return rows.add_(self._map.read(start, self._next, rows.device))

    def finish(self) -> None:
        """Nothing is held back."""
