"""What a whole photo takes of memory and disk, before any of it is taken."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from dpedtool.dataset.errors import Rejection
from dpedtool.training.free_memory import free_memory

PROCESS = 430 * 10**6
"""What Python, PyTorch and its kernels take at the least, in bytes, as measured."""
KERNELS = 60 * 10**6
"""What of it comes with the first photo."""
STEP = 10**8
"""To which it is rounded up, so that a limit that would do once does again."""
PHOTO_PX = 9
"""Bytes a px while the network runs: the photo's file, its pixels and the result's."""
CODEC_PX = 21
"""Bytes a px while a photo is decoded, brought to sRGB or encoded, which is before and after the network."""
SHARE = 0.9
"""Of the memory that is free, what may be taken where no limit is given."""


@dataclass(frozen=True)
class Plan:
    """What one photo takes."""

    memory: int
    """Of the process at its peak, in bytes."""
    scratch: int
    """Of the scratch file, in bytes; 0: none is made."""
    rows: int
    """How many rows of each feature map the memory holds; the scratch file holds the others."""
    on_device: bool = False
    """Whether it is a GPU's memory that holds them."""


@dataclass(frozen=True)
class Need:
    """What a photo asks for, in bytes."""

    size: tuple[int, int]
    """(width, height), px."""
    map_row: int
    """A row of all feature maps that wait for statistics, together."""
    stripes: int
    """What the layers have in hand."""

    def plan(self, process: int, max_memory: int | None, scratch: Path | None) -> Plan:
        """Divide the feature maps between memory and scratch file.

        Parameters
        ----------
        process
            What the process takes without a photo, in bytes: `process_memory`.
        max_memory
            What the process may take at its peak, in bytes, as far as that is free; None: what is free.
        scratch
            Folder of the scratch file; None: there is none.

        Raises
        ------
        Rejection
            `too_little_memory`, with the least that would do; `too_little_disk`.

        """
        height, free = self.size[1], _held() + int(SHARE * free_memory())
        limit = max_memory if max_memory is not None and max_memory < free else None
        allowed = free if limit is None else limit
        room = allowed - process - self._beside_maps
        rows = height if room >= self.maps else max(0, room // max(1, self.map_row))
        plan = Plan(self._memory(process, rows), self.maps - rows * self.map_row, rows)
        if plan.memory > allowed or (plan.scratch and scratch is None):
            raise self._too_little_memory(process, allowed, limit, scratch)
        if plan.scratch and scratch:
            self._check_disk(plan, self._memory(process, height), scratch)
        return plan

    @property
    def maps(self) -> int:
        """All feature maps."""
        return self.map_row * self.size[1]

    @property
    def _px(self) -> int:
        return self.size[0] * self.size[1]

    @property
    def _beside_maps(self) -> int:
        return PHOTO_PX * self._px + self.stripes

    def _memory(self, process: int, rows: int) -> int:
        """The process at its peak: the network, with so many rows of the maps in memory, or a codec."""
        return process + max(self._beside_maps + rows * self.map_row, CODEC_PX * self._px)

    def _too_little_memory(self, process: int, allowed: int, limit: int | None, scratch: Path | None) -> Rejection:
        whole, least = in_gb(self._memory(process, self.size[1])), in_gb(self._memory(process, 0))
        takes = least if scratch else whole
        other = f" (with a scratch file {least})" if least != takes else ""
        there = in_gb(allowed, math.floor)
        there = f"{there} are free: close other programs" if limit is None else f"--max-memory allows {there}"
        return Rejection("too_little_memory", f"{self._photo} take at least {takes} of memory{other}, and {there}.")

    def _check_disk(self, plan: Plan, whole: int, folder: Path) -> None:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        if plan.scratch > free:
            raise Rejection(
                "too_little_disk",
                f"{self._photo} take {in_gb(whole)} of memory, or a scratch file of {in_gb(plan.scratch)} in {folder}, "
                f"where {in_gb(free, math.floor)} are free: name another folder, or allow more memory.",
            )

    @property
    def _photo(self) -> str:
        return f"{self.size[0]}x{self.size[1]} px"


def in_gb(count: int, rounded: Callable[[float], int] = math.ceil) -> str:
    """Return bytes as GB of 10^9 bytes, rounded up so that this many would do."""
    return f"{rounded(count / 10**7) / 100:.2f} GB"


def process_memory() -> int:
    """Return what this process takes without a photo, in bytes: what it has now, and what comes with the first one."""
    return max(PROCESS, math.ceil((_held() + KERNELS) / STEP) * STEP)


def _held() -> int:
    """What the process has now."""
    return int(psutil.Process().memory_info().rss)
