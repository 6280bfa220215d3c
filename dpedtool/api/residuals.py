"""Measuring the shifts between any two images of equal size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from dpedtool.api.inputs import PhotoLike, pixels
from dpedtool.api.pictures import as_html, as_text, length
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.measure.certainty import shift_errors
from dpedtool.pipeline.measure.residuals import MIN_NCC, SEARCH, WINDOW, comparable, search


@dataclass(frozen=True, eq=False, repr=False)
class Residuals:
    """Shifts between two images, measured on windows of 64 x 64 px, within 8 px to each side.

    `residuals` makes it. Windows without texture are left out.

    Attributes
    ----------
    table
        One row a window: `x`, `y`, its left column and top row in px; `dx`, `dy`, the shift in px at which the second
        image matches it best, to the right and down; `ncc`, the correlation there, -1..1; `error_px`, the standard
        error of the shift in the direction where it is known least well, NaN if it is above 0.25 px; `found`, whether
        the window was found, so that it counts in the figures below.
    median_px, p95_px
        Median and 95th percentile of the lengths of the shifts of the windows that were found, in px; NaN if these are
        fewer than five.

    """

    table: pd.DataFrame
    median_px: float
    p95_px: float

    def _facts(self) -> list[tuple[str, str]]:
        known = self.table["error_px"].notna().sum()
        return [
            ("windows with texture", str(len(self.table))),
            ("found again", f"{self.table['found'].sum()}, within {SEARCH} px and with a correlation above {MIN_NCC}"),
            ("known to 0.25 px", str(known)),
            ("shift, median", length(self.median_px)),
            ("shift, 95 %", length(self.p95_px)),
        ]

    def __repr__(self) -> str:
        return as_text(f"Shifts of {WINDOW} px windows", self._facts())

    def _repr_html_(self) -> str:
        return as_html(f"Shifts of {WINDOW} px windows", self._facts(), None) + self.table.to_html(
            max_rows=10, float_format="{:.3f}".format, border=0
        )


def residuals(phone: PhotoLike, dslr: PhotoLike) -> Residuals:
    """Measure the shifts that are left between two images of equal size, whatever aligned them.

    Parameters
    ----------
    phone, dslr
        Arrays (H, W, 3), RGB, uint8, 0..255, or (H, W), grey; or the paths or URLs of images.

    Returns
    -------
    Residuals
        The shift of each window, and median and 95th percentile. They use neither the mask nor the transform of an
        alignment, so that they may differ a little from `Alignment.residual_px`.

    Raises
    ------
    DpedtoolError
        The images differ in size, or an array has another shape or type.
    Rejection
        `unreadable_photo`: a file is missing or cannot be read.

    Examples
    --------
    Windows of an image that is cut out 3 px farther to the right lie 3 px farther to the left:

    >>> import dpedtool
    >>> phone, _ = dpedtool.example_photos()
    >>> found = dpedtool.residuals(phone[:, :-3], phone[:, 3:])
    >>> round(found.median_px, 1)
    3.0
    >>> found.table["dx"].round(1).unique().tolist()
    [-3.0]

    """
    images = pixels(phone, "phone"), pixels(dslr, "dslr")
    if images[0].shape != images[1].shape:
        sizes = [f"{image.shape[1]} x {image.shape[0]} px" for image in images]
        raise DpedtoolError(f"phone has {sizes[0]} and dslr has {sizes[1]}: give two images of equal size.")
    one, other, noise = comparable(images[0], images[1])
    found = search(one, other)
    table = pd.DataFrame(
        {
            "x": found.places[:, 0],
            "y": found.places[:, 1],
            "dx": found.shifts[:, 0],
            "dy": found.shifts[:, 1],
            "ncc": found.ncc,
            "error_px": shift_errors(one, other, found, noise),
            "found": found.found,
        }
    )
    figures = found.residual()
    median, most = (math.nan if value is None else value for value in (figures.median_px, figures.p95_px))
    return Residuals(table, median, most)
