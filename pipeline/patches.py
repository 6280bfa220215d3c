"""Stage patches: windows that move in parallel over both aligned photos, kept where the two agree."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dataset import photos, shards
from dataset.errors import Rejection
from dataset.io import code_digest, digest, unfinished
from dataset.params import PatchesParams, describe
from dataset.photos import Image, encode_image
from dataset.schema import Alignment, Patch
from dataset.shards import Extent, ShardWriter, read_extent
from dataset.tables import TableWriter
from pipeline import aligned, geometry, transform, warping
from pipeline.aligned import aligned_images, crop_box, is_masked
from pipeline.geometry import Box
from pipeline.resume import Finished, work_off
from pipeline.runner import Lost


def cut_patches(
    alignments: Sequence[Alignment],
    out: Path,
    params: PatchesParams,
    *,
    workers: int = 1,
    scheduler: str | None = None,
) -> Path:
    """Cut the patches of all aligned pairs into `out/patches-NNNNN.tar`, and write `out/patches.parquet`.

    The table has a row for every candidate window, kept or not. The photos are read again from where the table of
    alignments says, so that the DSLR's pixels are resampled once. Table and shards are the same bytes for any number
    of workers; what an earlier run finished is kept.

    Returns
    -------
    Path
        The table.

    Raises
    ------
    DpedtoolError
        Another run is writing to `out`.

    """
    rows = sorted((row for row in alignments if row.status == "aligned"), key=lambda row: row.pair_id)
    items = {_key(row, params): row for row in rows}
    table = Patch.table_in(out)
    with Finished(table, Patch) as finished:
        work_off(
            items,
            partial(cut_pair, params=params, parts=finished.parts),
            partial(_lost, params=params),
            finished,
            usable=_has_shards,
            reads=[path for row in rows for path in (row.phone_path, row.dslr_path)],
            workers=workers,
            scheduler=scheduler,
            label="patches",
        )
        _collect(list(items), finished, table, params)
        finished.clear()
    return table


def cut_pair(alignment: Alignment, params: PatchesParams, parts: Path) -> list[Patch]:
    """Judge all windows of one aligned pair; the accepted ones go into a tar file of their own below `parts`."""
    try:
        images = aligned_images(alignment)
        places = list(window_places(images[0], params))
        if not places:
            height, width = images[0].shape[:2]
            raise Rejection(
                "small_crop", f"The common crop of {width}x{height} px holds no window of {params.size_px} px."
            )
    except Rejection as rejection:
        return [_failed(alignment, params, rejection)]
    box, blank = crop_box(alignment), _row(alignment, params)
    greys = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.uint8) for image in images]
    rows = []
    parts.mkdir(parents=True, exist_ok=True)
    part = parts / f"{blank.key}.tar"
    with ShardWriter(part) as shard:
        for x, y in places:
            window = slice(y, y + params.size_px), slice(x, x + params.size_px)
            row = _placed(blank, box.x + x, box.y + y, params.size_px)
            row = _judged(row, ncc(greys[0][window], greys[1][window]), params.min_ncc)
            if is_masked(alignment, Box(box.x + x, box.y + y, params.size_px, params.size_px)):
                row = dataclasses.replace(row, reason="masked", detail="Parallax or motion: the alignment masks it.")
            if not row.reason:
                phone, dslr = (encode_image(i[window], f".{params.format}", params.jpeg_quality) for i in images)
                row = _stored(row, phone, dslr, shard, part)
            rows.append(row)
    return rows


def window_places(image: Image, params: PatchesParams) -> Iterator[tuple[int, int]]:
    """Yield the left column and top row of all windows that lie wholly in an image, row by row."""
    height, width = image.shape[:2]
    for y in range(0, height - params.size_px + 1, params.stride_px):
        for x in range(0, width - params.size_px + 1, params.stride_px):
            yield x, y


def ncc(phone: npt.NDArray[np.uint8], dslr: npt.NDArray[np.uint8]) -> float | None:
    """Return the zero-mean normalised cross-correlation of two grey windows of one size, -1..1; None if one is flat."""
    a, b = (window - window.mean(dtype=np.float64) for window in (phone, dslr))
    energy = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / energy if energy > 0 else None


def _placed(blank: Patch, x: int, y: int, size: int) -> Patch:
    """The row of the window whose top left pixel is (x, y) of the upright phone photo."""
    return dataclasses.replace(blank, patch_id=f"{blank.pair_id}--x{x:05d}-y{y:05d}", x=x, y=y, size=size)


def _judged(row: Patch, score: float | None, min_ncc: float) -> Patch:
    """The row with its score, and with a reason if that is too low."""
    if score is None:
        return dataclasses.replace(row, reason="flat", detail="One of the windows has a single grey value.")
    if score < min_ncc:
        detail = f"NCC {score:.3f} is below {min_ncc:g}."
        return dataclasses.replace(row, ncc=score, reason="low_ncc", detail=detail)
    return dataclasses.replace(row, ncc=score)


def _stored(row: Patch, phone: bytes, dslr: bytes, shard: ShardWriter, path: Path) -> Patch:
    """The row of an accepted patch whose two files have been appended to a shard at `path`."""
    suffix = "png" if phone.startswith(b"\x89PNG") else "jpg"
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


def _has_shards(rows: Sequence[Patch]) -> bool:
    """Whether the bytes that the rows name are there: a shard may have been deleted or cut short since."""
    return all(_is_stored(row) for row in rows if row.status == "accepted")


def _is_stored(row: Patch) -> bool:
    if row.shard is None or not row.shard.is_file():
        return False
    return row.shard.stat().st_size >= (row.dslr_offset or 0) + (row.dslr_bytes or 0)


def _collect(keys: Sequence[str], finished: Finished[Patch], table: Path, params: PatchesParams) -> None:
    """Join the parts, in the order of the keys, into shards and one table that take the earlier ones' place."""
    shelf = _Shelf(table.parent, params.shard_patches)
    with TableWriter(table, Patch) as writer, shelf:
        for key in keys:
            writer.write(shelf.take(row) if row.status == "accepted" else row for row in finished.get(key))
        # From here to the new table's appearance the old table would name bytes that have moved.
        table.unlink(missing_ok=True)
        shelf.publish()


