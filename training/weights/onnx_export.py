"""Generators as ONNX files for apps: any height and width, checked in onnxruntime before the file gets its name.

The graph is written operator by operator, from the layers of the network. `torch.onnx.export` makes the same operators,
but needs two more packages, names the axes s19 and s55, and keeps the paths of this machine in its nodes. Networks of
the user's own, whose layers are not known, are traced, see `dpedtool.training.weights.onnx_trace`.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256, replacing, write_text
from dpedtool.dataset.licence import check_licence
from dpedtool.dataset.sidecars.model_info import ModelInfo
from dpedtool.training.networks.generators import (
    OUTPUT_CENTRE,
    OUTPUT_SCALE,
    Generator,
    LayeredGenerator,
    OwnGenerator,
    count_parameters,
)
from dpedtool.training.networks.layer_kinds import least_opset, nodes
from dpedtool.training.weights.checkpoint import load_model, model_files
from dpedtool.training.weights.model_card import INPUT, OUTPUT, ModelCard, is_card, read_scores
from dpedtool.training.weights.onnx_trace import TRACED_OPSET, traced

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Array = npt.NDArray[Any]

SUFFIX = ".onnx"
AXES = ("batch", 3, "height", "width")
OPSET, IR_VERSION = 9, 4
"""The versions of ONNX 1.4 (2019), the first in which weights need not be inputs of the graph. Newer versions would
not change any operator used here, but would exclude older runtimes."""
MOST_BYTES = 2**31 - 2**20
"""An ONNX file holds at most 2 GiB, including the graph, which is small."""

TOLERANCE = 1e-4
"""Greatest allowed difference between onnxruntime and PyTorch on the scale 0..1: a fortieth of a grey level."""
CHECKED_SIZES = ((2, 48, 64), (1, 37, 51))
"""(N, H, W) of the images that both are compared on."""
_ERRORS_ONLY = 3
_CLIP_BY_INPUTS = 11
"""From this version of its operators on, ONNX expects the limits of Clip as inputs."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    onnx: Path
    card: Path
    network: str
    parameters: int
    opset: int
    difference: float
    """The largest difference between onnxruntime and PyTorch, on the scale 0..1."""

    def sentence(self) -> str:
        """Return in one line what was written and how exact it is."""
        return (
            f"{self.onnx}: {self.network}, {self.parameters} parameters, opset {self.opset}; onnxruntime is within "
            f"{self.difference:.1e} of PyTorch. The card is {self.card}."
        )


def export(
    model: Path,
    out: Path,
    *,
    clip: bool = True,
    scores: Path | None = None,
    licence: str | None = None,
    own: str | None = None,
) -> Exported:
    """Write a model as `out`, a file X.onnx, and its card X.md; existing files are replaced.

    The same model gives the same bytes. The only input, `phone`, and the only output, `enhanced`, are float32
    (batch, 3, height, width), RGB, 0..1, of any batch, height and width.

    Parameters
    ----------
    model
        The folder or the file of weights.
    out
        The file to write.
    clip
        Cut the output to 0..1, which pictures need; otherwise it is only nominally within.
    scores
        A `metrics.json` of `dpedtool evaluate`, for the card; None: the card says that no scores are given.
    licence
        SPDX identifier of the weights' licence, for the card; None: the card says that no licence is stated.
    own
        The network of the user's own that the user names, as in `load_model`.

    Raises
    ------
    DpedtoolError
        `out` has another suffix, or X.md exists and is not a card; the packages onnx and onnxruntime are not installed;
        the model, its card or the scores are missing, damaged or belong to another model; the licence is not an SPDX
        identifier; or onnxruntime computes other values than PyTorch. In these cases no file is written.

    """
    _check_installed()
    if out.suffix != SUFFIX:
        raise DpedtoolError(f"{out} does not have the suffix of an ONNX file: give it the suffix {SUFFIX}.")
    about = out.with_suffix(".md")
    if about.exists() and not is_card(about):
        raise DpedtoolError(
            f"{about} is not a model card, and the card of {out.name} would replace it: give the ONNX file another "
            "name, or choose another folder."
        )
    generator = load_model(model, own)
    weights, described = model_files(model)
    sha256 = file_sha256(weights)
    card = ModelCard(
        file=out.name,
        architecture=generator.architecture,
        parameters=count_parameters(generator),
        sha256=sha256,
        known=_known(described, generator),
        scores=read_scores(scores, sha256) if scores else None,
        licence=check_licence(licence) if licence else None,
        clipped=clip,
        opset=TRACED_OPSET if isinstance(generator, OwnGenerator) else _opset(generator),
        difference=math.nan,
    )
    content = as_onnx(generator, card.notes(), clip=clip).SerializeToString(deterministic=True)
    difference = _write_checked(out, content, generator, clip)
    write_text(about, replace(card, difference=difference).as_markdown())
    return Exported(out, about, card.architecture.name, card.parameters, card.opset, difference)


