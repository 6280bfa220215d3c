"""Enhance one photo in one way and report the cost; `benchmarks.enhance` runs this in a separate process.

    python -m benchmarks.enhancing TOOL PHOTO.npy ENHANCED.npy REPORT.json --network FILE [--precision P] ...

The tools other than PyTorch and dpedtool import nothing of dpedtool, so that a separate interpreter can run them. The
report holds wall_s and cpu_s, from the decoded photo to the enhanced one, both 8 bit, after the network is loaded;
version, scratch_bytes, and memory_bytes, the tool's memory limit if it had one; and gpu_bytes, the peak memory of
tensors on the GPU if it used one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dpedtool.training.enhance.memory import Plan
    from dpedtool.training.enhance.whole_photo import Settings
    from dpedtool.training.networks.generators import Architecture

Image = NDArray[np.uint8]
"""(H, W, 3), BGR."""
Floats = NDArray[np.float32]

STEP = 10 * 10**6


@dataclass(frozen=True)
class Loaded:
    """A network that is ready for a photo."""

    enhance: Callable[[Image], Image]
    version: str
    """Version of the tool."""
    scratch_bytes: int = 0
    """Size of the temporary file that the tool plans."""
    memory_bytes: int | None = None
    """Memory limit of the process; None without a limit."""


def main() -> None:
    options = _parser().parse_args()
    be_first_to_end()
    # Plans are made before a photo is decoded.
    height, width, _ = np.load(options.photo, mmap_mode="r").shape
    loaded = TOOLS[options.tool](options, (width, height))
    photo = np.load(options.photo)
    if options.device == "cuda":
        # The first photo also loads libraries.
        loaded.enhance(photo)
    wall, cpu = time.perf_counter(), time.process_time()
    enhanced = loaded.enhance(photo)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    np.save(options.enhanced, enhanced)
    report = {"scratch_bytes": loaded.scratch_bytes, "memory_bytes": loaded.memory_bytes, "version": loaded.version}
    costs = {"wall_s": wall, "cpu_s": cpu, "gpu_bytes": _gpu_bytes(options.device)}
    options.report.write_text(json.dumps({**costs, **report}), encoding="utf-8")


def _gpu_bytes(device: str) -> int | None:
    if device != "cuda":
        return None
    import torch

    return torch.cuda.max_memory_allocated()


def be_first_to_end() -> None:
    """Ask Linux to end this process, and no other, if memory runs out."""
    score = Path("/proc/self/oom_score_adj")
    if os.access(score, os.W_OK):
        score.write_text("1000", encoding="ascii")


def eager(options: argparse.Namespace, size: tuple[int, int]) -> Loaded:
    """Run the module unchanged; bfloat16 is by autocast."""
    import torch

    from dpedtool.training.weights.checkpoint import load_model

    del size
    model = load_model(options.network)

    def enhance(photo: Image) -> Image:
        in_bfloat16 = torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bfloat16")
        with torch.inference_mode(), in_bfloat16:
            return photo_of(model(torch.from_numpy(planes(photo))).numpy())

    return Loaded(enhance, torch.__version__)


def dpedtool(options: argparse.Namespace, size: tuple[int, int]) -> Loaded:
    """Run the code of `dpedtool enhance` on the device, with a memory limit if one is given."""
    import torch

    from dpedtool.training.enhance.whole_photo import Settings, enhance_photo
    from dpedtool.training.weights.checkpoint import load_model

    device = torch.device(options.device)
    model = load_model(options.network).to(device)
    free = Settings(device, options.precision, None, options.scratch)
    allowed = None if options.max_memory is None else int(options.max_memory)
    if options.least_memory:
        allowed = least_memory(model.architecture, size, free)
    settings = Settings(free.device, free.precision, allowed, free.scratch)
    planned = _planned(model.architecture, size, settings)
    return Loaded(
        lambda photo: enhance_photo(model, photo, settings, planned), torch.__version__, planned.scratch, allowed
    )


def _planned(architecture: Architecture, size: tuple[int, int], settings: Settings) -> Plan:
    """Return what a photo needs; if it is refused, end with the reason."""
    from dpedtool.dataset.errors import Rejection
    from dpedtool.training.enhance.whole_photo import plan

    try:
        return plan(architecture, size, settings)
    except Rejection as refusal:
        sys.exit(refusal.detail)


def least_memory(architecture: Architecture, size: tuple[int, int], free: Settings) -> int:
    """Return the least memory that suffices for a photo (width, height), in bytes, to within 10 MB."""
    from dataclasses import replace

    from dpedtool.dataset.errors import Rejection
    from dpedtool.training.enhance.whole_photo import plan

    refused, enough = 0, -(-plan(architecture, size, free).memory // STEP)
    while enough - refused > 1:
        middle = (refused + enough) // 2
        try:
            plan(architecture, size, replace(free, max_memory=middle * STEP))
        except Rejection as rejection:
            if rejection.reason != "too_little_memory":
                raise
            refused = middle
        else:
            enough = middle
    return enough * STEP


def onnx_runtime(options: argparse.Namespace, size: tuple[int, int]) -> Loaded:
    """Run an ONNX graph in onnxruntime with its default options."""
    onnxruntime = importlib.import_module("onnxruntime")
    del size
    session = onnxruntime.InferenceSession(str(options.network), providers=["CPUExecutionProvider"])
    (phone,) = session.get_inputs()
    return Loaded(lambda photo: photo_of(session.run(None, {phone.name: planes(photo)})[0]), onnxruntime.__version__)


def openvino(options: argparse.Namespace, size: tuple[int, int]) -> Loaded:
    """Run an ONNX graph in OpenVINO, compiled for this size; by default it would choose bfloat16 where that is fast."""
    module = importlib.import_module("openvino")
    core = module.Core()
    graph = core.read_model(str(options.network))
    graph.reshape([1, 3, size[1], size[0]])
    hint = {"float32": "f32", "bfloat16": "bf16"}[options.precision]
    compiled = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    version = module.__version__.partition("-")[0]
    return Loaded(lambda photo: photo_of(compiled(planes(photo))[0]), version)


def tensorflow(options: argparse.Namespace, size: tuple[int, int]) -> Loaded:
    """Run the graph of the released code in TensorFlow, as a function traced for this size."""
    tf = importlib.import_module("tensorflow")
    load_file = importlib.import_module("safetensors.numpy").load_file
    weights = {name: tf.constant(kernel(values)) for name, values in load_file(options.network).items()}
    phone = tf.TensorSpec((1, size[1], size[0], 3), tf.float32)
    graph = tf.function(lambda photo: dped_graph(tf, weights, photo)).get_concrete_function(phone)

    def enhance(photo: Image) -> Image:
        rgb = photo[None, ..., ::-1].astype(np.float32) / np.float32(255)
        return eight_bit(graph(tf.constant(rgb)).numpy()[0])

    return Loaded(enhance, tf.__version__)


def dped_graph(tf: Any, weights: Mapping[str, Any], phone: Any) -> Any:
    """Return the output of DPED's residual network for a photo (1, H, W, 3), RGB, 0..1, in TensorFlow's operations."""

    def convolved(features: Any, layer: str) -> Any:
        return tf.nn.conv2d(features, weights[f"{layer}.weight"], 1, "SAME") + weights[f"{layer}.bias"]

    def normalised(features: Any, layer: str) -> Any:
        mean, variance = tf.nn.moments(features, [1, 2], keepdims=True)
        unit = (features - mean) / tf.sqrt(variance + 1e-3)
        return unit * weights[f"{layer}.weight"] + weights[f"{layer}.bias"]

    features = tf.nn.relu(convolved(phone, "head"))
    for block in sorted({name.split(".")[1] for name in weights if name.startswith("blocks.")}, key=int):
        inner = features
        for place in (1, 2):
            conv, norm = f"blocks.{block}.conv{place}", f"blocks.{block}.norm{place}"
            inner = tf.nn.relu(normalised(convolved(inner, conv), norm))
        features = inner + features
    for layer in ("body1", "body2"):
        features = tf.nn.relu(convolved(features, layer))
    return tf.tanh(convolved(features, "tail")) * 0.58 + 0.5


TOOLS: Mapping[str, Callable[[argparse.Namespace, tuple[int, int]], Loaded]] = {
    "eager": eager,
    "dpedtool": dpedtool,
    "onnxruntime": onnx_runtime,
    "openvino": openvino,
    "tensorflow": tensorflow,
}
"""By name; each takes the options and the photo's (width, height)."""


