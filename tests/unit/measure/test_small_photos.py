"""Small photos are said to be too small, and no other cause is replaced."""

from __future__ import annotations

import pytest

from dpedtool.pipeline.measure.small_photos import is_small, why_too_small


@pytest.mark.parametrize(("size", "small"), [((99, 400), True), ((400, 99), True), ((100, 100), False)])
def test_the_shorter_side_decides(size: tuple[int, int], small: bool) -> None:
    assert is_small(size) == small
    for reason in ("few_matches", "wrong_pair", "low_texture", "misaligned"):
        said = why_too_small(reason, [(4000, 3000), size])
        assert bool(said) == small
        assert not small or f"{size[0]}x{size[1]} px and is too small" in said
    assert why_too_small("motion_blur", [size]) == why_too_small("few_matches", []) == ""
