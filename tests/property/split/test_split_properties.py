"""What holds for the split of any frames."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import assume, example, given
from hypothesis import strategies as st
from split_rig import frame, sha

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.schema import Frame
from dpedtool.pipeline.split.groups import Wishes, place_frames
from dpedtool.pipeline.split.near_duplicates import Link

NAMES = st.sampled_from("abcdefghijkl")


def bare(scene: str, phone: str) -> Frame:
    return replace(PLAIN, pair_id=f"{phone}-{scene}", phone=phone, scene_id=scene)


PLAIN = frame("x", thumbnail=b"")


@st.composite
def frame_lists(draw) -> list[Frame]:
    """Frames of up to 12 scenes and 2 phones; some share files, some have no time or no patches."""
    keys = draw(st.sets(st.tuples(NAMES, st.sampled_from("pq")), max_size=20))
    shared = draw(st.dictionaries(NAMES, NAMES, max_size=3))
    times = draw(st.dictionaries(NAMES, st.integers(10, 40), max_size=12))
    empty = draw(st.sets(NAMES, max_size=4))
    return [
        replace(
            bare(scene, phone),
            dslr_sha256=sha(f"dslr/{shared.get(scene, scene)}"),
            phone_sha256=sha(f"{phone}/{scene}"),
            dslr_time=f"2024-01-01T00:{times[scene]}:00" if scene in times else None,
            accepted=0 if scene in empty else 2,
        )
        for scene, phone in sorted(keys)
    ]


@st.composite
def link_lists(draw) -> list[Link]:
    pairs = draw(st.sets(st.tuples(NAMES, NAMES), max_size=8))
    return [Link(sha(f"dslr/{one}"), sha(f"dslr/{two}"), "near") for one, two in sorted(pairs) if one < two]


@st.composite
def split_params(draw) -> SplitParams:
    test, validation = draw(st.floats(0, 0.6)), draw(st.floats(0, 0.39))
    number = draw(st.none() | st.integers(1, 12))
    return SplitParams(test=test, validation=validation, test_scenes=number, seed=draw(st.integers(0, 99)))


def tied(one: Frame, two: Frame, links: list[Link]) -> bool:
    near = {frozenset([link.one, link.two]) for link in links}
    return (
        one.scene_id == two.scene_id
        or one.dslr_sha256 == two.dslr_sha256
        or one.phone_sha256 == two.phone_sha256
        or frozenset([one.dslr_sha256, two.dslr_sha256]) in near
    )


def sides(frames: list[Frame], links: list[Link], recorded: dict[str, str], params: SplitParams) -> dict[str, str]:
    return {place.frame.pair_id: place.split for place in place_frames(frames, links, recorded, params)}


def assert_holds(frames: list[Frame], links: list[Link], of: dict[str, str]) -> None:
    kept = [one for one in frames if of[one.pair_id] != "excluded"]
    for one in kept:
        assert all(of[one.pair_id] == of[two.pair_id] for two in kept if tied(one, two, links))


@given(frame_lists(), link_lists(), split_params(), st.randoms())
def test_order_does_not_matter_and_nothing_tied_is_on_two_sides(frames, links, params, random) -> None:
    of = sides(frames, links, {}, params)
    mixed, turned = frames[:], links[:]
    random.shuffle(mixed)
    random.shuffle(turned)
    assert sides(mixed, turned, {}, params) == of
    assert set(of) == {one.pair_id for one in frames}
    assert "excluded" not in of.values()
    assert_holds(frames, links, of)


@given(frame_lists(), link_lists(), split_params())
def test_no_split_that_is_wanted_is_empty(frames, links, params) -> None:
    places = [place for place in place_frames(frames, links, {}, params) if place.frame.accepted]
    groups = {
        name: len({place.group for place in places if place.split == name}) for name in ("train", "validation", "test")
    }
    assert not places or groups["train"] >= 1
    for name, wanted in (("test", params.test > 0 or params.test_scenes), ("validation", params.validation > 0)):
        if not wanted:
            assert groups[name] == 0
        elif groups["train"] > 1:
            assert groups[name] >= 1


@given(frame_lists(), link_lists(), split_params(), st.data())
def test_what_was_decided_stays_and_what_contradicts_it_is_left_out(frames, links, params, data) -> None:
    """Any part of the frames comes first, and the others follow in a later run."""
    first = [one for one in frames if data.draw(st.booleans())]
    before = sides(first, links, {}, params)
    after = sides(frames, links, before, params)
    assert {name: after[name] for name in before} == before
    assert_holds(frames, links, after)
    again = sides(frames, links, {name: side for name, side in after.items() if side != "excluded"}, params)
    assert again == after


@given(frame_lists(), link_lists(), split_params(), st.dictionaries(NAMES, st.sampled_from(["train", "test"])))
def test_any_record_is_followed_or_refused(frames, links, params, record) -> None:
    recorded = {one.pair_id: record[one.scene_id] for one in frames if one.scene_id in record}
    try:
        of = sides(frames, links, recorded, params)
    except DpedtoolError:
        of = {}
    assume(of)
    assert all(of[name] == side for name, side in recorded.items())
    assert_holds(frames, links, of)


@given(st.lists(st.integers(1, 4), min_size=4, max_size=14), st.integers(20, 60), st.sampled_from([0.1, 0.2, 0.3]))
@example([3, 1, 3, 2, 3, 2, 3], 20, 0.1).via("the later photos of two groups are too many")
def test_a_first_draw_gives_the_number_that_is_asked_for(groups, singles, share) -> None:
    """Off by one scene at most, with groups of several scenes and with strata, and so does what joins them later.

    Later photos of a group follow it. Where these alone are too many for a side, no others join them.
    """
    names = [f"g{group}-{index}" for group, size in enumerate(groups) for index in range(size)]
    names += [f"s{index}" for index in range(singles)]
    frames = [replace(bare(name, "p"), dslr_sha256=sha(name), phone_sha256=name) for name in names]
    strata = {name: "night" if name.startswith("g") or index % 3 else "day" for index, name in enumerate(names)}
    wishes = Wishes(groups={name: name.partition("-")[0] for name in names if "-" in name}, strata=strata)
    params = SplitParams(test=share, validation=0.1)
    first = frames[::2]
    before = {place.frame.pair_id: place.split for place in place_frames(first, [], {}, params, (), wishes)}
    later = place_frames(frames, [], before, params, (), wishes)
    assert {place.frame.pair_id: place.split for place in later if place.frame.pair_id in before} == before
    alone = place_frames(frames, [], {}, params)
    sides = {wishes.groups.get(name, name): before[f"p-{name}"] for name in names if f"p-{name}" in before}
    followed = Counter(sides.get(wishes.groups.get(name, name)) for name in names)
    for places in (later, alone, place_frames(frames, [], {}, params, (), wishes)):
        counts = Counter(place.split for place in places)
        for side, wanted in (("test", share * len(names)), ("validation", 0.1 * len(names))):
            is_full = places is later and followed[side] > wanted
            assert abs(counts[side] - wanted) <= 1 or (is_full and counts[side] == followed[side])
