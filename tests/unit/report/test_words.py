"""Figures in words, as the page shows them."""

from __future__ import annotations

from typing import Any

import pytest
from report_rig import HOSTILE, scores

from dpedtool.pipeline.report.overview import words


def said(text: str) -> str:
    return text.replace(words.SPACE, " ")


@pytest.mark.parametrize(
    ("value", "digits", "unit", "text"),
    [
        (0.0449, 2, "px", "0.04 px"),
        (1234567.891, 1, "", "1,234,567.9"),
        (-37, 0, "s", "-37 s"),
        (None, 2, "px", "not measured"),
    ],
)
def test_a_number_has_its_digits_and_unit(value: float | None, digits: int, unit: str, text: str) -> None:
    assert said(words.number(value, digits, unit)) == text


def test_a_number_and_its_unit_stay_on_one_line() -> None:
    assert words.number(1, 0, "px") == "1\u00a0px"


@pytest.mark.parametrize(("value", "text"), [(2.5, "+2.5 s"), (-2.5, "-2.5 s"), (0, "+0.0 s"), (None, "not measured")])
def test_a_sign_stands_before_what_is_gained(value: float | None, text: str) -> None:
    assert said(words.signed(value, 1, "s")) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 %"), (1, "100 %"), (0.874, "87 %"), (0.997, "99.7 %"), (0.003, "0.3 %"), (None, "not measured")],
)
def test_a_share_is_all_or_none_only_where_it_is(value: float | None, text: str) -> None:
    assert said(words.share(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.043, "0.04 s"),
        (4.14, "4.1 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3599.8, "1 h"),
        (12000, "3 h 20 min"),
        (187200, "2 d 4 h"),
        (None, "not measured"),
    ],
)
def test_a_time_is_told_in_its_largest_units(value: float | None, text: str) -> None:
    assert said(words.seconds(value)) == text


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "photo", "1 photo"), (0, "photo", "0 photos"), (2000, "patch", "2,000 patches"), (1, "patch", "1 patch")],
)
def test_what_is_counted_is_in_the_plural_where_it_is_not_one(number: int, noun: str, text: str) -> None:
    assert words.counted(number, noun) == text


def test_a_count_that_is_none_is_only_text() -> None:
    not_a_number: Any = HOSTILE
    assert words.counted(not_a_number, "patch") == f"{HOSTILE} patches"


def test_scores_are_told_with_their_unit() -> None:
    figures = scores()["image"]
    assert said(words.psnr(figures, "before")) == "21.12 dB"
    assert words.similarity(figures, "after") == "0.9240"
    assert words.similarity(figures, "after", "ssim") == "0.8240"


def test_scores_that_are_no_number_say_why() -> None:
    all_equal = scores(psnr_after_db=None, infinite_psnr_after=2)["image"]
    assert words.psnr(all_equal, "after") == "infinite"
    no_training = scores(psnr_colour_db=None, ms_ssim_colour=None, infinite_psnr_colour=None)["image"]
    assert words.psnr(no_training, "colour") == words.similarity(no_training, "colour") == "none"
    assert words.psnr(scores(0, psnr_after_db=None)["batch"], "after") == "no test patches"


def test_names_of_tables_are_words() -> None:
    assert [words.plainly(name) for name in ("wrong_pair", "low_ncc", "no_dslr_photo")] == [
        "wrong pair",
        "low NCC",
        "no DSLR photo",
    ]


def test_a_tag_that_is_a_word_stands_alone() -> None:
    tags = ["indoor=yes", "weather=rain", "lamp=40 W = warm", "open=Yes"]
    assert [words.tag(tag) for tag in tags] == ["indoor", "weather: rain", "lamp: 40 W = warm", "open: Yes"]


def test_values_are_as_yaml_has_them() -> None:
    assert [words.value(of) for of in (None, True, 0.5, ["a"], "grün")] == ["null", "true", "0.5", '["a"]', '"grün"']
    assert said(words.step(0.01)) == "0.01 s"
    assert words.step(None) == "not measured"
