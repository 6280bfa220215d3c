"""Made-up pairs for pages to show: lines of the list, details and pictures as the report makes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.photos.pixels import Image
from dpedtool.pipeline.report import page
from dpedtool.pipeline.report.pairs.contract import FrameOfMoment, PairDetails, PairRow, Picture, Shift, Spot, Window
from dpedtool.pipeline.report.pairs.opened import write_details as write_script
from dpedtool.pipeline.report.pairs.rows import reason_words

OTHER_PARTS = ("overview.html", "run.html", "patches.html", "network.html", "overview.css", "patches.css")
SIZE = (480, 360)
"""Width and height of the pictures and of the crop that they show."""
PATCH_PX = 60
WINDOW_PX = 32
_REJECTED = ("parallax", "moving_object", "low_texture", "misaligned", "motion_blur", "poor_coverage")
_ORDER = ("failed", "rejected", "unpaired", "aligned")


def make_rows(count: int, seed: int = 0, *, pictures: bool = True) -> list[PairRow]:
    """Return made-up pairs of three phones, worst first: one in eight rejected, one in fifty without a partner."""
    rng = np.random.default_rng(seed)
    return _worst_first([_row(index, rng, pictures=pictures) for index in range(count)])


def with_frames(rows: Sequence[PairRow], every: int) -> list[PairRow]:
    """Return pairs, worst first.

    One in `every` aligned pairs becomes the base of a burst or bracket of three. Bursts and brackets take turns. The
    last frame of each is rejected.
    """
    aligned = [row for row in rows if row.status == "aligned"][::every]
    found = {row.id: [row] for row in rows}
    for index, base in enumerate(aligned):
        stops = (0.0, 0.0, 0.0) if index % 2 == 0 else (-2.0, 0.0, 2.0)
        places = [FrameOfMoment(base.id, number, number == 1, 2**ev / 60, 100, ev) for number, ev in enumerate(stops)]
        lost: dict[str, Any] = {"status": "rejected", "reason": "motion_blur", "detail": "It is blurred.", "split": ""}
        found[base.id] = [
            _further(base, places[0]),
            dataclasses.replace(base, frame=places[1]),
            dataclasses.replace(_further(base, places[2]), **lost),
        ]
    return _worst_first([row for frames in found.values() for row in frames])


def _further(base: PairRow, frame: FrameOfMoment) -> PairRow:
    """A frame of the base's moment that no patches are cut from."""
    name = f"{base.id}-{frame.number}"
    bare = dataclasses.replace(base, id=name, phone_file=f"{name}.jpg", frame=frame, windows=None, accepted=None)
    return dataclasses.replace(bare, psnr_before_db=None, psnr_after_db=None)


def _worst_first(rows: Iterable[PairRow]) -> list[PairRow]:
    return sorted(rows, key=lambda row: (_ORDER.index(row.status), -(row.certain_p95_px or 0)))


def _row(index: int, rng: np.random.Generator, *, pictures: bool) -> PairRow:
    phone = ("blackberry", "iphone", "sony")[index % 3]
    name = f"IMG_{index:05d}"
    common: dict[str, Any] = {"id": f"{phone}-{name}", "phone": phone, "scene": f"DSC_{index // 3:05d}"}
    common |= {"phone_file": f"{name}.jpg", "dslr_file": f"DSC_{index // 3:05d}.JPG", "pictures": pictures}
    lot = rng.random()
    if lot < 0.02:
        return _alone(common)
    return _rejected(common, rng) if lot < 0.145 else _aligned(common, rng)


def _alone(common: dict[str, Any]) -> PairRow:
    detail = "No photo of the DSLR was taken within 5 s of 2017-03-04 12:00:07; the nearest is 61 s away."
    row = common | {"dslr_file": "", "status": "unpaired", "reason": "no_dslr_photo", "detail": detail, "split": ""}
    row |= dict.fromkeys(("residual_px", "residual_p95_px", "certain_p95_px", "certain", "amiss"))
    row |= dict.fromkeys(("at_place", "coverage", "masked", "windows", "accepted"))
    return PairRow(**row, psnr_before_db=None, psnr_after_db=None)


def _rejected(common: dict[str, Any], rng: np.random.Generator) -> PairRow:
    residual, place = float(rng.uniform(0.6, 6)), float(rng.uniform(0.1, 0.7))
    detail = f"Only {place:.0%} of 812 windows are where they should be, less than the 80% of align.min_at_place."
    row: dict[str, Any] = {"status": "rejected", "reason": str(rng.choice(_REJECTED)), "detail": detail, "split": ""}
    row |= {"residual_px": residual, "residual_p95_px": 2.5 * residual, "at_place": place, "coverage": 0.71}
    row |= {"certain_p95_px": 2.1 * residual, "certain": 211, "amiss": 34}
    row |= dict.fromkeys(("masked", "windows", "accepted", "psnr_before_db", "psnr_after_db"))
    return PairRow(**common, **row)


