"""Generators as ONNX files for apps: any height and width, checked in onnxruntime before the file gets its name.

The graph is written operator by operator, from the layers of the network. `torch.onnx.export` makes the same operators,
but needs two more packages, names the axes s19 and s55, and keeps the paths of this machine in its nodes. Networks of
the user's own, whose layers are not known, are traced, see `dpedtool.training.weights.onnx_trace`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
from collections.abc import Callable, Mapping
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
from dpedtool.training.weights import onnx_int8
from dpedtool.training.weights.calibration import Examples
from dpedtool.training.weights.checkpoint import load_model, model_files
from dpedtool.training.weights.int8 import Quantised, Run, Speed, measure, time_run
from dpedtool.training.weights.model_card import INPUT, OUTPUT, ModelCard, is_card, read_scores
from dpedtool.training.weights.onnx_trace import traced

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Array = npt.NDArray[Any]

SUFFIX = ".onnx"
AXES = ("batch", 3, "height", "width")
OPSET = 17
"""The version of ONNX 1.12 (2022). It has the operators of most networks of one's own, such as layer norm, and scales
per channel for int8, which tools for phones need."""
OPSETS = range(9, 21)
"""9 is of ONNX 1.4 (2019), the first in which weights need not be inputs of the graph; 20 of ONNX 1.15 (2023) is the
latest that torch follows a network of the user's own to."""
_CLIP_TAKES_INPUTS = 11
"""From this opset on, the limits of Clip are inputs in place of attributes."""
MOST_BYTES = 2**31 - 2**20
"""An ONNX file holds at most 2 GiB, including the graph, which is small."""

TOLERANCE = 1e-4
"""Greatest allowed difference between onnxruntime and PyTorch on the scale 0..1: a fortieth of a grey level."""
CHECKED_SIZES = ((2, 48, 64), (1, 37, 51))
"""(N, H, W) of the images that both are compared on."""
_ERRORS_ONLY = 3


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
    int8: Int8 | None = None
    """The file in int8; None if it was not asked for."""

    def lines(self) -> list[str]:
        """Return what was written and how exact it is, a line for each file."""
        said = (
            f"{self.onnx}: {self.network}, {self.parameters} parameters, opset {self.opset}; onnxruntime is within "
            f"{self.difference:.1e} of PyTorch. The card is {self.card}."
        )
        return [said, self.int8.sentence()] if self.int8 else [said]


@dataclass(frozen=True)
class Int8:
    """A file in int8 that was written beside the float file."""

    file: Path
    card: Path
    quantised: Quantised

    def sentence(self) -> str:
        """Return in one line what was written and what it loses."""
        how, what = self.quantised.clauses()
        return f"{self.file}: {how}; {what}. The card is {self.card}."


def export(
    model: Path,
    out: Path,
    *,
    clip: bool = True,
    scores: Path | None = None,
    licence: str | None = None,
    own: str | None = None,
    opset: int = OPSET,
    examples: Callable[[], Examples] | None = None,
) -> Exported:
    """Write a model as `out`, a file X.onnx, and its card X.md; existing files are replaced.

    The same model gives the same bytes, but for the line of the card that says how fast it ran. The only input,
    `phone`, and the only output, `enhanced`, are float32 (batch, 3, height, width), RGB, 0..1, of any batch, height and
    width.

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
    opset
        The version of ONNX's operators, one of `OPSETS`.
    examples
        Reads the images for int8; X-int8.onnx and its card X-int8.md are then written as well.

    Raises
    ------
    DpedtoolError
        The opset is not one of `OPSETS`, or too early for int8; `out` has another suffix, or X.md exists and is not a
        card; the packages onnx and onnxruntime are not installed; the model, its card or the scores are missing,
        damaged or belong to another model; the licence is not an SPDX identifier; onnxruntime computes other values
        than PyTorch; or the network cannot be quantised. In these cases no file is written.

    """
    _check_installed()
    if opset not in OPSETS:
        raise DpedtoolError(f"Opset {opset} cannot be written: choose one from {OPSETS.start} to {OPSETS.stop - 1}.")
    if examples and opset < onnx_int8.LEAST_OPSET:
        raise DpedtoolError(
            f"Opset {opset} has no scales for each channel, which int8 needs: choose {onnx_int8.LEAST_OPSET} or later."
        )
    if out.suffix != SUFFIX:
        raise DpedtoolError(f"{out} does not have the suffix of an ONNX file: give it the suffix {SUFFIX}.")
    coarse = int8_name(out)
    for file in (out, coarse) if examples else (out,):
        check_card(file)
    generator = load_model(model, own)
    if isinstance(generator, LayeredGenerator) and opset < (least := least_opset(generator.layers)):
        raise DpedtoolError(
            f"Opset {opset} lacks operators that {generator.architecture.name} needs: choose {least} or later."
        )
    card = card_of(model, out, generator, scores=scores, licence=licence, clip=clip, opset=opset)
    int8 = examples() if examples else None
    made = as_onnx(generator, card.notes(), clip=clip, opset=opset)
    with contextlib.ExitStack() as files:
        exact = files.enter_context(replacing(out))
        exact.write_bytes(made.SerializeToString(deterministic=True))
        difference = _check(exact, out, generator, clip)
        done = replace(card, difference=difference, speed=_speed(exact))
        written = Exported(out, out.with_suffix(".md"), done.architecture.name, done.parameters, opset, difference)
        if int8:
            temporary = files.enter_context(replacing(coarse))
            convolutions = onnx_int8.quantise(made, temporary, int8.calibration)
            quantised = measure(int8, _run(exact), _run(temporary), convolutions)
            of_int8 = replace(done, file=coarse.name, quantised=quantised, speed=_speed(temporary))
            written = replace(written, int8=Int8(coarse, coarse.with_suffix(".md"), quantised))
    write_text(written.card, done.as_markdown())
    if written.int8:
        write_text(written.int8.card, of_int8.as_markdown())
    return written


