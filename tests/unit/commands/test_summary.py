"""What a stage says when it ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dpedtool.dataset.schema import Alignment, Pair
from dpedtool.pipeline.commands.summary import (
    MOST_LINES,
    MOST_PHOTOS,
    median_residual,
    moment_counts,
    say_alignments,
    say_pairs,
)
from dpedtool.pipeline.pair.intake import PairedFolders
from dpedtool.pipeline.pair.synchronisation import synchronisation


def pair(name: str, reason: str = "") -> Pair:
    return Pair(
        pair_id=name, phone="p", status="unpaired" if reason else "paired", reason=reason, detail=f"{name} is alone."
    )


def alignment(name: str, residual: float | None = None, reason: str = "", masked: float = 0, **place: Any) -> Alignment:
    bad = "failed" if reason in Alignment.RETRIED else "rejected"
    return Alignment(
        pair_id=name,
        phone="p",
        **{"scene_id": name, **place},
        status=bad if reason else "aligned",
        reason=reason,
        detail=f"{name} is {bad}." if reason else "",
        phone_path=Path("a"),
        dslr_path=Path("b"),
        phone_sha256="",
        dslr_sha256="",
        residual_px=residual,
        masked=None if reason else masked,
        key="k",
    )


def say(rows: list[Pair], note: str) -> None:
    say_pairs(PairedFolders(rows, note, synchronisation(rows, 2.0)))


def test_pairs_and_those_without_a_mate(capsys: pytest.CaptureFixture[str]) -> None:
    say([pair("a"), pair("b", "no_dslr_photo"), pair("c")], "paired by equal file names")
    assert capsys.readouterr().out == (
        "2 pairs, paired by equal file names.\n1 photo without a mate (1 no_dslr_photo):\n  b: b is alone.\n"
    )


def test_many_lone_photos_are_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    say([pair(f"p{index:02d}", "no_dslr_photo") for index in range(MOST_PHOTOS + 3)], "paired by equal file names")
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 + MOST_PHOTOS + 1
    assert out[-1] == "  and 3 more, in the table."


def test_one_pair_is_singular(capsys: pytest.CaptureFixture[str]) -> None:
    say([pair("a")], "given as two photos")
    assert capsys.readouterr().out == "1 pair, given as two photos.\n"


def test_alignments_with_their_median_and_reasons_by_number(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [alignment("a", 0.2), alignment("b", 0.4), alignment("c", 9.0)]
    rows += [alignment("e", reason="few_matches"), alignment("f", reason="parallax")]
    rows += [alignment("g", reason="parallax"), alignment("h", reason="unreadable_photo")]
    say_alignments(rows)
    assert capsys.readouterr().out.splitlines() == [
        "Aligned 3 of 7 pairs; median residual 0.40 px.",
        "3 pairs rejected (2 parallax, 1 few_matches):",
        "  e: e is rejected.",
        "  f: f is rejected.",
        "  g: g is rejected.",
        "1 pair failed (1 unreadable_photo):",
        "  h: h is failed.",
    ]


def test_pairs_with_depth_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    say_alignments([replace(alignment("a", 0.1), model="local"), alignment("b", 0.1)])
    line = "1 pair shows depth, which the transform follows (model local)."
    assert line in capsys.readouterr().out.splitlines()
    say_alignments([replace(alignment(name, 0.1), model="local") for name in "ab"])
    assert "2 pairs show depth, which" in capsys.readouterr().out


def test_pairs_with_masked_parts_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [alignment("a", 0.1, masked=0.2), alignment("b", 0.1), alignment("c", reason="parallax")]
    say_alignments(rows)
    assert "1 pair has masked parts, which show parallax or motion." in capsys.readouterr().out.splitlines()
    say_alignments([*rows, alignment("d", 0.1, masked=0.01)])
    assert "2 pairs have masked parts, which show parallax or motion." in capsys.readouterr().out.splitlines()
    say_alignments(rows[1:])
    assert "masked" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("shakes", "says"),
    [((3.14, 11.96, 5.0), "3.1 to 12.0"), ((0.21,), "0.2"), ((0.21, 0.24), "0.2")],
)
def test_the_range_of_the_motion_between_frames_is_said(
    shakes: tuple[float, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [replace(alignment(f"f{shake}", 0.1), role="frame", shake_px=shake) for shake in shakes]
    say_alignments([alignment("base", 0.1), *frames])
    line = f"The camera moved by {says} px between base frames and further frames."
    assert line in capsys.readouterr().out.splitlines()


def test_without_further_frames_no_motion_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    say_alignments([alignment("a", 0.1), replace(alignment("b", reason="parallax"), role="frame")])
    assert "moved" not in capsys.readouterr().out


def test_nothing_aligned_claims_no_residual(capsys: pytest.CaptureFixture[str]) -> None:
    say_alignments([alignment("a", reason="worker_lost")])
    assert capsys.readouterr().out == "Aligned 0 of 1 pair.\n1 pair failed (1 worker_lost):\n  a: a is failed.\n"


def test_a_rejected_pairs_residual_does_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    say_alignments([alignment("a", 0.5), alignment("b", 9.0, reason="misaligned")])
    assert "median residual 0.50 px" in capsys.readouterr().out


def test_many_failures_are_cut_short_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    say_alignments([alignment(f"p{index}", reason="few_matches") for index in range(MOST_LINES + 5)])
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 + MOST_LINES + 1
    assert out[-1] == "  and 5 more, in the table."


def bursts() -> list[Alignment]:
    """Four moments: a burst of three, a base frame with a stand-in, a rejected burst of two, and a single photo."""
    return [
        alignment("a0", 0.9, scene_id="a", role="frame", frame=0),
        alignment("a1", 0.1, masked=0.2, scene_id="a", role="base", frame=1),
        alignment("a2", reason="motion_blur", scene_id="a", role="frame", frame=2),
        alignment("b0", reason="few_matches", scene_id="b", role="base", frame=0),
        alignment("b1", 0.3, masked=0.2, scene_id="b", role="frame", frame=1),
        alignment("c0", reason="parallax", scene_id="c", role="base", frame=0),
        alignment("c1", reason="unreadable_photo", scene_id="c", role="frame", frame=1),
        alignment("d", 0.5),
    ]


def test_moments_and_further_frames_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    say_alignments(bursts())
    assert capsys.readouterr().out.splitlines() == [
        "Aligned 3 of 4 moments, and 2 of 4 further frames; median residual of the moments 0.30 px.",
        "2 moments have masked parts, which show parallax or motion.",
        "In 1 moment another frame stands in for the base frame (1 few_matches):",
        "  b0: b0 is rejected.",
        "1 moment rejected (1 parallax):",
        "  c0: c0 is rejected.",
        "1 further frame rejected (1 motion_blur):",
        "  a2: a2 is rejected.",
        "1 further frame failed (1 unreadable_photo):",
        "  c1: c1 is failed.",
    ]


def test_the_results_of_align_count_moments_and_further_frames() -> None:
    assert moment_counts(bursts()) == {
        "rows": 4,
        "statuses": {"aligned": 3, "rejected": 1},
        "reasons": {"parallax": 1},
        "frames": {
            "all": 4,
            "aligned": 2,
            "rejected": 1,
            "failed": 1,
            "reasons": {"motion_blur": 1, "unreadable_photo": 1},
            "stand_ins": 1,
        },
        "targets": {},
    }
    assert median_residual(bursts()) == 0.3


def test_photos_of_further_references_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    targets = [
        alignment("a--sony", 0.2, scene_id="a", role="target", frame=1, reference="sony"),
        alignment("d--sony", reason="parallax", scene_id="d", role="target", frame=1, reference="sony"),
    ]
    rows = [alignment("a", 0.1, scene_id="a"), alignment("d", 0.5), *targets]
    say_alignments(rows)
    assert capsys.readouterr().out.splitlines() == [
        "Aligned 2 of 2 pairs; median residual 0.30 px.",
        "Aligned 1 of 2 photos of the further reference sony.",
        "1 photo of a further reference is not aligned (1 parallax):",
        "  d--sony: d--sony is rejected.",
    ]
    counted = moment_counts(rows)
    assert (counted["rows"], counted["frames"]["all"]) == (2, 0)
    assert counted["targets"] == {"sony": {"aligned": 1, "rejected": 1}}
