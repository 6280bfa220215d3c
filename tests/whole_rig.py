"""A small session by hand whose photos are files: a split, patches, and the alignments of a phone and a finer DSLR."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage
from release_rig import patch_images
from split_rig import SIZE_PX, frame, picture, selection, write_patches

from dpedtool.dataset.io import file_sha256
from dpedtool.dataset.params import ReleaseParams, SplitParams
from dpedtool.dataset.schema import Alignment
from dpedtool.dataset.sidecars.selection import AlignedPairs, PhotoSize
from dpedtool.dataset.tables import write_rows
from dpedtool.pipeline.geometry.aligned import mask_columns
from dpedtool.pipeline.release.build import build_release
from dpedtool.pipeline.split.stage import split

PHONE = 64, 48
"""Width and height of the phone's photos; the DSLR's are twice as large."""
CROP = 4, 5, 53, 40
"""x, y, width and height of the common crop."""
CELL_PX = 16
SCENES = [f"s{number:02d}" for number in range(6)]


def write_session(folder: Path, suffix: str = ".png") -> Path:
    """Write six scenes of the phone `a`: `photos`, `patches`, `splits` and `aligned`; the photos have EXIF blocks.

    The second cell of the first row of every crop is masked.
    """
    frames, rows = [], []
    for scene in SCENES:
        phone, dslr = _photos(folder / "photos", scene, suffix)
        known = {"phone_path": phone, "dslr_path": dslr}
        known |= {"phone_sha256": file_sha256(phone), "dslr_sha256": file_sha256(dslr)}
        frames.append(frame(scene, phone_width=PHONE[0], phone_height=PHONE[1], **known))
        rows.append(_row(frames[-1].pair_id, scene, known))
    table = write_patches(folder / "patches", "a", frames, _images)
    counts = AlignedPairs(6, 6, 0, 0, {}, [PhotoSize(2 * PHONE[0], 2 * PHONE[1], 6)])
    selection(pairs=counts).write(table.parent / "selection.json")
    split({"a": table}, folder / "splits", SplitParams(test=0.4, validation=0.2))
    write_rows(Alignment.table_in(folder / "aligned" / "a"), Alignment, rows)
    return folder


def write_release(session: Path, folder: Path, params: ReleaseParams) -> Path:
    """Build the release `folder / "release"` of such a session."""
    build_release(session / "splits", folder / "release", params, aligned=session / "aligned")
    return folder / "release"


def _images(name: str) -> tuple[bytes, bytes]:
    made = patch_images(name, SIZE_PX)
    return made.phone, made.dslr


def _photos(folder: Path, scene: str, suffix: str) -> tuple[Path, Path]:
    exif = PillowImage.Exif()
    exif[0x13B], exif.get_ifd(0x8769)[0xA431] = "Jane Roe", "SN-87654321"
    seed = int(hashlib.sha256(scene.encode()).hexdigest()[:6], 16)
    grey = cv2.GaussianBlur(picture(seed, 2 * PHONE[1], 2 * PHONE[0]), (0, 0), 1.5)
    dslr = np.dstack([grey, np.roll(grey, 7, axis=1), grey])
    phone = cv2.resize(dslr, PHONE, interpolation=cv2.INTER_AREA)
    paths = folder / "a" / f"{scene}{suffix}", folder / "dslr" / f"{scene}{suffix}"
    for path, image in zip(paths, (phone, dslr), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(image).save(path, exif=exif, quality=98)
    return paths


def _row(pair_id: str, scene: str, known: dict[str, object]) -> Alignment:
    x, y, width, height = CROP
    cells = np.zeros((-(-height // CELL_PX), -(-width // CELL_PX)), bool)
    cells[0, 1] = True
    row = Alignment(
        **known,  # type: ignore[arg-type]
        **mask_columns(cells, CELL_PX),  # type: ignore[arg-type]
        pair_id=pair_id,
        phone="a",
        scene_id=scene,
        status="aligned",
        phone_width=PHONE[0],
        phone_height=PHONE[1],
        dslr_width=2 * PHONE[0],
        dslr_height=2 * PHONE[1],
        dslr_from_phone=(2.0, 0.0, 0.5, 0.0, 2.0, 0.5, 0.0, 0.0, 1.0),
        model="homography",
        key="k",
    )
    return replace(row, crop_x=x, crop_y=y, crop_width=width, crop_height=height)
