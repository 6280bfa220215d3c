"""Properties of whole photos in stripes: the result is the same for any stripes and any memory, at every size."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dpedtool.training.enhance import whole_photo
from dpedtool.training.enhance.memory import Plan
from dpedtool.training.enhance.whole_photo import Settings, enhance_image
from dpedtool.training.networks.generators import Architecture, Generator

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")

sides = st.integers(1, 40) | st.sampled_from([1, 2, 4, 8, 9, 16, 17, 32, 33])
"""Sizes that are odd, tiny, or one row larger than a number of stripes."""


def generator(channels: int, blocks: int, seed: int) -> Generator:
    torch.manual_seed(seed)
    return Architecture(channels=channels, blocks=blocks).build().eval()


@settings(max_examples=60)
@given(
    height=sides,
    width=sides,
    rows=st.integers(1, 9),
    channels=st.sampled_from([1, 3, 16]),
    blocks=st.integers(0, 2),
    seed=st.integers(0, 99),
)
def test_stripes_are_what_the_whole_photo_is(
    height: int, width: int, rows: int, channels: int, blocks: int, seed: int
) -> None:
    assume(height * width > 1 or not blocks)  # PyTorch's instance norm refuses a single px
    model = generator(channels, blocks, seed)
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        whole = model(image[None])[0]
    with patch.object(whole_photo, "STRIPE_PX", rows * width):
        made = enhance_image(model, image, Settings(CPU, "float32"))
    torch.testing.assert_close(made, whole, rtol=0, atol=2e-4 / 255)


@settings(max_examples=60)
@given(height=sides, width=sides, rows=st.integers(1, 9), seed=st.integers(0, 99))
def test_bfloat16_is_within_a_grey_level(height: int, width: int, rows: int, seed: int) -> None:
    """The network has enough channels for their rounding to average out; DPED's smallest has 16."""
    assume(height * width > 1)
    model = generator(16, 2, seed)
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        whole = model(image[None])[0]
    with patch.object(whole_photo, "STRIPE_PX", rows * width):
        half = enhance_image(model, image, Settings(CPU, "bfloat16"))
    assert (half - whole).abs().max() < 1 / 255


@settings(max_examples=25)
@given(height=sides, width=sides, held=st.integers(0, 40), precision=st.sampled_from(["float32", "bfloat16"]))
def test_where_feature_maps_are_kept_changes_no_bit(height: int, width: int, held: int, precision) -> None:
    model = generator(4, 2, 0)
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    with TemporaryDirectory() as folder, patch.object(whole_photo, "STRIPE_PX", 3 * width):
        in_memory = enhance_image(model, image, Settings(CPU, precision))
        with patch.object(whole_photo, "plan", lambda *_: Plan(0, 1, held)):
            in_file = enhance_image(model, image, Settings(CPU, precision, scratch=Path(folder)))
    assert in_file.equal(in_memory)
