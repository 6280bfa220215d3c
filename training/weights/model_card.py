"""The card of a published model: Markdown next to the file, with a YAML head that model hubs read.

It is written for people who build the model into an app or pass it on. It names no folder of this machine. Text from
data, such as names in a `model.json`, is escaped so that it cannot become markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import yaml

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.licence import front_matter
from dpedtool.dataset.markdown import Table, facts, plain, table, text
from dpedtool.dataset.params import describe
from dpedtool.dataset.sidecars.metrics import (
    NOT_SCORED,
    FolderMetrics,
    FolderScores,
    Metrics,
    PatchScores,
    read_metrics,
)
from dpedtool.dataset.sidecars.model_info import ModelInfo, TrainingInfo
from dpedtool.dataset.sidecars.score_rows import (
    COLOUR_MATCH,
    GAIN_OF_NETWORK,
    VERSIONS,
    said_pairs,
    score_rows,
    versions_in,
)
from dpedtool.dataset.train_params import TrainParams, load_preset, preset_names
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.networks.layer_kinds import NORM_EPS, grid, reach
from dpedtool.training.networks.own_network import OwnNetwork
from dpedtool.training.weights.int8 import Quantised, Speed

INPUT, OUTPUT = "phone", "enhanced"
"""What the tensors in the file are called."""
_FILES_AND_DEVICES = ("start", "teacher", "unpaired", "vgg", "device")
_VERSIONS = {
    "before": "untouched phone image",
    "colour": "one quadratic colour transform of other pairs",
    "oracle": "a colour transform fitted to each test photo itself",
    "after": "this network",
}
_SETTINGS = {
    "channels": ("channels", "{}"),
    "blocks": ("residual blocks", "{}"),
    "norm": ("norm", f"{{}} norm, epsilon {NORM_EPS}"),
}
"""What the fields of an architecture are called on the card, and how their values are written."""
_BEGINNINGS = tuple(f"---\nlibrary_name: {name}\n".encode() for name in ("onnx", "litert"))
"""The first bytes of every card."""


def is_card(path: Path) -> bool:
    """Whether a file begins like a card, so that another may replace it."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(max(map(len, _BEGINNINGS))).startswith(_BEGINNINGS)


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """The contents of an ONNX file's card."""

    _runtime: ClassVar[str] = "onnxruntime"

    file: str
    """The name of the ONNX file."""
    architecture: Architecture
    parameters: int
    sha256: str
    """SHA-256 of the file of weights that it was made from."""
    known: ModelInfo | None
    """The result of `dpedtool.training.weights.checkpoint.load_card`; None if nothing is known."""
    scores: Metrics | FolderMetrics | None
    """The result of `read_scores`."""
    licence: str | None
    """A licence that `dpedtool.dataset.licence.check_licence` accepts."""
    clipped: bool
    opset: int
    difference: float
    """The largest difference between the float file's runtime and PyTorch that was found, on the scale 0..1."""
    speed: Speed | None = None
    """None: it was not measured."""
    quantised: Quantised | None = None
    """None: the file computes in floats."""

    def notes(self) -> dict[str, str]:
        """Return the metadata of the ONNX file itself."""
        known = self.known
        preset = "imported" if known and known.imported else plain(self._params().get("preset", "not known"))
        return {
            "network": self.architecture.name,
            "preset": preset,
            "weights_sha256": self.sha256,
            "licence": self.licence or "none stated",
            "input": _TENSOR.format(INPUT),
            "output": f"{_TENSOR.format(OUTPUT)}, {self._range()}",
        }

    def as_markdown(self) -> str:
        """Return the card, YAML head and Markdown."""
        parts = [
            f"# {text(Path(self.file).stem)}",
            "This network makes phone photos look as if a better camera had taken them. It is "
            f"{self._kind()}, exported by dpedtool {text(version('dpedtool'))}.",
            "## Use",
            self._code(),
            "\n".join(f"- {line}" for line in self._use()),
            "## Network",
            facts(self._network()),
            "## Training",
            *self._origin(),
            "## Scores",
            *self._scores(),
            "## Licence",
            " ".join(self._licence()),
        ]
        return f"---\n{self._head()}---\n\n" + "\n\n".join(parts) + "\n"

    def _kind(self) -> str:
        if self.architecture.is_own:
            return f"a network of its author's own, the class `{self.architecture.name}`"
        if self.architecture.network == "mobile":
            return "a U-Net of plain convolutions that phones can run"
        return "a generator of DPED ([Ignatov et al., ICCV 2017](https://arxiv.org/abs/1704.02470))"

    def _head(self) -> str:
        """Return the YAML head, which the hubs read."""
        head = self._hub_head()
        if self.licence:
            head |= front_matter(self.licence)
        head["tags"] = [head["library_name"], "dped", "image-enhancement", self.architecture.name]
        return yaml.safe_dump(head, sort_keys=False, allow_unicode=False)

    def _hub_head(self) -> dict[str, Any]:
        return {"library_name": "onnx", "pipeline_tag": "image-to-image"}

    def _code(self) -> str:
        """Return the fewest lines that enhance a photo; a test runs them."""
        return "\n".join(
            [
                "```python",
                "import cv2, numpy as np, onnxruntime",
                f"session = onnxruntime.InferenceSession({self.file!r})",
                'rgb = cv2.imread("photo.jpg")[..., ::-1].astype(np.float32) / 255',
                f'(enhanced,) = session.run(None, {{"{INPUT}": rgb.transpose(2, 0, 1)[None]}})',
                "bgr = np.rint(enhanced[0].clip(0, 1).transpose(1, 2, 0)[..., ::-1] * 255).astype(np.uint8)",
                'cv2.imwrite("enhanced.png", bgr)',
                "```",
            ]
        )

    def _use(self) -> Iterator[str]:
        yield from self._tensors()
        yield self._tiles()
        yield from self._memory()
        yield from self._exactness()
        if self.speed:
            yield self._said_speed(self.speed)

    def _tensors(self) -> Iterator[str]:
        """Say what goes into the file and what comes out."""
        yield f"Input `{INPUT}`: float32, (batch, 3, height, width), RGB, 0..1, sRGB, upright. {self._sizes()}"
        scale = self.architecture.scale
        shape = "of the same shape" if scale == 1 else f"{scale} times as high and wide"
        yield f"Output `{OUTPUT}`: float32, {shape}, RGB, {self._range()}."

    def _memory(self) -> Iterator[str]:
        if self.quantised:
            # It was measured for float files alone.
            return
        yield (
            f"Memory: about {self._memory_mb()} MB for each megapixel in onnxruntime on a processor, "
            "in addition to the 80 MB of onnxruntime itself. `dpedtool enhance` takes less."
        )

    def _said_speed(self, speed: Speed) -> str:
        return (
            f"Speed: {speed.seconds:.2g} s a megapixel in {self._runtime} on {speed.threads} threads of this processor "
            f"when the file was exported: {text(speed.processor)}. A phone needs another time."
        )

    def _exactness(self) -> Iterator[str]:
        """Say what the file is and how its outputs differ from PyTorch's."""
        if self.quantised:
            yield (
                f"ONNX opset {self.opset}. Weights are int8, symmetric, per channel, of 7 bits; activations are uint8. "
                "Everything else is computed in float32."
            )
            yield self._said_int8(self.quantised)
            return
        yield (
            f"ONNX opset {self.opset}. On small images of two sizes, the outputs of onnxruntime on the processor "
            f"differ from those of PyTorch by less than {bound(self.difference):.0e} on the scale 0..1."
        )
        if self._is_instance_norm():
            yield (
                "On whole photos they differ more, since onnxruntime sums the statistics in float32: with the "
                "published dped_resnet_8_32 at 3 megapixels, by 4e-5, which is a hundredth of a grey level."
            )

    @staticmethod
    def _said_int8(quantised: Quantised) -> str:
        how, what = quantised.clauses()
        return f"It computes {how}. {what[0].upper()}{what[1:]}."

    def _sizes(self) -> str:
        description = self.architecture.description
        if isinstance(description, OwnNetwork) and (multiple := description.measured().multiple) > 1:
            return f"Height and width from {multiple} px on; what is missing to a multiple of it is reflected within."
        return "Any height and width."

    def _range(self) -> str:
        if self.clipped:
            return "clipped to 0..1"
        is_bounded = not self.architecture.is_own and not self.architecture.description.adds_photo
        return f"{'within -0.08..1.08' if is_bounded else 'not clipped'}: clip it to 0..1 for a picture"

    def _memory_mb(self) -> int:
        return math.ceil(self.architecture.description.onnx_megabytes / 10) * 10

    def _is_instance_norm(self) -> bool:
        # The chosen norm counts even if there is no block that uses it.
        chosen = self.architecture.settings().get("norm") == "instance"
        return chosen or any(layer.waits for layer in self.architecture.layers)

    def _tiles(self) -> str:
        if self.architecture.is_own:
            if self.architecture.scale > 1:
                return "Give it the whole photo at once: tiles that are run separately may leave seams."
            return (
                "Give it the whole photo at once, unless you know how far the network sees: tiles that are run "
                "separately may leave seams. `dpedtool enhance` measures that, and runs the network in tiles."
            )
        if self._is_instance_norm():
            return (
                "Give it the whole photo at once: instance norm takes its mean and variance over the whole photo, so "
                "tiles that are run separately differ in brightness and colours and leave seams. If a photo is too "
                "large, reduce it, or use `dpedtool enhance`, which gives exact results in stripes."
            )
        px = grid(self.architecture.layers)
        # With half the overlap a multiple of it, all tiles can begin at one.
        overlap = 2 * math.ceil(reach(self.architecture.layers) / px) * px
        begin = f", begin at multiples of {px} px," if px > 1 else ""
        return (
            f"Tiles may be run separately if they overlap by {overlap} px{begin} and half of the overlap is "
            "cut off each of them: nothing in this network depends on the whole photo."
        )

    def _network(self) -> Table:
        settings = self.architecture.settings()
        chosen = [(name, said.format(settings[key])) for key, (name, said) in _SETTINGS.items() if key in settings]
        chosen += [(f"argument {text(key)}", text(str(value))) for key, value in self.architecture.args.items()]
        rows = [("architecture", self.architecture.name), ("parameters", str(self.parameters)), *chosen]
        return [*rows, ("SHA-256 of the weights", self.sha256)]

    @property
    def _training(self) -> TrainingInfo | None:
        return self.known.training if self.known else None

    def _params(self) -> Mapping[str, Any]:
        """Return the parameters of the training; empty if they are not known."""
        return self._training.params if self._training else {}

    def _origin(self) -> Iterator[str]:
        known = self.known
        if known and not known.is_trained:
            yield f"**Never trained**, since {text(known.reason or 'nobody did')}."
        elif known and known.training:
            yield facts([*self._preset(), *_data(known.training)])
        elif known and known.imported:
            yield f"The weights were converted by `dpedtool import-weights` from a {text(known.imported.format)}:"
            files = [(text(file.name), text(file.sha256)) for file in known.imported.files]
            yield table([("file", "SHA-256"), *files])
            yield "Ask their publisher what they were trained on."
        else:
            yield "Nothing is known about the training: the weights had no card."

    def _preset(self) -> Iterator[tuple[str, str]]:
        """Yield the preset, its source, and the changed settings; paths are left out."""
        params = self._params()
        name = params.get("preset")
        if name not in preset_names():
            yield "preset", text(name)
            return
        preset = load_preset(name)
        usual = {**describe(TrainParams()), **preset.values, "preset": name}
        others = [
            f"{key} {text(value)}"
            for key, value in sorted(params.items())
            if key in usual and value != usual[key] and key not in _FILES_AND_DEVICES
        ]
        yield "preset", name
        yield "whose values are from", text(preset.source)
        yield "set otherwise", ", ".join(others) or "nothing"

    def _scores(self) -> Iterator[str]:
        if self.scores is None:
            yield "Not given."
            return
        rows = [*_scored("image", self.scores.image), *_scored("batch", self.scores.batch)]
        yield "The scores are from `dpedtool evaluate`, on images chosen by the person who exported this file:"
        yield table([("protocol", "pairs", "scored", "PSNR", "MS-SSIM", "SSIM"), *rows])
        yield (
            "`image`: images are clipped, each image has one value, and the values are averaged. `batch`: one value "
            "over 50 unclipped images, as in DPED's tables. The two are not comparable."
        )
        if compared := score_rows(self.scores):
            versions = versions_in(self.scores)
            yield said_pairs(self.scores)
            gains = any(row.gains for row in compared)
            head = ["", *(VERSIONS[version] for version in versions), *([f"{GAIN_OF_NETWORK}"] if gains else [])]
            cells = [[text(row.head), *map(row.shown, versions), *([row.gain()] if gains else [])] for row in compared]
            yield table([head, *cells])
            yield COLOUR_MATCH
        if size := self.scores.network:
            yield f"A px of the output takes {size.multiply_adds_per_px:.0f} multiplications, each with an addition."

    def _licence(self) -> Iterator[str]:
        if self.licence:
            yield f"`{self.licence}` (an SPDX identifier), as stated by the person who exported this file."
        else:
            yield (
                "No licence is stated. Without a licence, only the rights holder may pass on the weights or products "
                "that contain them."
            )
        if self._training and self._training.start_sha256:
            yield "The training started from other weights, whose terms apply as well."
        if self._training and self._training.teacher_sha256:
            yield "The training learned from the outputs of another network, whose terms may apply as well."


