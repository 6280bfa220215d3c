"""The tables of the registration: the transform of each pair, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dpedtool.dataset.places import Place
from dpedtool.dataset.rows import FolderName, Identifier, Row, column


@dataclass(frozen=True, kw_only=True)
class Alignment(Row):
    """One pair of photos and the transform between them, or the reason why there is none."""

    TABLE: ClassVar[str] = "alignments"
    MADE_BY: ClassVar[str] = "align"
    STATUSES: ClassVar[tuple[str, ...]] = ("aligned", "rejected", "failed")
    REASONS: ClassVar[Mapping[str, str]] = {
        "few_matches": "too few keypoints of the two photos match",
        "wrong_pair": "the photos show different scenes: no single transform fits the matches, or the windows differ",
        "low_texture": "a photo is too plain or too small to align, or to check the alignment",
        "poor_coverage": "the photos have too little of the frame in common",
        "parallax": "the scene has depth, which the lenses see from different places, and following it was not enough",
        "moving_object": "too much of the frame moved between the shots, in a way that no depth explains",
        "not_followed": "too much of the frame cannot be found in the other photo: it repeats itself, moves like "
        "water or leaves, or lies too far from its place",
        "misaligned": "windows are still shifted, and no cause was recognised",
        "clipped_exposure": "too much of a photo is burnt out or black",
        "motion_blur": "one photo is blurred along a line: its camera moved",
        "mirrored_frame": "the phone photo is mirrored",
        "rotated_frame": "the phone photo is turned against the DSLR's by more than align.max_turn_deg",
        "own_method_failed": "align.matcher or align.flow raised an error or returned something else (failed)",
        "unreadable_photo": "a photo cannot be read or decoded (failed, not rejected: another run tries again)",
        "photo_changed": "a photo is not the one that was paired (failed)",
        "worker_lost": "the process that worked on the pair was killed twice (failed)",
        "internal_error": "a fault of the program (failed)",
    }

    RETRIED: ClassVar[frozenset[str]] = Row.RETRIED | {"own_method_failed"}

    pair_id: Identifier = column("the pair, as in the table of pairs")
    phone: FolderName = column("phone that took the photo")
    session: FolderName = column("session of the photos; empty where there is only one", default="")
    scene_id: Identifier = column("the moment: equal for all phones' photos of it")
    reference: FolderName = column(
        "further reference that took the DSLR photo: its folder's name; empty: the base one", default=""
    )
    role: str = column("base, frame or target, as in the table of pairs", default="base")
    frame: int = column(
        "number of the frame among the phone's frames of the moment, from 0; of a target, the number of the further "
        "reference, from 1",
        default=0,
    )
    status: str = column("aligned, rejected (for what the photos show) or failed (no verdict: another run tries again)")
    reason: str = column("why it is not aligned; empty when aligned", default="")
    detail: str = column("the reason as a sentence, with figures", default="")
    note: str = column("what was ignored in the photos, such as a damaged colour profile; else empty", default="")
    phone_path: Place = column("the phone's photo")
    dslr_path: Place = column("the DSLR's photo")
    phone_sha256: str = column("SHA-256 of the phone's file, hex")
    dslr_sha256: str = column("SHA-256 of the DSLR's file, hex")
    phone_width: int | None = column("width of the upright phone photo", "px", default=None)
    phone_height: int | None = column("height of the upright phone photo", "px", default=None)
    dslr_width: int | None = column("width of the upright DSLR photo", "px", default=None)
    dslr_height: int | None = column("height of the upright DSLR photo", "px", default=None)
    dslr_from_phone: tuple[float, ...] | None = column(
        "homography from upright phone px to upright DSLR px, row by row", default=None
    )
    model: str | None = column(
        "model of the transform: homography; a homography with a field: lens, cubic or quintic; local: either of them "
        "with nodes, which follow the depth of the scene",
        default=None,
    )
    field: tuple[float, ...] | None = column(
        "polynomial displacement of phone px before the homography; x, y of each term u^i v^j, by i + j, then by j; "
        "u, v: position relative to the photo's middle, in units of half its longer side",
        "px",
        default=None,
    )
    nodes_path: Place | None = column(
        "file of the nodes of the model local: a .npy array of int16, (rows, columns, 2), x and y of a displacement of "
        "phone px before the homography, in 1/64 px; bilinear between nodes, added to that of the field",
        default=None,
    )
    nodes_sha256: str | None = column("SHA-256 of that file, hex", default=None)
    nodes_rows: int | None = column("rows of nodes", default=None)
    nodes_columns: int | None = column("columns of nodes", default=None)
    nodes_spacing_px: int | None = column(
        "distance of neighbouring nodes; the first one lies at (spacing - 1) / 2 in x and y", "phone px", default=None
    )
    hidden: float | None = column(
        "share of the crop's detail that only one camera sees, by a flow there and back; empty where none was computed",
        "0..1",
        default=None,
    )
    jump: float | None = column(
        "share of the crop where the flow jumps from one depth to another; empty likewise", "0..1", default=None
    )
    scale: float | None = column("DSLR px per phone px at the crop's centre", "px/px", default=None)
    coverage: float | None = column("share of the phone photo inside the crop", "0..1", default=None)
    crop_x: int | None = column("left column of the common crop in the phone photo", "px", default=None)
    crop_y: int | None = column("top row of the common crop in the phone photo", "px", default=None)
    crop_width: int | None = column("width of the common crop", "px", default=None)
    crop_height: int | None = column("height of the common crop", "px", default=None)
    phone_keypoints: int | None = column("SIFT keypoints in the phone photo", default=None)
    dslr_keypoints: int | None = column("SIFT keypoints in the DSLR photo", default=None)
    matches: int | None = column("matches that passed the ratio test", default=None)
    inliers: int | None = column("matches that the first homography explains", default=None)
    off_plane: int | None = column(
        "matches that it does not explain, but two views of one scene with depth do", default=None
    )
    turn_deg: float | None = column(
        "how far the phone photo is turned clockwise against the DSLR's, -180..180", "degrees", default=None
    )
    reprojection_px: float | None = column(
        "median distance of the inliers from the first homography", "phone px", default=None
    )
    fit_windows: int | None = column("windows that the refined transform was fitted to", default=None)
    held_out_px: float | None = column(
        "root mean square distance of windows, except outliers, from the model that was fitted without them",
        "phone px",
        default=None,
    )
    residual_textured: int | None = column(
        "64 px windows with enough texture to measure a shift, outside the mask", default=None
    )
    residual_windows: int | None = column(
        "those of them that were found in the DSLR's image, within 8 px and with an NCC above 0.9", default=None
    )
    residual_edge: int | None = column(
        "those of them whose best place lies at the edge of the 8 px, so that they may be farther off", default=None
    )
    residual_px: float | None = column(
        "median sub-pixel shift that is left in the windows that were found", "phone px", default=None
    )
    residual_p95_px: float | None = column("95th percentile of the same shifts", "phone px", default=None)
    at_place: float | None = column("share of all textured windows that are where they should be", "0..1", default=None)
    misplaced: float | None = column(
        "share of the windows whose shift is known, by texture and noise, that lie more than 0.5 px from their place",
        "0..1",
        default=None,
    )
    mask: bytes | None = column(
        "cells of the crop that are not to be used (parallax, motion): one bit for each cell, set for such a cell, row "
        "by row from the top left corner, the first in the highest bit of the first byte",
        default=None,
    )
    mask_cell_px: int | None = column("side of such a cell", "px", default=None)
    masked: float | None = column("share of the crop that is masked", "0..1", default=None)
    clipped: float | None = column("share of the worse photo that is burnt out or black", "0..1", default=None)
    phone_noise: float | None = column(
        "standard deviation of the noise of the phone's photo, by its plainest parts", "grey levels", default=None
    )
    dslr_noise: float | None = column(
        "the same of the DSLR's, at the phone's resolution; both decide how much is smoothed to measure",
        "grey levels",
        default=None,
    )
    blur_evenness: float | None = column(
        "share of the other's gradient energy that one photo keeps: in the worst direction, divided by the best one",
        "0..1",
        default=None,
    )
    shake_px: float | None = column(
        "how far the camera moved against the base frame: the largest distance between the places of a phone px by the "
        "transforms of both frames, at the corners and in the middle of the common crop; empty for base frames, and "
        "where one of the two is not aligned",
        "phone px",
        default=None,
    )
    shake_deg: float | None = column(
        "how far this frame is turned clockwise against the base frame, -180..180; empty likewise",
        "degrees",
        default=None,
    )
    key: str = column("digest of the inputs, parameters and code that made this row")


@dataclass(frozen=True, kw_only=True)
class Timing(Row):
    """Processor time of one pair in the run that aligned it, in a table of its own, as times differ between runs."""

    TABLE: ClassVar[str] = "timings"
    MADE_BY: ClassVar[str] = "align"

    pair_id: Identifier = column("the pair")
    key: str = column("digest of what was done, as in the table of alignments")
    read_s: float = column("reading both files and checking their SHA-256", "CPU s", default=0.0)
    decode_s: float = column("decoding both photos in grey", "CPU s", default=0.0)
    register_s: float = column("keypoints, matches, first homography", "CPU s", default=0.0)
    refine_s: float = column("windows and the fit of the transform", "CPU s", default=0.0)
    check_s: float = column("search for shifts that are left, blur, exposure; flow and nodes", "CPU s", default=0.0)
    images_s: float = column("decoding in colour, warping and writing the images", "CPU s", default=0.0)
    total_s: float = column("all of it", "CPU s", default=0.0)
