"""How photos look, for thousands of them in little memory."""

from __future__ import annotations

import functools
import tempfile
import threading
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.measure.cells import CELLS

Floats = npt.NDArray[np.float32]

LAYOUT_SIDE = 24
DESCRIPTOR = 128
MOST_BYTES_IN_MEMORY = 128 << 20
"""Keypoints lie in memory up to this size, which is that of about 3500 photos, and in a temporary file beyond it."""


@dataclass(frozen=True, eq=False)
class Appearance:
    """How a thumbnail looks."""

    area: float
    """px^2."""
    points: npt.NDArray[np.complex64]
    """(N,) keypoints x + iy, in px of the thumbnail."""
    vectors: npt.NDArray[np.complex64]
    """(N,) their orientations, as vectors whose length is the keypoint's size."""
    sift: npt.NDArray[np.uint8]
    """(N, 128) descriptors as SIFT gives them, since whole numbers take a quarter of the memory."""
    cells: npt.NDArray[np.int8]
    """The hash, as `count_cells` returns it."""
    layout: Floats
    """(LAYOUT_SIDE ** 2,) light and dark, of mean 0 and length 1, or shorter if there is almost no contrast."""

    @functools.cached_property
    def descriptors(self) -> Floats:
        """(N, 128) RootSIFT, of length 1."""
        return root_sift(self.sift)


def root_sift(sift: npt.NDArray[np.uint8]) -> Floats:
    """Return RootSIFT, of length 1, of descriptors as SIFT gives them, (N, 128)."""
    sums = sift.sum(axis=1, keepdims=True, dtype=np.float32)
    return np.asarray(np.sqrt(sift / np.maximum(sums, 1e-9)), np.float32)


class Appearances:
    """How some photos look, by their numbers from 0; several threads may put and get at once.

    Two photos of different views have almost always different cells, so that all cells are in memory, 16 KB of each
    photo, and few keypoints are needed, 37 KB of each photo.

    Parameters
    ----------
    count
        Number of photos; each must be put before anything is read.

    """

    def __init__(self, count: int) -> None:
        self.cells = np.zeros((count, CELLS), np.int8)
        """(count, CELLS) the hashes."""
        self.layouts: Floats = np.zeros((count, LAYOUT_SIDE**2), np.float32)
        """(count, LAYOUT_SIDE ** 2) light and dark."""
        self.keypoints = np.zeros(count, np.intp)
        """(count,) number of keypoints."""
        self._areas = np.zeros(count)
        self._starts = np.zeros(count, np.int64)
        self._file = tempfile.SpooledTemporaryFile(MOST_BYTES_IN_MEMORY)  # noqa: SIM115 - closed by __exit__
        self._end = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Appearances:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def put(self, number: int, look: Appearance) -> None:
        """Keep the appearance of a photo.

        Raises
        ------
        DpedtoolError
            The disk is full.

        """
        self.cells[number], self.layouts[number] = look.cells, look.layout
        self.keypoints[number], self._areas[number] = len(look.points), look.area
        content = b"".join(part.tobytes() for part in (look.points, look.vectors, look.sift))
        with self._lock:
            try:
                self._file.seek(self._end)
                self._file.write(content)
                self._file.flush()  # a full disk shall be noticed here
            except OSError as error:
                raise DpedtoolError(
                    f"The keypoints of the photos cannot be kept in {tempfile.gettempdir()} ({error.strerror}): make "
                    "room there, or name another folder in the environment variable TMPDIR."
                ) from None
            self._starts[number] = self._end
            self._end += len(content)

    def __getitem__(self, number: int) -> Appearance:
        """Return the appearance of a photo."""
        count = int(self.keypoints[number])
        places = count * np.dtype(np.complex64).itemsize
        with self._lock:
            self._file.seek(int(self._starts[number]))
            content = self._file.read(2 * places + DESCRIPTOR * count)
        return Appearance(
            area=float(self._areas[number]),
            points=np.frombuffer(content, np.complex64, count),
            vectors=np.frombuffer(content, np.complex64, count, places),
            sift=np.frombuffer(content, np.uint8, DESCRIPTOR * count, 2 * places).reshape(count, DESCRIPTOR),
            cells=self.cells[number],
            layout=self.layouts[number],
        )
