"""Opens one pair: its photos on one grid if a transform is known, and new measurements on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.io import parse_json, replacing, write_text
from dpedtool.dataset.photos.decoding import load_unchanged
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.places import Place
from dpedtool.dataset.regular_files import open_regular, read_regular_text
from dpedtool.dataset.schema import Alignment, Patch
from dpedtool.pipeline.align.overlay import shrunk
from dpedtool.pipeline.geometry.aligned import aligned_images, crop_box, is_masked, mask, required, transform
from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.geometry.transform import Nodes
from dpedtool.pipeline.measure.certainty import shift_errors
from dpedtool.pipeline.measure.noise import noise_of
from dpedtool.pipeline.measure.residuals import WINDOW, Flags, Search, comparable, search
from dpedtool.pipeline.report.pairs.cases import Case, Windows
from dpedtool.pipeline.report.pairs.contract import Depth, PairDetails, Picture, Shift, Spot, Window
from dpedtool.pipeline.report.pairs.depth_picture import DepthPicture
from dpedtool.pipeline.report.pairs.spots import choose, square
from dpedtool.pipeline.report.script_data import as_script_data

DETAILS = "details.js"
THUMBNAIL_PX, PICTURE_PX = 160, 1280
"""Longer side of the pictures, in px."""
QUALITY = 85
"""Quality of JPEG files."""
_MOST_BYTES_OF_KEY = 4096


@dataclass(frozen=True)
class Opened:
    """What was written for a pair."""

    details: PairDetails
    pictures: int
    """Number of picture files, including the thumbnail."""
    problem: Rejection | None
    """Why a photo could not be shown."""


@dataclass
class Album:
    """Writes the pictures of one pair into its folder."""

    folder: Path
    pictures: int = 0

    def add(self, name: str, image: Image) -> Picture:
        """Write an image without resizing, as JPEG or PNG according to the name. The file has no metadata."""
        with replacing(self.folder / name) as temporary:
            temporary.write_bytes(encode_image(image, Path(name).suffix, QUALITY))
        self.pictures += 1
        return Picture(name, width=image.shape[1], height=image.shape[0])

    def add_thumbnail(self, image: Image) -> None:
        """Write the picture that represents the pair in the list."""
        self.add("thumbnail.jpg", _fitted(image, THUMBNAIL_PX))


def open_pair(case: Case, windows: Windows, folder: Path) -> Opened:
    """Write the pictures of a pair into an empty folder, and return its details.

    Parameters
    ----------
    case
        The pair. Aligned pairs, and rejected pairs with a known transform and crop, are shown on one grid. Photos of
        other pairs are shown unchanged, and also those of a pair whose nodes have changed or are missing. A photo that
        has changed or is missing is not shown.
    windows
        The candidate windows for patches.
    folder
        The folder of this pair.

    """
    album = Album(folder)
    row = case.alignment
    if row and has_grid(case):
        try:
            images, nodes = aligned_images(row), transform(row).nodes
        except Rejection as problem:
            # One of the two photos may still exist, and both of them if only the nodes are missing.
            return _as_they_are(case, album, _without_folder(problem, row.nodes_path))
        return Opened(_on_one_grid(case, row, images, nodes, windows, album), album.pictures, None)
    return _as_they_are(case, album)


def has_grid(case: Case) -> bool:
    """Whether the transform and the common crop of a pair are known, so that its photos can be shown on one grid."""
    return bool(case.alignment and case.alignment.dslr_from_phone and case.alignment.crop_width)


def nothing_of(case: Case, why: str) -> PairDetails:
    """Return the details of a pair without pictures, only with a sentence."""
    return PairDetails(
        id=case.pair_id,
        kind="none",
        note=why,
        phone=None,
        dslr=None,
        crop=None,
        window_px=None,
        shifts=[],
        certain=None,
        amiss=None,
        certain_px=None,
        certain_p95_px=None,
        fitting=None,
        residual_px=None,
        residual_p95_px=None,
        mask=[],
        patch_px=None,
        windows=[],
        spots=[],
        depth=None,
    )


def write_details(folder: Path, details: PairDetails, key: str) -> None:
    """Write the script that passes the details to the page. Its first line is the key of what they were made from."""
    few = dataclasses.asdict(dataclasses.replace(details, shifts=[], windows=[]))
    # There are thousands of these, and `asdict` is slow.
    many = {"shifts": [vars(shift) for shift in details.shifts], "windows": [vars(one) for one in details.windows]}
    write_text(folder / DETAILS, f"// {key}\ndpedtool.details({as_script_data(few | many)});\n")


def read_details(file: Path) -> dict[str, Any]:
    """Return the details in a details.js. Its first line is the key."""
    call = read_regular_text(file).partition("\n")[2]
    details: dict[str, Any] = parse_json(call[call.index("(") + 1 : call.rindex(")")])
    return details


def key_of(folder: Path) -> str:
    """Return the key that `write_details` wrote; empty if there are no details."""
    try:
        with open_regular(folder / DETAILS) as file:
            line = file.readline(_MOST_BYTES_OF_KEY).decode(errors="replace")
            return line.removeprefix("// ").strip()
    except OSError:
        return ""


def _on_one_grid(
    case: Case, row: Alignment, images: tuple[Image, Image], nodes: Nodes | None, windows: Windows, album: Album
) -> PairDetails:
    box = crop_box(row)
    album.add_thumbnail(images[0])
    phone, dslr = (_fitted(image, PICTURE_PX) for image in images)
    one, other, noise = comparable(images[0], images[1], noise_of(row))
    found = search(one, other)
    errors, usable = shift_errors(one, other, found, noise), _unmasked(row, found, box)
    known = ~np.isnan(errors)
    left, certain = found.residual(usable), found.residual(usable & known)
    return dataclasses.replace(
        nothing_of(case, _note_on_grid(case, windows)),
        kind="aligned",
        phone=album.add("phone.jpg", phone),
        dslr=album.add("dslr.jpg", dslr),
        crop=(box.x, box.y, box.width, box.height),
        window_px=WINDOW,
        shifts=list(_shifts(found, known)),
        certain=certain.windows,
        amiss=int((found.amiss & ~known & usable).sum()),
        certain_px=_known(certain.median_px, 3),
        certain_p95_px=_known(certain.p95_px, 3),
        fitting=left.windows,
        residual_px=_known(left.median_px, 3),
        residual_p95_px=_known(left.p95_px, 3),
        mask=_masked_boxes(row, box),
        patch_px=windows.side,
        windows=list(_windows(windows, box)),
        spots=[
            _spot(number, choice.title, _middle(found, choice.index), images, album)
            for number, choice in enumerate(choose(found, errors, usable, one), start=1)
        ],
        depth=_depth(nodes, box, phone, album) if nodes else None,
    )


def _depth(nodes: Nodes, box: Box, phone: Image, album: Album) -> Depth:
    """Write the picture of the depth, in the size of the phone's picture that it lies over."""
    depth = DepthPicture(nodes, box)
    return depth.details(album.add("depth.jpg", depth.draw((phone.shape[1], phone.shape[0]))))


