"""What a whole photo takes of memory and disk, before any of it is taken."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from dataset.errors import Rejection

PROCESS = 450 * 10**6
"""What Python, PyTorch and its compiled kernels take at the least, in bytes."""
KERNELS = 150 * 10**6
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
    scratch: int = 0
    """Of the scratch file, in bytes; 0: none is made."""
    rows: int = 0
    """How many rows of each feature map the memory holds; the scratch file holds the others."""
    on_device: bool = False
    """Whether it is a GPU's memory that holds them."""


@dataclass(frozen=True)
class Need:
    """What a photo asks for, in bytes."""

    size: tuple[int, int]
    """(width, height), px."""
    map_row: int
    """A row of all feature maps that wait for statistics together."""
    stripes: int
    """What the layers have in hand."""

    @property
    def maps(self) -> int:
        """All feature maps."""
        return self.map_row * self.size[1]

    @property
    def least(self) -> int:
        """The process at its peak, where the scratch file holds the feature maps."""
        width, height = self.size
        network = PHOTO_PX * width * height + self.stripes
        return _process() + max(network, CODEC_PX * width * height)

    def plan(self, max_memory: int | None, scratch: Path | None) -> Plan:
        """Divide the feature maps between memory and scratch file.

        Parameters
        ----------
        max_memory
            What the process may take, in bytes; None: what is free.
        scratch
            Folder of the scratch file; None: there is none.

        Raises
        ------
        Rejection
            `too_little_memory`, `too_little_disk`.

        """
        allowed = _free() if max_memory is None else max_memory
        rows = self.size[1] if not self.map_row else max(0, min(self.size[1], (allowed - self.least) // self.map_row))
        plan = Plan(self.least + rows * self.map_row, self.maps - rows * self.map_row, rows)
        if allowed < self.least or (plan.scratch and scratch is None):
            raise self._too_little(allowed, max_memory is not None, scratch is not None)
        if scratch:
            self._check_disk(plan, scratch)
        return plan

    def _too_little(self, allowed: int, is_limit: bool, has_scratch: bool) -> Rejection:
        whole = self.least + self.maps
        least = self.least if has_scratch else whole
        there = (
            f"--max-memory allows {in_gb(allowed, math.floor)}"
            if is_limit
            else f"{in_gb(allowed, math.floor)} are free"
        )
        file = f", or {in_gb(self.least)} with a scratch file" if not has_scratch and self.maps else ""
        return Rejection(
            "too_little_memory",
            f"{_px(self.size)} take at least {in_gb(least)} of memory{file}, and "
            f"{there.format(in_gb(allowed, math.floor))}.",
        )

    def _check_disk(self, plan: Plan, folder: Path) -> None:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        if plan.scratch > free:
            whole = self.least + self.maps
            raise Rejection(
                "too_little_disk",
                f"{_px(self.size)} take {in_gb(whole)} of memory, or in {folder} a scratch file of "
                f"{in_gb(plan.scratch)}, and {in_gb(free, math.floor)} are free there.",
            )


def _px(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} px"


def in_gb(count: int, rounded: Callable[[float], int] = math.ceil) -> str:
    """Return bytes as GB, 10^9 bytes, rounded up so that this many would do."""
    return f"{rounded(count / 10**7) / 100:.2f} GB"


def _process() -> int:
    return max(PROCESS, int(psutil.Process().memory_info().rss) + KERNELS)


def _free() -> int:
    """What this process may have in all: what it has, and most of what nobody has."""
    return int(psutil.Process().memory_info().rss + SHARE * psutil.virtual_memory().available)
