"""Whether the folder of the phone holds a camera's photos and that of the DSLR a phone's, as their EXIF blocks say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.names import drawn
from dpedtool.dataset.photos.decoding import open_photo
from dpedtool.dataset.photos.kept_metadata import EXIF, exif_block
from dpedtool.dataset.photos.tiff_fields import Field, TiffReader
from dpedtool.dataset.places import Place
from dpedtool.pipeline.pair.shots import Shot

_MAKE, _MODEL, _FOCAL_LENGTH, _FOCAL_LENGTH_35 = 0x10F, 0x110, 0x920A, 0xA405
_ASKED = 3
"""Photos of each folder that are looked at."""
_PHONES = re.compile(
    r"\b(iphone|ipad|pixel|nexus|galaxy|sm-\w+|xperia|redmi|poco|oneplus|oppo|vivo|realme|huawei|honor|xiaomi|motorola"
    r"|nothing|fairphone|hmd global|lge|zte|meizu|asus_\w+)\b",
    re.IGNORECASE,
)
_CAMERAS = re.compile(
    r"\b(eos|nikon d\d+\w*|nikon z ?\w+|ilce-\w+|ilca-\w+|dslr-\w+|slt-\w+|pentax|k-\d\w*|x-[thes]\w*|gfx\w*|e-m\w+"
    r"|om-\d\w*|dc-g\w+|dc-s\w+|dmc-g\w+|leica (m|sl|q)\w*|hasselblad|lumix)\b",
    re.IGNORECASE,
)
_PHONES_CROP, _CAMERAS_CROP = 3.0, 2.2
"""Focal length as on 35 mm film by the true one: phones have more than the first, cameras with lenses to change less
than the second (Four Thirds: 2.0)."""

Kind = Literal["phone", "camera"]


def notes_of_swapped(phone_dir: Place, dslr_dir: Place, phones: Sequence[Shot], dslrs: Sequence[Shot]) -> list[str]:
    """Say that the two folders were given in the wrong order; no sentence unless both show it."""
    (of_phone, phones_name), (of_dslr, dslrs_name) = _kind_of_all(phones), _kind_of_all(dslrs)
    if (of_phone, of_dslr) != ("camera", "phone"):
        return []
    return [
        f"The folders may be swapped: the photos in {phone_dir}, given as the phone's, are of {phones_name}, and those "
        f"in {dslr_dir}, given as the DSLR's, of {dslrs_name}. Name the phone's folder first."
    ]


def _kind_of_all(shots: Sequence[Shot]) -> tuple[Kind | None, str]:
    """Return what took the photos of a folder, and its name; None if it is not known, or they do not agree."""
    paths = {str(shot.path): shot.path for shot in shots}
    found = [_kind(paths[name]) for name in drawn(paths, _ASKED)]
    kinds = {kind for kind, _ in found}
    return found[0] if len(kinds) == 1 else (None, "")


def _kind(path: Place) -> tuple[Kind | None, str]:
    try:
        reader = TiffReader(exif_block(open_photo(path)))
    except (Rejection, ValueError):
        # The photo has no EXIF block, or its row says what is wrong with it.
        return None, ""
    main = reader.first({_MAKE, _MODEL, EXIF})
    shot = reader.below(main.get(EXIF), {_FOCAL_LENGTH, _FOCAL_LENGTH_35})
    make, model = (_text(main.get(tag)) for tag in (_MAKE, _MODEL))
    name = model if model.casefold().startswith(make.casefold()) else f"{make} {model}".strip()
    if _PHONES.search(name):
        return "phone", name
    if _CAMERAS.search(name):
        return "camera", name
    lengths = [next(iter(reader.numbers(shot.get(tag))), 0.0) for tag in (_FOCAL_LENGTH_35, _FOCAL_LENGTH)]
    if min(lengths) <= 0:
        return None, name
    crop = lengths[0] / lengths[1]
    named = name or f"a camera with a crop factor of {crop:.1f}"
    return "phone" if crop > _PHONES_CROP else "camera" if crop < _CAMERAS_CROP else None, named


def _text(field: Field | None) -> str:
    return field.data.split(b"\0")[0].decode("ascii", "replace").strip() if field else ""
