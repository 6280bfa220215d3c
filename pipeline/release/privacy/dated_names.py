"""Names of photos and sessions that contain a date.

Phones often name a photo by when it was taken, such as PXL_20230511_142231.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date

_TIME = r"(?:[01]\d|2[0-3])[0-5]\d[0-5]\d(?:\d{3})?"
"""Hours, minutes, seconds and perhaps milliseconds, which some cameras write directly after the date."""
_DAY = re.compile(rf"(?<!\d)(199\d|20\d\d)([_-]?)(\d\d)\2(\d\d)(?=(?:{_TIME})?(?!\d))")


def dated_names(names: Iterable[str]) -> list[str]:
    """Return the names that contain a date between the years 1990 and 2099, in their order.

    A date is written as YYYYMMDD, YYYY-MM-DD or YYYY_MM_DD. No digits may touch it, except a time directly after it.
    """
    return [name for name in names if any(_is_day(*found) for found in _DAY.findall(name))]


def dates_note(names: Sequence[str]) -> list[str]:
    """Return a sentence about such names, or an empty list."""
    if not names:
        return []
    one = len(names) == 1
    count = "The name of 1 photo says when it was" if one else f"The names of {len(names)} photos say when they were"
    return [
        f"{count} taken, such as {names[0]}. Names of photos appear in the tables and in the names of patches: to "
        "hide the dates, rename the photos and start again."
    ]


def sessions_note(names: Iterable[str]) -> list[str]:
    """Return a sentence about sessions whose name contains a date, or an empty list."""
    dated = dated_names(names)
    if not dated:
        return []
    count = "The name of 1 session contains" if len(dated) == 1 else f"The names of {len(dated)} sessions contain"
    return [
        f"{count} a date, such as {dated[0]}. Names of sessions appear in the tables and in the names of patches: to "
        "hide the dates, rename the folders of the sessions and start again."
    ]


def _is_day(year: str, _: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True