def int8_name(out: Path) -> Path:
    """Return the name of the file in int8 beside a float file: net-int8.onnx beside net.onnx."""
    return out.with_name(f"{out.stem}-int8{out.suffix}")


def check_card(out: Path) -> None:
    """Refuse an exported file whose card would replace a file that is not a card."""
    about = out.with_suffix(".md")
    if about.exists() and not is_card(about):
        raise DpedtoolError(
            f"{about} is not a model card, and the card of {out.name} would replace it: give the exported file another "
            "name, or choose another folder."
        )


def card_of(
    model: Path, out: Path, generator: Generator, *, scores: Path | None, licence: str | None, clip: bool, opset: int
) -> ModelCard:
    """Return the card of an exported file, before anything was measured about the file.

    Raises
    ------
    DpedtoolError
        The model's card or the scores are damaged or belong to another model, or the licence is not an SPDX identifier.

    """
    weights, described = model_files(model)
    sha256 = file_sha256(weights)
    return ModelCard(
        file=out.name,
        architecture=generator.architecture,
        parameters=count_parameters(generator),
        sha256=sha256,
        known=_known(described, generator),
        scores=read_scores(scores, sha256) if scores else None,
        licence=check_licence(licence) if licence else None,
        clipped=clip,
        opset=opset,
        difference=math.nan,
    )


def as_onnx(model: Generator, notes: Mapping[str, str], *, clip: bool, opset: int = OPSET) -> ModelProto:
    """Return a generator as an ONNX model.

    Parameters
    ----------
    model
        The network, ready to evaluate.
    notes
        Metadata of the file.
    clip
        Cut the output to 0..1.
    opset
        One of `OPSETS`.

    Raises
    ------
    DpedtoolError
        The weights are larger than an ONNX file can be, or a network of the user's own cannot be traced.

    """
    from onnx import checker, helper

    made = traced(model, clip=clip, opset=opset) if isinstance(model, OwnGenerator) else _written(model, clip, opset)
    made.ir_version = helper.find_min_ir_version_for(made.opset_import)
    made.producer_name, made.producer_version = "dpedtool", version("dpedtool")
    helper.set_model_props(made, dict(notes))
    checker.check_model(made, full_check=True)
    return made


def _written(model: Generator, clip: bool, opset: int) -> ModelProto:
    """Write the graph from the layers of a network."""
    from onnx import TensorProto, helper

    if not isinstance(model, LayeredGenerator):
        raise TypeError(f"{type(model).__name__} has no layers that are known")
    weights = {name: values.cpu().numpy() for name, values in model.state_dict().items()}
    if sum(values.nbytes for values in weights.values()) > MOST_BYTES:
        raise DpedtoolError(
            f"{model.architecture.name} is larger than 2 GiB, the limit of ONNX files: use fewer channels."
        )
    graph = _Graph(weights, opset)
    graph.write(model, clip)
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            model.architecture.name,
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, AXES)],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, AXES)],
            graph.initialisers(),
        ),
        opset_imports=[helper.make_opsetid("", opset)],
    )


class _Graph:
    """A graph to which nodes are added one after the other, and the weights that the nodes use."""

    def __init__(self, weights: Mapping[str, Array], opset: int) -> None:
        self._weights, self._opset = weights, opset
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
        if clip and self._opset < _CLIP_TAKES_INPUTS:
            self.node("Clip", made, output=OUTPUT, min=0.0, max=1.0)
        elif clip:
            self.node("Clip", made, self._constant("darkest", 0.0), self._constant("brightest", 1.0), output=OUTPUT)

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


def _check(file: Path, out: Path, model: Generator, clip: bool) -> float:
    """Return the difference between onnxruntime and PyTorch; refuse a file that computes something else."""
    difference = _difference(file, model, clip)
    if not difference <= TOLERANCE:
        raise DpedtoolError(
            f"The values of onnxruntime differ from PyTorch's by {difference:.1e}, more than {TOLERANCE:.0e}, so "
            f"{out} was not written: try another version of onnxruntime."
        )
    return difference


def _run(file: Path) -> Run:
    """Return a function that enhances images with a file."""
    session = _session(file)

    def run(phone: Array) -> Array:
        return np.asarray(session.run([OUTPUT], {INPUT: phone})[0])

    return run


def _speed(file: Path) -> Speed:
    return time_run(_run(file))


def _difference(file: Path, model: Generator, clip: bool) -> float:
    """Return the largest difference between onnxruntime and PyTorch on noise of `CHECKED_SIZES`."""
    run = _run(file)
    rng = np.random.default_rng(0)
    differences = []
    for count, height, width in CHECKED_SIZES:
        phone = rng.random((count, 3, height, width), np.float32)
        with torch.inference_mode():
            wanted = model(torch.from_numpy(phone))
        differences.append(np.abs(run(phone) - (wanted.clamp(0, 1) if clip else wanted).numpy()).max())
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
