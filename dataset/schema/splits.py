"""The tables of the split: the side of every patch, pair of photos and scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dpedtool.dataset.places import Place
from dpedtool.dataset.rows import FolderName, Identifier, Row, column


@dataclass(frozen=True, kw_only=True)
class Sample(Row):
    """One accepted patch and the part of the data set that its scene belongs to."""

    TABLE: ClassVar[str] = "splits"
    MADE_BY: ClassVar[str] = "split"
    ADDED: ClassVar[frozenset[str]] = frozenset({"target_scale"})

    patch_id: Identifier = column("the patch")
    pair_id: Identifier = column("the pair that it was cut from")
    phone: FolderName = column("phone that took the photo")
    scene_id: Identifier = column("the moment; all patches of one scene, of all phones, are in one split")
    split: str = column("train, validation or test")
    target_scale: int = column(
        "px of the DSLR's image for each px of the phone's, along a side, as in the table of patches", default=1
    )
    shard: Path = column("tar file that holds both images")
    phone_offset: int = column("first byte of the phone image's file in the shard", "byte")
    phone_bytes: int = column("length of the phone image's file", "byte")
    dslr_offset: int = column("first byte of the DSLR image's file in the shard", "byte")
    dslr_bytes: int = column("length of the DSLR image's file", "byte")


@dataclass(frozen=True, kw_only=True)
class Photo(Row):
    """One pair of photos and its side of the split: why it is there, and everything that is needed to prove it."""

    TABLE: ClassVar[str] = "photos"
    MADE_BY: ClassVar[str] = "split"
    STATUSES: ClassVar[tuple[str, ...]] = ("present", "absent")
    REASONS: ClassVar[Mapping[str, str]] = {
        "two_sides": "it links scenes that an earlier run put on two sides, so that it would leak on either side",
    }
    # A record of version 0.1 still says on which side its scenes are.
    ADDED: ClassVar[frozenset[str]] = frozenset({"session"})

    pair_id: Identifier = column("the pair")
    phone: FolderName = column("phone that took the photo")
    session: FolderName = column("session of the photos; empty where there is only one", default="")
    scene_id: Identifier = column("the moment: equal for all phones' photos of it")
    group: str = column("group of scenes that must stay together, named after the earliest; empty when excluded")
    status: str = column(
        "present; or absent: known from an earlier run, and kept in case that it comes back", default="present"
    )
    split: str = column("train, validation or test; or excluded: on no side, and none of its patches is a sample")
    reason: str = column("why it is excluded; else empty", default="")
    detail: str = column("the reason as a sentence, with figures", default="")
    near_duplicate_of: str | None = column(
        "another scene of the group that this pair is linked to, the earliest of them; empty if there is none",
        default=None,
    )
    evidence: str = column("what links it to that scene, with figures", default="")
    phone_path: Place = column("the phone's photo")
    dslr_path: Place = column("the DSLR's photo")
    phone_sha256: str = column("SHA-256 of the phone's file, hex")
    dslr_sha256: str = column("SHA-256 of the DSLR's file, hex")
    phone_time: str | None = column("capture time on the phone's clock, EXIF, ISO 8601 without zone", default=None)
    dslr_time: str | None = column("capture time on the DSLR's clock, EXIF, ISO 8601 without zone", default=None)
    thumbnail: bytes = column("small grey copy of the upright DSLR photo, a JPEG file")
    accepted: int = column("patches of the pair, all of them samples unless it is excluded")
    drawn_by: str = column("seed and shares that the split was drawn with")
    near_minutes: float = column("split.near_minutes that the groups were found with", "min")
    near_keypoints: int = column("split.near_keypoints that the groups were found with")


@dataclass(frozen=True, kw_only=True)
class Scene(Row):
    """One scene of the split: its side, and what the table of scenes (captures.scenes) says about it."""

    TABLE: ClassVar[str] = "scenes"
    MADE_BY: ClassVar[str] = "split"

    scene_id: Identifier = column("the scene")
    session: FolderName = column("its session; empty where there is only one")
    split: str = column("train, validation, test or excluded")
    forced: str = column("the side that the table of scenes asks for; else empty", default="")
    group: str = column(
        "group by the table of scenes, which stays on one side, such as a place; else empty", default=""
    )
    tags: tuple[str, ...] = column(
        "KEY=VALUE, sorted by key: words of the column tags, whose value is yes, and further columns", default=()
    )
    licence: str = column("licence of its photos, if it has one of its own; else empty", default="")
    consent: str = column("whether the people shown agree; else empty", default="")
    notes: str = column("notes for yourself, which no release contains; else empty", default="")

    def values(self) -> dict[str, str]:
        """Return the tags by key."""
        return dict(tag.split("=", 1) for tag in self.tags)
