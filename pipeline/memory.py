"""How many processes fit into the memory that a run may use, by the sizes of the photos that they read.

What a process takes was measured with made-up pairs of 1 and 1.5, 3 and 12, 3 and 50, 12 and 24, 12 and 37, 50 and 50,
and 100 and 100 megapixels, with and without depth, and with photos of 12 megapixels in each format. The figures here
are upper bounds of what was found: as a rule 10 to 25 % above it, and more where a pair has no depth, because that is
not known beforehand. `tests/e2e/test_max_memory.py` measures again.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import psutil

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.photos.decoding import MOST_BYTES, open_photo
from dpedtool.dataset.photos.formats import jpeg
from dpedtool.dataset.photos.formats.table import format_of
from dpedtool.dataset.photos.stored import MAX_PIXELS
from dpedtool.dataset.photos.stored_shape import stored_shape
from dpedtool.dataset.places import Place, answering
from dpedtool.dataset.regular_files import open_regular
from dpedtool.dataset.sizes import in_gb
from dpedtool.pipeline.runner import cool_down

Item = TypeVar("Item")

MAIN = 250 * 10**6
"""Bytes of the main process before it works on anything, as measured; more where it holds large tables."""
STEP = 10**8
"""The main process's memory is rounded up to multiples of this where it is larger, so that a limit that once sufficed
suffices again."""
SPARE = 3 * 10**7
"""Bytes that the main process may still need for rows, beside what it has when the work begins."""
SERVER = 5 * 10**7
"""Bytes of the process that workers are forked from, and of what the main process needs to talk to them."""
WORKER = 6 * 10**7
"""Bytes of another process, beside what it shares with the others, before it works on anything."""
ITEM = 8 * 10**7
"""Bytes for an item of any size: code that is loaded when it is first used, and small arrays."""
FLOW_PX = 3_500_000
"""The flow of larger photos is computed on reduced ones (`pipeline.align.following.MOST_PX`)."""
_HEAD = 2**18
"""Bytes at the beginning of a file that are read for its size; the whole file is read where they do not tell."""


@dataclass(frozen=True)
class Photo:
    """What the header of a photo says about the memory that it takes."""

    px: int = 0
    """0: it cannot be read, so that it takes no memory."""
    decoding: int = 0
    """Bytes for each px while it is decoded to colours in sRGB, those of its file among them."""

    @property
    def decoded(self) -> int:
        """The bytes that decoding it takes."""
        return self.px * self.decoding


NO_PHOTO = Photo()
JPEG_DECODING, OTHER_DECODING = 14, 24
"""JPEG: three copies while a colour profile is applied, or the coefficients of a progressive file. Others: 16 bit, and
a file without compression."""


@dataclass(frozen=True)
class Use:
    """What a stage takes for the photos of a pair: the larger of what it takes to measure and to decode."""

    phone: int
    """Bytes for each px of the phone's photo, while both photos are measured."""
    dslr: int = 0
    """The same of the DSLR's photo."""
    held: int = 3
    """Bytes for each px of the phone's photo, while another photo is decoded."""
    near_flow: int = 0
    """Bytes for each px of the phone's photo, while a flow is computed."""
    flow: int = 0
    """Bytes for each px that a flow is computed for, at most `FLOW_PX`."""

    def of(self, phone: Photo, dslr: Photo = NO_PHOTO, others: Sequence[Photo] = ()) -> int:
        """Return the bytes for a pair, and for other photos that are decoded one by one beside it."""
        beside = self.held * phone.px
        return ITEM + max(
            self.phone * phone.px + self.dslr * dslr.px,
            self.near_flow * phone.px + self.flow * min(phone.px, FLOW_PX),
            phone.decoded,
            beside + dslr.decoded,
            *(beside + 3 * (phone.px + dslr.px) + other.decoded for other in others),
        )


