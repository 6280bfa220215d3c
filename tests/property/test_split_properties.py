"""What holds for the split of any scenes."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from dataset.params import SplitParams
from dataset.split import split_scenes

scene_lists = st.lists(st.text("abc019_-", min_size=1, max_size=6), max_size=40)
shares = st.floats(0, 0.99)


def params(test: float, validation: float, seed: int) -> SplitParams:
    assume(test + validation < 1)
    return SplitParams(test=test, validation=validation, seed=seed)


@given(scene_lists, shares, shares, st.integers(0, 99), st.randoms())
def test_order_and_repetition_do_not_matter(scenes, test, validation, seed, random) -> None:
    drawn = params(test, validation, seed)
    mixed = scenes + scenes[::2]
    random.shuffle(mixed)
    assert split_scenes(scenes, drawn) == split_scenes(mixed, drawn)


@given(scene_lists, shares, shares, st.integers(0, 99))
def test_every_scene_has_one_split_and_none_that_is_wanted_is_empty(scenes, test, validation, seed) -> None:
    of = split_scenes(scenes, params(test, validation, seed))
    assert set(of) == set(scenes)
    counts = {name: list(of.values()).count(name) for name in ("train", "validation", "test")}
    assert not scenes or counts["train"] >= 1
    for name, share in (("test", test), ("validation", validation)):
        if share == 0:
            assert counts[name] == 0
        elif counts["train"] > 1:
            assert counts[name] >= 1


@given(st.sets(st.text("abc019", min_size=1, max_size=5), min_size=1, max_size=30), st.integers(0, 9))
def test_scenes_that_are_added_later_move_none(scenes, seed) -> None:
    """As soon as no split has to borrow a scene, each stays where it is for ever."""
    many = {f"many-{index}" for index in range(60)}
    drawn = params(0.3, 0.3, seed)
    before, after = split_scenes(many, drawn), split_scenes(many | scenes, drawn)
    assert all(after[scene] == split_ for scene, split_ in before.items())
