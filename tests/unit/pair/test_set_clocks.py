"""Clocks that were set in the middle of a session, whatever its length, and cameras that state their zones."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from timed_photos import couples, pairing, photo

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.pair.clocks import fit_clocks
from dpedtool.pipeline.pair.meeting import Indices
from dpedtool.pipeline.pair.set_clocks import stretches
from dpedtool.pipeline.pair.synchronisation import synchronisation

TO_2000 = -733_000_000.0


def rhythm(shots: int, seed: int = 0) -> np.ndarray:
    return np.floor(np.cumsum(np.random.default_rng(seed).uniform(20, 400, shots)))


def right(phone: np.ndarray, dslr: np.ndarray, max_offset_s: float = 90_000) -> tuple[int, int]:
    """Return how many of the pairs are right, and how many are wrong; equal indices are one moment."""
    found = fit_clocks(phone, dslr, 2.0, max_offset_s).matches
    good = int((found[:, 0] == found[:, 1]).sum())
    return good, len(found) - good


@pytest.mark.parametrize("shots", [8, 12, 16, 40, 61, 300])
@pytest.mark.parametrize("jump", [3600.0, -3600.0, 86_400.0, -5400.0])
@pytest.mark.parametrize("camera", ["phone", "dslr"])
def test_a_clock_that_is_set_once_is_followed_in_a_session_of_any_length(shots: int, jump: float, camera: str) -> None:
    for seed in range(2):
        moments = rhythm(shots, seed)
        for share in (0.3, 0.5, 0.75):
            moved = moments + np.where(np.arange(shots) >= round(share * shots), jump, 0.0)
            phone, dslr = (moved, moments + 7) if camera == "phone" else (moments, moved + 7)
            good, wrong = right(phone, dslr)
            # The face of a clock that is put back shows the same hour twice, in which two shots may look alike.
            unclear = 2 if jump < 0 and shots > 50 else 0
            assert good >= shots - unclear, (seed, share)
            assert wrong <= unclear, (seed, share)


@pytest.mark.parametrize("at", [5, 20, 36])
@pytest.mark.parametrize("camera", ["phone", "dslr"])
def test_a_clock_that_began_again_in_2000_is_followed_if_the_limit_allows_it(at: int, camera: str) -> None:
    moments = rhythm(40)
    moved = np.where(np.arange(40) >= at, moments - moments[at] + TO_2000, moments)
    phone, dslr = (moved, moments) if camera == "phone" else (moments, moved)
    assert right(phone, dslr, 1e9) == (40, 0)


def test_a_clock_that_is_set_several_times_is_followed() -> None:
    """Each camera misses shots, and there are a battery change, summer time and a correction by a minute."""
    moments = rhythm(80)
    jumps = np.repeat([0.0, -41_234.0, -37_634.0, -37_574.0], [20, 25, 15, 20])
    has = [np.delete(np.arange(80), lost) for lost in ([3, 30, 70], [10, 50, 51])]
    found = fit_clocks(moments[has[0]], (moments + jumps + 37)[has[1]], 2.0, 90_000).matches
    pairs = {(int(has[0][phone]), int(has[1][dslr])) for phone, dslr in found}
    assert pairs == {(shot, shot) for shot in {*has[0].tolist()} & {*has[1].tolist()}}


def test_what_each_camera_took_alone_makes_no_stretch() -> None:
    """Half of the session is apart: none of 60 draws gives a pair by chance."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        common, apart = rhythm(30, seed), rng.uniform(0, 30_000, (2, 30))
        phone, dslr = (np.r_[common, 20_000 + np.sort(each)] for each in apart)
        found = fit_clocks(np.sort(phone), np.sort(dslr), 2.0, 90_000)
        order = np.argsort(phone, kind="stable"), np.argsort(dslr, kind="stable")
        pairs = [(order[0][one], order[1][other]) for one, other in found.matches]
        assert sum(one < 30 for one, other in pairs if one == other) == 30
        # Some shots apart meet under the usual offset, as they always did.
        assert {float(each) for each in found.offsets_s} == {0.0}


