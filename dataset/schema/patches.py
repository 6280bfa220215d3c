"""The tables of the patches: every candidate window, and the pairs that they were cut from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dpedtool.dataset.places import Place
from dpedtool.dataset.rows import FolderName, Identifier, Row, column


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
        "colour": "the colours differ: damage that no decoder noticed, or light that only one photo has",
        "exposure_outlier": "the exposures of the pair's photos differ by more or less than is usual in their session, "
        "beyond patches.max_exposure_difference",
        "small_crop": "the common crop is smaller than a window",
        "too_coarse": "the DSLR's photo has fewer px for each phone px than patches.target_scale asks for",
        "few_frames": "fewer frames of the moment show the place than patches.min_frames asks for",
        "few_references": "fewer references show the place than patches.min_references asks for",
        "photo_changed": "a photo is not the one that was paired",
        "nodes_changed": "the file of the pair's nodes is missing, or is not the one that the alignment made",
        "unreadable_photo": "a photo cannot be decoded any more; imported: an image cannot be read",
        "worker_lost": "the process that worked on the pair was killed",
        "internal_error": "a fault of the program",
        "no_mate": "imported: one of the two images is missing",
        "unequal_sizes": "imported: the DSLR's image is not as large as the phone's, nor 2 or 4 times as large",
    }

    RETRIED: ClassVar[frozenset[str]] = Row.RETRIED | {"nodes_changed"}
    ADDED: ClassVar[frozenset[str]] = frozenset({"target_scale"})

    patch_id: Identifier = column("pair and place of the window; unique; letters, digits, '_' and '-'")
    pair_id: Identifier = column("the pair that the window was cut from; imported: the patch itself")
    phone: FolderName = column("phone that took the photo")
    scene_id: Identifier = column("the moment: equal for all phones' photos of it; imported: the patch itself")
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
    target_scale: int = column(
        "px of the DSLR's image of the patch for each px of the phone's, along a side: that image has target_scale * "
        "size px",
        default=1,
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
    colour: float | None = column(
        "difference in colour that one smooth colour transform of the whole pair leaves, in the worst quarter of the "
        "window; empty where all is burnt out, or where no limit is set",
        "grey levels",
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
    """One aligned pair that patches were cut from: its photos, how their colours relate, and a thumbnail of the scene.

    Colours are measured by the light of cells of the common crop, without masked, burnt out and black ones; their
    columns are empty where fewer than 60 cells are left. The session's median is that of the pairs of the same phone
    and session, and is not known for fewer than three.
    """

    TABLE: ClassVar[str] = "frames"
    MADE_BY: ClassVar[str] = "patches"

    pair_id: Identifier = column("the pair")
    phone: FolderName = column("phone that took the photo")
    session: FolderName = column("session of the photos; empty where there is only one", default="")
    scene_id: Identifier = column("the moment: equal for all phones' photos of it")
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
    exposure_difference: float | None = column(
        "exposure of the DSLR's photo against the phone's: median ratio of their luminance; positive: the DSLR's is "
        "brighter",
        "stops",
        default=None,
    )
    exposure_from_median: float | None = column(
        "that difference less the session's median; positive: the DSLR's is brighter than usual; empty where the "
        "median is not known",
        "stops",
        default=None,
    )
    red_gain: float | None = column(
        "white balance of the DSLR's photo against the phone's: median ratio of red to green there over that here; "
        "positive: the DSLR's is redder",
        "stops",
        default=None,
    )
    red_from_median: float | None = column("that gain less the session's median, likewise", "stops", default=None)
    blue_gain: float | None = column("the same for blue to green", "stops", default=None)
    blue_from_median: float | None = column("that gain less the session's median, likewise", "stops", default=None)
    colour_transform: tuple[float, ...] | None = column(
        "affine transform from the phone's colours (sRGB, 0..255) to the DSLR's, by a robust fit: for R, G and B the "
        "factors of R, G and B, and an offset",
        default=None,
    )
    colour_residual: float | None = column(
        "what that transform leaves: root mean square over the channels, median over the cells",
        "grey levels",
        default=None,
    )
    key: str = column("digest of the inputs, parameters and code that made this row, as in the table of patches")


@dataclass(frozen=True, kw_only=True)
class StackFrame(Row):
    """One frame or further target of a patch: the patch's window there, or why it is left out.

    The base frame is the patch's own image. The windows of the others (patches.frames: all) are cut at whole px, so
    that no px of the phone is resampled; `frame_from_patch` says what is left to a fraction of a px. A further target
    (captures.references) is the photo of a further reference on the px of the patch, or patches.target_scale times as
    fine, resampled once.
    """

    TABLE: ClassVar[str] = "stacks"
    MADE_BY: ClassVar[str] = "patches"
    STATUSES: ClassVar[tuple[str, ...]] = ("accepted", "rejected")
    REASONS: ClassVar[Mapping[str, str]] = {
        "frame_not_aligned": "the photo of the frame or further reference could not be aligned",
        "outside_frame": "the place lies outside what this frame, or the base frame, and the DSLR both show",
        **{name: meaning for name, meaning in Patch.REASONS.items() if "imported" not in meaning},
        "unreadable_photo": "the photo cannot be decoded any more",
    }
    RETRIED: ClassVar[frozenset[str]] = Patch.RETRIED

    patch_id: Identifier = column("the patch")
    pair_id: Identifier = column("the pair of this frame's photo and the DSLR's")
    role: str = column(
        "base: the frame that the patch was cut from; frame: another one; target: the photo of a further reference"
    )
    frame: int = column(
        "number of the frame among the phone's frames of the moment, from 0; of a target, the number of the further "
        "reference, from 1"
    )
    reference: FolderName = column("the further reference of a target: its folder's name; else empty", default="")
    status: str = column("accepted or rejected")
    reason: str = column("why it was rejected; empty when accepted", default="")
    detail: str = column("the reason as a sentence, with figures", default="")
    x: int | None = column(
        "left column of the window in the frame's upright photo; of a target, in the base frame's", "px", default=None
    )
    y: int | None = column("its top row", "px", default=None)
    frame_from_patch: tuple[float, ...] | None = column(
        "homography from px of the patch to px of this frame's window, row by row: the closest one to what the "
        "alignments of both frames say; of a target, no change",
        default=None,
    )
    bend_px: float | None = column(
        "largest distance in the patch between the place by that homography and the place by both alignments",
        "phone px",
        default=None,
    )
    ncc: float | None = column("zero-mean NCC of this window and the DSLR's, grey", "-1..1", default=None)
    residual_px: float | None = column("sub-pixel shift left between the two", "phone px", default=None)
    residual_error_px: float | None = column(
        "largest standard error of that shift in any direction", "phone px", default=None
    )
    proved_by: str | None = column("window or pair, as in the table of patches; empty when rejected", default=None)
    exposure_s: float | None = column("exposure time of the photo, EXIF", "s", default=None)
    f_number: float | None = column("f-number, EXIF", default=None)
    iso: float | None = column("ISO sensitivity, EXIF", default=None)
    ev: float | None = column(
        "exposure against the base frame, of a target against the base reference's photo; positive: brighter",
        "stops",
        default=None,
    )
    path: Place = column("the photo of the frame or further reference")
    sha256: str = column("SHA-256 of its file, hex")
    shard: Path | None = column("tar file that holds the image; empty when it or the patch is rejected", default=None)
    offset: int | None = column("first byte of the image's file in the shard", "byte", default=None)
    bytes: int | None = column("length of the image's file", "byte", default=None)
    key: str = column("digest of the inputs, parameters and code that made this row, as in the table of patches")
