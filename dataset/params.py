"""Every parameter of every stage: one frozen dataclass per stage, checked when it is built.

`dpedtool.dataset.params_files` reads them from YAML.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, TypeVar, get_args

from dpedtool.dataset.demo_params import DemoParams
from dpedtool.dataset.errors import ParamsError
from dpedtool.dataset.plugins import PluginName
from dpedtool.dataset.sections import CAMERA_NAME, METRIC_NAMES, PLUGIN, Named, Section, names_functions, param
from dpedtool.dataset.train_params import TrainParams

SectionT = TypeVar("SectionT", bound=Section)

TABLES_OF_SPLIT = ("photos", "scenes")
"""Tables that stage split writes beside those of the phones, which are named after them."""
COLUMNS_OF_LIST = ("phone", "dslr", "session")
"""Columns of a list of pairs, in which further references have columns named after them."""
MOST_REFERENCES = 9
"""Most further references."""


@dataclass(frozen=True, kw_only=True)
class CapturesParams(Section):
    """Where the photos are: one folder per camera in `root`, or in each session's folder in `root`."""

    root: str = param(
        "demo/captures",
        "folder with one sub-folder per camera, or per session: a path, absolute or relative to the params file, or a "
        "URL such as s3://bucket/folder",
    )
    reference: str = param(
        "dslr",
        "sub-folder of the DSLR's photos; with several DSLRs, of the base one, which names the moments",
        pattern=CAMERA_NAME,
    )
    references: tuple[str, ...] = param(
        (),
        "sub-folders of further references' photos: other DSLRs, or other lenses or apertures; each patch gets a "
        "further target from each of them that shows its place; a session may lack them",
        pattern=CAMERA_NAME,
    )
    phones: tuple[str, ...] = param((), "sub-folders of the phones' photos", pattern=CAMERA_NAME)
    sessions: tuple[str, ...] = param(
        (),
        "sub-folders of root, one for each day or place, which hold the cameras' folders; a session may lack phones, "
        "but not the DSLR; clocks are compared session by session; empty: root itself holds the cameras' folders",
        pattern=CAMERA_NAME,
    )
    recursive: bool = param(
        False,
        "whether photos in sub-folders of a camera's folder, such as DCIM/100CANON, belong to the camera; the "
        "sub-folder becomes a part of their names",
    )
    scenes: str | None = param(
        None,
        "table of the scenes: a CSV file on this machine; `pair` writes a template of it; the path is absolute or "
        "relative to the params file; null: no table",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [self.reference, *self.references, *self.phones]
        further = [name.casefold() for name in self.references]
        equal = {name for name in names if names.count(name) > 1}
        if twice := sorted(equal | {name for name in self.references if further.count(name.casefold()) > 1}):
            raise ParamsError(
                f"reference, references and phones name {', '.join(twice)} twice; each camera has one folder."
            )
        if len(self.references) > MOST_REFERENCES:
            raise ParamsError(f"references names {len(self.references)} folders; {MOST_REFERENCES} are the most.")
        if taken := [name for name in self.references if name.lower() in COLUMNS_OF_LIST]:
            raise ParamsError(
                f"references names '{taken[0]}', but a column of lists of pairs has this name: give the folder another "
                "name."
            )
        if taken := [name for name in self.phones if name.lower() in TABLES_OF_SPLIT]:
            raise ParamsError(
                f"phones names '{taken[0]}', but a table of the split has this name: give the phone's folder another "
                "name."
            )
        sessions = [name.lower() for name in self.sessions]
        if twice := sorted({name for name in self.sessions if sessions.count(name.lower()) > 1}):
            raise ParamsError(f"sessions names {' and '.join(twice)} twice; each session has one folder.")


@dataclass(frozen=True, kw_only=True)
class PairParams(Section):
    """Which phone photo belongs to which DSLR photo."""

    by: Literal["auto", "name", "clock", "order", "pictures"] = param(
        "auto",
        "name: equal file names; clock: capture times; auto: names if at least half of the photos share one, "
        "unless the capture times contradict them; order: the order of the file names, if both folders hold equally "
        "many photos; pictures: what the photos show",
    )
    tolerance_s: float = param(
        2.0, "by clock: largest difference left after the clocks' offset is removed, in seconds", above=0
    )
    max_offset_s: float = param(
        90_000.0,
        "by clock: largest offset between the two cameras' clocks, in seconds (25 h: time zones too; where both "
        "cameras state their zones, these are taken out)",
        above=0,
    )
    offset_s: float | None = param(
        None,
        "by clock: seconds to add to the phone's clock to get the base DSLR's, at the phone's first photo; the drift "
        "is followed from there, and no other offset is searched for; null: the offset is found",
    )
    min_share: float = param(
        0.5,
        "by clock: smallest share of photos that must find a partner, for the camera with fewer photos",
        above=0,
        at_most=1,
    )
    frames_s: float = param(
        2.0,
        "a photo of the phone without a mate is a further frame of a moment (burst, bracket) if the phone took it "
        "within this many seconds of another frame of it; 0: never",
        at_least=0,
    )
    csv: str | None = param(
        None,
        "list of the pairs, which overrides names and clocks: a CSV file on this machine with the columns phone and "
        "dslr, which hold file names or stems, with several sessions also session, and a column named after each "
        "further reference; several phone photos with one DSLR photo are frames of a moment; the path is absolute or "
        "relative to the params file, and {phone} in it is replaced by the phone's folder; null: no list",
    )


@dataclass(frozen=True, kw_only=True)
class AlignParams(Section):
    """Registration: SIFT, ratio test, homography by RANSAC, refinement on windows, checks, intersection crop."""

    detect_side_px: int = param(512, "photos are reduced to this longer side before SIFT, in px", at_least=64)
    features: int = param(1000, "SIFT keypoints kept per photo, strongest first", at_least=16)
    retry_side_px: int = param(1600, "longer side for pairs that fail at detect_side_px, in px", at_least=64)
    retry_features: int = param(4000, "SIFT keypoints kept per photo for such pairs", at_least=16)
    contrast: float = param(0.02, "SIFT contrast threshold", above=0)
    ratio: float = param(
        0.8, "largest ratio of the nearest to the second nearest descriptor distance", above=0, at_most=1
    )
    ransac_px: float = param(2.0, "inlier threshold of RANSAC, in px of the reduced DSLR photo", above=0)
    min_inliers: int = param(20, "fewest RANSAC inliers of an aligned pair", at_least=4)
    min_inlier_share: float = param(0.2, "smallest share of inliers among the matches", above=0, at_most=1)
    refine: bool = param(
        True, "refine the homography with windows, and add a bend if that predicts other windows better"
    )
    matcher: str | None = param(
        None,
        "own function in place of SIFT, as package.module:function; it takes two grey photos and returns the points "
        "that match; its module is looked for beside the params file, then on PYTHONPATH; null: SIFT",
        pattern=PLUGIN,
    )
    flow: str | None = param(
        None,
        "own function in place of DIS, likewise; it takes two grey images and returns the flow from the first to the "
        "second; null: DIS",
        pattern=PLUGIN,
    )
    local: bool = param(
        True, "follow the depth of scenes that no homography fits, by a dense flow, where that leaves smaller shifts"
    )
    min_coverage: float = param(
        0.25, "smallest share of the phone photo that the DSLR photo covers", above=0, at_most=1
    )
    max_turn_deg: float = param(
        180.0, "largest turn of the phone photo against the DSLR's, in degrees; 180: any turn", above=0, at_most=180
    )
    min_windows: int = param(8, "fewest 64 px windows with texture, which check the alignment", at_least=5)
    min_found: float = param(
        0.3, "smallest share of the textured windows that are where they should be", at_least=0, at_most=1
    )
    max_residual_px: float = param(0.5, "largest median shift of the windows that are not masked, in phone px", above=0)
    max_p95_px: float = param(3.0, "largest 95th percentile of the same shifts, in phone px", above=0)
    min_blur_evenness: float = param(
        0.55,
        "smallest gradient energy in the most blurred direction, as a share of that in the least blurred one",
        at_least=0,
        at_most=1,
    )
    max_clipped: float = param(0.6, "largest share of a photo that is burnt out or black", at_least=0, at_most=1)


STRICT: Mapping[str, Any] = {
    "reject_masked": True,
    "max_residual_px": 0.5,
    "max_residual_error_px": 0.12,
    "min_contrast": 2.0,
    "max_clipped": 0.3,
    "min_sharpness_ratio": 0.4,
    "max_motion": 0.4,
    "max_repetition": 0.95,
    "max_hidden": 0.3,
    "max_jump": 0.15,
    "max_unfollowed": 0.1,
    "max_squeezed": 0.005,
    "max_stretched": 0.02,
    "max_pair_error_px": 0.2,
    "max_harm": 1.0,
    "max_difference_peak": 6.0,
    "max_colour": 40.0,
}
"""Limits of the mode `strict`; `dped` has only min_ncc, like DPED."""
MOST_TURNS = 90
TargetScale = Literal[1, 2, 4]
TARGET_SCALES: tuple[int, ...] = get_args(TargetScale)
"""Px of the DSLR's image of a patch for each phone px, along a side."""


def _limit(name: str, meaning: str, **limits: Any) -> Any:
    """Declare a limit of windows; null means the mode's own limit."""
    own = "yes" if STRICT[name] is True else f"{STRICT[name]:g}"
    return param(None, f"{meaning}; null: {own} in strict, {'no' if own == 'yes' else 'no limit'} in dped", **limits)


@dataclass(frozen=True, kw_only=True)
class PatchesParams(Section):
    """Which windows of an aligned pair become patches."""

    mode: Literal["strict", "dped"] = param(
        "strict",
        "strict: windows stay where they are, and must be aligned to a fraction of a px; dped: the phone's window "
        "moves and turns to where it correlates best, as DPED describes it",
    )
    size_px: int = param(100, "side of a patch, in phone px", at_least=8)
    stride_px: int = param(100, "step of the window, in phone px; equal to size_px: no overlap", at_least=1)
    target_scale: TargetScale = param(
        1,
        "px of the DSLR's image of a patch for each phone px, along a side: 1: both images have the phone's grid; 2, "
        "4: the DSLR's image is twice or four times as large and keeps more of its detail, for networks that enlarge",
    )
    places: Literal["own", "shared"] = param(
        "own",
        "own: each phone's windows lie on a grid of its own photo; shared: the places are chosen on the DSLR's photo, "
        "so that all phones have patches of the same places of a scene",
    )
    place_px: int | None = param(
        None,
        "places shared: step from one place to the next, in px of the DSLR's photo, in place of stride_px; about "
        "stride_px times the DSLR's px per phone px (column scale of the table of alignments)",
        at_least=1,
    )
    frames: Literal["base", "all"] = param(
        "base",
        "moments of several frames: base: a patch is cut from one frame; all: a patch has its window in every frame of "
        "the moment, cut at whole px, and stacks.parquet describes each",
    )
    min_frames: int = param(
        1, "frames all: fewest frames, the base frame included, that must show the place of a patch", at_least=1
    )
    min_references: int = param(
        1,
        "with captures.references: fewest references, the base one included, that must show the place of a patch",
        at_least=1,
    )
    min_ncc: float = param(
        0.9,
        "smallest zero-mean NCC of the two grey windows, -1..1; in strict, windows may have less where noise explains "
        "it",
        at_least=-1,
        at_most=1,
    )
    blur_px: float = param(
        0.0, "sigma of the Gaussian that smooths both grey photos before the NCC, in px", at_least=0, at_most=50
    )
    search_px: int = param(5, "largest shift of the search, to each side, in px", at_least=1, at_most=64)
    max_angle_deg: float = param(
        1.0, "dped: largest turn of the search, to each side, in degrees; 0: no turns", at_least=0, at_most=45
    )
    angle_step_deg: float = param(0.5, "dped: step of the turns, in degrees", above=0)
    reject_masked: bool | None = _limit("reject_masked", "reject windows that the alignment masks")
    max_residual_px: float | None = _limit(
        "max_residual_px", "largest sub-pixel shift left between the two images, in px", above=0
    )
    max_residual_error_px: float | None = _limit(
        "max_residual_error_px", "largest standard error of that shift in any direction, in px", above=0
    )
    min_contrast: float | None = _limit(
        "min_contrast", "smallest standard deviation of either grey window, in grey levels", at_least=0
    )
    max_clipped: float | None = _limit(
        "max_clipped", "largest share of either window that is burnt out or black", at_least=0, at_most=1
    )
    min_sharpness_ratio: float | None = _limit(
        "min_sharpness_ratio", "smallest sharpness of the DSLR's window as a share of the phone's", at_least=0
    )
    max_motion: float | None = _limit(
        "max_motion", "largest drop of the NCC of a part below its surroundings", at_least=0
    )
    max_repetition: float | None = _limit(
        "max_repetition", "largest second peak of the search as a share of the highest", at_least=0
    )
    max_hidden: float | None = _limit(
        "max_hidden", "scenes with depth: largest share of the detail that only one camera sees", at_least=0, at_most=1
    )
    max_jump: float | None = _limit(
        "max_jump", "scenes with depth: largest share of the window at jumps of the depth", at_least=0, at_most=1
    )
    max_unfollowed: float | None = _limit(
        "max_unfollowed",
        "scenes with depth: largest share of the detail that lies more than 1 px from where the alignment puts it",
        at_least=0,
        at_most=1,
    )
    max_squeezed: float | None = _limit(
        "max_squeezed",
        "scenes with depth: largest share of the window that is squeezed, as something nearer hides a part of it",
        at_least=0,
        at_most=1,
    )
    max_stretched: float | None = _limit(
        "max_stretched",
        "scenes with depth: largest share of the window that is stretched, as the depth jumps there",
        at_least=0,
        at_most=1,
    )
    max_pair_error_px: float | None = _limit(
        "max_pair_error_px",
        "largest standard error of the shift on which the windows around agree, for a window that cannot prove itself, "
        "in px",
        above=0,
    )
    max_harm: float | None = _limit(
        "max_harm",
        "largest change of such a window by a shift that it cannot know, as a share of its noise",
        at_least=0,
    )
    max_difference_peak: float | None = _limit(
        "max_difference_peak",
        "largest difference of such a window at one place, as a multiple of its usual difference, if its NCC says "
        "nothing; above: only one of the photos shows something there",
        above=0,
    )
    max_colour: float | None = _limit(
        "max_colour",
        "largest difference in colour, beyond what one smooth colour transform of the pair explains, in grey levels",
        above=0,
    )
    max_exposure_difference: float | None = param(
        None,
        "largest distance of a pair's exposure difference, DSLR against phone, from the median of its phone and "
        "session, in stops; pairs farther away give no patches; null: no limit",
        above=0,
    )
    max_flatness: float = param(1.0, "largest share of the window without detail; 1: no limit", at_least=0, at_most=1)
    min_sharpness: float = param(0.0, "smallest sharpness of the DSLR's window, in 1/px^2; 0: no limit", at_least=0)
    format: Literal["png", "jpg"] = param("png", "file format of the patches; png is lossless")
    jpeg_quality: int = param(95, "JPEG quality, 1..100, with format jpg", at_least=1, at_most=100)
    shard_patches: int = param(10_000, "most patch pairs in one tar shard", at_least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_angle_deg > MOST_TURNS * self.angle_step_deg:
            raise ParamsError(
                f"max_angle_deg is {self.max_angle_deg / self.angle_step_deg:.0f} times angle_step_deg; at most "
                f"{MOST_TURNS} steps are tried: take a larger step."
            )
        if self.places == "shared" and self.place_px is None:
            raise ParamsError(
                "places is shared, but place_px does not say how far apart they are on the DSLR's photo: set it to "
                "about stride_px times the DSLR's px per phone px."
            )
        if self.places == "shared" and self.mode == "dped":
            raise ParamsError(
                "places is shared, but windows of the mode dped move away from their places: use the mode strict."
            )
        if self.places == "own" and self.place_px is not None:
            raise ParamsError("place_px is for shared places: set places to shared, or place_px to null.")
        if self.frames == "all" and self.mode == "dped":
            raise ParamsError(
                "frames is all, but windows of the mode dped move away from their places: use the mode strict."
            )
        if self.frames == "base" and self.min_frames > 1:
            raise ParamsError(
                f"min_frames is {self.min_frames}, but frames is base, so that patches have one frame: set frames to "
                "all, or min_frames to 1."
            )
        if 0 < self.max_angle_deg < self.angle_step_deg:
            raise ParamsError(
                f"angle_step_deg {self.angle_step_deg:g} is larger than max_angle_deg {self.max_angle_deg:g}, so that "
                "no turn is tried: take a smaller step, or set max_angle_deg to 0."
            )

    def limit(self, name: str) -> Any:
        """Return the limit of this name, or the mode's own if it is null; None if there is no limit."""
        value = getattr(self, name)
        return STRICT[name] if value is None and self.mode == "strict" else value


@dataclass(frozen=True, kw_only=True)
class SplitParams(Section):
    """How scenes are divided among training, validation and test."""

    test: float = param(0.15, "share of the scenes kept for the test", at_least=0, at_most=1)
    test_scenes: int | None = param(
        None,
        "about how many scenes to keep for the test (DPED: 100), instead of the share; null: the share applies",
        at_least=1,
    )
    validation: float = param(0.1, "share of the scenes kept for validation", at_least=0, at_most=1)
    seed: int = param(0, "another seed draws other scenes", at_least=0)
    stratify: str | None = param(
        None,
        "column or tag of the table of scenes (captures.scenes): each of its values gets its share of every split; "
        "null: none",
    )
    redraw: bool = param(
        False, "draw all scenes again, in place of keeping the sides of an earlier run and placing new scenes alone"
    )
    near_minutes: float = param(
        30.0,
        "two photos taken within this many minutes are near-duplicates even if they agree only a little",
        at_least=0,
        at_most=10**6,
    )
    near_keypoints: int = param(
        12, "matching keypoints that make two photos near-duplicates, however far apart in time", at_least=8
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.test + self.validation >= 1:
            raise ParamsError("test and validation together must be below 1, so that scenes are left to train on.")


@dataclass(frozen=True, kw_only=True)
class EvaluateParams(Section):
    """Scores on the test patches."""

    pictures: int = param(
        6,
        "test patches per phone that are shown before and after; half as many more are those with the worst results",
        at_least=1,
    )
    photos: int = param(
        1,
        "whole test photos per phone that are shown before and after; each takes a minute for 12 MP on two cores",
        at_least=0,
    )
    device: Literal["auto", "cpu", "cuda"] = param("auto", "where to compute; auto: a GPU if there is one")
    metrics: tuple[str, ...] = param(
        METRIC_NAMES,
        f"scores beside PSNR, MS-SSIM and SSIM: {', '.join(METRIC_NAMES)}, or functions of your own, "
        "package.module:function, which take outputs and targets (N, 3, H, W) in 0..1 and return N values; or the name "
        "of a function that an installed package offers",
        named=Named("dpedtool.metrics", METRIC_NAMES),
    )
    lpips: str | None = param(
        None,
        "folder with the weights of LPIPS, alexnet-owt-7be5be79.pth and alex.pth, absolute or relative to the params "
        "file; null: LPIPS is not scored",
    )


LayoutName = Literal["dped", "webdataset", "parquet", "burst"]
_TEXTS: Mapping[str, tuple[str, str]] = {
    "name": (r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, '.', '_' and '-', since it becomes part of addresses"),
    "version": (r"\d+\.\d+\.\d+", "three numbers, as in 1.0.0"),
    "date": (r"\d{4}-\d{2}-\d{2}", "a day, as in 2026-03-31"),
    "doi": (r"10\.\d{4,9}/\S+", "a DOI without an address before it, as in 10.5281/zenodo.1234567"),
    "url": (r"https?://\S+", "an address that begins with https://"),
    "dslr_folder": (r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, '.', '_' and '-', since it becomes a folder"),
}
"""Parameters of a release with a fixed form: its pattern, and the form in words."""


@dataclass(frozen=True, kw_only=True)
class ReleaseParams(Section):
    """How a data set is described when it is released, and in which layouts."""

    name: str | None = param(None, "name of the data set, without spaces; a release needs one")
    version: str = param("1.0.0", "version of the data set: three numbers")
    licence: str | None = param(
        None,
        "SPDX identifier of the licence, such as CC-BY-4.0, or LicenseRef-NAME for your own; a release needs one",
    )
    licence_file: str | None = param(
        None,
        "file with the text of the licence, which is copied to LICENSE; absolute or relative to the params file; null: "
        "LICENSE names the licence and the address of its text, which is not possible for a LicenseRef-",
    )
    authors: tuple[str, ...] = param((), "whom to cite: 'Family, Given', or the name of a group")
    description: str = param("", "what the data set is, in a sentence or two")
    contact: str = param("", "where to send questions, and requests to remove photos")
    url: str | None = param(None, "address of the data set's page; null: none yet")
    doi: str | None = param(None, "DOI of the data set; null: none yet")
    date: str | None = param(None, "day of the release, YYYY-MM-DD; null: no day is named, not even today's")
    layouts: tuple[LayoutName, ...] = param(
        ("dped", "webdataset", "parquet"),
        "any of dped (single JPEG files, as in DPED's own release), webdataset (tar shards), parquet (embedded "
        "images), burst (a folder for each patch with all of its frames, as BurstSR has them)",
    )
    patches_a_file: int = param(1000, "most patches in a tar shard or a parquet file", at_least=1, at_most=100_000)
    dslr_folder: str = param(
        "canon", "layout dped: folder of the DSLR's patches; canon is what DPED's readers look for"
    )
    jpeg_quality: int = param(
        98,
        "JPEG quality of patches that were cut as PNG in layout dped, of the DSLR's full-size photos, and of whole "
        "pairs, 1..100",
        at_least=1,
        at_most=100,
    )
    full_size_photos: int | None = param(
        None,
        "layout dped: most full-size test photos per phone, and as many of the DSLR; null: all of them",
        at_least=0,
    )
    whole_pairs: Literal["png", "jpg"] | None = param(
        None,
        "add whole aligned pairs of all sides, as far as both photos show the same place, in folders by phone, side "
        "and camera, with files of this format; png is lossless, jpg has release.jpeg_quality and keeps the colour of "
        "each px; null: none",
    )
    thumbnails: bool = param(
        True,
        "put thumbnails of the DSLR's photos (256 px, grey) into the table of pairs, as a proof that no view is on two "
        "sides of the split",
    )
    examples: int = param(6, "pairs of patches in the example picture of each phone", at_least=1, at_most=100)

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, (pattern, form) in _TEXTS.items():
            value = getattr(self, key)
            if value is not None and not re.fullmatch(pattern, value):
                raise ParamsError(f"{key}: {value!r} is not valid: write {form}.")
        if self.date is not None and not _is_day(self.date):
            raise ParamsError(f"date: {self.date!r} is not a day of the calendar.")
        if not self.layouts:
            raise ParamsError("layouts is empty, so that a release would hold no patches: name at least one.")
        if len(set(self.layouts)) < len(self.layouts):
            raise ParamsError("layouts names a layout twice.")

    @classmethod
    def completed(cls, given: Mapping[Any, Any]) -> dict[Any, Any]:
        """Return the given values; a day that YAML has read as a date is turned back into text."""
        return {key: value.isoformat() if isinstance(value, date) else value for key, value in given.items()}


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class Params:
    """All sections of a params file."""

    captures: CapturesParams = CapturesParams()
    demo: DemoParams = DemoParams()  # noqa: RUF009 - it is frozen
    pair: PairParams = PairParams()
    align: AlignParams = AlignParams()
    patches: PatchesParams = PatchesParams()
    split: SplitParams = SplitParams()
    train: TrainParams = TrainParams()  # noqa: RUF009 - it is frozen
    evaluate: EvaluateParams = EvaluateParams()
    release: ReleaseParams = ReleaseParams()


def describe(section: Section) -> dict[str, Any]:
    """Return the section as plain JSON-ready data, in the order of its fields.

    Functions of the user's own are named without the folder of their module, which differs from machine to machine.
    Items of lists are written without arguments if they have none, as users write them.
    """
    told = with_functions(section, lambda text: str(PluginName.parse(text)))
    return {
        key: [_written(item) for item in value] if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(told).items()  # type: ignore[call-overload]
    }


def _written(item: Any) -> Any:
    return {key: value for key, value in item.items() if value != {}} if isinstance(item, dict) else item


def functions_of(section: Section) -> list[tuple[str, str]]:
    """Return the functions and classes of the user's own that results depend on, each with its key, as they stand."""
    values = _function_values(section)
    return [
        (declared.name, name)
        for declared in dataclasses.fields(section)  # type: ignore[arg-type]
        if declared.name in values and declared.metadata["has_effect"]
        for name in _named_in(values[declared.name])
    ]


def with_functions(section: SectionT, change: Callable[[str], str]) -> SectionT:
    """Return a section whose functions and classes of the user's own have changed names."""
    values = _function_values(section)
    changed = {key: _changed(value, change) for key, value in values.items()}
    return section if changed == values else dataclasses.replace(section, **changed)  # type: ignore[type-var]


def _function_values(section: Section) -> dict[str, Any]:
    """Return the values of the fields that may name functions."""
    declared = dataclasses.fields(section)  # type: ignore[arg-type]
    return {each.name: getattr(section, each.name) for each in declared if names_functions(each)}


def _named_in(value: Any) -> Iterator[str]:
    """Yield the names of functions in a value of a field: a text, a list, or a list of sections."""
    if isinstance(value, tuple):
        yield from (name for item in value for name in _named_in(item))
    elif isinstance(value, Section):
        yield from (name for _, name in functions_of(value))
    elif isinstance(value, str) and ":" in value:
        # What dpedtool has itself is named without a colon.
        yield value


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """Change the names of functions in a value of a field."""
    if isinstance(value, tuple):
        return tuple(_changed(item, change) for item in value)
    if isinstance(value, Section):
        return with_functions(value, change)
    return change(value) if isinstance(value, str) and ":" in value else value