def planes(photo: Image) -> Floats:
    """Return a photo as a network takes it, (1, 3, H, W), RGB, 0..1."""
    rgb = np.ascontiguousarray(photo[..., ::-1].transpose(2, 0, 1))
    return rgb[None].astype(np.float32) / np.float32(255)


def photo_of(enhanced: Floats) -> Image:
    """Return a network's output, (1, 3, H, W), RGB, nominally 0..1, as a photo."""
    return eight_bit(enhanced[0].transpose(1, 2, 0))


def eight_bit(rgb: Floats) -> Image:
    """Return RGB values (H, W, 3), nominally 0..1, as a photo."""
    return np.ascontiguousarray(np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)[..., ::-1])


def kernel(values: Floats) -> Floats:
    """Return PyTorch's kernel (out, in, H, W) as TensorFlow's (H, W, in, out), and other tensors unchanged."""
    return np.ascontiguousarray(values.transpose(2, 3, 1, 0)) if values.ndim == 4 else values


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.enhancing")
    parser.add_argument("tool", choices=list(TOOLS))
    parser.add_argument("photo", type=Path, help="(H, W, 3) BGR uint8, as numpy saves it")
    parser.add_argument("enhanced", type=Path, help="file for the enhanced photo, in the same form")
    parser.add_argument("report", type=Path, help="JSON file for the figures")
    parser.add_argument("--network", type=Path, required=True, help="weights, or for some tools an ONNX graph")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="device of dpedtool")
    parser.add_argument("--max-memory", type=float, help="memory limit of the process, in bytes")
    parser.add_argument("--least-memory", action="store_true", help="use the least --max-memory that is not refused")
    parser.add_argument("--scratch", type=Path, help="folder for a temporary file for data that does not fit in memory")
    return parser


if __name__ == "__main__":
    main()
