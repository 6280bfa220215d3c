"""Stage align: the transform between the two photos of each pair, and the crop that both show."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dataset import photos
from dataset.errors import DpedtoolError, Rejection
from dataset.io import code_digest, digest, write_rows
from dataset.params import AlignParams, describe
from dataset.photos import Image, load_photo, save_image
from dataset.schema import Alignment, Pair
from pipeline import geometry, registration, residuals, warping
from pipeline.geometry import Box, Homography, transform_points
from pipeline.registration import Registration, register
from pipeline.residuals import residual
from pipeline.resume import Finished, work_off
from pipeline.warping import common_box, scale_at, warp_dslr

Value = TypeVar("Value")

MISALIGNED_PX = 2.0
"""A larger median residual says that the transform is wrong, not that it is coarse."""


def align(
    pairs: Sequence[Pair], out: Path, params: AlignParams, *, images: bool = True, workers: int = 1
) -> list[Alignment]:
    """Align all pairs and write `out/alignments.parquet`; with images also `out/{phone,dslr}/<pair_id>.png`.

    The two images of a pair have one size and agree pixel for pixel; the phone's pixels are those of its photo, the
    DSLR's are resampled once. A pair that fails is a row with its reason. What an earlier run finished is kept.

    Returns
    -------
    list of Alignment
        One row for each pair that has both photos, in the order of pair_id.

    """
    items = {
        _key(pair, params): pair for pair in sorted(pairs, key=lambda pair: pair.pair_id) if pair.status == "paired"
    }
    table = out / f"{Alignment.TABLE}.parquet"
    finished = Finished(table, Alignment)
    earlier = finished.of_the_table()
    if images:
        _check_image_folders(items.values(), out)
        _forget_imageless(items, finished, out)
    work = partial(align_pair, params=params, images=out if images else None)
    work_off(items, work, partial(_lost, params=params), finished, workers=workers, label="align")
    rows = [_at_home(row, pair) for key, pair in items.items() for row in finished.get(key) or []]
    write_rows(table, Alignment, rows)
    finished.clear()
    _remove_images(earlier, rows, out)
    return rows


def align_pair(pair: Pair, params: AlignParams, images: Path | None) -> list[Alignment]:
    """Align one pair; the one row says how it went. Images are written below `images` unless it is None."""
    facts: dict[str, Any] = {}
    try:
        phone, dslr = _aligned_images(pair, params, facts)
    except Rejection as rejection:
        # What was measured before it failed stays in the row: it tells why.
        return [_row(pair, params, status="failed", reason=rejection.reason, detail=rejection.detail, **facts)]
    if images:
        phone_file, dslr_file = _image_files(images, pair)
        save_image(phone_file, phone)
        save_image(dslr_file, dslr)
    return [_row(pair, params, status="aligned", **facts)]


def find_pair(rows: Sequence[Alignment], pair_id: str) -> Alignment:
    """Return the aligned row of this pair.

    Raises
    ------
    DpedtoolError
        There is no such pair, or it could not be aligned.

    """
    by_id = {row.pair_id: row for row in rows}
    if pair_id not in by_id:
        close = difflib.get_close_matches(pair_id, by_id, n=1, cutoff=0.3)
        some = ", ".join(sorted(by_id)[:3]) or "none"
        hint = (
            f"did you mean {close[0]}?"
            if close
            else f"the table holds {some}{' and others' if len(by_id) > 3 else ''}."
        )
        raise DpedtoolError(f"There is no pair {pair_id}: {hint}")
    row = by_id[pair_id]
    if row.status != "aligned":
        raise DpedtoolError(f"{pair_id} was not aligned ({row.reason}): {row.detail}")
    return row


def dslr_from_phone(row: Alignment, point: tuple[float, float]) -> tuple[float, float]:
    """Return where a pixel (x, y) of the upright phone photo lies in the upright DSLR photo."""
    x, y = transform_points(homography(row), np.array([point]))[0]
    return float(x), float(y)


def is_in_phone(row: Alignment, point: tuple[float, float]) -> bool:
    """Whether a point (x, y) lies in the upright phone photo, its rim included."""
    width, height = _there(row.phone_width), _there(row.phone_height)
    return -0.5 <= point[0] <= width - 0.5 and -0.5 <= point[1] <= height - 0.5


def crop_box(row: Alignment) -> Box:
    """Return the common crop of an aligned row, in the phone photo."""
    return Box(*(_there(value) for value in (row.crop_x, row.crop_y, row.crop_width, row.crop_height)))


def homography(row: Alignment) -> Homography:
    """Return `dslr_from_phone` of an aligned row, (3, 3) float64."""
    return np.array(_there(row.dslr_from_phone), np.float64).reshape(3, 3)


def cut(image: Image, box: Box) -> Image:
    """Return the box of an image, a view."""
    return image[box.y : box.y + box.height, box.x : box.x + box.width]


def _aligned_images(pair: Pair, params: AlignParams, facts: dict[str, Any]) -> tuple[Image, Image]:
    """The crop that both photos show, of both; what is learnt on the way goes into `facts`, columns of the row."""
    phone, dslr = load_photo(_there(pair.phone_path)), load_photo(_there(pair.dslr_path))
    facts |= _sizes(phone, dslr)
    found = register(phone, dslr, params)
    facts |= _registration_facts(found)
    box = _overlap(phone, dslr, found, params, facts)
    warped = warp_dslr(dslr, found.dslr_from_phone, box)
    crop = cut(phone, box)
    _check_residual(crop, warped, facts)
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


def _check_residual(phone: Image, dslr: Image, facts: dict[str, Any]) -> None:
    left = residual(phone, dslr)
    facts |= {"residual_windows": left.windows, "residual_px": left.median_px, "residual_p95_px": left.p95_px}
    if left.median_px is not None and left.median_px > MISALIGNED_PX:
        raise Rejection(
            "misaligned",
            f"Half of {left.windows} windows are still shifted by more than {left.median_px:.1f} px "
            f"(at most {MISALIGNED_PX} px): depth in the scene, or a wrong pair?",
        )


def _row(pair: Pair, params: AlignParams, **facts: Any) -> Alignment:
    return Alignment(
        pair_id=pair.pair_id,
        phone=pair.phone,
        scene_id=_there(pair.scene_id),
        phone_path=_there(pair.phone_path),
        dslr_path=_there(pair.dslr_path),
        phone_sha256=_there(pair.phone_sha256),
        dslr_sha256=_there(pair.dslr_sha256),
        key=_key(pair, params),
        **facts,
    )


def _lost(pair: Pair, detail: str, params: AlignParams) -> list[Alignment]:
    return [_row(pair, params, status="failed", reason="worker_lost", detail=detail)]


def _key(pair: Pair, params: AlignParams) -> str:
    names = [pair.pair_id, pair.phone, pair.scene_id]
    return digest([_CODE, describe(params), names, pair.phone_sha256, pair.dslr_sha256])


def _forget_imageless(items: dict[str, Pair], finished: Finished[Alignment], out: Path) -> None:
    """Rows of a run without images, or whose images were deleted, are no substitute for one that writes them."""
    for key, pair in items.items():
        rows = finished.get(key) or []
        if any(row.status == "aligned" for row in rows) and not all(file.exists() for file in _image_files(out, pair)):
            finished.forget(key)


def _check_image_folders(pairs: Iterable[Pair], out: Path) -> None:
    """Refuse to write aligned images among the photos that they are made from."""
    ours = {(out / "phone").resolve(), (out / "dslr").resolve()}
    for pair in pairs:
        for photo in (_there(pair.phone_path), _there(pair.dslr_path)):
            if photo.parent.resolve() in ours:
                raise DpedtoolError(
                    f"The aligned images would be written among the photos of {photo.parent}: "
                    "choose another folder for the results."
                )


def _remove_images(earlier: Iterable[Alignment], rows: Sequence[Alignment], out: Path) -> None:
    """Remove images that an earlier run wrote of pairs which are gone, or which fail today."""
    kept = {row.pair_id for row in rows if row.status == "aligned"}
    for row in earlier:
        if row.pair_id not in kept:
            for file in _image_files(out, row):
                file.unlink(missing_ok=True)


def _image_files(out: Path, pair: Pair | Alignment) -> tuple[Path, Path]:
    return out / "phone" / f"{pair.pair_id}.png", out / "dslr" / f"{pair.pair_id}.png"


def _at_home(row: Alignment, pair: Pair) -> Alignment:
    """The same photos may have moved since an earlier run: the paths are those of today."""
    return dataclasses.replace(row, phone_path=_there(pair.phone_path), dslr_path=_there(pair.dslr_path))


def _there(value: Value | None) -> Value:
    """A column that is never empty for rows of this status, for the type checker and for a broken table."""
    if value is None:
        raise ValueError("a paired or aligned row lacks a value")
    return value


_CODE = code_digest(sys.modules[__name__], geometry, photos, registration, residuals, warping)