class _Shelf:
    """The shards being filled, under temporary names until all are complete."""

    def __init__(self, folder: Path, patches_a_shard: int) -> None:
        self._folder = folder
        self._capacity = patches_a_shard
        self._held = 0
        self._names: list[Path] = []
        self._shard: ShardWriter | None = None

    def __enter__(self) -> _Shelf:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()
        for name in self._names:
            unfinished(name).unlink(missing_ok=True)

    def take(self, row: Patch) -> Patch:
        """Copy an accepted patch from the shard that it lies in to the one being filled."""
        phone, dslr = _stored_bytes(row)
        if self._shard is None or self._held == self._capacity:
            self._open_next()
        self._held += 1
        return _stored(row, phone, dslr, self._writer(), self._names[-1])

    def publish(self) -> None:
        """Put the shards in the place of the earlier ones."""
        self._close()
        for old in sorted(self._folder.glob("patches-*.tar")):
            if old not in self._names:
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


def _stored_bytes(row: Patch) -> tuple[bytes, bytes]:
    places = (row.phone_offset, row.phone_bytes), (row.dslr_offset, row.dslr_bytes)
    if row.shard is None:
        raise ValueError("an accepted patch has no shard")
    phone, dslr = (read_extent(row.shard, Extent(offset or 0, length or 0)) for offset, length in places)
    return phone, dslr


def _failed(alignment: Alignment, params: PatchesParams, rejection: Rejection) -> Patch:
    return dataclasses.replace(_row(alignment, params), reason=rejection.reason, detail=rejection.detail)


def _lost(alignment: Alignment, lost: Lost, params: PatchesParams) -> list[Patch]:
    return [_failed(alignment, params, Rejection(lost.reason, lost.detail))]


def _row(alignment: Alignment, params: PatchesParams) -> Patch:
    """The row of a pair's windows before anything is known of one."""
    return Patch(
        patch_id=alignment.pair_id,
        pair_id=alignment.pair_id,
        phone=alignment.phone,
        scene_id=alignment.scene_id,
        status="rejected",
        key=_key(alignment, params),
    )


def _key(alignment: Alignment, params: PatchesParams) -> str:
    own = describe(params)
    # How many patches share a shard says nothing about the patches.
    own.pop("shard_patches")
    return digest([_CODE, cv2.__version__, own, alignment.key])


_CODE = code_digest(sys.modules[__name__], aligned, geometry, shards, transform, warping, *photos.CODE)
