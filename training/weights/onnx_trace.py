"""Networks of the user's own as ONNX: torch follows what they compute for one image, for images of any size."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.networks.generators import OwnGenerator
from dpedtool.training.weights.model_card import INPUT, OUTPUT

if TYPE_CHECKING:
    from onnx import ModelProto

_FOLLOWED_PX = 128
_AXES = {0: "batch", 2: "height", 3: "width"}


class Whole(nn.Module):
    """The network with what `OwnGenerator` does around it, in operators that ONNX has for images of any size."""

    def __init__(self, model: OwnGenerator, clip: bool) -> None:
        super().__init__()
        self.network, self.multiple, self.clip, self.scale = model.network, model.multiple, clip, model.scale

    def forward(self, phone: Tensor) -> Tensor:
        """Enhance images (N, 3, H, W), as `OwnGenerator.forward` without its checks, and clip them if asked to."""
        height, width = phone.shape[2:]
        seen = phone
        if self.multiple > 1:
            missing = (0, -width % self.multiple, 0, -height % self.multiple)
            seen = functional.pad(phone, missing, mode="reflect")
        enhanced = self.network(seen)[..., : self.scale * height, : self.scale * width]
        return cast("Tensor", enhanced.clamp(0, 1) if self.clip else enhanced)


def traced(model: OwnGenerator, *, clip: bool, opset: int) -> ModelProto:
    """Return a network of the user's own as an ONNX model.

    Raises
    ------
    DpedtoolError
        Its code cannot be followed, or takes operators that ONNX does not have.

    """
    import onnx

    phone, content = torch.zeros(1, 3, _FOLLOWED_PX, _FOLLOWED_PX), io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that does not warn needs more packages, and names the axes s19 and s55. What it warns of in the
        # user's code, such as a size that is fixed, is found when the result is compared with PyTorch's.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                Whole(model, clip).eval(),
                (phone,),
                # This exporter writes to streams too.
                content,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=opset,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: _AXES, OUTPUT: _AXES},
            )
        except Exception as error:
            # It raises errors of many kinds for what it cannot follow.
            said = " ".join(str(error).split())[:300]
            raise DpedtoolError(
                f"The network {model.architecture.name} cannot be written as ONNX of opset {opset} "
                f"({type(error).__name__}: {said})."
            ) from error
    made = onnx.load_from_string(content.getvalue())
    made.graph.name = model.architecture.name
    for node in made.graph.node:
        node.doc_string = ""
    return made
