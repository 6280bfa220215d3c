"""The lint of words: what it finds, and what it leaves alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[3] / "docs" / "plain_english.py"
spec = importlib.util.spec_from_file_location("plain_english", FILE)
assert spec
assert spec.loader
plain_english = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plain_english)


def lines(name: str, text: str) -> list[int]:
    return [line for line, _ in plain_english.findings(name, text)]


@pytest.mark.parametrize(
    "words", ["Build it anew.", "Mend this.", "It goes before its own.", "of which files are read"]
)
def test_what_readers_stumbled_over_is_found(words: str) -> None:
    assert lines("a.md", f"# Title\n\n{words}\n") == [3]
    assert lines("a.py", f'"""A text.\n\n{words}\n"""\n') == [3]
    assert lines("a.py", f"x = 1  # {words}\n") == [1]


def test_names_of_code_and_single_words_are_left_alone() -> None:
    assert not lines("a.py", 'amiss = found["amiss"]\nrow.anew = amend("x")\n')


def test_other_words_that_hold_them_are_left_alone() -> None:
    assert not lines("a.md", "This commends itself to the latest parameter for every file.\n")


def test_every_word_has_a_better_one() -> None:
    assert all(plain_english.WORDS.values())
    assert plain_english._instead("Mending") == "fix"