def _aligned(common: dict[str, Any], rng: np.random.Generator) -> PairRow:
    residual, before = float(rng.gamma(4, 0.04)), float(rng.normal(18, 1.5))
    split = str(rng.choice(["train", "validation", "test", "excluded"], p=[0.75, 0.08, 0.15, 0.02]))
    scores = (before, before + float(rng.normal(3, 1))) if split == "test" else (None, None)
    return PairRow(
        **common,
        status="aligned",
        reason="",
        detail="",
        split=split,
        residual_px=residual,
        residual_p95_px=2.2 * residual,
        certain_p95_px=1.7 * residual,
        certain=602,
        amiss=0,
        at_place=float(rng.uniform(0.9, 1)),
        coverage=float(rng.uniform(0.75, 0.98)),
        masked=float(rng.uniform(0, 0.05)),
        windows=660,
        accepted=int(rng.integers(180, 620)),
        psnr_before_db=scores[0],
        psnr_after_db=scores[1],
    )


def make_details(pair_id: str, seed: int = 0) -> PairDetails:
    """Return the details of an aligned pair: shifts that grow to the right, with every state and reason among them."""
    rng = np.random.default_rng(seed)
    spot = Spot("largest shift that was measured: 1.30 px", 400, 200, *_pictures("spot-0", ".png", 64, 64))
    plain = Spot("a place where all is well: 0.05 px", 100, 100, *_pictures("spot-1", ".png", 64, 64))
    return PairDetails(
        id=pair_id,
        kind="aligned",
        note="",
        **dict(zip(("phone", "dslr"), _pictures("", ".jpg", *SIZE), strict=True)),
        crop=(12, 8, *SIZE),
        window_px=WINDOW_PX,
        shifts=_shifts(rng),
        certain=120,
        amiss=4,
        certain_px=0.24,
        certain_p95_px=0.9,
        fitting=141,
        residual_px=0.31,
        residual_p95_px=1.3,
        mask=[(128, 96, 64, 96), (192, 96, 32, 32)],
        patch_px=PATCH_PX,
        windows=_windows(rng),
        spots=[spot, plain],
        depth=None,
    )


def _pictures(name: str, suffix: str, width: int, height: int) -> tuple[Picture, Picture]:
    stem = f"{name}-" if name else ""
    return Picture(f"{stem}phone{suffix}", width, height), Picture(f"{stem}dslr{suffix}", width, height)


def _shifts(rng: np.random.Generator) -> list[Shift]:
    found = []
    for y in range(WINDOW_PX // 2, SIZE[1], WINDOW_PX):
        for x in range(WINDOW_PX // 2, SIZE[0], WINDOW_PX):
            state = rng.choice(["found", "amiss", "unclear"], p=[0.85, 0.03, 0.12])
            size = 0.05 + 2.2 * (x / SIZE[0]) ** 3
            found.append(Shift(x, y, size, float(rng.normal(0, 0.1)), float(rng.uniform(0.9, 1)), state))
    return found


def _windows(rng: np.random.Generator) -> list[Window]:
    reasons = ["", "masked", "flat", "low_ncc", "shifted", "unsharp"]
    found = []
    for y in range(0, SIZE[1] - PATCH_PX + 1, PATCH_PX):
        for x in range(0, SIZE[0] - PATCH_PX + 1, PATCH_PX):
            reason = str(rng.choice(reasons, p=[0.6, 0.1, 0.1, 0.1, 0.05, 0.05]))
            residual = None if reason in ("masked", "flat") else float(rng.uniform(0, 1))
            found.append(Window(x, y, reason, float(rng.uniform(0.7, 1)), residual))
    return found


def make_picture(seed: int = 0) -> Image:
    """Return a picture of smooth colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def make_pictures(seed: int = 0) -> dict[str, bytes]:
    """Return the files of an aligned pair's folder by name: a picture, and for the DSLR the same moved by 1 px."""
    phone = make_picture(seed)
    dslr = np.roll(phone, 1, axis=1)
    files = {"thumbnail.jpg": cv2.resize(phone, (120, 90)).astype(np.uint8), "phone.jpg": phone, "dslr.jpg": dslr}
    for place in range(2):
        files |= {f"spot-{place}-phone.png": phone[:64, :64], f"spot-{place}-dslr.png": dslr[:64, :64]}
    return {name: encode_image(image, Path(name).suffix) for name, image in files.items()}


def render_pairs(rows: Iterable[PairRow], embedded: dict[str, Any] | None = None, *, has_pictures: bool = True) -> str:
    """Return the report's page with only the part of its pairs."""
    pairs = {
        "rows": [dataclasses.asdict(row) for row in rows],
        "empty": "There are no pairs.",
        "reasons": reason_words(),
        "embedded": embedded,
        "has_pictures": has_pictures,
    }
    return page.render({"title": "Made-up pairs", "pairs": pairs}, leave_out=OTHER_PARTS)


def write_details(folder: Path, details: PairDetails, pictures: dict[str, bytes]) -> None:
    """Write the folder of one pair where the page looks for it, in `folder`/files/pairs."""
    place = folder / page.FILES / "pairs" / details.id
    write_script(place, details, key="made up")
    write_pictures(folder, details.id, pictures)


def write_pictures(folder: Path, pair_id: str, files: dict[str, bytes]) -> None:
    """Write files into the folder of one pair."""
    place = folder / page.FILES / "pairs" / pair_id
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
