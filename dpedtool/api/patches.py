"""Cutting patches from an aligned pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dpedtool.api.alignment import Alignment
from dpedtool.api.inputs import RgbImage, bgr, rgb, section
from dpedtool.api.pictures import as_html, as_text, png
from dpedtool.dataset.params import PatchesParams
from dpedtool.dataset.rows import columns
from dpedtool.dataset.schema import Patch
from dpedtool.pipeline.geometry.aligned import crop_box
from dpedtool.pipeline.patches.judging import finer_target, judge_windows, small_crop

SHOWN = 8
"""Patches in a notebook's picture."""
GAP_PX = 4
_OF_FILES = {"pair_id", "phone", "scene_id", "shard", "params_sha256", "key"}
"""Columns that only matter in tables of many pairs and in files."""
_ENDS_OF_FILES = ("_path", "_sha256", "_offset", "_bytes")


@dataclass(frozen=True, eq=False, repr=False)
class Patches:
    """The windows of an aligned pair, and the images of the accepted ones.

    `patches` makes it. A notebook shows some of the patches, the phone's above the DSLR's.

    Attributes
    ----------
    table
        One row a window, with its place, status, reason and measures: the columns of the table of patches
        (docs/tables.md), without those that name files.
    phone, dslr
        (N, size, size, 3), RGB, uint8: the images of the N accepted windows, in the order of the table. With
        ``target_scale`` 2 or 4, the DSLR's are (N, target_scale * size, target_scale * size, 3).

    """

    table: pd.DataFrame
    phone: RgbImage
    dslr: RgbImage

    def __len__(self) -> int:
        return len(self.phone)

    def strip(self) -> RgbImage:
        """Return up to 8 accepted patches, spread evenly, as one image (h, w, 3) RGB: the phone's above the DSLR's.

        The image is white if no window was accepted. If the DSLR's images are larger, the phone's are enlarged to
        their size, px by px.
        """
        side = self.dslr.shape[1]
        enlarged = side // self.phone.shape[1]
        chosen = np.unique(np.linspace(0, len(self) - 1, min(len(self), SHOWN)).round().astype(int))
        step = side + GAP_PX
        picture = np.full((2 * step - GAP_PX, max(1, len(chosen)) * step - GAP_PX, 3), 255, np.uint8)
        for column, index in enumerate(chosen.tolist()):
            for row, images in enumerate((self.phone, self.dslr)):
                top, left = row * step, column * step
                # Px are repeated, so that the picture shows nothing that is not in the patch.
                large = images[index] if row else images[index].repeat(enlarged, axis=0).repeat(enlarged, axis=1)
                picture[top : top + side, left : left + side] = large
        return picture

    def _facts(self) -> list[tuple[str, str]]:
        reasons = self.table.loc[self.table["status"] != "accepted", "reason"].value_counts()
        return [
            ("accepted", f"{len(self)} of {len(self.table)} windows"),
            *((str(reason), str(count)) for reason, count in reasons.items()),
        ]

    def _title(self) -> str:
        side = self.phone.shape[1]
        return f"Patches of {side} x {side} px"

    def __repr__(self) -> str:
        return as_text(self._title(), self._facts())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self._facts(), self.strip() if len(self) else None)

    def _repr_png_(self) -> bytes:
        return png(self.strip())


def patches(alignment: Alignment, *, params: Mapping[str, Any] | PatchesParams | None = None) -> Patches:
    """Cut an aligned pair into windows, and keep those that show the same in both photos.

    The windows and their measures are those of `dpedtool patches`. The images are not encoded; those that the command
    stores as PNG are the same. One pair has no session, so `max_exposure_difference` has no effect here.

    Parameters
    ----------
    alignment
        What `align` returned.
    params
        Fields of the section `patches` by name, such as ``{"size_px": 64, "stride_px": 32}``; those left out keep their
        defaults. docs/parameters.md lists them. An instance of `dpedtool.dataset.params.PatchesParams` is also taken.

    Returns
    -------
    Patches
        All windows, and the images of the accepted ones.

    Raises
    ------
    Rejection
        `small_crop`: the crop that both photos show is smaller than a window. `too_coarse`: the DSLR's photo has fewer
        px than ``target_scale`` asks for.
    ParamsError
        A parameter is unknown, of the wrong type or out of range.

    Examples
    --------
    >>> import dpedtool
    >>> alignment = dpedtool.align(*dpedtool.example_photos())
    >>> found = dpedtool.patches(alignment, params={"size_px": 64, "stride_px": 64})
    >>> found.phone.shape == found.dslr.shape == (len(found), 64, 64, 3)
    True
    >>> int((found.table["status"] == "accepted").sum()) == len(found)
    True

    """
    chosen, row = section(PatchesParams, params), alignment.row
    phone, dslr = (bgr(image, "image") for image in (alignment.whole_phone(), alignment.dslr))
    target = None
    if chosen.target_scale > 1:
        target = finer_target(alignment._files[1].colour(), alignment._transform, crop_box(row), chosen)
    windows = list(judge_windows(row, alignment._transform, phone, dslr, chosen, target=target))
    if not windows:
        raise small_crop(row, chosen)
    images = [pair for _, pair in windows if pair]
    sides = [
        np.stack([rgb(pair[index]) for pair in images]) if images else np.empty((0, side, side, 3), np.uint8)
        for index, side in enumerate((chosen.size_px, chosen.size_px * chosen.target_scale))
    ]
    return Patches(_table([window for window, _ in windows]), sides[0], sides[1])


def _table(rows: Sequence[Patch]) -> pd.DataFrame:
    """Return rows as `read_frame` reads them, without the columns that name files."""
    specs = [spec for spec in columns(Patch) if spec.name not in _OF_FILES and not spec.name.endswith(_ENDS_OF_FILES)]
    arrays = [pa.array([getattr(row, spec.name) for row in rows], spec.arrow_type) for spec in specs]
    frame: pd.DataFrame = pa.Table.from_arrays(arrays, names=[spec.name for spec in specs]).to_pandas()
    return frame
