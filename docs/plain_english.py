"""Words and turns that readers stumbled over, looked for in comments, docstrings, messages and pages: `make lint`."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]

WORDS: Mapping[str, str] = {
    r"anew": "again, or from scratch",
    r"amiss": "wrong",
    r"mend(?:s|ed|ing)?": "fix",
    r"hence": "so",
    r"lest": "so that ... not",
    r"(?:there|where)of": "of it",
    r"whoever": "a plain subject",
    r"as it were": "leave it out",
    r"finds? no room": "does not fit",
    r"passing file": "temporary file",
    r"what of": "which part of",
    r"of which (?:\w+ ){1,2}(?:is|are)": "two sentences",
    r"(?:is|are) no numbers?": "is not a number, or is NaN or infinite",
    r"go(?:es)? before": "override, or come first",
    r"for ever": "always",
    r"passes for": "is taken for",
    r"such as (?:need|have|are|can)": "that need, have, are, can",
    r"bears? none": "has none",
    r"told apart by": "distinguished by",
}
"""Patterns, and what to write instead."""

_PATTERN = re.compile(rf"\b(?:{'|'.join(f'(?:{word})' for word in WORDS)})\b", re.IGNORECASE)
_NAMES = re.compile(r"`[^`\n]*`")
"""Names of code are no words."""
_LEFT_OUT = {"docs/plain_english.py", "tests/unit/project/test_plain_english.py", "docs/tables.md"}
"""The first two name the words, the third one the columns."""
_SUFFIXES = (".py", ".md", ".html", ".j2", ".yaml", ".toml", ".ipynb")


def findings(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield line and words of each finding in a file; of Python code only comments and texts of several words count."""
    for line, words in _prose(text) if name.endswith(".py") else enumerate(text.splitlines(), start=1):
        for number, part in enumerate(words.splitlines()):
            for found in _PATTERN.finditer(_NAMES.sub("", part)):
                yield line + number, found[0]


def _prose(text: str) -> Iterator[tuple[int, str]]:
    texts = {tokenize.COMMENT, tokenize.STRING} | {getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in texts and " " in token.string.strip():
            yield token.start[0], token.string


def _instead(words: str) -> str:
    return next(better for word, better in WORDS.items() if re.fullmatch(word, words, re.IGNORECASE))


def main() -> int:
    """Print the findings in all files of the project; return 1 if there are any."""
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    count = 0
    for name in filter(None, listed.split("\0")):
        if not name.endswith(_SUFFIXES) or name in _LEFT_OUT or not (ROOT / name).is_file():
            continue
        for line, words in findings(name, (ROOT / name).read_text(encoding="utf-8")):
            print(f"{name}:{line}: '{words}': better: {_instead(words)}")
            count += 1
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
