"""Fill the shards of a run with patches in the order of the table, under temporary names until all are complete."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from dpedtool.dataset.io import unfinished
from dpedtool.dataset.schema import Patch
from dpedtool.dataset.shards import Extent, ShardWriter, read_extent, suffix_of

SHARD_NAME = re.compile(r"patches-\d{5,}\.tar")


class Shelf:
    """The shards `folder/patches-NNNNN.tar` being filled. Use it in a `with` block.

    Earlier shards stay until `publish`; without that call, the new ones are removed.
    """

    def __init__(self, folder: Path, patches_a_shard: int) -> None:
        self._folder = folder
        self._capacity = patches_a_shard
        self._held = 0
        self._names: list[Path] = []
        self._shard: ShardWriter | None = None

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()
        for name in self._names:
            unfinished(name).unlink(missing_ok=True)

    def take(self, row: Patch) -> Patch:
        """Copy an accepted patch from the shard that it lies in to the one being filled; return its row there."""
        phone, dslr = _stored_bytes(row)
        if self._shard is None or self._held == self._capacity:
            self._open_next()
        self._held += 1
        return store(row, phone, dslr, self._writer(), self._names[-1])

    def publish(self) -> None:
        """Replace the earlier shards by the new ones."""
        self._close()
        for old in sorted(self._folder.glob("patches-*.tar")):
            # A shard of the user's own, such as patches-old.tar, stays.
            if SHARD_NAME.fullmatch(old.name) and old not in self._names:
                old.unlink()
        for name in self._names:
            unfinished(name).replace(name)

    def _open_next(self) -> None:
        self._close()
        self._names.append(self._folder / f"patches-{len(self._names):05d}.tar")
        self._shard = ShardWriter(unfinished(self._names[-1]))
        self._held = 0

    def _writer(self) -> ShardWriter:
        if self._shard is None:
            raise ValueError("no shard is open")
        return self._shard

    def _close(self) -> None:
        if self._shard:
            self._shard.__exit__(None, None, None)
        self._shard = None


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


def is_stored(row: Patch) -> bool:
    """Whether the bytes that an accepted row names are there: a shard may have been deleted or cut short since."""
    if row.shard is None or not row.shard.is_file():
        return False
    return row.shard.stat().st_size >= (row.dslr_offset or 0) + (row.dslr_bytes or 0)


def _stored_bytes(row: Patch) -> tuple[bytes, bytes]:
    places = (row.phone_offset, row.phone_bytes), (row.dslr_offset, row.dslr_bytes)
    if row.shard is None:
        raise ValueError("an accepted patch has no shard")
    phone, dslr = (read_extent(row.shard, Extent(offset or 0, length or 0)) for offset, length in places)
    return phone, dslr
