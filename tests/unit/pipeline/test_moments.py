"""Moments of one frame or several: which frame stands for each, and how they are counted."""

from __future__ import annotations

from pathlib import Path

from dpedtool.dataset.schema import Alignment
from dpedtool.dataset.sidecars.selection import FrameCounts
from dpedtool.pipeline.moments import frame_counts, moments, standing


def frame(number: int, role: str = "frame", reason: str = "", scene: str = "s", width: int | None = 800) -> Alignment:
    status = "failed" if reason in Alignment.RETRIED else "rejected" if reason else "aligned"
    return Alignment(
        pair_id=f"p--{scene}-{number}",
        phone="p",
        scene_id=scene,
        role=role,
        frame=number,
        status=status,
        reason=reason,
        phone_path=Path("a.jpg"),
        dslr_path=Path("b.jpg"),
        phone_sha256="",
        dslr_sha256="",
        phone_width=width,
        phone_height=None if width is None else 600,
        key="",
    )


def test_the_base_stands_for_its_moment_where_it_is_aligned() -> None:
    rows = [frame(0), frame(1, "base"), frame(2, reason="motion_blur")]
    (moment,) = moments(rows)
    assert (moment.base, moment.further, moment.standing) == (rows[1], (rows[0], rows[2]), rows[1])
    assert (moment.status, moment.reason, moment.has_stand_in) == ("aligned", "", False)
    assert moment.frames == (rows[1], rows[0], rows[2])


def test_the_nearest_frame_of_the_same_size_stands_in() -> None:
    rows = [frame(0), frame(1, width=400), frame(2, "base", "few_matches"), frame(4), frame(5, reason="parallax")]
    (moment,) = moments(rows)
    assert (moment.status, moment.reason, moment.has_stand_in) == ("aligned", "", True)
    assert moment.standing is moment.shown is rows[0]


def test_a_moment_that_no_frame_stands_for_has_the_reason_of_its_base() -> None:
    rows = [frame(0, "base", "few_matches"), frame(1, reason="parallax"), frame(2, width=400)]
    (moment,) = moments(rows)
    assert (moment.status, moment.reason, moment.has_stand_in) == ("rejected", "few_matches", False)
    assert (moment.standing, moment.shown) == (None, rows[0])


def test_moments_and_further_frames_are_counted_apart() -> None:
    rows = [
        *(frame(0, "base", scene="one"), frame(1, scene="one"), frame(2, reason="motion_blur", scene="one")),
        *(frame(0, "base", "parallax", scene="two"), frame(1, scene="two")),
        *(frame(0, "base", "low_texture", scene="three"), frame(1, reason="unreadable_photo", scene="three")),
        frame(0, "base", scene="four"),
    ]
    found = moments(rows)
    assert [moment.status for moment in found] == ["aligned", "aligned", "rejected", "aligned"]
    assert [row.pair_id for row in standing(found)] == ["p--one-0", "p--two-1", "p--four-0"]
    counts = FrameCounts(4, 2, 1, 1, {"motion_blur": 1, "unreadable_photo": 1}, stand_ins=1)
    assert frame_counts(found) == counts


def test_a_pair_is_a_moment_of_one_frame() -> None:
    found = moments([frame(0, "base", scene="a"), frame(0, "base", "parallax", scene="b")])
    assert [(moment.status, moment.further) for moment in found] == [("aligned", ()), ("rejected", ())]
    assert frame_counts(found) == FrameCounts(0, 0, 0, 0, {}, stand_ins=0)
