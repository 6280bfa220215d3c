"""Names of photos that tell a day: cameras of phones call a photo by when it was taken, such as PXL_20230511_142231."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date

_TIME = r"(?:[01]\d|2[0-3])[0-5]\d[0-5]\d(?:\d{3})?"
"""Hours, minutes, seconds and perhaps milliseconds, which some cameras write right behind the day."""
_DAY = re.compile(rf"(?<!\d)(199\d|20\d\d)([_-]?)(\d\d)\2(\d\d)(?=(?:{_TIME})?(?!\d))")


def dated_names(names: Iterable[str]) -> list[str]:
    """Return the names that hold a day of the years 1990 to 2099, in their order.

    A day is written as YYYYMMDD, YYYY-MM-DD or YYYY_MM_DD, with no digits around but those of a time behind it.
    """
    return [name for name in names if any(_is_day(*found) for found in _DAY.findall(name))]


def dates_note(names: Sequence[str]) -> list[str]:
    """Return a sentence on such names, or none."""
    if not names:
        return []
    count = "1 name of a photo tells" if len(names) == 1 else f"{len(names)} names of photos tell"
    return [
        f"{count} when it was taken, such as {names[0]}. Names of photos stand in the tables and in "
        "the names of patches: call the photos otherwise, and begin again, if nobody is to know."
    ]


def _is_day(year: str, _: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True
