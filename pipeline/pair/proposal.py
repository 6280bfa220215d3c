"""A list of pairs to be corrected, for folders that cannot be paired otherwise."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from dpedtool.dataset.io import write_text
from dpedtool.dataset.regular_files import MOST_TEXT_BYTES, read_regular
from dpedtool.pipeline.pair.order import in_order_named
from dpedtool.pipeline.pair.pair_list import COLUMNS, SESSION
from dpedtool.pipeline.pair.shots import Shot

NAME = "proposed_pairs"
Line = tuple[str, str, str]
"""Session, the phone's photo, the DSLR's photo; empty where there is none."""


def proposed(session: str, phones: Sequence[Shot], dslrs: Sequence[Shot]) -> list[Line]:
    """Return the photos of two cameras side by side, in the order of their names."""
    names = [[shot.path.name for shot in in_order_named(shots)] for shots in (phones, dslrs)]
    return [(session, phone, dslr) for phone, dslr in itertools.zip_longest(*names, fillvalue="")]


def write_proposal(out: Path, lines: Iterable[Line]) -> Path:
    """Write a list of pairs beside the folder of results, and return its path.

    DVC empties the folder itself before each run. A list of that name that the user has changed is kept.
    """
    folder, name = out.absolute().parent, f"{NAME}-{out.absolute().name}"
    lines = [*lines]
    has_sessions = any(session for session, _, _ in lines)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([*([SESSION] if has_sessions else []), *COLUMNS])
    writer.writerows(line if has_sessions else line[1:] for line in lines)
    text = table.getvalue()
    # Without the mark, spreadsheets take UTF-8 for something else.
    text = text if text.isascii() else "\N{BYTE ORDER MARK}" + text
    for number in itertools.count(1):
        path = folder / (f"{name}.csv" if number == 1 else f"{name}-{number}.csv")
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
            return path
        if path.is_file() and path.stat().st_size < MOST_TEXT_BYTES and read_regular(path) == text.encode():
            return path
    raise AssertionError("counting has no end")