@pytest.mark.parametrize("pause_s", [0.5, 9.0])
def test_bursts_that_each_camera_took_alone_hide_no_offset_and_make_no_stretch(pause_s: float) -> None:
    """Forty moments are common; two bursts have sixteen differences, under any offset that takes one to the other."""
    for seed in range(15):
        rng = np.random.default_rng(seed)
        moments = rhythm(40, seed)
        own = [(rng.uniform(0, moments[-1], 10)[:, None] + np.arange(4) * pause_s).ravel() for _ in range(2)]
        phone, dslr = (np.sort(np.floor(np.r_[moments, each])) for each in own)
        found = fit_clocks(phone, dslr + 37, 2.0, 90_000)
        assert {float(each) for each in found.offsets_s} == {37.0}
        assert found.beyond == ()
        met = {(float(phone[one]), float(dslr[other])) for one, other in found.matches}
        assert len({(each, each) for each in moments.tolist()} & met) >= 39


def test_an_even_rhythm_makes_no_stretch() -> None:
    even = np.arange(0, 400, 10.0)
    none: Indices = np.empty((0, 2), np.int64)
    assert stretches(even, even + 3, none, 0.0, 2.0, np.inf) == []


def test_stretches_of_a_long_session_are_found_in_seconds() -> None:
    rng = np.random.default_rng(0)
    phone, dslr = (np.sort(rng.uniform(0, 1e6, 3000)) for _ in range(2))
    started = time.process_time()
    stretches(phone, dslr, np.empty((0, 2), np.int64), 0.0, 2.0, np.inf)
    assert time.process_time() - started < 10


# Folders


def session(folder: Path, shots: int, at: int, jump: float, camera: str = "dslr") -> None:
    for shot, seconds in enumerate(rhythm(shots)):
        moved = float(seconds) + (jump if shot >= at else 0.0)
        photo(folder / "phone" / f"p{shot:02d}.jpg", moved if camera == "phone" else float(seconds))
        photo(folder / "dslr" / f"d{shot:02d}.jpg", 7 + (moved if camera == "dslr" else float(seconds)))


def all_pairs(shots: int) -> dict[str, str]:
    return {f"p{shot:02d}.jpg": f"d{shot:02d}.jpg" for shot in range(shots)}


def test_it_is_said_where_a_clock_was_set(tmp_path: Path) -> None:
    session(tmp_path, 16, 5, -3600)
    found = pairing(tmp_path)
    assert couples(tmp_path) == all_pairs(16)
    assert found.notes == [
        "A clock was set between p04.jpg and p05.jpg: the DSLR's clock minus the phone's is +7.0 s before that and "
        "-3593.0 s after it."
    ]


def test_a_clock_that_was_put_back_is_named_once(tmp_path: Path) -> None:
    session(tmp_path, 40, 20, -3600, "phone")
    assert couples(tmp_path) == all_pairs(40)
    assert ["between p19.jpg and p20.jpg" in note for note in pairing(tmp_path).notes] == [True]


def test_a_setting_beyond_the_limit_is_named_and_its_remedy_helps(tmp_path: Path) -> None:
    session(tmp_path, 40, 20, TO_2000)
    (note,) = pairing(tmp_path).notes
    assert note.startswith(
        "A clock was set in the session: 20 photos of the phone, from p20.jpg to p39.jpg, have no mate, but fit those "
        "of the DSLR from d20.jpg to d39.jpg if the DSLR's clock minus the phone's is -732999993.0 s there"
    )
    limit = float(note.rpartition(" to ")[2].rstrip("."))
    assert couples(tmp_path, max_offset_s=limit) == all_pairs(40)
    assert len(couples(tmp_path)) == 20


def test_a_clock_that_was_set_early_is_refused_with_a_limit_that_helps(tmp_path: Path) -> None:
    session(tmp_path, 40, 6, TO_2000)
    with pytest.raises(DpedtoolError, match=r"set pair\.max_offset_s \(now 90000 s\) to \d+") as refused:
        pairing(tmp_path)
    limit = float(str(refused.value).partition("(now 90000 s) to ")[2].partition(",")[0])
    assert couples(tmp_path, max_offset_s=limit) == all_pairs(40)