def _note_on_grid(case: Case, windows: Windows) -> str:
    parts = []
    if case.status != "aligned":
        parts.append(f"The photos of this {case.status} pair are overlaid by its transform.")
    if windows.none_since:
        parts.append(f"No patches were cut: {Patch.REASONS.get(windows.none_since, windows.none_since)}.")
    return " ".join(parts)


def _unmasked(row: Alignment, found: Search, box: Box) -> Flags:
    touched = [is_masked(row, Box(x + box.x, y + box.y, WINDOW, WINDOW)) for x, y in found.places.tolist()]
    return ~np.array(touched, bool)


def _shifts(found: Search, known: Flags) -> Iterator[Shift]:
    columns = zip(found.shifts.tolist(), found.ncc.tolist(), known.tolist(), found.amiss.tolist(), strict=True)
    for index, ((dx, dy), ncc, is_known, is_amiss) in enumerate(columns):
        x, y = _middle(found, index)
        state: Literal["found", "amiss", "unclear"] = "found" if is_known else "amiss" if is_amiss else "unclear"
        yield Shift(x, y, _short(dx, 2), _short(dy, 2), _short(ncc, 2), state)


def _middle(found: Search, index: int) -> tuple[float, float]:
    x, y = found.places[index].tolist()
    return x + (WINDOW - 1) / 2, y + (WINDOW - 1) / 2


def _masked_boxes(row: Alignment, box: Box) -> list[tuple[int, int, int, int]]:
    """Return the masked cells, joined along rows, and across equal rows; empty for pairs without a mask."""
    if not row.masked:
        return []
    cells, side = mask(row), required(row.mask_cell_px)
    return [
        (left * side, top * side, min(right * side, box.width) - left * side, min(end * side, box.height) - top * side)
        for left, right, top, end in _joined(cells)
    ]


