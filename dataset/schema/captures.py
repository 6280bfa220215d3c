"""The tables of the photos: which show the same moment, and how each was taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dpedtool.dataset.places import Place
from dpedtool.dataset.rows import FolderName, Identifier, Row, column


@dataclass(frozen=True, kw_only=True)
class Pair(Row):
    """One moment: the phone's photo and the DSLR's, or the only one that exists."""

    TABLE: ClassVar[str] = "pairs"
    MADE_BY: ClassVar[str] = "pair"
    STATUSES: ClassVar[tuple[str, ...]] = ("paired", "unpaired")
    REASONS: ClassVar[Mapping[str, str]] = {
        "no_dslr_photo": "the DSLR has no photo of this moment",
        "no_phone_photo": "the phone has no photo of this moment",
        "no_capture_time": "the photo carries no EXIF capture time",
        "not_in_csv": "the user's list of pairs does not name the photo",
        "unreadable_photo": "the photo's file cannot be read",
        "unusable_name": "the photo's name is not one line of valid Unicode",
        "ambiguous_picture": "several photos show the same and none clearly more, or one shows too little of it",
        "between_moments": "the phone took the photo between two moments, and neither is clearly nearer",
        "no_moment": "the photo of a further reference belongs to no moment of the base reference, or to one that has "
        "another photo of it",
    }

    pair_id: Identifier = column(
        "phone, session (where there are several) and photo name, joined by '--'; unique; letters, digits, '_' and '-'"
    )
    phone: FolderName = column("phone that took the photo: its folder's name")
    session: FolderName = column("session of the photos: its folder's name; empty where there is only one", default="")
    scene_id: Identifier | None = column(
        "session (where there are several) and the DSLR photo's name: equal for all phones' photos of one moment; "
        "empty for a lone photo of a further reference",
        default=None,
    )
    reference: FolderName = column(
        "further reference that took the DSLR photo (captures.references): its folder's name; empty: the base one",
        default="",
    )
    status: str = column("paired or unpaired")
    reason: str = column("why it is unpaired; empty when paired", default="")
    detail: str = column("the reason as a sentence, with figures; of frames, what is to be known of them", default="")
    matched_by: str | None = column(
        "csv: the user's list; name: equal file names; clock: capture times, which leave no other partner; picture: "
        "several photos are within the tolerance, and this one shows the same; order: several are, the pictures do not "
        "decide, and this one is next in time; sequence: it is at the same place in the order of names; likeness: of "
        "all photos, this one clearly shows the same; frame: the phone took it right before or after another photo of "
        "this moment; beside: it is the raw file of another photo of this moment; empty when unpaired",
        default=None,
    )
    role: str | None = column(
        "base: the phone's frame that stands for the moment; frame: a further one, of a burst or bracket; target: the "
        "base frame with the photo of a further reference; empty when unpaired",
        default=None,
    )
    frame: int | None = column(
        "its number among the phone's frames of the moment, from 0; of a target, the number of the further reference, "
        "from 1",
        default=None,
    )
    frames: int | None = column("how many frames of the moment the phone has; empty for a target", default=None)
    phone_path: Place | None = column("the phone's photo", default=None)
    dslr_path: Place | None = column("the DSLR's photo", default=None)
    phone_sha256: str | None = column("SHA-256 of the phone's file, hex", default=None)
    dslr_sha256: str | None = column("SHA-256 of the DSLR's file, hex", default=None)
    phone_time: str | None = column("capture time on the phone's clock, EXIF, ISO 8601 without zone", default=None)
    dslr_time: str | None = column("capture time on the DSLR's clock, EXIF, ISO 8601 without zone", default=None)
    clock_offset_s: float | None = column(
        "DSLR clock minus phone clock at this moment, as fitted, without changes of zone that photos state; empty "
        "unless paired by clock",
        "s",
        default=None,
    )
    clock_error_s: float | None = column("difference of this pair from that fit", "s", default=None)


@dataclass(frozen=True, kw_only=True)
class CameraShot(Row):
    """One photo of a phone or the DSLR, and the moment that it belongs to."""

    TABLE: ClassVar[str] = "shots"
    MADE_BY: ClassVar[str] = "pair"

    camera: FolderName = column("camera that took the photo: its folder's name")
    session: FolderName = column("its session; empty where there is only one")
    scene_id: Identifier | None = column("the moment; empty for a photo that belongs to none", default=None)
    role: str = column(
        "reference: the DSLR's; target: that of a further reference; base or frame: the phone's; alone: without a "
        "mate; beside: another file of the same exposure, which stands in no other table"
    )
    frame: int | None = column("number of the frame among the camera's frames of the moment, from 0", default=None)
    beside: str | None = column(
        "of a raw file, a HEIC file beside a JPEG, or an edit: name of the photo that stands for the same exposure",
        default=None,
    )
    path: Place | None = column("the photo; empty if its name is not valid Unicode", default=None)
    sha256: str | None = column("SHA-256 of its file, hex; empty if it cannot be read", default=None)
    time: str | None = column("capture time on the camera's clock, EXIF, ISO 8601 without zone", default=None)
    utc_offset_s: float | None = column(
        "how far that clock was ahead of UTC; empty if the photo does not say", "s", default=None
    )
    exposure_s: float | None = column("exposure time, EXIF", "s", default=None)
    f_number: float | None = column("f-number, EXIF", default=None)
    iso: float | None = column("ISO sensitivity, EXIF", default=None)
    ev: float | None = column("exposure against the base frame; positive: brighter", "stops", default=None)
