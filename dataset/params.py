"""Every parameter of every stage: one frozen dataclass per stage, checked when it is built.

`dpedtool.dataset.params_files` reads them from YAML.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import yaml

from dpedtool.dataset.demo_params import DemoParams
from dpedtool.dataset.errors import ParamsError
from dpedtool.dataset.sections import CAMERA_NAME, PLUGIN, Section, param

_PRESETS = Path(__file__).parent / "presets"
Network = Literal["resnet", "srcnn"]
Norm = Literal["instance", "batch"]
Initialisation = Literal["pass-through", "released-code"]
LossForm = Literal["mean", "paper", "released-code"]


SMALLEST_CROP_PX = 32
"""Of `train.crop_px`."""
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
class TrainParams(Section):
    """The network, its losses and the optimiser; the defaults are those of the preset `fidelity`."""

    preset: Literal["fidelity", "paper", "released-code"] = param(
        "fidelity",
        "source of the values that are not given: fidelity, made for PSNR and MS-SSIM; paper: DPED as the paper "
        "describes it; released-code: DPED as its released code computes it (docs/presets.md)",
    )
    network: Network = param("resnet", "the generator: DPED's residual network, or SRCNN")
    channels: int = param(64, "resnet: feature maps", at_least=1)
    blocks: int = param(4, "resnet: residual blocks", at_least=0)
    norm: Norm = param(
        "instance", "resnet: normalisation over one image, or over the batch; the discriminator uses the same"
    )
    initialisation: Initialisation = param(
        "pass-through",
        "first weights: pass-through: the photo comes out nearly unchanged; released-code: small random ones, as in "
        "DPED's released code",
    )
    start: str | None = param(
        None,
        "weights to continue from, instead of the initialisation: a .safetensors file, which dpedtool import-weights "
        "writes, or a model's folder; null: none",
    )
    iterations: int = param(2000, "optimiser steps", at_least=1)
    batch: int = param(16, "patches per step; with DPED's loss_form, the texture loss grows with it", at_least=1)
    crop_px: int = param(
        100,
        "side of the random crop of each patch that a step uses, in px; with DPED's loss_form, the colour loss grows "
        "with its square",
        at_least=SMALLEST_CROP_PX,
    )
    augment: bool = param(True, "flip and turn the patches at random")
    plain_share: float = param(
        0.2,
        "share of the plain patches drawn (the DSLR's contrast is below 15 grey levels) that is used; others are drawn "
        "in place of the rest; 1: all patches are drawn alike",
        above=0,
        at_most=1,
    )
    pool: int = param(0, "draw the batches from a pool of this many random patches; 0: from all patches", at_least=0)
    pool_iterations: int = param(1000, "optimiser steps until another pool is drawn", at_least=1)
    learning_rate: float = param(1e-3, "peak step size of Adam", above=0, at_most=1)
    schedule: Literal["cosine", "constant"] = param(
        "cosine", "step size: cosine: a linear warm-up, then half a cosine down to zero; constant: always the same"
    )
    clip_norm: float = param(
        0.0, "largest norm of the generator's gradient, which is scaled down to it; 0: no limit", at_least=0
    )
    ema: float = param(0.99, "share of the running mean of the weights kept at each step; 0: no mean", at_least=0)
    loss_form: LossForm = param(
        "mean",
        "definition of the colour, texture and TV losses and of the discriminator: mean: means, whose balance does not "
        "depend on batch and crop_px; paper and released-code: as in DPED, where colour is summed over the patch and "
        "texture over the batch, so that the weights only suit a crop_px of 100 and a batch of 50",
    )
    pixel_weight: float = param(0.0, "weight of the mean absolute difference", at_least=0)
    psnr_weight: float = param(1.0, "weight of 1 - PSNR / 40 dB, patch by patch", at_least=0)
    ms_ssim_weight: float = param(1.0, "weight of 1 - SSIM at several scales", at_least=0)
    content_weight: float = param(0.0, "weight of the content loss, which needs vgg", at_least=0)
    colour_weight: float = param(0.0, "weight of the colour loss on blurred patches", at_least=0)
    texture_weight: float = param(0.0, "weight of the adversarial texture loss; 0: no discriminator", at_least=0)
    tv_weight: float = param(0.0, "weight of total variation", at_least=0)
    vgg: str | None = param(
        None,
        "file with the weights of VGG-19 for the content loss: imagenet-vgg-verydeep-19.mat, or torchvision's "
        "vgg19-dcbb9e9d.pth; null: none",
    )
    held_out: float = param(
        0.1,
        "training on two folders: share of the pairs that are kept for validation and listed in held_out.txt",
        at_least=0,
        at_most=0.9,
    )
    precision: Literal["auto", "float32", "bfloat16"] = param(
        "auto", "number format of the convolutions; auto: bfloat16 where the device computes it faster"
    )
    compile: bool = param(
        False, "compile the networks with torch.compile: it takes minutes at the start, and is then faster on GPUs"
    )
    validate_every: int = param(100, "steps between two validations and checkpoints", at_least=1)
    seed: int = param(0, "seed of the first weights, the batches and the crops", at_least=0)
    device: Literal["auto", "cpu", "cuda"] = param("auto", "where to compute; auto: a GPU if there is one")

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = [name for name in self.__dataclass_fields__ if name.endswith("_weight")]
        if not any(getattr(self, name) for name in weights):
            raise ParamsError(f"{', '.join(weights)} are all 0, which leaves nothing to train for: set one above 0.")
        if self.ema >= 1:
            raise ParamsError(f"ema must be below 1, not {self.ema:g}.")

    @classmethod
    def completed(cls, given: Mapping[Any, Any]) -> dict[Any, Any]:
        """Return the given values, completed by those of the preset that they name."""
        preset = given.get("preset", cls.preset)
        # An unknown preset is refused when the field is checked.
        return {**load_preset(preset).values, **given} if preset in preset_names() else dict(given)


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
        98, "layout dped: JPEG quality of patches that were cut as PNG, 1..100", at_least=1, at_most=100
    )
    full_size_photos: int | None = param(
        None, "layout dped: most full-size test photos per phone; null: all of them", at_least=0
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
    train: TrainParams = TrainParams()
    evaluate: EvaluateParams = EvaluateParams()
    release: ReleaseParams = ReleaseParams()


@dataclass(frozen=True)
class Preset:
    """A named set of training parameters."""

    source: str
    """Where the values come from."""
    expected: str
    """What training with them gives, and on which data."""
    values: Mapping[str, Any]
    """Fields of `TrainParams`; those left out keep their default."""


def preset_names() -> list[str]:
    """Return the names of all presets."""
    return list(typing.get_args(typing.get_type_hints(TrainParams)["preset"]))


def load_preset(name: str) -> Preset:
    """Read one preset.

    Parameters
    ----------
    name
        One of `preset_names`.

    """
    document = yaml.safe_load((_PRESETS / f"{name}.yaml").read_text(encoding="utf-8"))
    return Preset(document["source"], document["expected"], document["train"])


def describe(section: Section) -> dict[str, Any]:
    """Return the section as plain JSON-ready data, in the order of its fields."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(section).items()  # type: ignore[call-overload]
    }
