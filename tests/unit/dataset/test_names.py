"""Names of images: as people count, and some of them held out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.names import by_stem, choose_held_out, counting

NAMES = st.lists(st.text("abcxyz0123456789", min_size=1, max_size=4), unique=True, max_size=30)


def test_names_are_sorted_as_people_count() -> None:
    names = ["10", "b2", "0", "b10", "2", "01", "1"]
    assert sorted(names, key=counting) == ["0", "01", "1", "2", "10", "b2", "b10"]


def test_images_are_known_by_their_names_without_suffix() -> None:
    assert by_stem([Path("a/1.jpg"), Path("a/2.png")]) == {"1": Path("a/1.jpg"), "2": Path("a/2.png")}
    words = r"^a/1\.jpg and a/1\.png have the same name with different suffixes: remove one\.$"
    with pytest.raises(DpedtoolError, match=words):
        by_stem([Path("a/1.jpg"), Path("a/1.png")])


@given(NAMES, st.floats(0, 0.9), st.integers(0, 5))
def test_the_held_out_share_is_kept_and_never_all(names: list[str], share: float, seed: int) -> None:
    held_out = choose_held_out(names, share, seed)
    assert held_out <= set(names)
    assert choose_held_out(names[::-1], share, seed) == held_out
    assert len(held_out) < max(len(names), 1)
    assert abs(len(held_out) - share * len(names)) <= 1
    assert bool(held_out) == (share > 0 and len(names) > 1)


@given(NAMES, st.floats(0.01, 0.9), st.text("ABC", min_size=1, max_size=3))
def test_a_name_more_moves_one_other_at_most(names: list[str], share: float, added: str) -> None:
    before, after = choose_held_out(names, share, 0), choose_held_out([*names, added], share, 0)
    assert len((before ^ after) - {added}) <= 1
