"""The card of a LiteRT file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from dpedtool.training.weights.model_card import INPUT, OUTPUT, ModelCard, bound


@dataclass(frozen=True, kw_only=True)
class LitertCard(ModelCard):
    """The contents of a LiteRT file's card."""

    size: tuple[int, int]
    """(height, width) of the images in px."""
    _runtime: ClassVar[str] = "LiteRT"

    def _hub_head(self) -> dict[str, Any]:
        return {"library_name": "litert", "pipeline_tag": "image-to-image"}

    def _code(self) -> str:
        height, width = self.size
        return "\n".join(
            [
                "```python",
                "import cv2, numpy as np",
                "from ai_edge_litert.interpreter import Interpreter",
                f"run = Interpreter({self.file!r}).get_signature_runner()",
                f'rgb = cv2.resize(cv2.imread("photo.jpg"), ({width}, {height}))[..., ::-1].astype(np.float32) / 255',
                f'enhanced = run({INPUT}=rgb[None])["{OUTPUT}"]',
                "bgr = np.rint(enhanced[0].clip(0, 1)[..., ::-1] * 255).astype(np.uint8)",
                'cv2.imwrite("enhanced.png", bgr)',
                "```",
            ]
        )

    def _tensors(self) -> Iterator[str]:
        height, width = self.size
        scale = self.architecture.scale
        shape = f"(1, {height}, {width}, 3)"
        yield f"Input `{INPUT}`: float32, {shape}, RGB, 0..1, sRGB, upright. LiteRT files take images of one size."
        yield f"Output `{OUTPUT}`: float32, (1, {scale * height}, {scale * width}, 3), RGB, {self._range()}."

    def _memory(self) -> Iterator[str]:
        yield from ()

    def _exactness(self) -> Iterator[str]:
        if self.quantised:
            yield (
                "Weights are int8, symmetric, per channel; activations of the convolutions are int8. "
                "Everything else is computed in float32."
            )
            yield self._said_int8(self.quantised)
            return
        yield (
            "Weights of convolutions are float16; phones compute in float32 or float16. On an image of noise, the "
            "outputs of LiteRT on the processor differ from those of PyTorch by less than "
            f"{bound(self.difference):.0e} on the scale 0..1."
        )
