"""ONNX files in int8: static quantisation by onnxruntime, with the ranges of the user's own images.

Convolutions and the ReLU after them compute with uint8 activations, asymmetric, and int8 weights, symmetric and per
channel; each range is the smallest and largest value that occurred. Norms, tanh, the last sum and everything else stay
float32. Weights use 7 of the 8 bits: with all 8, processors without VNNI or AMX add two products in 16 bits and cut
off what does not fit. On 100 pairs of DPED, that cost the published dped_resnet_8_32 0.66 dB on such a processor, where
7 bits cost 0.05 dB; computed without cutting off, 8 bits cost 0.03 dB and 7 bits the same 0.05 dB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.weights.int8 import as_input
from dpedtool.training.weights.model_card import INPUT

if TYPE_CHECKING:
    from onnx import ModelProto

LEAST_OPSET = 13
"""The version of ONNX from which on scales per channel exist."""
_QUANTISED = ["Conv", "Relu"]
_INPUT_RANGE = {"rmin": np.float32(0), "rmax": np.float32(1)}
"""Of photos with 8 bits a channel, so that int8 takes their values exactly."""
_NOTES = {"onnx.infer", "onnx.quant.pre_process"}
"""What onnxruntime notes in the file for itself."""


class _Reader:
    """Hands images to onnxruntime, one after the other."""

    def __init__(self, images: Sequence[Tensor]) -> None:
        self._images: Iterator[Tensor] = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next image as the input of the network, or None at the end."""
        image = next(self._images, None)
        return None if image is None else {INPUT: as_input(image)}

    def __iter__(self) -> _Reader:
        return self

    def __next__(self) -> dict[str, Any]:
        if (found := self.get_next()) is None:
            raise StopIteration
        return found


def quantise(model: ModelProto, out: Path, images: Sequence[Tensor]) -> tuple[int, int]:
    """Write a model in int8; return how many of its convolutions compute in int8, and how many there are.

    The same model and images give the same bytes.

    Parameters
    ----------
    model
        The model in float32, of opset `LEAST_OPSET` or later.
    out
        The file to write.
    images
        What it is calibrated on, (3, H, W), RGB, uint8 each.

    Raises
    ------
    DpedtoolError
        onnxruntime cannot quantise the model, or the model has no convolution that it could quantise.

    """
    import onnx
    import onnxruntime
    from onnxruntime import quantization as by_onnxruntime

    # Calibration opens a session with default options, which complains where a container forbids to pin threads.
    onnxruntime.set_default_logger_severity(4)
    onnxruntime.disable_telemetry_events()
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    # Otherwise onnxruntime advises to merge batch norms first. `_Graph` and the exporter of torch leave nothing else.
    _note(prepared, "onnx.quant.pre_process", "onnxruntime.quant")
    try:
        by_onnxruntime.quantize_static(
            prepared,
            out,
            _Reader(images),
            quant_format=by_onnxruntime.QuantFormat.QDQ,
            op_types_to_quantize=_QUANTISED,
            per_channel=True,
            reduce_range=True,
            activation_type=by_onnxruntime.QuantType.QUInt8,
            weight_type=by_onnxruntime.QuantType.QInt8,
            calibrate_method=by_onnxruntime.CalibrationMethod.MinMax,
            extra_options={"WeightSymmetric": True, "TensorQuantOverrides": {INPUT: [_INPUT_RANGE]}},
        )
    except Exception as error:
        # It raises errors of many kinds for what it cannot quantise.
        said = " ".join(str(error).split())[:300]
        raise DpedtoolError(
            f"The network {model.graph.name} cannot be quantised ({type(error).__name__}: {said}): export it without "
            "--int8."
        ) from error
    made = onnx.load(out)
    convolutions = _convolutions(made)
    if not convolutions[0]:
        raise DpedtoolError(
            f"The network {model.graph.name} has no convolution that int8 could compute: export it without --int8."
        )
    kept = [note for note in made.metadata_props if note.key not in _NOTES]
    del made.metadata_props[:]
    made.metadata_props.extend(kept)
    made.producer_name, made.producer_version = model.producer_name, model.producer_version
    onnx.checker.check_model(made, full_check=True)
    out.write_bytes(made.SerializeToString(deterministic=True))
    return convolutions


def _note(model: ModelProto, key: str, value: str) -> None:
    note = model.metadata_props.add()
    note.key, note.value = key, value


def _convolutions(model: ModelProto) -> tuple[int, int]:
    of = {name: node.op_type for node in model.graph.node for name in node.output}
    weights = [node.input[1] for node in model.graph.node if node.op_type == "Conv"]
    return sum(of.get(name) == "DequantizeLinear" for name in weights), len(weights)
