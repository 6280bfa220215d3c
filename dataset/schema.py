"""The tables between the stages: one frozen dataclass per row type is its schema, documentation and typed access.

Conventions of all tables and all code:

- Images are arrays (height, width, 3), BGR, uint8, turned upright by their EXIF orientation.
- Points are (x, y), x to the right, y down, in px; integers are pixel centres, so a photo spans -0.5..width-0.5.
- Transforms are named target_from_source: `dslr_from_phone` takes points of the phone photo to the DSLR photo.
- Homographies are nine numbers, row by row, the last one 1.
- Paths in a file are relative to the folder of that file, with forward slashes; in memory they can be opened. A photo
  may have a URL (s3://bucket/phone/a.jpg), which is stored as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dpedtool.dataset.places import Place
from dpedtool.dataset.rows import Row, column, columns


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
        "unusable_name": "the photo's name is not valid Unicode",
        "between_moments": "the phone took the photo between two moments, and neither is clearly nearer",
    }

    pair_id: str = column(
        "phone, session (where there are several) and photo name, joined by '--'; unique; letters, digits, '_' and '-'"
    )
    phone: str = column("phone that took the photo: its folder's name")
    session: str = column("session of the photos: its folder's name; empty where there is only one", default="")
    scene_id: str | None = column(
        "session (where there are several) and the DSLR photo's name: equal for all phones' photos of one moment",
        default=None,
    )
    status: str = column("paired or unpaired")
    reason: str = column("why it is unpaired; empty when paired", default="")
    detail: str = column("the reason as a sentence, with figures", default="")
    matched_by: str | None = column(
        "csv: the user's list; name: equal file names; clock: capture times, which leave no other partner; picture: "
        "several photos are within the tolerance, and this one shows the same; order: several are, the pictures do not "
        "decide, and this one is next in time; frame: the phone took it right before or after another photo of this "
        "moment; empty when unpaired",
        default=None,
    )
    role: str | None = column(
        "base: the phone's frame that stands for the moment; frame: a further one, of a burst or bracket; empty when "
        "unpaired",
        default=None,
    )
    frame: int | None = column("its number among the phone's frames of the moment, from 0", default=None)
    frames: int | None = column("how many frames of the moment the phone has", default=None)
    phone_path: Place | None = column("the phone's photo", default=None)
    dslr_path: Place | None = column("the DSLR's photo", default=None)
    phone_sha256: str | None = column("SHA-256 of the phone's file, hex", default=None)
    dslr_sha256: str | None = column("SHA-256 of the DSLR's file, hex", default=None)
    phone_time: str | None = column("capture time on the phone's clock, EXIF, ISO 8601 without zone", default=None)
    dslr_time: str | None = column("capture time on the DSLR's clock, EXIF, ISO 8601 without zone", default=None)
    clock_offset_s: float | None = column(
        "DSLR clock minus phone clock at this moment, as fitted; empty when paired by name", "s", default=None
    )
    clock_error_s: float | None = column("difference of this pair from that fit", "s", default=None)


@dataclass(frozen=True, kw_only=True)
class CameraShot(Row):
    """One photo of a phone or the DSLR, and the moment that it belongs to."""

    TABLE: ClassVar[str] = "shots"
    MADE_BY: ClassVar[str] = "pair"

    camera: str = column("camera that took the photo: its folder's name")
    session: str = column("its session; empty where there is only one")
    scene_id: str | None = column("the moment; empty for a photo that belongs to none", default=None)
    role: str = column("reference: the DSLR's; base or frame: the phone's; alone: without a mate")
    frame: int | None = column("number of the frame among the camera's frames of the moment, from 0", default=None)
    path: Place | None = column("the photo; empty if its name is not valid Unicode", default=None)
    sha256: str | None = column("SHA-256 of its file, hex; empty if it cannot be read", default=None)
    time: str | None = column("capture time on the camera's clock, EXIF, ISO 8601 without zone", default=None)
    exposure_s: float | None = column("exposure time, EXIF", "s", default=None)
    f_number: float | None = column("f-number, EXIF", default=None)
    iso: float | None = column("ISO sensitivity, EXIF", default=None)
    ev: float | None = column("exposure against the base frame; positive: brighter", "stops", default=None)


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

    pair_id: str = column("the pair, as in the table of pairs")
    phone: str = column("phone that took the photo")
    session: str = column("session of the photos; empty where there is only one", default="")
    scene_id: str = column("the moment: equal for all phones' photos of it")
    role: str = column("base or frame, as in the table of pairs", default="base")
    frame: int = column("number of the frame among the phone's frames of the moment, from 0", default=0)
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
    key: str = column("digest of the inputs, parameters and code that made this row")


@dataclass(frozen=True, kw_only=True)
class Timing(Row):
    """Processor time of one pair in the run that aligned it, in a table of its own, as times differ between runs."""

    TABLE: ClassVar[str] = "timings"
    MADE_BY: ClassVar[str] = "align"

    pair_id: str = column("the pair")
    key: str = column("digest of what was done, as in the table of alignments")
    read_s: float = column("reading both files and checking their SHA-256", "CPU s", default=0.0)
    decode_s: float = column("decoding both photos in grey", "CPU s", default=0.0)
    register_s: float = column("keypoints, matches, first homography", "CPU s", default=0.0)
    refine_s: float = column("windows and the fit of the transform", "CPU s", default=0.0)
    check_s: float = column("search for shifts that are left, blur, exposure; flow and nodes", "CPU s", default=0.0)
    images_s: float = column("decoding in colour, warping and writing the images", "CPU s", default=0.0)
    total_s: float = column("all of it", "CPU s", default=0.0)


@dataclass(frozen=True, kw_only=True)
class Patch(Row):
    """One candidate window of an aligned pair, kept or not: what was measured on it, and where it comes from.

    An imported patch (mode imported) has no photos. Its paths are those of its two image files, and its place in a
    photo is empty. It was measured on the window in its middle that leaves room to search: the middle 86 px of 100 px
    with patches.search_px 5.
    """

    TABLE: ClassVar[str] = "patches"
    MADE_BY: ClassVar[str] = "patches"
    STATUSES: ClassVar[tuple[str, ...]] = ("accepted", "rejected")
    REASONS: ClassVar[Mapping[str, str]] = {
        "masked": "the alignment masks this place: parallax or motion",
        "flat": "a window has too little contrast, or a single grey value",
        "low_ncc": "the two windows differ: correlation below patches.min_ncc",
        "shifted": "the two windows are still shifted against each other by more than patches.max_residual_px",
        "uncertain": "the shift that is left cannot be measured well: there is little detail, or in one direction only",
        "motion": "a part of the window shows something else in the other photo, while the other parts agree",
        "hidden": "a part of the window is seen by one camera alone",
        "depth_jump": "the window spans two depths, and one shift is not right for both",
        "unfollowed": "parts of the window lie elsewhere than the alignment puts them, as they have another depth",
        "repetitive": "the window repeats itself, so that another shift correlates nearly as well",
        "clipped": "too much of a window is burnt out or black",
        "unsharp": "the DSLR's window is blurred, or more blurred than the phone's",
        "small_crop": "the common crop is smaller than a window",
        "photo_changed": "a photo is not the one that was paired",
        "nodes_changed": "the file of the pair's nodes is missing, or is not the one that the alignment made",
        "unreadable_photo": "a photo cannot be decoded any more; imported: an image cannot be read",
        "worker_lost": "the process that worked on the pair was killed",
        "internal_error": "a fault of the program",
        "no_mate": "imported: one of the two images is missing",
        "unequal_sizes": "imported: the two images differ in size",
    }

    RETRIED: ClassVar[frozenset[str]] = Row.RETRIED | {"nodes_changed"}

    patch_id: str = column("pair and place of the window; unique; letters, digits, '_' and '-'")
    pair_id: str = column("the pair that the window was cut from; imported: the patch itself")
    phone: str = column("phone that took the photo")
    scene_id: str = column("the moment: equal for all phones' photos of it; imported: the patch itself")
    status: str = column("accepted or rejected")
    reason: str = column("why it was rejected; empty when accepted", default="")
    detail: str = column(
        "the reason as a sentence, with figures; imported: what was not stored unchanged, also of an accepted patch",
        default="",
    )
    x: int | None = column("left column of the window in the upright phone photo, before it moves", "px", default=None)
    y: int | None = column("top row of the window in the upright phone photo, before it moves", "px", default=None)
    size: int | None = column(
        "side of the window; imported: side of the patch, empty if it is not square", "px", default=None
    )
    ncc: float | None = column(
        "zero-mean normalised cross-correlation of the two grey windows without a shift; empty if one has a single "
        "grey value",
        "-1..1",
        default=None,
    )
    best_ncc: float | None = column("highest NCC over the shifts and turns of the search", "-1..1", default=None)
    dx: float | None = column(
        "shift at which the phone's photo matches the window best, to the right of (x, y); only applied in mode dped",
        "phone px",
        default=None,
    )
    dy: float | None = column("the same, downwards", "phone px", default=None)
    angle_deg: float | None = column(
        "turn of the phone's window about its middle, clockwise as one sees it; 0 in mode strict",
        "degrees",
        default=None,
    )
    second_ncc: float | None = column(
        "NCC of the second highest peak of the search, more than 2 px from the best; empty if there is none",
        "-1..1",
        default=None,
    )
    residual_x: float | None = column(
        "sub-pixel shift left between the two images of the patch: the DSLR's shows at x + residual_x what the "
        "phone's shows at x; empty if it cannot be measured",
        "phone px",
        default=None,
    )
    residual_y: float | None = column("the same, downwards", "phone px", default=None)
    residual_px: float | None = column("length of that shift", "phone px", default=None)
    residual_error_px: float | None = column(
        "standard error of that shift, in the direction where it is known least well", "phone px", default=None
    )
    noise: float | None = column(
        "root mean square difference of the grey windows beyond gain and offset: noise, sharpness, or another content",
        "grey levels",
        default=None,
    )
    difference: float | None = column(
        "that difference without the slopes that the brightness of both windows has", "grey levels", default=None
    )
    difference_peak: float | None = column(
        "largest value of that difference at one place, smoothed, as a multiple of its usual size (standard deviation, "
        "robust): about 3 where it is noise",
        default=None,
    )
    harm: float | None = column(
        "change of the window (root mean square) by a shift in the directions that it cannot know: 3 px, or three "
        "standard errors where the error is within the limit",
        "grey levels",
        default=None,
    )
    pair_noise: float | None = column(
        "that difference in plainer parts of the pair of the same brightness; empty in dped",
        "grey levels",
        default=None,
    )
    ncc_without_noise: float | None = column(
        "NCC as it would be without that noise; likewise, and empty where the phone's window shows nothing else",
        "0..1",
        default=None,
    )
    pair_shift_px: float | None = column(
        "shift on which the windows around agree; empty in scenes with depth and in dped", "phone px", default=None
    )
    pair_error_px: float | None = column("standard error of that shift", "phone px", default=None)
    pair_distance: float | None = column(
        "distance of the window's own shift from theirs, in standard errors of both; empty if it has none", default=None
    )
    proved_by: str | None = column(
        "what proves that an accepted patch is aligned: window (its own shift is short and known) or pair (the windows "
        "around agree, the window does not contradict them, and no shift that it cannot know would change it by more "
        "than its noise); empty in mode dped",
        default=None,
    )
    phone_contrast: float | None = column("standard deviation of the phone's grey window", "grey levels", default=None)
    dslr_contrast: float | None = column("standard deviation of the DSLR's grey window", "grey levels", default=None)
    phone_brightness: float | None = column(
        "mean of the phone's grey window, in the range of brightness that both photos show", "grey levels", default=None
    )
    dslr_brightness: float | None = column("mean of the DSLR's, likewise", "grey levels", default=None)
    flatness: float | None = column(
        "share of the window where neither image has detail, so that both change by no more than noise",
        "0..1",
        default=None,
    )
    clipped: float | None = column("share of the worse window that is burnt out or black", "0..1", default=None)
    phone_sharpness: float | None = column(
        "root mean square of the Laplacian of the phone's grey window, smoothed by 1.2 px, over its standard deviation",
        "1/px^2",
        default=None,
    )
    dslr_sharpness: float | None = column("the same for the DSLR's", "1/px^2", default=None)
    motion: float | None = column(
        "largest drop of the NCC of a small part of the window below that of the parts around it",
        "0..2",
        default=None,
    )
    hidden: float | None = column(
        "share of the detail that only one camera sees, by a flow there and back; empty for pairs without depth",
        "0..1",
        default=None,
    )
    jump: float | None = column(
        "share of the window where the flow jumps from one depth to another; empty for pairs without depth",
        "0..1",
        default=None,
    )
    unfollowed: float | None = column(
        "share of the detail that lies more than 1 px from where the alignment puts it, by the same flow; empty for "
        "pairs without depth",
        "0..1",
        default=None,
    )
    squeezed: float | None = column(
        "share of the window that the nodes squeeze to less than 0.7 of its area, because something nearer hides a "
        "part of it from the DSLR; empty without nodes",
        "0..1",
        default=None,
    )
    stretched: float | None = column(
        "share of the window that they stretch to more than 1.3 of its area, because something nearer hides more from "
        "the phone; empty without nodes",
        "0..1",
        default=None,
    )
    mode: str | None = column(
        "strict: the window stays where it is; dped: it moves to the best NCC; imported: others have cut the patch",
        default=None,
    )
    phone_x: float | None = column(
        "left column of the phone's image of the patch in the upright phone photo, before the turn", "px", default=None
    )
    phone_y: float | None = column("its top row", "px", default=None)
    dslr_x: float | None = column("left of the box that the patch covers in the upright DSLR photo", "px", default=None)
    dslr_y: float | None = column("top of that box", "px", default=None)
    dslr_width: float | None = column("width of that box", "px", default=None)
    dslr_height: float | None = column("height of that box", "px", default=None)
    place_x: float | None = column(
        "shared places: x of the place in the upright DSLR photo, the same for all phones; the middle of the patch "
        "lies there, to half a phone px; empty where each phone has places of its own",
        "px",
        default=None,
    )
    place_y: float | None = column("its y", "px", default=None)
    dslr_from_patch: tuple[float, ...] | None = column(
        "homography from px of the patch to upright DSLR px, row by row: the closest one to the alignment's transform "
        "over the whole patch",
        default=None,
    )
    bend_px: float | None = column(
        "largest distance in the patch between the place by that homography and the place by the alignment's transform",
        "phone px",
        default=None,
    )
    bends: tuple[float, ...] | None = column(
        "what to add to px of the patch before that homography, so that the place is exact: x, y at n x n nodes, row "
        "by row, bilinear between them; n = ceil((size + 7) / 8) + 1; nodes are 8 px apart, and the first one lies at "
        "-((x - 3.5) mod 8), -((y - 3.5) mod 8) px of the patch; only in accepted patches of pairs with nodes",
        "phone px",
        default=None,
    )
    phone_path: Place = column("the phone's photo")
    dslr_path: Place = column("the DSLR's photo")
    phone_sha256: str = column("SHA-256 of the phone's file, hex; imported: empty where a file cannot be read")
    dslr_sha256: str = column("SHA-256 of the DSLR's file, hex; imported: the same")
    shard: Path | None = column("tar file that holds both images; empty when rejected", default=None)
    phone_offset: int | None = column("first byte of the phone image's file in the shard", "byte", default=None)
    phone_bytes: int | None = column("length of the phone image's file", "byte", default=None)
    dslr_offset: int | None = column("first byte of the DSLR image's file in the shard", "byte", default=None)
    dslr_bytes: int | None = column("length of the DSLR image's file", "byte", default=None)
    params_sha256: str = column(
        "SHA-256, hex, of the section patches of the parameters, as in selection.json or imported.json"
    )
    key: str = column("digest of the inputs, parameters and code that made this row")


@dataclass(frozen=True, kw_only=True)
class Frame(Row):
    """One aligned pair that patches were cut from: its photos, and a thumbnail of the scene."""

    TABLE: ClassVar[str] = "frames"
    MADE_BY: ClassVar[str] = "patches"

    pair_id: str = column("the pair")
    phone: str = column("phone that took the photo")
    session: str = column("session of the photos; empty where there is only one", default="")
    scene_id: str = column("the moment: equal for all phones' photos of it")
    phone_path: Place = column("the phone's photo")
    dslr_path: Place = column("the DSLR's photo")
    phone_sha256: str = column("SHA-256 of the phone's file, hex")
    dslr_sha256: str = column("SHA-256 of the DSLR's file, hex")
    phone_width: int = column("width of the upright phone photo", "px")
    phone_height: int = column("height of the upright phone photo", "px")
    phone_time: str | None = column("capture time on the phone's clock, EXIF, ISO 8601 without zone", default=None)
    dslr_time: str | None = column("capture time on the DSLR's clock, EXIF, ISO 8601 without zone", default=None)
    thumbnail: bytes = column("small grey copy of the upright DSLR photo, a JPEG file")
    windows: int = column("candidate windows of the pair")
    accepted: int = column("those of them that became patches")
    key: str = column("digest of the inputs, parameters and code that made this row, as in the table of patches")


SPLITS = ("train", "validation", "test")
"""The sides of a split."""
EXCLUDED = "excluded"
"""The value for a photo that can be on none of these sides."""


@dataclass(frozen=True, kw_only=True)
class Sample(Row):
    """One accepted patch and the part of the data set that its scene belongs to."""

    TABLE: ClassVar[str] = "splits"
    MADE_BY: ClassVar[str] = "split"

    patch_id: str = column("the patch")
    pair_id: str = column("the pair that it was cut from")
    phone: str = column("phone that took the photo")
    scene_id: str = column("the moment; all patches of one scene, of all phones, are in one split")
    split: str = column("train, validation or test")
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

    pair_id: str = column("the pair")
    phone: str = column("phone that took the photo")
    session: str = column("session of the photos; empty where there is only one", default="")
    scene_id: str = column("the moment: equal for all phones' photos of it")
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

    scene_id: str = column("the scene")
    session: str = column("its session; empty where there is only one")
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


@dataclass(frozen=True, kw_only=True)
class Score(Row):
    """How one test patch compares with the DSLR's, untouched, with other colours, and after the network."""

    TABLE: ClassVar[str] = "scores"
    MADE_BY: ClassVar[str] = "evaluate"

    patch_id: str = column("the patch")
    psnr_before: float = column("PSNR of the untouched phone patch; infinite when equal", "dB")
    psnr_colour: float | None = column(
        "PSNR after one quadratic colour transform, fitted to the training patches; null without such patches", "dB"
    )
    psnr_oracle: float = column(
        "PSNR after such a transform fitted to all test patches of the same photos: the most that colours can do", "dB"
    )
    psnr_after: float = column("PSNR of the network's output, clipped to 0..1", "dB")
    ms_ssim_before: float = column("MS-SSIM of the untouched phone patch", "0..1")
    ms_ssim_colour: float | None = column("MS-SSIM after the colour transform of the training patches", "0..1")
    ms_ssim_oracle: float = column("MS-SSIM after the colour transform of the same photos", "0..1")
    ms_ssim_after: float = column("MS-SSIM of the network's output, clipped to 0..1", "0..1")
    ssim_before: float = column("SSIM of the untouched phone patch", "-1..1")
    ssim_colour: float | None = column("SSIM after the colour transform of the training patches", "-1..1")
    ssim_oracle: float = column("SSIM after the colour transform of the same photos", "-1..1")
    ssim_after: float = column("SSIM of the network's output, clipped to 0..1", "-1..1")


