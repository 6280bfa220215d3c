"""What a whole photo takes of memory and disk, before any of it is taken."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from dataset.errors import Rejection
from training.free_memory import free_memory

PROCESS = 430 * 10**6
"""What Python, PyTorch and its kernels take at the least, in bytes, as measured."""
KERNELS = 60 * 10**6
"""What of it comes with the first photo."""
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

    def plan(self, max_memory: int | None, scratch: Path | None) -> Plan:
        """Divide the feature maps between memory and scratch file.

        Parameters
        ----------
        max_memory
            What the process may take at its peak, in bytes; None: most of what is free.
        scratch
            Folder of the scratch file; None: there is none.

        Raises
        ------
        Rejection
            `too_little_memory`, with the least that would do; `too_little_disk`.

        """
        held, height = _process(), self.size[1]
        allowed = _held() + int(SHARE * free_memory()) if max_memory is None else max_memory
        room = allowed - held - self._beside_maps
        rows = height if room >= self.maps else max(0, room // max(1, self.map_row))
        plan = Plan(self._memory(held, rows), self.maps - rows * self.map_row, rows)
        if plan.memory > allowed or (plan.scratch and scratch is None):
            raise self._too_little_memory(held, allowed, max_memory, scratch)
        if plan.scratch and scratch:
            self._check_disk(plan, self._memory(held, height), scratch)
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

    def _memory(self, held: int, rows: int) -> int:
        """The process at its peak: the network, with so many rows of the maps in memory, or a codec."""
        return held + max(self._beside_maps + rows * self.map_row, CODEC_PX * self._px)

    def _too_little_memory(self, held: int, allowed: int, limit: int | None, scratch: Path | None) -> Rejection:
        whole, least = self._memory(held, self.size[1]), self._memory(held, 0)
        takes = f"at least {in_gb(least if scratch else whole)} of memory"
        if whole > least:
            takes += f", {in_gb(whole)} without a scratch file" if scratch else f", {in_gb(least)} with a scratch file"
        there = f"{in_gb(allowed, math.floor)} {'are free' if limit is None else 'are allowed'}"
        return Rejection("too_little_memory", f"{self._photo} take {takes}; {there}.")

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


def _held() -> int:
    """What the process has now."""
    return int(psutil.Process().memory_info().rss)


def _process() -> int:
    """What the process has and gets whatever the photo; rounded, so that a limit that would do once does again."""
    return max(PROCESS, math.ceil((_held() + KERNELS) / 10**8) * 10**8)
