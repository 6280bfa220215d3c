"""Groups of frames, and the side that is drawn for each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from split_rig import frame, sha

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import SplitParams
from dpedtool.pipeline.split.groups import Place, place_frames
from dpedtool.pipeline.split.near_duplicates import Link

PARAMS = SplitParams(test=0.3, validation=0.3)


def bare(scene: str, phone: str = "a", time: str | None = None, accepted: int = 2):
    return replace(frame(scene, phone, accepted, thumbnail=b""), dslr_time=time)


def near(one: str, two: str) -> Link:
    return Link(sha(f"dslr/{one}"), sha(f"dslr/{two}"), "20 keypoints agree")


def by_scene(places: list[Place]) -> dict[str, str]:
    return {place.frame.scene_id: place.split for place in places}


def counts(scenes: int, params: SplitParams, recorded: dict[str, str] | None = None) -> Counter:
    frames = [bare(f"s{index}") for index in range(scenes)]
    return Counter(by_scene(place_frames(frames, [], recorded or {}, params)).values())


@pytest.mark.parametrize("seed", range(5))
def test_scenes_are_shared_out_as_asked(seed: int) -> None:
    found = counts(50, SplitParams(test=0.2, validation=0.1, seed=seed))
    assert found == {"test": 10, "validation": 5, "train": 35}


def test_scenes_without_patches_fill_up_the_shares_of_all() -> None:
    frames = [bare(f"s{index}", accepted=index % 2) for index in range(100)]
    places = place_frames(frames, [], {}, SplitParams(test=0.3, validation=0.1))
    assert Counter(by_scene(places).values()) == {"test": 30, "validation": 10, "train": 60}
    useful = Counter(by_scene([place for place in places if place.frame.accepted]).values())
    assert useful == {"test": 15, "validation": 5, "train": 30}


def test_a_large_group_is_passed_over_where_it_would_make_a_side_too_large() -> None:
    frames = [bare(f"g{index}") for index in range(20)] + [bare(f"s{index}") for index in range(30)]
    links = [near(f"g{index}", f"g{index + 1}") for index in range(19)]
    for seed in range(9):
        of = by_scene(place_frames(frames, links, {}, SplitParams(test=0.2, validation=0.1, seed=seed)))
        assert Counter(of.values()) == {"test": 10, "validation": 5, "train": 35}
        assert of["g0"] == "train"


@pytest.mark.parametrize(("scenes", "expected"), [(1, (0, 0, 1)), (2, (1, 0, 1)), (3, (1, 1, 1)), (4, (1, 1, 2))])
def test_few_scenes_are_left_to_train_on_first_then_to_test_on(scenes: int, expected: tuple[int, int, int]) -> None:
    found = counts(scenes, SplitParams(test=0.001, validation=0.001))
    assert tuple(found[name] for name in ("test", "validation", "train")) == expected


def test_a_share_of_zero_gets_nothing() -> None:
    assert set(counts(50, SplitParams(test=0, validation=0))) == {"train"}


def test_another_seed_draws_other_scenes() -> None:
    frames = [bare(f"s{index}") for index in range(40)]
    first, second = (by_scene(place_frames(frames, [], {}, replace(PARAMS, seed=seed))) for seed in (0, 1))
    assert first != second


def test_a_number_of_test_scenes_goes_before_the_share() -> None:
    found = counts(1000, SplitParams(test=0.8, validation=0.1, test_scenes=100))
    assert found["test"] == 100
    assert found["validation"] == 100


def test_a_number_of_test_scenes_counts_those_of_an_earlier_run() -> None:
    params = SplitParams(test_scenes=40)
    recorded = {f"a-s{index}": "test" for index in range(30)}
    assert counts(100, params, recorded)["test"] == 40
    assert counts(100, SplitParams(test_scenes=20), recorded)["test"] == 30


def test_more_test_scenes_than_there_are_leave_one_to_train_on() -> None:
    assert counts(5, SplitParams(test_scenes=100))["train"] == 1


def test_scenes_without_patches_count_for_nothing_but_have_a_side() -> None:
    frames = [bare(f"e{index}", accepted=0) for index in range(20)] + [bare("x"), bare("y"), bare("z")]
    of = by_scene(place_frames(frames, [], {}, SplitParams(test=0.01, validation=0.01)))
    assert {of[name] for name in "xyz"} == {"train", "validation", "test"}
    assert len(of) == 23


@pytest.mark.parametrize("shared", ["dslr_sha256", "phone_sha256", "scene_id"])
def test_what_is_shared_keeps_frames_together(shared: str) -> None:
    frames = [bare(f"s{index}") for index in range(40)]
    frames = [replace(one, **{shared: getattr(frames[index // 8], shared)}) for index, one in enumerate(frames)]
    places = place_frames(frames, [], {}, PARAMS)
    assert len({place.group for place in places}) == 5
    groups = {}
    for place in places:
        groups.setdefault(getattr(place.frame, shared), set()).add(place.split)
    assert all(len(found) == 1 for found in groups.values())


def test_the_earliest_scene_names_the_group_and_draws_its_side() -> None:
    early, late = bare("early", time="2024-01-01T00:00:00"), bare("late", time="2024-01-01T00:01:00")
    untimed = bare("untimed")
    others = [bare(f"s{index}") for index in range(60)]
    links = [near("early", "late"), near("late", "untimed")]
    places = {place.frame.scene_id: place for place in place_frames([late, untimed, early, *others], links, {}, PARAMS)}
    assert {places[name].group for name in ("early", "late", "untimed")} == {"early"}
    alone = by_scene(place_frames([early, *others], [], {}, PARAMS))
    assert {places[name].split for name in ("early", "late", "untimed")} == {alone["early"]}
    assert places["untimed"].tie.frame.scene_id == "late"
    assert places["untimed"].tie.evidence == "20 keypoints agree"
    assert places["s0"].tie is None


def test_new_members_follow_recorded_ones() -> None:
    for side in ("train", "validation", "test"):
        places = place_frames([bare("new"), bare("old"), bare("more")], [near("old", "new")], {"a-old": side}, PARAMS)
        assert by_scene(places)["new"] == by_scene(places)["old"] == side


def test_only_the_frame_that_ties_two_sides_is_left_out() -> None:
    frames = [bare("one"), bare("two"), bare("between", time="2024-01-01T00:00:00"), bare("neighbour")]
    links = [near("one", "between"), near("two", "between"), near("between", "neighbour")]
    places = place_frames(frames, links, {"a-one": "train", "a-two": "test"}, PARAMS)
    of = by_scene(places)
    assert (of["one"], of["two"], of["between"]) == ("train", "test", "excluded")
    assert of["neighbour"] in ("train", "validation", "test")
    (left_out,) = (place for place in places if place.split == "excluded")
    assert "one, which is in train" in left_out.detail
    assert "two, which is in test" in left_out.detail


def test_of_two_scenes_that_only_together_tie_two_sides_one_is_kept() -> None:
    frames = [bare("one"), bare("two"), bare("p", time="2024-01-01T00:00:00"), bare("q", time="2024-01-01T00:01:00")]
    links = [near("one", "p"), near("p", "q"), near("q", "two")]
    of = by_scene(place_frames(frames, links, {"a-one": "train", "a-two": "test"}, PARAMS))
    assert (of["p"], of["q"]) == ("train", "excluded")


def test_recorded_near_duplicates_on_two_sides_are_an_error() -> None:
    frames = [bare("one"), bare("two")]
    with pytest.raises(DpedtoolError, match=r"one.*two|two.*one"):
        place_frames(frames, [near("one", "two")], {"a-one": "train", "a-two": "test"}, PARAMS)
