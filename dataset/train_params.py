"""The parameters of the training, and the presets that hold sets of their values.

`dpedtool.dataset.params` has those of the other stages.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from dpedtool.dataset.errors import ParamsError
from dpedtool.dataset.sections import Named, Section, param

_PRESETS = Path(__file__).parent / "presets"
Network = Literal["resnet", "srcnn", "mobile"]
Norm = Literal["instance", "batch"]
Initialisation = Literal["pass-through", "released-code"]
LossForm = Literal["mean", "paper", "released-code"]
USUAL_CHANNELS: Mapping[str, int] = {"mobile": 24}
"""The channels of networks, unless they are given, that are not `TrainParams.channels`."""
SMALLEST_CROP_PX = 32
"""Of `train.crop_px`."""
LOSSES: Mapping[str, str] = {
    "pixel": "mean absolute difference",
    "psnr": "1 - PSNR / 40 dB, patch by patch",
    "ms_ssim": "1 - SSIM at several scales",
    "content": "difference of the features of VGG-19, which needs vgg",
    "colour": "difference of the blurred patches",
    "texture": "adversarial loss, which trains a discriminator",
    "tv": "total variation of the output",
    "shifted_pixel": "pixel with the target moved to where it fits best, tile by tile",
    "shifted_psnr": "psnr with the same",
    "shifted_ms_ssim": "ms_ssim with the same",
    "matched_pixel": "pixel after an affine match of the output's colours to the target's",
    "matched_psnr": "psnr after the same",
    "matched_ms_ssim": "ms_ssim after the same",
    "cobi": "contextual bilateral loss on the features of VGG-19, which needs vgg",
}
"""The losses that dpedtool has, and what they are."""
FEATURE_LOSSES = ("content", "cobi")
"""Losses that need the features of VGG-19."""
_LOSS = Named("dpedtool.losses", tuple(LOSSES))
_NETWORK = Named("dpedtool.networks", typing.get_args(Network), "package.module:Class")
_CALLBACK = Named("dpedtool.callbacks", form="package.module:Class")


@dataclass(frozen=True, kw_only=True)
class ShiftArgs(Section):
    """The arguments of the losses `shifted_...`."""

    max_shift_px: int = param(1, "largest shift of the target along each axis, in px", at_least=1, at_most=4)
    steps_per_px: Literal[1, 2, 4] = param(2, "shifts tried in a px; 1: whole px only")
    tile_px: int = param(
        32, "usual side of the tiles that take a shift each, in px; 0: the crop takes one as a whole", at_least=0
    )
    shift_cost: float = param(
        0.05, "share by which the difference at a shift of 1 px counts more when shifts are chosen", at_least=0
    )
    match_colours: bool = param(False, "match the output's colours to the target's before")


@dataclass(frozen=True, kw_only=True)
class ContextualArgs(Section):
    """The arguments of the loss `cobi`."""

    max_shift_px: int = param(2, "how far features are looked for along each axis, in px", at_least=1, at_most=16)
    spatial_weight: float = param(0.02, "weight of the squared distance in px beside 1 - cosine", at_least=0)


LOSS_ARGS: Mapping[str, type[ShiftArgs] | type[ContextualArgs]] = {
    "shifted_pixel": ShiftArgs,
    "shifted_psnr": ShiftArgs,
    "shifted_ms_ssim": ShiftArgs,
    "cobi": ContextualArgs,
}
"""The arguments of those losses that take some."""


@dataclass(frozen=True, kw_only=True)
class LossTerm(Section):
    """One term of the generator's loss."""

    loss: str = param("", "name of a loss, or package.module:function", named=_LOSS)
    weight: float = param(1.0, "its weight in the sum; 0: it is not computed", at_least=0)
    args: Mapping[str, Any] = param({}, "arguments of the loss, by name")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.args and self.loss in LOSSES:
            self._check_args(LOSS_ARGS.get(self.loss))

    def _check_args(self, kind: type[Section] | None) -> None:
        if kind is None:
            raise ParamsError(f"{self.loss} takes no args: leave them out.")
        known = [declared.name for declared in dataclasses.fields(kind)]  # type: ignore[arg-type]
        if unknown := sorted(set(self.args) - set(known)):
            raise ParamsError(f"{self.loss} has no argument {unknown[0]!r}: its args are {', '.join(known)}.")
        try:
            kind(**self.args)
        except ParamsError as error:
            raise ParamsError(f"args of {self.loss}: {error}") from None

    @property
    def name(self) -> str:
        """The name of the term in the history: that of the loss or of the function."""
        return self.loss.rpartition(":")[2]


