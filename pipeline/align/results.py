"""The files that belong to a row of alignments, and rows of an earlier run under the names of today.

What a pair's alignment is depends on the content of its two photos, and not on their names. So a row is kept when
photos, folders or cameras are renamed, and gets today's names; its files are renamed as well.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.io import replacing
from dpedtool.dataset.photos.encoding import image_key
from dpedtool.dataset.places import Place
from dpedtool.dataset.schema import Alignment, Pair
from dpedtool.pipeline.geometry.aligned import required
from dpedtool.pipeline.geometry.node_files import read_nodes

OVERLAY = "overlay"
"""Folder next to those of the aligned images."""
NODES = "nodes"
"""Folder of the files of nodes."""


def nodes_file(out: Path, pair_id: str) -> Path:
    """Return the path of the file of a pair's nodes."""
    return out / NODES / f"{pair_id}.npy"


def image_files(out: Path, pair_id: str) -> tuple[Path, Path]:
    """Return the paths of the phone's and the DSLR's aligned image of a pair."""
    return out / "phone" / f"{pair_id}.png", out / "dslr" / f"{pair_id}.png"


def overlay_file(out: Path, pair_id: str) -> Path:
    """Return the path of the picture of both images that `dpedtool.pipeline.align.overlay.write_overlay` can write."""
    return out / OVERLAY / f"{pair_id}.jpg"


def named_today(row: Alignment, pair: Pair, out: Path) -> Alignment:
    """Return a row with the names, paths and place in the moment that its pair has today.

    Parameters
    ----------
    row
        A row that was made from the two photos of the pair, under these or other names.
    pair
        The pair of today.
    out
        The folder of the results.

    """
    return dataclasses.replace(
        row,
        pair_id=pair.pair_id,
        phone=pair.phone,
        session=pair.session,
        scene_id=required(pair.scene_id),
        reference=pair.reference,
        role=pair.role or "base",
        frame=pair.frame or 0,
        phone_path=required(pair.phone_path),
        dslr_path=required(pair.dslr_path),
        nodes_path=nodes_file(out, pair.pair_id) if row.nodes_sha256 else None,
    )


def is_at_hand(row: Alignment, pair: Pair, out: Path, *, images: bool, today: Container[str]) -> bool:
    """Return whether a row can be used for a pair of today; give its files the names of today first.

    A row cannot be used if a sentence in it names photos that have other names today, or if its files are missing or
    not its own.

    Parameters
    ----------
    row, pair, out, images, today
        As `bring_files` takes them.

    """
    wanted = named_today(row, pair, out)
    if wanted != row and _names_photos(row):
        return False
    bring_files(row, pair, out, images=images, today=today)
    return _has_nodes(wanted) and (not images or has_images(out, wanted))


def bring_files(row: Alignment, pair: Pair, out: Path, *, images: bool, today: Container[str]) -> None:
    """Give the files of a row the names of a pair of today, if they are there and the pair lacks them.

    Parameters
    ----------
    row, pair, out
        As `named_today` takes them.
    images
        Whether the aligned images are wanted.
    today
        The names of all pairs of today. Files of a pair that is not one of them are renamed, others are copied.

    """
    wanted, is_gone = named_today(row, pair, out), row.pair_id not in today
    if not _has_nodes(wanted):
        _bring([(row.nodes_path, wanted.nodes_path)], is_gone=is_gone)
    if images and not has_images(out, wanted):
        files = zip(image_files(out, row.pair_id), image_files(out, wanted.pair_id), strict=True)
        _bring(((old, new) for old, new in files if image_key(old) == row.key), is_gone=is_gone)


def has_images(out: Path, row: Alignment) -> bool:
    """Whether the images on disk belong to the row: a run in between may have written none, or others."""
    return row.status != "aligned" or all(image_key(file) == row.key for file in image_files(out, row.pair_id))


def check_image_folders(pairs: Iterable[Pair], out: Path) -> None:
    """Refuse to write aligned images, or their overlay, among the photos that they are made from."""
    ours = {(out / name).resolve() for name in ("phone", "dslr", OVERLAY)}
    folders: Mapping[Place, None] = dict.fromkeys(
        required(path).parent for pair in pairs for path in (pair.phone_path, pair.dslr_path)
    )
    for folder in folders:
        if folder.resolve() in ours:
            raise DpedtoolError(
                f"The aligned images would be written among the photos of {folder}: choose another folder for them."
            )


def remove_images_of_others(rows: Iterable[Alignment], out: Path) -> None:
    """Remove our images that have no row: those of pairs that are gone, that fail now or that have changed."""
    keys = {row.pair_id: row.key for row in rows if row.status == "aligned"}
    for side in ("phone", "dslr"):
        for file in (out / side).glob("*.png"):
            key = image_key(file)
            if key and key != keys.get(file.stem):
                file.unlink()


def remove_nodes_of_others(rows: Iterable[Alignment], out: Path) -> None:
    """Remove the files of nodes that no row names: those of pairs that are gone, that fail now or need none."""
    meant = {row.pair_id for row in rows if row.nodes_sha256}
    for file in (out / NODES).glob("*.npy"):
        if file.stem not in meant:
            file.unlink()


def _names_photos(row: Alignment) -> bool:
    """Whether a sentence of the row contains a name of its photos."""
    told = f"{row.detail} {row.note}"
    return any(name in told for name in (row.phone_path.name, row.dslr_path.name))


def _has_nodes(row: Alignment) -> bool:
    """Whether the file of nodes of a row is there, unchanged; a row that has none needs none."""
    if not row.nodes_sha256:
        return True
    try:
        read_nodes(required(row.nodes_path), row.nodes_sha256, required(row.nodes_rows), required(row.nodes_columns))
    except Rejection:
        return False
    return True


def _bring(files: Iterable[tuple[Place | None, Place | None]], *, is_gone: bool) -> None:
    """Give files their new names: those of a pair that is gone are renamed within their folder, others are copied."""
    for old, new in files:
        if not (isinstance(old, Path) and isinstance(new, Path) and old.is_file()):
            continue
        if is_gone and old.parent == new.parent:
            old.replace(new)
        else:
            with replacing(new) as temporary:
                shutil.copyfile(old, temporary)
