"""What notebooks show of a result: a picture, and a table of facts."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from dpedtool.api.inputs import RgbImage, bgr
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.pipeline.align.overlay import shrunk

PICTURE_PX = 960
"""Wider pictures are shrunk to this width: notebooks store what they show."""


def png(image: RgbImage) -> bytes:
    """Return an image (H, W, 3) RGB as the bytes of a PNG file, shrunk to at most `PICTURE_PX` in width."""
    return encode_image(shrunk(bgr(image, "image"), PICTURE_PX), ".png")


def as_text(title: str, facts: Sequence[tuple[str, str]]) -> str:
    """Return a title and facts, a line each, in two columns."""
    width = max((len(name) for name, _ in facts), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in facts)])


def as_html(title: str, facts: Sequence[tuple[str, str]], picture: RgbImage | None) -> str:
    """Return the same as HTML, with a picture (H, W, 3) RGB below it."""
    cells = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in facts)
    shown = ""
    if picture is not None:
        data = base64.b64encode(encode_image(shrunk(bgr(picture, "picture"), PICTURE_PX), ".jpg", 88)).decode("ascii")
        shown = f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(title)}">'
    return f"<p>{html.escape(title)}</p><table>{cells}</table>{shown}"


def share(value: float) -> str:
    """Return a share 0..1 in percent."""
    return f"{100 * value:.1f} %"


def length(value: float) -> str:
    """Return a length in px; NaN is not known."""
    return "not measured" if value != value else f"{value:.3f} px"
