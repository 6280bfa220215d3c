"""Fill the shards of a run with patches in the order of the table, beside the earlier ones until all are complete.

A data set that grows keeps its shards: one that an earlier run has filled stays as it is while all of its patches are
still wanted, and new patches go into new shards.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Collection, Container, Sequence
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.publication import Publication
from dpedtool.dataset.schema import Patch, StackFrame
from dpedtool.dataset.shards import Extent, ShardWriter, read_extent, suffix_of
from dpedtool.dataset.tables import read_frame

SHARD_NAME = re.compile(r"patches-\d{5,}\.tar")


class Shelf:
    """The shards `folder/patches-NNNNN.tar` being filled. Use it in a `with` block, in that of the publication.

    Parameters
    ----------
    folder
        The folder of the shards.
    publication
        Lets the new shards replace the earlier ones.
    patches_a_shard
        Most patches in a shard.
    kept
        Shards there that stay as they are, with all of their patches.

    """

    def __init__(
        self, folder: Path, publication: Publication, patches_a_shard: int, kept: Collection[Path] = ()
    ) -> None:
        self._folder, self._publication = folder, publication
        self._kept = {shard.name for shard in kept}
        free = (f"patches-{number:05d}.tar" for number in itertools.count())
        self._free = (folder / name for name in free if name not in self._kept)
        self._capacity = patches_a_shard
        self._held = 0
        self._name: Path
        self._shard: ShardWriter | None = None

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()
        # One of the user's own stays.
        for old in self._folder.glob("patches-*.tar"):
            if SHARD_NAME.fullmatch(old.name) and old.name not in self._kept:
                self._publication.remove(old)

    def take(self, row: Patch, frames: Sequence[StackFrame] = ()) -> tuple[Patch, list[StackFrame]]:
        """Copy an accepted patch to the shard being filled, unless it lies in a kept one; return its final rows.

        Parameters
        ----------
        row
            The patch.
        frames
            The frames of its stack, if it has one. The base frame has the image of the patch.

        """
        if row.shard is not None and row.shard.parent == self._folder and row.shard.name in self._kept:
            return row, list(frames)
        phone, dslr = _stored_bytes(row)
        further = [_bytes_of(frame) for frame in frames]
        if self._shard is None or self._held == self._capacity:
            self._open_next()
        self._held += 1
        shard, name = self._writer(), self._name
        stored = store(row, phone, dslr, shard, name)
        kept = [
            store_frame(frame, content, stored, shard, name) for frame, content in zip(frames, further, strict=True)
        ]
        return stored, kept

    def _open_next(self) -> None:
        self._close()
        self._name = next(self._free)
        self._shard = ShardWriter(self._publication.beside(self._name))
        self._held = 0

    def _writer(self) -> ShardWriter:
        if self._shard is None:
            raise ValueError("no shard is open")
        return self._shard

    def _close(self) -> None:
        if self._shard:
            self._shard.__exit__(None, None, None)
        self._shard = None


def still_wanted(table: Path, wanted: Container[str]) -> list[Path]:
    """Return the shards of an earlier table whose patches are all wanted as they are.

    Parameters
    ----------
    table
        The earlier table of patches; it may be missing, damaged or of another version, and then there are none.
    wanted
        The keys of the rows that are taken over from it.

    """
    try:
        rows = read_frame(table, Patch, ["key", "shard"], where={"status": "accepted"})
    except DpedtoolError:
        return []
    return [
        path
        for name, keys in rows.groupby("shard")["key"].unique().items()
        if (path := Path(str(name))).parent == table.parent
        and SHARD_NAME.fullmatch(path.name)
        and all(key in wanted for key in keys)
    ]


def store(row: Patch, phone: bytes, dslr: bytes, shard: ShardWriter, path: Path) -> Patch:
    """Append a patch's two files to a shard that will be known as `path`; return its row, accepted and with extents."""
    suffix = suffix_of(phone)
    phone_extent = shard.add(f"{row.patch_id}.phone.{suffix}", phone)
    dslr_extent = shard.add(f"{row.patch_id}.dslr.{suffix}", dslr)
    return dataclasses.replace(
        row,
        status="accepted",
        shard=path,
        phone_offset=phone_extent.offset,
        phone_bytes=phone_extent.length,
        dslr_offset=dslr_extent.offset,
        dslr_bytes=dslr_extent.length,
    )


def store_frame(frame: StackFrame, content: bytes, patch: Patch, shard: ShardWriter, path: Path) -> StackFrame:
    """Append the image of a frame to the shard of its patch; return its row, which names the image.

    Parameters
    ----------
    frame
        The frame; a rejected one stays as it is.
    content
        The image's file; not used for the base, whose image is that of the patch.
    patch
        The row of the patch as `store` returned it.
    shard
        The shard, which will be known as `path`.
    path
        Its final name.

    """
    if frame.status != "accepted":
        return frame
    if is_own_image(frame, patch):
        return dataclasses.replace(frame, shard=path, offset=patch.phone_offset, bytes=patch.phone_bytes)
    name = f"dslr{frame.frame:02d}" if frame.role == "target" else f"frame{frame.frame:02d}"
    extent = shard.add(f"{frame.patch_id}.{name}.{suffix_of(content)}", content)
    return dataclasses.replace(frame, shard=path, offset=extent.offset, bytes=extent.length)


def is_own_image(frame: StackFrame, patch: Patch) -> bool:
    """Whether a frame of a stack is the one that the patch was cut from."""
    return frame.pair_id == patch.pair_id


def is_frame_stored(frame: StackFrame) -> bool:
    """Whether the bytes that the row of a frame names are there; a row that names none needs none."""
    if frame.shard is None:
        return True
    return frame.shard.is_file() and frame.shard.stat().st_size >= (frame.offset or 0) + (frame.bytes or 0)


def is_stored(row: Patch) -> bool:
    """Whether the bytes that an accepted row names are there: a shard may have been deleted or cut short since."""
    if row.shard is None or not row.shard.is_file():
        return False
    return row.shard.stat().st_size >= (row.dslr_offset or 0) + (row.dslr_bytes or 0)


def _bytes_of(frame: StackFrame) -> bytes:
    """Return the image's file of a frame; nothing for a rejected one."""
    if frame.shard is None:
        return b""
    return read_extent(frame.shard, Extent(frame.offset or 0, frame.bytes or 0))


def _stored_bytes(row: Patch) -> tuple[bytes, bytes]:
    places = (row.phone_offset, row.phone_bytes), (row.dslr_offset, row.dslr_bytes)
    if row.shard is None:
        raise ValueError("an accepted patch has no shard")
    phone, dslr = (read_extent(row.shard, Extent(offset or 0, length or 0)) for offset, length in places)
    return phone, dslr
