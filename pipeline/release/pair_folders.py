"""Whole aligned pairs as a data set: three folders of images of equal names for each phone and side of the split.

pairs/<phone>/<split>/phone/<pair_id>.png     what both photos show, the phone's px
pairs/<phone>/<split>/dslr/<pair_id>.png      the DSLR's on the same px
pairs/<phone>/<split>/mask/<pair_id>.png      255 where both show the same, 0 where something moved or is hidden
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.io import digest, read_json, write_json
from dpedtool.dataset.params import ReleaseParams
from dpedtool.dataset.photos.decoding import open_unchanged
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.schema import Alignment, Photo
from dpedtool.pipeline.geometry.aligned import crop_box, crops, transform, usable_px
from dpedtool.pipeline.memory import WHOLE_TARGET, Need, read_header
from dpedtool.pipeline.release.privacy.scan import scan
from dpedtool.pipeline.release.privacy.stripping import told
from dpedtool.pipeline.release.whole_alignments import alignment_of

ROOT = "pairs"
PARTS = ("phone", "dslr", "mask")
"""The folders of a side; the images of a pair have one name in them."""


@dataclass(frozen=True)
class WantedPair:
    """A pair that is to be released whole."""

    phone: str
    split: str
    row: Alignment

    @property
    def pair_id(self) -> str:
        """Its name."""
        return self.row.pair_id


@dataclass(frozen=True)
class WrittenPair:
    """The result for one pair."""

    pair_id: str
    note: str
    """Why it was left out, a sentence; empty if its files were written."""
    key: str
    """Digest of what it was made from."""


def files_of(phone: str, split: str, pair_id: str, suffix: str) -> tuple[str, str, str]:
    """Return the files of a pair, relative to the release, in the order of `PARTS`; the mask is a PNG file."""
    first, second, third = (f"{ROOT}/{phone}/{split}/{part}/{pair_id}" for part in PARTS)
    return f"{first}.{suffix}", f"{second}.{suffix}", f"{third}.png"


def choose_pairs(
    photos: Sequence[Photo], params: ReleaseParams, alignments: Mapping[str, Alignment] | None
) -> list[WantedPair]:
    """Return the pairs that are to be released whole: all of them, if `release.whole_pairs` asks for them.

    Raises
    ------
    DpedtoolError
        There are no alignments, or they lack a pair or are about other photos.

    """
    if params.whole_pairs is None:
        return []
    if alignments is None:
        raise DpedtoolError(
            "Whole pairs need their alignments: name the folder that `dpedtool align` wrote by --aligned, or set "
            "release.whole_pairs to null."
        )
    return [WantedPair(photo.phone, photo.split, alignment_of(photo, alignments)) for photo in photos]


def write_pair(wanted: WantedPair, root: Path, suffix: str, jpeg_quality: int) -> WrittenPair:
    """Write what both photos of a pair show, and where they can be compared.

    The DSLR's photo is resampled once, from the original, and neither file has metadata.
    """
    row, key = wanted.row, _key(wanted)
    try:
        files = open_unchanged(row.phone_path, row.phone_sha256), open_unchanged(row.dslr_path, row.dslr_sha256)
        images = crops(files, transform(row), crop_box(row))
    except Rejection as rejection:
        return WrittenPair(wanted.pair_id, f"The whole pair {wanted.pair_id} is left out: {rejection.detail}", key)
    mask = np.where(usable_px(row.mask or b"", row.mask_cell_px, crop_box(row)), np.uint8(255), np.uint8(0))
    names = files_of(wanted.phone, wanted.split, wanted.pair_id, suffix)
    secrets = frozenset(text for file in files for text in told(file))
    for name, image in zip(names, (*images, mask), strict=True):
        content = encode_image(image, Path(name).suffix, jpeg_quality, fine_colours=True)
        if findings := scan(name, content, secrets):
            raise DpedtoolError(f"{findings[0]} This comes from the photos of {wanted.pair_id}: leave them out.")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return WrittenPair(wanted.pair_id, "", key)


def pair_need(wanted: WantedPair) -> Need:
    """Return the memory that `write_pair` takes."""
    headers = read_header(wanted.row.phone_path), read_header(wanted.row.dslr_path)
    return Need(f"The whole pair {wanted.pair_id}", WHOLE_TARGET.of(*headers))


def remember(written: WrittenPair, work: Path) -> None:
    """Note in the folder of an unfinished build that a pair is done."""
    write_json(_record(work, written.pair_id), dataclasses.asdict(written))


def remembered(wanted: WantedPair, work: Path) -> WrittenPair | None:
    """Return the result for a pair that an interrupted build has finished; None if it must be written again."""
    record = _record(work, wanted.pair_id)
    written = WrittenPair(**read_json(record)) if record.is_file() else None
    return written if written and written.key == _key(wanted) and not written.note else None


def _record(work: Path, pair_id: str) -> Path:
    return work / f"pair.{pair_id}.json"


def _key(wanted: WantedPair) -> str:
    return digest([wanted.row.key, wanted.row.phone_sha256, wanted.row.dslr_sha256])