def read_scores(path: Path, sha256: str) -> Metrics | FolderMetrics:
    """Read a `metrics.json` of `dpedtool evaluate`.

    Parameters
    ----------
    path
        The file.
    sha256
        SHA-256 of the weights; scores of two folders say which weights they belong to.

    Raises
    ------
    DpedtoolError
        The file is missing or damaged, was not written by `dpedtool evaluate`, or belongs to other weights.

    """
    scores = read_metrics(path)
    if isinstance(scores, FolderMetrics) and (scores.weights is None or scores.weights.sha256 != sha256):
        raise DpedtoolError(
            f"{path} does not hold scores of these weights: run dpedtool evaluate with the weights that you export."
        )
    return scores


def _scored(protocol: str, scores: PatchScores | FolderScores) -> Iterator[tuple[str, ...]]:
    """Yield a row for each version that has scores."""
    for name, called in _VERSIONS.items():
        of = getattr(scores, name, NOT_SCORED)
        if of != NOT_SCORED:
            shown = _score(of.psnr_db, "{:.2f} dB"), _score(of.ms_ssim, "{:.4f}"), _score(of.ssim, "{:.4f}")
            yield protocol, str(scores.pairs), called, *shown


def _score(value: float | None, form: str) -> str:
    """Return a score as text; evaluate writes no score if it is infinite or the protocol does not apply."""
    return "none" if value is None else form.format(value)


def _data(training: TrainingInfo) -> Iterator[tuple[str, str]]:
    """Yield the data, the weights and the precision of a training."""
    best = training.best_validation
    yield "training patches", str(training.patches)
    yield "validation patches", str(training.validation_patches)
    yield "weights of iteration", str(best.iteration)
    if training.continued_from:
        yield "went on after iterations", ", ".join(map(str, training.continued_from))
    if best.psnr_db is not None:
        yield "PSNR on validation patches", f"{best.psnr_db:.2f} dB"
    yield "SHA-256 of the data", text(training.data_sha256)
    files = {
        "first weights": training.start_sha256,
        "teacher": training.teacher_sha256,
        "photos without mates": training.unpaired_sha256,
        "VGG-19": training.vgg_sha256,
    }
    for said, sha256 in files.items():
        if sha256:
            yield f"SHA-256 of the {said}", text(sha256)
    yield "precision", text(training.precision)


def bound(difference: float) -> float:
    """Return the next higher power of ten, since the last digits depend on the machine."""
    return float(10.0 ** (math.floor(math.log10(max(difference, 1e-8))) + 1))


_TENSOR = "{}: float32, (batch, 3, height, width), RGB, 0..1"