ALIGN = Use(phone=30, dslr=4, held=6, near_flow=15, flow=280)
ALIGN_WITHOUT_DEPTH = Use(phone=30, dslr=4, held=6)
PATCHES = Use(phone=44, dslr=1)
REPORT = Use(phone=18)
WHOLE_PHOTO = Use(phone=26)
WHOLE_TARGET = Use(phone=18, dslr=4)


@dataclass(frozen=True)
class Need:
    """The memory that one item takes."""

    what: str
    """What needs it, as the subject of a sentence, such as `The pair phone--0, with photos of 12.0 and 24.2 MP`."""
    size: int
    """In bytes."""


@dataclass(frozen=True)
class Memory(Generic[Item]):
    """The memory that a run may take on this machine."""

    limit: int
    """For all processes together, in bytes."""
    need: Callable[[Item], Need]
    """What an item takes."""

    def workers(self, items: Sequence[Item], wanted: int, label: str) -> int:
        """Return how many processes may work on the items, the wanted number at most, and say if it is lower.

        So many fit even if they work on the items that need most at the same time.

        Raises
        ------
        DpedtoolError
            The limit does not suffice for one of the items, alone in the main process. The message names the least
            limit that suffices for all of them.

        """
        if not items:
            return wanted
        needs = sorted(map(self.need, items), key=lambda need: need.size, reverse=True)
        main, most = _main(), min(wanted, len(items))
        if (least := main + needs[0].size) > self.limit:
            raise DpedtoolError(
                f"{needs[0].what} needs at least {in_gb(least)} of memory, but --max-memory allows "
                f"{in_gb(self.limit, math.floor)}: set that much or more."
            )
        found, total = 1, main + SERVER
        for count, need in enumerate(needs[:most], start=1):
            total += WORKER + need.size
            found = count if total <= self.limit else found
        if found < most:
            there = in_gb(self.limit, math.floor)
            print(f"{label}: {there} of memory are enough for {found} of {most} processes.", file=sys.stderr)
        if found == 1:
            # The items are worked on in this process, and the one that others would be forked from takes memory too.
            cool_down()
        return found


def memory_of(limit: int | None, need: Callable[[Item], Need]) -> Memory[Item] | None:
    """Return the memory that a run may take; None without a limit, so that no header is read for nothing."""
    return None if limit is None else Memory(limit, need)


def pair_need(use: Use, pair_id: str, phone: Place | None, dslr: Place | None, others: Iterable[Place] = ()) -> Need:
    """Return what a stage takes for a pair, by the headers of its photos; a missing photo takes nothing."""
    first, second = (read_header(place) if place else NO_PHOTO for place in (phone, dslr))
    further = [read_header(place) for place in others]
    sizes = " and ".join(f"{photo.px / 1e6:.1f}" for photo in (first, second) if photo.px)
    photos = f" (photos of {sizes} megapixels)" if sizes else ""
    return Need(f"The pair {pair_id}{photos}", use.of(first, second, further))


def read_header(place: Place) -> Photo:
    """Return what a photo's header says; `NO_PHOTO` for one that is refused where it is decoded."""
    try:
        with answering(place), open_regular(place, MOST_BYTES) if isinstance(place, Path) else place.open("rb") as file:
            head = file.read(_HEAD)
        shape = stored_shape(head)
        width, height = shape[1::-1] if shape else open_photo(place).size
    except (OSError, DpedtoolError, Rejection):
        # The stage itself says what is wrong with it, in the row of its pair.
        return NO_PHOTO
    if not 0 < width * height <= MAX_PIXELS:
        return NO_PHOTO
    return Photo(width * height, JPEG_DECODING if format_of(head, place) is jpeg.FORMAT else OTHER_DECODING)


def _main() -> int:
    """Return the memory of the main process without an item, in bytes."""
    held = int(psutil.Process().memory_info().rss) + SPARE
    return MAIN if held <= MAIN else math.ceil(held / STEP) * STEP
