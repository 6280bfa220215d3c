"""Stage align: the transform between the two photos of each pair, and the crop that both show."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from dataset import photos
from dataset.errors import DpedtoolError, Rejection
from dataset.io import code_digest, digest
from dataset.params import AlignParams, describe
from dataset.photos import Image, image_key, open_unchanged, save_image
from dataset.places import Place
from dataset.schema import Alignment, Pair
from dataset.tables import write_rows
from pipeline import aligned, geometry, registration, residuals, warping
from pipeline.aligned import cut, there
from pipeline.geometry import Box
from pipeline.registration import Registration, register
from pipeline.residuals import residual
from pipeline.resume import Finished, work_off
from pipeline.runner import Lost
from pipeline.warping import common_box, scale_at, warp_dslr

MISALIGNED_PX = 2.0
"""A larger median residual says that the transform is wrong, not that it is coarse."""


def align(
    pairs: Sequence[Pair],
    out: Path,
    params: AlignParams,
    *,
    images: bool = True,
    workers: int = 1,
    scheduler: str | None = None,
) -> list[Alignment]:
    """Align all pairs and write `out/alignments.parquet`; with images also `out/{phone,dslr}/<pair_id>.png`.

    The two images of a pair have one size and agree pixel for pixel; the phone's pixels are those of its photo, the
    DSLR's are resampled once. A pair that fails is a row with its reason. What an earlier run finished is kept.

    Returns
    -------
    list of Alignment
        One row for each pair that has both photos, in the order of pair_id.

    Raises
    ------
    DpedtoolError
        Another run is writing to `out`, or the images would be written among the photos.

    """
    whole = sorted((pair for pair in pairs if pair.status == "paired"), key=lambda pair: pair.pair_id)
    items = {_key(pair, params): pair for pair in whole}
    if images:
        _check_image_folders(whole, out)
    table = Alignment.table_in(out)
    with Finished(table, Alignment) as finished:
        work_off(
            items,
            partial(align_pair, params=params, images=out if images else None),
            partial(_lost, params=params),
            finished,
            usable=partial(_has_images, out) if images else lambda _: True,
            reads=[there(path) for pair in whole for path in (pair.phone_path, pair.dslr_path)],
            workers=workers,
            scheduler=scheduler,
            label="align",
        )
        rows = [_at_home(row, pair) for key, pair in items.items() for row in finished.get(key)]
        write_rows(table, Alignment, rows)
        finished.clear()
        _remove_images_of_others(rows, out)
    return rows


def align_pair(pair: Pair, params: AlignParams, images: Path | None) -> list[Alignment]:
    """Align one pair; the one row says how it went. Images are written below `images` unless it is None."""
    facts: dict[str, Any] = {}
    try:
        phone, dslr = _aligned_images(pair, params, facts)
    except Rejection as rejection:
        # What was measured before it failed stays in the row: it tells why.
        return [_row(pair, params, status="failed", reason=rejection.reason, detail=rejection.detail, **facts)]
    row = _row(pair, params, status="aligned", **facts)
    if images:
        for file, image in zip(_image_files(images, row), (phone, dslr), strict=True):
            save_image(file, image, key=row.key)
    return [row]


def _aligned_images(pair: Pair, params: AlignParams, facts: dict[str, Any]) -> tuple[Image, Image]:
    """The crop that both photos show, of both; what is learnt on the way goes into `facts`, columns of the row."""
    files = [
        open_unchanged(there(pair.phone_path), there(pair.phone_sha256)),
        open_unchanged(there(pair.dslr_path), there(pair.dslr_sha256)),
    ]
    facts["note"] = " ".join(file.note for file in files if file.note)
    phone, dslr = (file.colour() for file in files)
    facts |= _sizes(phone, dslr)
    found = register(phone, dslr, params)
    facts |= _registration_facts(found)
    box = _overlap(phone, dslr, found, params, facts)
    warped = warp_dslr(dslr, found.dslr_from_phone, box)
    crop = cut(phone, box)
    _check_residual(crop, warped, params, facts)
    return crop, warped


def _sizes(phone: Image, dslr: Image) -> dict[str, Any]:
    return {
        "phone_width": phone.shape[1],
        "phone_height": phone.shape[0],
        "dslr_width": dslr.shape[1],
        "dslr_height": dslr.shape[0],
    }


def _registration_facts(found: Registration) -> dict[str, Any]:
    facts = dataclasses.asdict(found)
    return facts | {"dslr_from_phone": tuple(found.dslr_from_phone.ravel().tolist())}


def _overlap(phone: Image, dslr: Image, found: Registration, params: AlignParams, facts: dict[str, Any]) -> Box:
    height, width = phone.shape[:2]
    box = common_box((width, height), (dslr.shape[1], dslr.shape[0]), found.dslr_from_phone)
    coverage = box.width * box.height / (width * height) if box else 0.0
    facts["coverage"] = coverage
    if box is None or coverage < params.min_coverage:
        raise Rejection(
            "small_overlap",
            f"The photos share {coverage:.0%} of the phone photo; {params.min_coverage:.0%} are needed.",
        )
    facts |= {f"crop_{side}": value for side, value in dataclasses.asdict(box).items()}
    facts["scale"] = scale_at(found.dslr_from_phone, box)
    return box


def _check_residual(phone: Image, dslr: Image, params: AlignParams, facts: dict[str, Any]) -> None:
    left = residual(phone, dslr)
    facts |= {
        "residual_textured": left.textured,
        "residual_windows": left.windows,
        "residual_px": left.median_px,
        "residual_p95_px": left.p95_px,
    }
    if left.median_px is not None and left.median_px > MISALIGNED_PX:
        raise Rejection(
            "misaligned",
            f"Half of {left.windows} windows are still shifted by more than {left.median_px:.1f} px "
            f"(at most {MISALIGNED_PX} px): depth in the scene, or a wrong pair?",
        )
    if left.windows < params.min_found * left.textured:
        raise Rejection(
            "misaligned",
            f"{left.windows} of {left.textured} textured windows were found at their place or near it; "
            f"{params.min_found:.0%} are needed: depth or motion in the scene, or a wrong pair?",
        )


def _row(pair: Pair, params: AlignParams, **facts: Any) -> Alignment:
    return Alignment(
        pair_id=pair.pair_id,
        phone=pair.phone,
        scene_id=there(pair.scene_id),
        phone_path=there(pair.phone_path),
        dslr_path=there(pair.dslr_path),
        phone_sha256=there(pair.phone_sha256),
        dslr_sha256=there(pair.dslr_sha256),
        key=_key(pair, params),
        **facts,
    )


def _lost(pair: Pair, lost: Lost, params: AlignParams) -> list[Alignment]:
    return [_row(pair, params, status="failed", reason=lost.reason, detail=lost.detail)]


def _key(pair: Pair, params: AlignParams) -> str:
    names = [pair.pair_id, pair.phone, pair.scene_id]
    return digest([_CODE, cv2.__version__, describe(params), names, pair.phone_sha256, pair.dslr_sha256])


def _at_home(row: Alignment, pair: Pair) -> Alignment:
    """The same photos may have moved since an earlier run: the paths are those of today."""
    return dataclasses.replace(row, phone_path=there(pair.phone_path), dslr_path=there(pair.dslr_path))


def _has_images(out: Path, rows: Sequence[Alignment]) -> bool:
    """Whether the images on disk are those of the rows: a run without images, or with others, may lie between."""
    made = [row for row in rows if row.status == "aligned"]
    return all(image_key(file) == row.key for row in made for file in _image_files(out, row))


def _check_image_folders(pairs: Iterable[Pair], out: Path) -> None:
    """Refuse to write aligned images among the photos that they are made from."""
    ours = {(out / "phone").resolve(), (out / "dslr").resolve()}
    folders: Mapping[Place, None] = dict.fromkeys(
        there(path).parent for pair in pairs for path in (pair.phone_path, pair.dslr_path)
    )
    for folder in folders:
        if folder.resolve() in ours:
            raise DpedtoolError(
                f"The aligned images would be written among the photos of {folder}: choose another folder for them."
            )


def _remove_images_of_others(rows: Iterable[Alignment], out: Path) -> None:
    """Remove our images that no row stands for: of pairs that are gone, that fail today or that have changed."""
    keys = {row.pair_id: row.key for row in rows if row.status == "aligned"}
    for side in ("phone", "dslr"):
        for file in (out / side).glob("*.png"):
            key = image_key(file)
            if key and key != keys.get(file.stem):
                file.unlink()


def _image_files(out: Path, row: Alignment) -> tuple[Path, Path]:
    return out / "phone" / f"{row.pair_id}.png", out / "dslr" / f"{row.pair_id}.png"


_CODE = code_digest(sys.modules[__name__], aligned, geometry, registration, residuals, warping, *photos.CODE)
