"""The memory and disk space that a whole photo needs, computed before any of it is allocated."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.sizes import in_gb
from dpedtool.training.free_memory import free_memory

PROCESS = 430 * 10**6
"""The least memory that Python, PyTorch and its kernels take, in bytes, as measured."""
KERNELS = 60 * 10**6
"""The part of `PROCESS` that is allocated with the first photo."""
STEP = 10**8
"""The process's memory is rounded up to multiples of this, so that a limit that once sufficed suffices again."""
PHOTO_PX = 9
"""Bytes for a px while the network runs: the photo's file, its pixels and the result's pixels."""
CODEC_PX = 21
"""Bytes for a px while a photo is decoded, converted to sRGB or encoded, before and after the network runs."""
SHARE = 0.9
"""The share of the free memory that may be used if no limit is given."""


@dataclass(frozen=True)
class Plan:
    """The memory and disk space that one photo takes."""

    memory: int
    """Peak memory of the process, in bytes."""
    scratch: int
    """Size of the scratch file, in bytes; 0: there is no file."""
    rows: int
    """How many rows of each feature map the memory holds; the scratch file holds the others."""
    on_device: bool = False
    """Whether a GPU's memory holds them."""


@dataclass(frozen=True)
class Need:
    """The memory that a photo needs, in bytes."""

    size: tuple[int, int]
    """(width, height), px."""
    map_row: int
    """One row of all feature maps that wait for statistics, together."""
    stripes: int
    """The stripes that the layers work on."""
    photo_px: int = PHOTO_PX
    """For each px of the photo, while the network runs."""

    def plan(self, process: int, max_memory: int | None, scratch: Path | None) -> Plan:
        """Divide the feature maps between memory and scratch file.

        Parameters
        ----------
        process
            Memory of the process without a photo, in bytes, from `process_memory`.
        max_memory
            Limit for the peak memory of the process, in bytes, if that much is free; None: the free memory.
        scratch
            Folder of the scratch file; None: there is no file.

        Raises
        ------
        Rejection
            `too_little_memory`, with the least memory that would suffice, or `too_little_disk`.

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
        return self.photo_px * self._px + self.stripes

    def _memory(self, process: int, rows: int) -> int:
        """Return the peak memory: of the network with this many rows of the maps in memory, or of a codec."""
        return process + max(self._beside_maps + rows * self.map_row, CODEC_PX * self._px)

    def _too_little_memory(self, process: int, allowed: int, limit: int | None, scratch: Path | None) -> Rejection:
        whole, least = in_gb(self._memory(process, self.size[1])), in_gb(self._memory(process, 0))
        takes = least if scratch else whole
        other = f" ({least} with a scratch file)" if least != takes else ""
        there = in_gb(allowed, math.floor)
        there = f"only {there} is free: close other programs" if limit is None else f"--max-memory allows {there}"
        return Rejection("too_little_memory", f"{self._photo} need at least {takes} of memory{other}, but {there}.")

    def _check_disk(self, plan: Plan, whole: int, folder: Path) -> None:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        if plan.scratch > free:
            raise Rejection(
                "too_little_disk",
                f"{self._photo} need {in_gb(whole)} of memory, or a scratch file of {in_gb(plan.scratch)} in "
                f"{folder}, where only {in_gb(free, math.floor)} is free: choose another folder, or allow more memory.",
            )

    @property
    def _photo(self) -> str:
        return f"{self.size[0]}x{self.size[1]} px"


def process_memory() -> int:
    """Return the memory of this process without a photo, in bytes: what it has now, plus the kernels' share."""
    return max(PROCESS, math.ceil((_held() + KERNELS) / STEP) * STEP)


def _held() -> int:
    """Return the memory that the process has now, in bytes."""
    return int(psutil.Process().memory_info().rss)
