"""Aligning two photos, and mapping points from one to the other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dpedtool.api.inputs import PhotoLike, RgbImage, photo_file, place_of, rgb, section
from dpedtool.api.pictures import as_html, as_text, length, png, share
from dpedtool.dataset import schema
from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.params import AlignParams
from dpedtool.pipeline.align.overlay import checkerboard
from dpedtool.pipeline.align.stage import Files, align_files, open_pair
from dpedtool.pipeline.geometry import aligned
from dpedtool.pipeline.geometry.aligned import crop_box, crops, required
from dpedtool.pipeline.geometry.transform import Transform
from dpedtool.pipeline.pair.stage import pair_files


@dataclass(frozen=True, eq=False, repr=False)
class Alignment:
    """The transform between two photos of one scene, how well it is known, and the crop that both show.

    `align` makes it. A notebook shows it as a table and the picture of `overlay`.

    Attributes
    ----------
    row
        All that `dpedtool align` stores of a pair in alignments.parquet, as docs/tables.md lists it.

    """

    row: schema.Alignment
    _files: Files
    _transform: Transform

    @cached_property
    def _images(self) -> tuple[RgbImage, RgbImage]:
        phone, dslr = (rgb(image) for image in crops(self._files, self._transform, crop_box(self.row)))
        return phone, dslr

    def whole_phone(self) -> RgbImage:
        """Return the whole upright photo of the phone, (H, W, 3) RGB uint8; points and `crop` are px of it."""
        return rgb(self._files[0].colour())

    @property
    def phone(self) -> RgbImage:
        """The crop that both photos show, with the phone's own pixels, (h, w, 3) RGB uint8."""
        return self._images[0]

    @property
    def dslr(self) -> RgbImage:
        """The same crop of the DSLR's photo, resampled on the phone's grid of px, (h, w, 3) RGB uint8."""
        return self._images[1]

    @property
    def crop(self) -> tuple[int, int, int, int]:
        """Where the crop lies in the phone's photo: left column, top row, width, height, in px."""
        box = crop_box(self.row)
        return box.x, box.y, box.width, box.height

    @property
    def dslr_from_phone(self) -> npt.NDArray[np.float64]:
        """Homography (3, 3) from px of the phone's photo to px of the DSLR's; `map_points` adds the bend of `model`."""
        return self._transform.homography.copy()

    @property
    def model(self) -> str:
        """Kind of the transform: homography, or a homography with a bend: lens, cubic, quintic or, for depth, local."""
        return required(self.row.model)

    @property
    def scale(self) -> float:
        """How many px of the DSLR's photo lie on a px of the phone's at the middle of the crop."""
        return required(self.row.scale)

    @property
    def coverage(self) -> float:
        """Share of the phone's photo that lies in the crop, 0..1."""
        return required(self.row.coverage)

    @property
    def residual_px(self) -> float:
        """Median shift that is left between the two crops, over windows that are not masked, in px of the phone."""
        return required(self.row.residual_px)

    @property
    def residual_p95_px(self) -> float:
        """95th percentile of the same shifts, in px of the phone."""
        return required(self.row.residual_p95_px)

    @property
    def residual_windows(self) -> int:
        """Number of 64 px windows that these shifts were measured on."""
        return required(self.row.residual_windows)

    @property
    def masked(self) -> float:
        """Share of the crop that `mask` marks, 0..1."""
        return required(self.row.masked)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Px (h, w) of the crop that are not to be used, because something moved or is nearer than the rest."""
        side = required(self.row.mask_cell_px)
        _, _, width, height = self.crop
        cells = aligned.mask(self.row).repeat(side, axis=0).repeat(side, axis=1)
        return np.asarray(cells[:height, :width])

    @property
    def note(self) -> str:
        """What was ignored in the photos, such as a damaged colour profile; empty if nothing was."""
        return self.row.note

    def overlay(self) -> RgbImage:
        """Return squares of both crops in turn, (h, w, 3) RGB uint8; edges that break at a border are misaligned."""
        return checkerboard(self.phone, self.dslr)

    def _facts(self) -> list[tuple[str, str]]:
        left, top, width, height = self.crop
        noted = [("note", self.note)] if self.note else []
        return [
            ("transform", f"{self.model}, {self.scale:.3f} px of the DSLR for a px of the phone"),
            ("crop", f"{width} x {height} px at ({left}, {top}), {share(self.coverage)} of the phone's photo"),
            ("shift left, median", f"{length(self.residual_px)}, over {self.residual_windows} windows"),
            ("shift left, 95 %", length(self.residual_p95_px)),
            ("masked", share(self.masked)),
            *noted,
        ]

    def _title(self) -> str:
        row = self.row
        return (
            f"Alignment of {row.phone_path.name} ({row.phone_width} x {row.phone_height} px) and "
            f"{row.dslr_path.name} ({row.dslr_width} x {row.dslr_height} px)"
        )

    def __repr__(self) -> str:
        return as_text(self._title(), self._facts())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self._facts(), self.overlay())

    def _repr_png_(self) -> bytes:
        return png(self.overlay())


def align(phone: PhotoLike, dslr: PhotoLike, *, params: Mapping[str, Any] | AlignParams | None = None) -> Alignment:
    """Align a phone's photo and a DSLR's photo of the same scene.

    The result is that of `dpedtool align`. It is computed in this process.

    Parameters
    ----------
    phone, dslr
        Arrays (H, W, 3), RGB, uint8, 0..255, or (H, W), grey; or the paths or URLs of photos, which are turned upright
        by their EXIF orientation and converted to sRGB.
    params
        Fields of the section `align` by name, such as ``{"ratio": 0.75}``; those left out keep their defaults.
        docs/parameters.md lists them. An instance of `dpedtool.dataset.params.AlignParams` is taken as well.

    Returns
    -------
    Alignment
        Transform, certainty and aligned images.

    Raises
    ------
    Rejection
        The pair cannot be aligned, or the alignment cannot be trusted: `reason` is one of the reasons of the table of
        alignments (docs/tables.md), such as few_matches, parallax or unreadable_photo; `detail` is a sentence.
    DpedtoolError
        An array has another shape or type, or there is no such file.
    ParamsError
        A parameter is unknown, of the wrong type or out of range.

    Examples
    --------
    >>> import dpedtool
    >>> phone, dslr = dpedtool.example_photos()
    >>> alignment = dpedtool.align(phone, dslr)
    >>> alignment.residual_px < 0.1
    True
    >>> alignment.phone.shape == alignment.dslr.shape
    True
    >>> dpedtool.align(phone, 255 - dslr[::-1], params={"min_inliers": 25})  # upside down, and a negative
    Traceback (most recent call last):
    dpedtool.dataset.errors.Rejection: ...

    """
    chosen = section(AlignParams, params)
    pair, files = _pair(phone, dslr)
    row, transform = align_files(pair, lambda: files, chosen)
    if transform is None:
        raise Rejection(row.reason, row.detail)
    return Alignment(row, files, transform)


def _pair(phone: PhotoLike, dslr: PhotoLike) -> tuple[schema.Pair, Files]:
    """Return the pair as `dpedtool align` names it, and its photos."""
    if not isinstance(phone, np.ndarray) and not isinstance(dslr, np.ndarray):
        (pair,) = pair_files(place_of(phone, "phone"), place_of(dslr, "dslr")).rows
        if pair.status != "paired":
            raise Rejection(pair.reason, pair.detail)
        return pair, open_pair(pair)
    files = photo_file(phone, "phone"), photo_file(dslr, "dslr")
    pair = schema.Pair(
        pair_id="phone-array",
        phone="phone",
        scene_id="array",
        status="paired",
        phone_path=files[0].path,
        dslr_path=files[1].path,
        phone_sha256=hashlib.sha256(files[0].content).hexdigest(),
        dslr_sha256=hashlib.sha256(files[1].content).hexdigest(),
    )
    return pair, files


def map_points(alignment: Alignment, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return where points of the phone's photo lie in the DSLR's photo.

    Parameters
    ----------
    alignment
        What `align` returned.
    points
        (N, 2): x, y in px of the whole upright phone photo, pixel centres at integers. Points outside of the crop are
        extrapolated.

    Returns
    -------
    ndarray
        (N, 2), float64: x, y in px of the whole upright DSLR photo.

    Raises
    ------
    DpedtoolError
        The points have another shape, or are not finite numbers.

    Examples
    --------
    >>> import dpedtool
    >>> phone, dslr = dpedtool.example_photos()
    >>> alignment = dpedtool.align(phone, dslr)
    >>> found = dpedtool.map_points(alignment, [(0, 0), (199.5, 149.5)])
    >>> found.shape
    (2, 2)
    >>> bool(abs(found[1] - [317, 234]).max() < 30)  # the middle of one photo lies near the middle of the other
    True

    """
    try:
        given = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        raise DpedtoolError("points must be numbers, (N, 2): x and y of each point.") from None
    if given.ndim != 2 or given.shape[1] != 2:
        raise DpedtoolError(f"points has the shape {given.shape}, but (N, 2) is needed: x and y of each point.")
    if not np.isfinite(given).all():
        raise DpedtoolError("points holds NaN or infinite values: leave these points out.")
    return alignment._transform(given)