def as_onnx(model: Generator, notes: Mapping[str, str], *, clip: bool) -> ModelProto:
    """Return a generator as an ONNX model.

    Parameters
    ----------
    model
        The network, ready to evaluate.
    notes
        Metadata of the file.
    clip
        Cut the output to 0..1.

    Raises
    ------
    DpedtoolError
        The weights are larger than an ONNX file can be, or a network of the user's own cannot be traced.

    """
    from onnx import checker, helper

    made = traced(model, clip=clip) if isinstance(model, OwnGenerator) else _written(model, clip)
    made.producer_name, made.producer_version = "dpedtool", version("dpedtool")
    helper.set_model_props(made, dict(notes))
    checker.check_model(made, full_check=True)
    return made


def _written(model: Generator, clip: bool) -> ModelProto:
    """Write the graph from the layers of a network."""
    from onnx import TensorProto, helper

    if not isinstance(model, LayeredGenerator):
        raise TypeError(f"{type(model).__name__} has no layers that are known")
    weights = {name: values.cpu().numpy() for name, values in model.state_dict().items()}
    if sum(values.nbytes for values in weights.values()) > MOST_BYTES:
        raise DpedtoolError(
            f"{model.architecture.name} is larger than 2 GiB, the limit of ONNX files: use fewer channels."
        )
    graph = _Graph(weights)
    graph.write(model, clip)
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            model.architecture.name,
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, AXES)],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, AXES)],
            graph.initialisers(),
        ),
        opset_imports=[helper.make_opsetid("", _opset(model))],
        ir_version=IR_VERSION,
    )


def _opset(model: Generator) -> int:
    """Return the version of ONNX's operators that a network is written with."""
    return max(OPSET, least_opset(model.layers)) if isinstance(model, LayeredGenerator) else OPSET


class _Graph:
    """A graph to which nodes are added one after the other, and the weights that the nodes use."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights
        self.nodes: list[NodeProto] = []
        self._used: dict[str, Array] = {}

    def write(self, model: LayeredGenerator, clip: bool) -> None:
        """Add all nodes of a generator; `_difference` checks that they compute the same as its forward."""
        made = nodes(model.layers, self, INPUT)
        # The last node gives the graph's output its name.
        last = {} if clip else {"output": OUTPUT}
        if model.description.adds_photo:
            made = made if clip else self.node("Identity", made, **last)
        else:
            scaled = self.node("Mul", self.node("Tanh", made), self._constant("output_scale", OUTPUT_SCALE))
            made = self.node("Add", scaled, self._constant("output_centre", OUTPUT_CENTRE), **last)
        if clip and _opset(model) < _CLIP_BY_INPUTS:
            self.node("Clip", made, output=OUTPUT, min=0.0, max=1.0)
        elif clip:
            self.node("Clip", made, self._constant("least", 0.0), self._constant("most", 1.0), output=OUTPUT)

    def initialisers(self) -> list[Any]:
        """Return the weights that the nodes use, in the order of their use."""
        from onnx import numpy_helper

        return [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in self._used.items()]

    def weights(self, module: str, *kinds: str) -> list[str]:
        """As `dpedtool.training.networks.layer_kinds.Graph.weights`."""
        names = [f"{module}.{kind}" for kind in kinds]
        self._used.update({name: self._weights[name] for name in names})
        return names

    def _constant(self, name: str, value: float) -> str:
        self._used[name] = np.array(value, np.float32)
        return name

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        from onnx import helper

        name = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name


def _known(described: Path, model: Generator) -> ModelInfo | None:
    """Return a model's card; None if there is none, since weights work without a card."""
    known = ModelInfo.read(described) if described.is_file() else None
    if known and known.network != model.architecture.as_json():
        raise DpedtoolError(
            f"{described} is the card of a different network than the weights next to it, {model.architecture.name}: "
            "remove the card, or put the right one there."
        )
    return known


def _write_checked(out: Path, content: bytes, model: Generator, clip: bool) -> float:
    """Write the file if onnxruntime computes the same as PyTorch; return the difference."""
    with replacing(out) as temporary:
        temporary.write_bytes(content)
        difference = _difference(temporary, model, clip)
        if not difference <= TOLERANCE:
            raise DpedtoolError(
                f"The values of onnxruntime differ from PyTorch's by {difference:.1e}, more than {TOLERANCE:.0e}, so "
                f"{out} was not written: try another version of onnxruntime."
            )
    return difference


def _difference(file: Path, model: Generator, clip: bool) -> float:
    """Return the largest difference between onnxruntime and PyTorch on noise of `CHECKED_SIZES`."""
    session = _session(file)
    rng = np.random.default_rng(0)
    differences = []
    for count, height, width in CHECKED_SIZES:
        phone = rng.random((count, 3, height, width), np.float32)
        with torch.inference_mode():
            wanted = model(torch.from_numpy(phone))
        (found,) = session.run([OUTPUT], {INPUT: phone})
        differences.append(np.abs(found - (wanted.clamp(0, 1) if clip else wanted).numpy()).max())
    # Python's own max would skip NaN.
    return float(np.max(differences))


def _session(file: Path) -> Any:
    """Open a file in onnxruntime on the processor; only errors are logged."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
    # Otherwise its builds for Windows report each model to their maker.
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    # With an explicit number it does not pin threads to cores, which containers may forbid.
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _check_installed() -> None:
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise DpedtoolError(f"Export needs {' and '.join(missing)}: pip install onnx onnxruntime, then export again.")
