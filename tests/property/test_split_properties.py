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
def test_every_scene_has_one_split_and_the_counts_are_those_asked_for(scenes, test, validation, seed) -> None:
    of = split_scenes(scenes, params(test, validation, seed))
    assert set(of) == set(scenes)
    counts = {name: list(of.values()).count(name) for name in ("train", "validation", "test")}
    assert sum(counts.values()) == len(set(scenes))
    if scenes:
        assert counts["train"] >= 1
    for name, share in (("test", test), ("validation", validation)):
        wanted = share * len(of)
        assert counts[name] <= max(1, wanted + 0.5)
        if share == 0:
            assert counts[name] == 0
        elif counts["train"] > 1:
            assert counts[name] >= max(1, wanted - 0.5)


@given(st.sets(st.text("abc019", min_size=1, max_size=5), min_size=1, max_size=30), st.integers(0, 9))
def test_a_new_scene_takes_no_scene_out_of_the_test_as_long_as_the_share_grows_with_it(scenes, seed) -> None:
    """Ranks depend on the scene alone: of two scenes that stay, the order never changes."""
    drawn = params(0.3, 0.3, seed)
    few, more = split_scenes(scenes, drawn), split_scenes(scenes | {"new-one"}, drawn)
    rank = {"test": 0, "validation": 1, "train": 2}
    for first in scenes:
        for second in scenes:
            if rank[few[first]] < rank[few[second]]:
                assert rank[more[first]] <= rank[more[second]]
