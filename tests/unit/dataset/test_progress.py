"""Progress without a terminal: lines on the error stream, every few seconds, for every item, or none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dpedtool.dataset import progress
from dpedtool.dataset.progress import OUTPUT, track


@pytest.fixture(autouse=True)
def _output() -> Iterator[None]:
    yield
    OUTPUT.quiet = OUTPUT.every_item = False


def test_a_line_comes_every_few_seconds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0, 5.0, 7.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    assert list(track("abc", "cut", 3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == "cut: 2 of 3, 5 s\n"


def test_a_note_is_shown_as_it_is_at_that_time(capsys: pytest.CaptureFixture[str]) -> None:
    OUTPUT.every_item = True
    notes = iter(["21 dB", "22 dB"])
    assert list(track("ab", "train", 2, lambda: next(notes))) == ["a", "b"]
    assert capsys.readouterr().err == "train: 1 of 2, 0 s, 21 dB\ntrain: 2 of 2, 0 s, 22 dB\n"


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    OUTPUT.quiet = OUTPUT.every_item = True
    assert list(track("ab", "train", 2)) == ["a", "b"]
    assert capsys.readouterr().err == ""