def _joined(cells: npt.NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Return boxes of true cells (rows, columns): first and end of the columns, first and end of the rows."""
    boxes: list[tuple[int, int, int, int]] = []
    open_runs: dict[tuple[int, int], int] = {}
    for number, cells_of_row in enumerate([*cells, np.zeros(cells.shape[1], bool)]):
        runs = set(_runs(cells_of_row))
        ended = [run for run in open_runs if run not in runs]
        boxes += [(*run, open_runs.pop(run), number) for run in ended]
        open_runs |= dict.fromkeys(runs - open_runs.keys(), number)
    return sorted(boxes, key=lambda box: (box[2], box[0]))


def _runs(cells: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first and end of each run of true cells."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], cells, [False]])))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True))


def _windows(windows: Windows, box: Box) -> Iterator[Window]:
    numbers = zip(*(some.tolist() for some in (windows.x, windows.y, windows.ncc, windows.residual_px)), strict=True)
    for (x, y, ncc, residual_px), reason in zip(numbers, windows.reasons, strict=True):
        place = _short(x - box.x, 1), _short(y - box.y, 1)
        yield Window(*place, reason, _known(ncc, 3), _known(residual_px, 2))


def _known(value: float | None, digits: int) -> float | None:
    return None if value is None or np.isnan(value) else _short(value, digits)


def _short(value: float, digits: int) -> float:
    """Return a rounded value, as an integer if it is whole. Files hold thousands of them, so they should be short."""
    rounded = round(value, digits)
    return int(rounded) if rounded.is_integer() else rounded


def _spot(number: int, title: str, middle: tuple[float, float], images: tuple[Image, Image], album: Album) -> Spot:
    phone, dslr = (
        album.add(f"spot-{number}-{side}.png", square(image, *middle))
        for side, image in zip(("phone", "dslr"), images, strict=True)
    )
    return Spot(title, *middle, phone, dslr)


@dataclass
class _Photos:
    """The photos of a pair that can be read, unchanged."""

    case: Case
    images: dict[str, Image] = field(default_factory=dict)
    problems: list[Rejection] = field(default_factory=list)

    def read(self, side: str, path: Place | None, sha256: str | None) -> None:
        """Read one side's photo, if there is one and it could be read when it was paired."""
        if path is None or sha256 is None:
            return
        try:
            self.images[side] = _fitted(load_unchanged(path, sha256), PICTURE_PX)
        except Rejection as problem:
            self.problems.append(_without_folder(problem, path))


def _without_folder(problem: Rejection, path: Place | None) -> Rejection:
    """Return the problem with the file's name alone, as the report must not show folders of this machine."""
    return Rejection(problem.reason, problem.detail.replace(str(path), path.name)) if path else problem


def _as_they_are(case: Case, album: Album, unaligned: Rejection | None = None) -> Opened:
    """Show the photos unchanged; unaligned: why they are not on one grid, though their transform is known."""
    photos = _Photos(case)
    photos.read("phone", case.phone_path, case.phone_sha256)
    photos.read("dslr", case.dslr_path, case.dslr_sha256)
    for image in list(photos.images.values())[:1]:
        album.add_thumbnail(image)
    kinds: Mapping[int, Literal["none", "alone", "apart"]] = {0: "none", 1: "alone", 2: "apart"}
    pictures: dict[str, Any] = {side: album.add(f"{side}.jpg", image) for side, image in photos.images.items()}
    note = _note_apart(case, photos, unaligned)
    details = dataclasses.replace(nothing_of(case, note), kind=kinds[len(photos.images)], **pictures)
    return Opened(details, album.pictures, photos.problems[0] if photos.problems else None)


def _note_apart(case: Case, photos: _Photos, unaligned: Rejection | None) -> str:
    # The row of a failed pair already says what is wrong.
    parts = [problem.detail for problem in photos.problems if problem.reason != case.reason]
    if unaligned and unaligned.reason == "nodes_changed":
        parts.append(unaligned.detail)
    if case.status == "paired":
        parts.append("Stage align has not processed this pair.")
    if len(photos.images) == 1 and case.status != "unpaired":
        parts.append("Only the photo that could be read is shown.")
    if len(photos.images) == 2:
        parts.append("The photos are shown as they are, without overlaying them.")
    return " ".join(parts)


def _fitted(image: Image, longer_side: int) -> Image:
    """Return the image with its longer side reduced to at most `longer_side` px."""
    height, width = image.shape[:2]
    return shrunk(image, max(1, round(width * min(1.0, longer_side / max(height, width)))))
