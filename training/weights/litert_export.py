"""Generators as LiteRT files (formerly TensorFlow Lite), for images of one size: in float16, and in int8.

litert-torch follows the network in PyTorch, ai-edge-quantizer makes the weights smaller, and ai-edge-litert runs the
files. They print much from C++, past Python's streams, which is kept away from the screen.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.io import replacing, write_text
from dpedtool.training.networks.generators import Generator, OwnGenerator
from dpedtool.training.networks.layer_kinds import grid
from dpedtool.training.networks.own_network import reflected
from dpedtool.training.weights.calibration import WINDOW_PX, Examples
from dpedtool.training.weights.checkpoint import load_model
from dpedtool.training.weights.int8 import Quantised, Run, measure, time_run
from dpedtool.training.weights.litert_card import LitertCard
from dpedtool.training.weights.model_card import INPUT, OUTPUT
from dpedtool.training.weights.onnx_export import Int8, card_of, check_card, int8_name
from dpedtool.training.weights.onnx_trace import Whole

Array = npt.NDArray[Any]
Ranges = dict[str, dict[str, Any]]
"""The smallest and the largest value of tensors, by their names."""

SUFFIX = ".tflite"
SIZE = (512, 512)
MOST_PX = 2**24
"""Of an image; it bounds the memory of the conversion."""
TOLERANCE = 0.02
"""Greatest allowed difference between the float16 file and PyTorch on the scale 0..1: five grey levels."""
_PACKAGES = {
    "litert_torch": "litert-torch",
    "ai_edge_litert": "ai-edge-litert",
    "ai_edge_quantizer": "ai-edge-quantizer",
}
_SIGNATURE = "serving_default"
"""What litert-torch calls the only function of a file."""


@dataclass(frozen=True)
class ExportedLitert:
    """What was written."""

    file: Path
    card: Path
    network: str
    parameters: int
    size: tuple[int, int]
    """(height, width) of the images in px."""
    difference: float
    """The largest difference between the float16 file in LiteRT and PyTorch, on the scale 0..1."""
    int8: Int8 | None = None
    """The file in int8; None if it was not asked for."""

    def lines(self) -> list[str]:
        """Return what was written and how exact it is, a line for each file."""
        height, width = self.size
        said = (
            f"{self.file}: {self.network}, {self.parameters} parameters, float16, images {height}x{width}; LiteRT is "
            f"within {self.difference:.1e} of PyTorch. The card is {self.card}."
        )
        return [said, self.int8.sentence()] if self.int8 else [said]


def parse_size(words: str) -> tuple[int, int]:
    """Return (height, width) in px of a size as the user writes it, HxW.

    Raises
    ------
    ParamsError
        It is not such a size, or too large.

    """
    found = re.fullmatch(r"\s*(\d{1,5})\s*[xX]\s*(\d{1,5})\s*", words)
    height, width = map(int, found.groups()) if found else (0, 0)
    if not 0 < height * width <= MOST_PX:
        raise ParamsError(
            f"{words!r} is not a size: write height and width in px, such as 768x1024, of at most {MOST_PX} px in all."
        )
    return height, width


def export_litert(
    model: Path,
    out: Path,
    size: tuple[int, int] = SIZE,
    *,
    clip: bool = True,
    scores: Path | None = None,
    licence: str | None = None,
    own: str | None = None,
    examples: Callable[[], Examples] | None = None,
) -> ExportedLitert:
    """Write a model as `out`, a file X.tflite with float16 weights, and its card X.md; existing files are replaced.

    The input, `phone`, and the output, `enhanced`, are float32 (1, height, width, 3), RGB, 0..1. The same model gives
    the same bytes with the same packages.

    Parameters
    ----------
    model, clip, scores, licence, own
        As in `dpedtool.training.weights.onnx_export.export`.
    out
        The file to write.
    size
        (height, width) of the images in px.
    examples
        Reads the images for int8; X-int8.tflite and its card X-int8.md are then written as well.

    Raises
    ------
    DpedtoolError
        `out` has another suffix, or a card would replace a file that is not a card; packages are not installed; the
        model, its card or the scores cannot be used; the network cannot be converted or quantised; or LiteRT computes
        other values than PyTorch. In these cases no file is written.

    """
    _check_installed()
    if out.suffix != SUFFIX:
        raise DpedtoolError(f"{out} does not have the suffix of a LiteRT file: give it the suffix {SUFFIX}.")
    coarse = int8_name(out)
    for file in (out, coarse) if examples else (out,):
        check_card(file)
    generator = load_model(model, own).eval()
    known = card_of(model, out, generator, scores=scores, licence=licence, clip=clip, opset=0)
    card = LitertCard(**{field.name: getattr(known, field.name) for field in fields(known)}, size=size)
    int8 = examples() if examples else None
    with _quiet(), contextlib.ExitStack() as files:
        whole = _converted(generator, size, clip)
        exact = _float16(whole)
        difference = _difference(exact, generator, size, clip)
        if not difference <= TOLERANCE:
            raise DpedtoolError(
                f"The values of LiteRT differ from PyTorch's by {difference:.1e}, more than {TOLERANCE}, so {out} was "
                "not written: try another version of litert-torch."
            )
        files.enter_context(replacing(out)).write_bytes(exact)
        card = replace(card, difference=difference, speed=time_run(_run(exact), (1, 3, *size)))
        parameters = card.parameters
        written = ExportedLitert(out, out.with_suffix(".md"), known.architecture.name, parameters, size, difference)
        if int8:
            content, quantised = _int8(generator, whole, size, clip, int8)
            files.enter_context(replacing(coarse)).write_bytes(content)
            speed = time_run(_run(content), (1, 3, *size))
            of_int8 = replace(card, file=coarse.name, quantised=quantised, speed=speed)
            written = replace(written, int8=Int8(coarse, coarse.with_suffix(".md"), quantised))
    write_text(written.card, card.as_markdown())
    if written.int8:
        write_text(written.int8.card, of_int8.as_markdown())
    return written


class _ChannelsLast(nn.Module):
    """The network for images (1, height, width, 3), as LiteRT has them."""

    def __init__(self, model: Generator, clip: bool) -> None:
        super().__init__()
        # That of the user's own looks for NaN, which LiteRT cannot follow.
        self.model, self.clip = Whole(model, clip) if isinstance(model, OwnGenerator) else model, clip

    def forward(self, phone: Tensor) -> dict[str, Tensor]:
        enhanced = self.model(phone.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return {OUTPUT: enhanced.clamp(0, 1) if self.clip else enhanced}


def _converted(model: Generator, size: tuple[int, int], clip: bool) -> bytes:
    """Return a network as a LiteRT file in float32."""
    import litert_torch

    litert_torch.config.show_progress = False
    litert_torch.config.silence_torch_logs = True
    try:
        made = litert_torch.convert(_ChannelsLast(model, clip).eval(), sample_kwargs={INPUT: torch.zeros(1, *size, 3)})
        content: bytes = made.model_content()
    except Exception as error:
        # It raises errors of many kinds for what it cannot follow.
        said = " ".join(str(error).split())[:300]
        raise DpedtoolError(
            f"The network {model.architecture.name} cannot be written for LiteRT ({type(error).__name__}: {said}): "
            "export it as ONNX."
        ) from error
    return content


def _float16(content: bytes) -> bytes:
    """Return a file whose convolutions have float16 weights."""
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

    made = quantizer.Quantizer(bytearray(content))
    made.update_quantization_recipe(
        ".*",
        qtyping.TFLOperationName.CONV_2D,
        qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
            compute_precision=qtyping.ComputePrecision.FLOAT,
        ),
        algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
    )
    return bytes(made.quantize(enable_progress_report=False).quantized_model)


def _int8(
    model: Generator, whole: bytes, size: tuple[int, int], clip: bool, examples: Examples
) -> tuple[bytes, Quantised]:
    """Return a file whose convolutions compute in int8, and what it loses.

    Images for calibration need not be as large as those of the file: the ranges are of a twin for smaller images, whose
    tensors have the same names. The loss is measured with twins, too.
    """
    # The twin is padded like the file, or its tensors would have other names.
    multiple = model.multiple if isinstance(model, OwnGenerator) else grid(model.architecture.layers)
    height, width = (WINDOW_PX + (side - WINDOW_PX) % multiple for side in size)
    twin = _converted(model, (height, width), clip)
    images = [reflected(image[None].float() / 255, height, width).numpy() for image in examples.calibration]
    ranges = _ranges(twin, images)
    content, small = (_with_ranges(file, ranges, model) for file in (whole, twin))
    convolutions = _convolutions(content)
    if not convolutions[0]:
        raise DpedtoolError(
            f"The network {model.architecture.name} has no convolution that int8 could compute: export it without "
            "--int8."
        )
    exact, coarse = (_fitting(_run(file), (height, width), model.scale) for file in (twin, small))
    return content, measure(examples, exact, coarse, convolutions)


def _fitting(run: Run, size: tuple[int, int], scale: int) -> Run:
    """Return a function that enhances images of at most a size (height, width) with a file for that size.

    Smaller images are continued by their reflection, and their results cut.
    """

    def fitting(phone: Array) -> Array:
        height, width = phone.shape[2:]
        return run(reflected(torch.from_numpy(phone), *size).numpy())[..., : scale * height, : scale * width]

    return fitting


def _ranges(content: bytes, images: Sequence[Array]) -> Ranges:
    """Return the smallest and the largest value of each tensor over all images.

    By default, the quantiser takes a moving average of both, which cost the published dped_resnet_8_32 1.1 dB.
    """
    from ai_edge_quantizer import calibrator

    calibrated = calibrator.Calibrator(content, num_threads=torch.get_num_threads(), qsv_update_func=_joined)
    calibrated.calibrate({_SIGNATURE: [{INPUT: _last(image)} for image in images]}, _recipe())
    found: Ranges = calibrated.get_model_qsvs()
    return found


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    if not one or not other:
        return one or other
    return {**one, "min": np.minimum(one["min"], other["min"]), "max": np.maximum(one["max"], other["max"])}


def _recipe() -> Any:
    """Return what is quantised, in the terms of the quantiser: activations and weights of the convolutions."""
    from ai_edge_quantizer import qtyping, recipe_manager

    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", qtyping.TFLOperationName.CONV_2D, 8, 8)
    return recipe


def _with_ranges(content: bytes, ranges: Ranges, model: Generator) -> bytes:
    from ai_edge_quantizer import quantizer

    try:
        made = quantizer.Quantizer(bytearray(content), _recipe().get_quantization_recipe())
        return bytes(made.quantize(ranges, enable_progress_report=False).quantized_model)
    except Exception as error:
        # It raises errors of many kinds for what it cannot quantise.
        said = " ".join(str(error).split())[:300]
        raise DpedtoolError(
            f"The network {model.architecture.name} cannot be quantised ({type(error).__name__}: {said}): export it "
            "without --int8."
        ) from error


def _convolutions(content: bytes) -> tuple[int, int]:
    """Return how many convolutions of a file have int8 weights, and how many there are."""
    made = _interpreter(content, delegated=False)
    types = {tensor["index"]: tensor["dtype"] for tensor in made.get_tensor_details()}
    operators = [node for node in made._get_ops_details() if node["op_name"] == "CONV_2D"]
    return sum(types.get(node["inputs"][1]) is np.int8 for node in operators), len(operators)


def _difference(content: bytes, model: Generator, size: tuple[int, int], clip: bool) -> float:
    """Return the largest difference between a file in LiteRT and PyTorch on an image of noise."""
    phone = np.random.default_rng(0).random((1, 3, *size), np.float32)
    with torch.inference_mode():
        wanted = model(torch.from_numpy(phone))
    return float(np.abs(_run(content)(phone) - (wanted.clamp(0, 1) if clip else wanted).numpy()).max())


def _run(content: bytes) -> Run:
    """Return a function that enhances images (1, 3, height, width) with a file."""
    enhance = _interpreter(content).get_signature_runner(_SIGNATURE)

    def run(phone: Array) -> Array:
        return np.ascontiguousarray(enhance(**{INPUT: _last(phone)})[OUTPUT].transpose(0, 3, 1, 2))

    return run


def _interpreter(content: bytes, *, delegated: bool = True) -> Any:
    from ai_edge_litert import interpreter

    resolvers = interpreter.OpResolverType
    made = interpreter.Interpreter(
        model_content=content,
        num_threads=torch.get_num_threads(),
        experimental_op_resolver_type=resolvers.AUTO if delegated else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    made.allocate_tensors()
    return made


def _last(images: Array) -> Array:
    """Return images (N, 3, H, W) with the channels last, (N, H, W, 3)."""
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep away from the screen what the packages print and warn of; errors are raised."""
    sys.stdout.flush()
    sys.stderr.flush()
    streams = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for stream in (1, 2):
                os.dup2(nowhere.fileno(), stream)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                yield
        finally:
            for stream, saved in enumerate(streams, start=1):
                os.dup2(saved, stream)
                os.close(saved)


def _check_installed() -> None:
    missing = [package for module, package in _PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise DpedtoolError(
            f"LiteRT files need {' and '.join(missing)}: pip install litert-torch in an environment of its own, then "
            "export again."
        )