def test_a_few_shots_whose_clock_is_not_sure_are_named_and_a_list_helps(tmp_path: Path) -> None:
    """Three shots within two minutes, before the DSLR began again in 2000: three others might fit by chance."""
    session(tmp_path, 40, 3, TO_2000)
    found = pairing(tmp_path, max_offset_s=1e9)
    assert couples(tmp_path, max_offset_s=1e9) == {name: mate for name, mate in all_pairs(40).items() if name > "p03"}
    assert found.notes == [
        "p00.jpg to p02.jpg of the phone have no mate, and neither have d00.jpg to d02.jpg of the DSLR, which lie at "
        "the same place in the order of names: if a clock was set there, name these pairs, too, in a list of pairs "
        "(pair.csv or --csv)."
    ]
    (tmp_path / "list.csv").write_text("phone,dslr\n" + "".join(f"{a},{b}\n" for a, b in all_pairs(40).items()))
    assert couples(tmp_path, csv=str(tmp_path / "list.csv")) == all_pairs(40)


# Zones


@pytest.mark.parametrize("shots", [8, 16])
def test_a_phone_that_states_summer_time_keeps_its_clock(tmp_path: Path, shots: int) -> None:
    moments = rhythm(shots)
    for shot, seconds in enumerate(moments):
        is_summer = shot >= shots // 3
        photo(tmp_path / "phone" / f"p{shot:02d}.jpg", seconds + 3600 * is_summer, "+02:00" if is_summer else "+01:00")
        photo(tmp_path / "dslr" / f"d{shot:02d}.jpg", seconds + 7)
    found = pairing(tmp_path)
    assert couples(tmp_path) == all_pairs(shots)
    assert found.note.endswith("the DSLR's clock minus the phone's is +7.0 s")
    assert not found.notes
    clock = synchronisation(found.rows, 2.0).clocks[""]
    assert (clock.pieces, clock.offset_start_s, clock.offset_end_s) == (1, 7, 7)


def zoned(folder: Path, zones: tuple[str | None, str | None], behind_s: float) -> None:
    """Both cameras in zones of their own; `behind_s` is the difference of their faces."""
    for shot, seconds in enumerate(rhythm(12)):
        photo(folder / "phone" / f"p{shot:02d}.jpg", float(seconds), zones[0])
        photo(folder / "dslr" / f"d{shot:02d}.jpg", float(seconds) + behind_s, zones[1])


@pytest.mark.parametrize(
    ("zones", "behind_s"),
    [
        (("+02:00", "-08:00"), -36_000 + 37),
        (("+14:00", "-12:00"), -26 * 3600 + 37),
        # The DSLR's zone is wrong, but its face is right.
        (("+02:00", "+00:00"), 37),
        ((None, "+00:00"), 37),
    ],
)
def test_clocks_in_two_zones_are_compared_in_utc(
    tmp_path: Path, zones: tuple[str | None, str | None], behind_s: float
) -> None:
    zoned(tmp_path, zones, behind_s)
    assert couples(tmp_path) == all_pairs(12)
    found = pairing(tmp_path)
    assert f"is {behind_s:+.1f} s" in found.note
    seconds = {None: None, "+02:00": 7200, "+14:00": 50_400, "+00:00": 0, "-08:00": -28_800, "-12:00": -43_200}
    assert {shot.utc_offset_s for shot in found.shots if shot.camera == "dslr"} == {seconds[zones[1]]}


def test_zones_settle_which_of_two_equal_hours_it_was(tmp_path: Path) -> None:
    """The same rhythm twice, an hour apart: the phone took both hours, and the DSLR one of them."""
    moments = rhythm(12)
    for shot, seconds in enumerate(moments):
        for hour in (0, 1):
            photo(tmp_path / "phone" / f"{'pq'[hour]}{shot:02d}.jpg", seconds + 7200 * hour, "+02:00")
        photo(tmp_path / "dslr" / f"d{shot:02d}.jpg", seconds + 7200 - 3600 + 20, "+01:00")
    assert couples(tmp_path) == {f"q{shot:02d}.jpg": f"d{shot:02d}.jpg" for shot in range(12)}


def test_a_photo_next_to_one_of_another_kind_is_one_exposure_by_its_zone(tmp_path: Path) -> None:
    """The raw file's time is in another zone than that of its photo."""
    noon = datetime(2023, 3, 26, 12)
    for shot in range(3):
        photo(tmp_path / "phone" / f"{shot}.jpg", 60.0 * shot, "+02:00", noon)
        photo(tmp_path / "phone" / f"{shot}.heic", 60.0 * shot - 7200, "+00:00", noon)
        photo(tmp_path / "dslr" / f"{shot}.jpg", 60.0 * shot, start=noon)
    found = pairing(tmp_path)
    assert len(found.rows) == 3
    assert not found.notes
