"""Names of photos and sessions that contain a date."""

from __future__ import annotations

import pytest

from dpedtool.pipeline.release.privacy.dated_names import dated_names, sessions_note


@pytest.mark.parametrize(
    "name",
    [
        *("PXL_20230511_142231.jpg", "IMG-20190101-WA0001", "2024-02-29 x.png", "a/2099_12_31", "19900101"),
        *("IMG20230511142231.jpg", "20230511142231123_a", "iphone-IMG_20230511_142231-3"),
    ],
)
def test_days_are_found(name: str) -> None:
    assert dated_names(["a", name, "b", name]) == [name, name]


@pytest.mark.parametrize(
    "name",
    [
        *("IMG_1234.jpg", "20231311", "20230230", "19891231", "21000101", "2023-0511", "2023-05_11", "120230511"),
        *("202305111", "20230511992231", "DSC_0001", "00000042", "", "2023"),
    ],
)
def test_other_figures_are_no_days(name: str) -> None:
    assert dated_names([name]) == []


def test_sessions_whose_name_is_a_day_are_said() -> None:
    assert sessions_note(["harbour", "7"]) == []
    (one,) = sessions_note(["harbour", "2026-05-01"])
    assert one.startswith("The name of 1 session contains a date, such as 2026-05-01. ")
    (two,) = sessions_note(["2026-05-01", "20260502"])
    assert two.startswith("The names of 2 sessions contain a date, such as 2026-05-01. ")