@dataclass(frozen=True, kw_only=True)
class Shown(Row):
    """What the report shows of one pair or single photo: the files of its folder next to the table."""

    TABLE: ClassVar[str] = "shown"
    MADE_BY: ClassVar[str] = "report"
    STATUSES: ClassVar[tuple[str, ...]] = ("shown", "failed")
    REASONS: ClassVar[Mapping[str, str]] = {
        "unreadable_photo": "a photo cannot be read or decoded any more; the other one is shown, if it can be",
        "photo_changed": "a photo is not the one that was paired; the other one is shown, if it can be",
        "worker_lost": "the process that worked on the pair was killed twice",
        "internal_error": "a fault of the program",
    }

    pair_id: str = column("the pair, as in the table of pairs: the folder's name")
    phone: str = column("phone that took the photo")
    status: str = column("shown; or failed, so that another run tries again")
    reason: str = column("why it failed; else empty", default="")
    detail: str = column("the reason as a sentence, with figures", default="")
    pictures: int = column("pictures in the folder, including the thumbnail; 0: nothing could be read")
    certain: int | None = column(
        "windows outside the mask whose shift is known to a quarter of a px or better; empty if the photos are not "
        "laid over each other",
        default=None,
    )
    amiss: int | None = column(
        "windows outside the mask whose content appears clearly elsewhere in the other photo, or not at all",
        default=None,
    )
    certain_p95_px: float | None = column(
        "95th percentile of the shifts of the certain windows; empty if there are fewer than five",
        "phone px",
        default=None,
    )
    bytes: int = column("length of all files in the folder together", "byte")
    key: str = column("digest of the inputs and code that made the folder; the first line of its details.js has it too")


TABLES: tuple[type[Row], ...] = (Pair, CameraShot, Alignment, Timing, Patch, Frame, Sample, Photo, Scene, Score, Shown)


def as_markdown() -> str:
    """Return the documentation of all tables: `docs/tables.md`, which a test compares with this."""
    parts = ["# The tables between the stages\n", _conventions()]
    for row_type in TABLES:
        parts.append(f"\n## {row_type.TABLE}\n\n{inspect.getdoc(row_type)}\n")
        parts.append("| column | type | unit | meaning |\n|---|---|---|---|")
        parts += [
            f"| {spec.name} | {spec.arrow_type}{', or empty' if spec.nullable else ''} | {spec.unit} | {spec.meaning} |"
            for spec in columns(row_type)
        ]
        if row_type.REASONS:
            parts.append("\n| reason | meaning |\n|---|---|")
            parts += [f"| {reason} | {meaning} |" for reason, meaning in row_type.REASONS.items()]
    return "\n".join(parts) + "\n"


def _conventions() -> str:
    return (__doc__ or "").partition("\n\n")[2].strip()
