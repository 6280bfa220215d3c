"""Text in Markdown."""

from __future__ import annotations

import pytest

from dpedtool.dataset.markdown import facts, plain, table, text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<img src=x onerror=y>.jpg", r"\<img src=x onerror=y\>.jpg"),
        ("a|b\n# c", r"a\|b \# c"),
        ("[x](y) ![z](w) `k` *e* _f_ ~g~ &amp; $h$", r"\[x\](y) \!\[z\](w) \`k\` \*e\* \_f\_ \~g\~ \&amp; \$h\$"),
        ("- item", r"\- item"),
        ("12. item", r"12\. item"),
        ("===", r"\==="),
        ("3.5", "3.5"),
        ("0..1", "0..1"),
        (-0.25, "-0.25"),
        ("a\ud800\x1b b", "a b"),
    ],
)
def test_what_would_be_markup_is_shown(value: object, shown: str) -> None:
    assert text(value) == shown


def test_tables_have_a_head_and_a_rule() -> None:
    assert table([("a", "b"), ("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert facts([("a", "b")]) == "|  |  |\n| --- | --- |\n| a | b |"


def test_plain_text_is_one_line() -> None:
    assert plain(" a \t b\r\n c ") == "a b c"