@dataclass(frozen=True, kw_only=True)
class TrainParams(Section):
    """The network, its losses and the optimiser; the defaults are those of the preset `fidelity`."""

    preset: Literal["fidelity", "paper", "released-code"] = param(
        "fidelity",
        "source of the values that are not given: fidelity, made for PSNR and MS-SSIM; paper: DPED as the paper "
        "describes it; released-code: DPED as its released code computes it (docs/presets.md)",
    )
    network: str = param(
        "resnet",
        "the generator: resnet, DPED's residual network; srcnn; mobile, a U-Net of plain convolutions that phones can "
        "run; a network of your own, package.module:Class "
        "(docs/extending/network.md); or the name of one that an installed package offers",
        named=_NETWORK,
    )
    network_args: Mapping[str, Any] = param({}, "arguments for the class of a network of your own, by name")
    channels: int = param(
        64,
        "resnet: feature maps; mobile: feature maps at half of the photo's resolution, with 5/3 and 8/3 of them at a "
        "quarter and an eighth, and 24 unless they are given",
        at_least=1,
    )
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
    start_share: float = param(
        0.0,
        "share of the weights of start in those that are validated and kept, which are the mean of both; 0: none",
        at_least=0,
        at_most=0.95,
    )
    teacher: str | None = param(
        None,
        "another model, of any network, whose outputs are targets as well (docs/training.md): a .safetensors file, or "
        "a model's folder; null: none",
    )
    teacher_share: float = param(
        0.5,
        "share of each batch whose targets are the teacher's outputs; 1: no image of the DSLR is used",
        above=0,
        at_most=1,
    )
    taught: int = param(
        2000, "images that the teacher enhances at the start, and from which that share is drawn", at_least=1
    )
    taught_jitter: float = param(
        0.2,
        "largest random change of the gain and of the gamma of these images before, as a natural logarithm; half as "
        "large for each colour; 0: none",
        at_least=0,
        at_most=1,
    )
    unpaired: tuple[str, ...] = param(
        (), "folders of a phone's photos without mates; half of the taught images are crops of them"
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
    losses: tuple[LossTerm, ...] = param(
        (LossTerm(loss="psnr"), LossTerm(loss="ms_ssim")),
        "terms of the generator's loss, which is their weighted sum: a list of {loss: NAME, weight: NUMBER}, where "
        "NAME is package.module:function (docs/extending/loss.md), the name of a function that an installed package "
        "offers, or one of these: "
        + "; ".join(f"{name}: {meaning}" for name, meaning in LOSSES.items())
        + ". Some take args (docs/training.md), as in {loss: shifted_psnr, args: {max_shift_px: 2}}",
        named=_LOSS,
    )
    vgg: str | None = param(
        None,
        "file with the weights of VGG-19 for the losses content and cobi: imagenet-vgg-verydeep-19.mat, or "
        "torchvision's vgg19-dcbb9e9d.pth; null: none",
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
    callback: str | None = param(
        None,
        "class of your own that is told the parameters, the figures of each validation and the files of the model, "
        "package.module:Class (docs/extending/logs.md), or the name of one that an installed package offers; it "
        "changes no result; null: none",
        named=_CALLBACK,
        has_effect=False,
    )
    seed: int = param(0, "seed of the first weights, the batches and the crops", at_least=0)
    device: Literal["auto", "cpu", "cuda"] = param("auto", "where to compute; auto: a GPU if there is one")

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [term.name for term in self.losses]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ParamsError(
                f"losses has two terms called {twice[0]}: give the function another name, or leave one term out."
            )
        if not any(term.weight for term in self.losses):
            raise ParamsError(
                "losses has no term with a weight above 0, which leaves nothing to train for: write "
                "losses: [{loss: psnr, weight: 1}], for example."
            )
        if self.network_args and not self.has_own_network:
            raise ParamsError(
                f"network_args are for a network of your own, and network is {self.network}: leave them out, or set "
                "network to package.module:Class."
            )
        if self.start_share and self.start is None:
            raise ParamsError(
                "start_share is a share of the weights of start, which is null: set start, or leave it out."
            )
        if self.unpaired and self.teacher is None:
            raise ParamsError(
                "unpaired photos need a teacher, which makes their targets: set teacher, or leave them out."
            )
        if self.teacher and self.weight_of("texture"):
            raise ParamsError(
                "The loss texture compares with images of the DSLR, and would take the teacher's for some: leave out "
                "texture or the teacher."
            )
        if self.ema >= 1:
            raise ParamsError(f"ema must be below 1, not {self.ema:g}.")

    @property
    def has_own_network(self) -> bool:
        """Whether the generator is a network of the user's own."""
        return ":" in self.network

    @property
    def own_network(self) -> str | None:
        """The network of the user's own, `package.module:Class`; None: the generator is one of dpedtool's."""
        return self.network if self.has_own_network else None

    @property
    def needs_vgg(self) -> bool:
        """Whether a loss compares features of VGG-19."""
        return any(self.weight_of(loss) > 0 for loss in FEATURE_LOSSES)

    def weight_of(self, loss: str) -> float:
        """Return the weight of a loss of `LOSSES`; 0 if `losses` does not name it."""
        return sum(term.weight for term in self.losses if term.loss == loss)

    @classmethod
    def replaced(cls, key: str, given: Mapping[Any, Any]) -> str:
        """Return what to write in place of a weight of version 0.1, such as `tv_weight`; empty for other keys."""
        if (loss := key.removesuffix("_weight")) == key or loss not in LOSSES:
            return ""
        usual = cls.completed({"preset": given.get("preset", cls.preset)}).get("losses") or [
            {"loss": term.loss, "weight": term.weight} for term in cls.losses
        ]
        weights = {term["loss"]: term["weight"] for term in usual}
        weights |= {name: given[f"{name}_weight"] for name in LOSSES if f"{name}_weight" in given}
        # A value of another kind is refused once it stands in the list.
        terms = [
            f"{{loss: {name}, weight: {json.dumps(weight, default=str)}}}" for name, weight in weights.items() if weight
        ]
        return f"'{key}' is now a part of 'losses': write losses: [{', '.join(terms)}]"

    @classmethod
    def completed(cls, given: Mapping[Any, Any]) -> dict[Any, Any]:
        """Return the given values, completed by those of the preset that they name and by the network's channels."""
        preset = given.get("preset", cls.preset)
        # An unknown preset is refused when the field is checked.
        values = dict(load_preset(preset).values) if preset in preset_names() else {}
        network = given.get("network")
        if isinstance(network, str) and network in USUAL_CHANNELS and network != values.get("network", cls.network):
            # The channels of the preset are those of its own network.
            values["channels"] = USUAL_CHANNELS[network]
        return {**values, **given}


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
