"""What a stage says when it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset.schema import Alignment, Pair
from pipeline.summary import MOST_LINES, MOST_PHOTOS, say_alignments, say_pairs
from pipeline.synchronisation import synchronisation


def pair(name: str, reason: str = "") -> Pair:
    return Pair(
        pair_id=name, phone="p", status="unpaired" if reason else "paired", reason=reason, detail=f"{name} is alone."
    )


def alignment(name: str, residual: float | None = None, reason: str = "") -> Alignment:
    return Alignment(
        pair_id=name,
        phone="p",
        scene_id="s",
        status="failed" if reason else "aligned",
        reason=reason,
        detail=f"{name} failed." if reason else "",
        phone_path=Path("a"),
        dslr_path=Path("b"),
        phone_sha256="",
        dslr_sha256="",
        residual_px=residual,
        key="k",
    )


def say(rows: list[Pair], note: str) -> None:
    say_pairs(rows, note, synchronisation(rows, 2.0))


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
    say([pair("a")], "one pair of photos")
    assert capsys.readouterr().out == "1 pair, one pair of photos.\n"


def test_alignments_with_their_median_and_reasons_by_number(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [alignment("a", 0.2), alignment("b", 0.4), alignment("c", 9.0), alignment("d")]
    rows += [alignment("e", reason="few_matches"), alignment("f", reason="small_overlap")]
    rows += [alignment("g", reason="small_overlap")]
    say_alignments(rows)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "Aligned 4 of 7 pairs; median residual 0.40 px, 1 without enough texture to measure one."
    assert out[1] == "3 pairs failed (2 small_overlap, 1 few_matches):"
    assert out[2:] == ["  e: e failed.", "  f: f failed.", "  g: g failed."]


def test_nothing_measured_claims_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    say_alignments([alignment("a")])
    assert capsys.readouterr().out == (
        "Aligned 1 of 1 pair; 1 without enough texture to measure one.\nThe pair is a.\n"
    )


def test_a_failed_pairs_residual_does_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    say_alignments([alignment("a", 0.5), alignment("b", 9.0, reason="misaligned")])
    assert "median residual 0.50 px" in capsys.readouterr().out


def test_many_failures_are_cut_short_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    say_alignments([alignment(f"p{index}", reason="few_matches") for index in range(MOST_LINES + 5)])
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 + MOST_LINES + 1
    assert out[-1] == "  and 5 more, in the table."
