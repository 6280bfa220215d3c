"""When a photo was taken, by what its file says: the first field with a time that can be read decides.

The order is DateTimeOriginal, DateTimeDigitized and DateTime, each with its own fraction of a second and its own
difference from UTC, then the time of the satellites, which is UTC, then XMP (EXIF 2.32, 4.6.5 and 4.6.6; XMP
specification, part 2). Cameras and programs write times in many forms, and leave fields blank or fill them with zeros.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

Values = Mapping[int, object]
"""Fields of a directory by tag: bytes or text, or numbers."""

XMP, EXIF, GPS = 700, 0x8769, 0x8825
DATE_TIME, SUBSEC, OFFSET = 306, 37520, 36880
ORIGINAL, SUBSEC_ORIGINAL, OFFSET_ORIGINAL = 36867, 37521, 36881
DIGITIZED, SUBSEC_DIGITIZED, OFFSET_DIGITIZED = 36868, 37522, 36882
ZONE_HOURS = 34858
"""TimeZoneOffset of TIFF/EP (ISO 12234-2): hours, first of the original time, then of the time of change."""
GPS_TIME, GPS_DATE = 7, 29
MAIN_TAGS = frozenset({DATE_TIME})
SHOT_TAGS = frozenset(
    {SUBSEC, OFFSET, ORIGINAL, SUBSEC_ORIGINAL, OFFSET_ORIGINAL, DIGITIZED, SUBSEC_DIGITIZED, OFFSET_DIGITIZED}
) | {ZONE_HOURS}
GPS_TAGS = frozenset({GPS_TIME, GPS_DATE})
_FIELDS = (
    (ORIGINAL, SUBSEC_ORIGINAL, OFFSET_ORIGINAL),
    (DIGITIZED, SUBSEC_DIGITIZED, OFFSET_DIGITIZED),
    (DATE_TIME, SUBSEC, OFFSET),
)

MOST_XMP = 2**18
"""Most bytes of XMP that are searched; a segment of a JPEG holds a quarter of that."""
_XMP_NAMES = (b"DateTimeOriginal", b"DateCreated", b"DateTimeDigitized", b"CreateDate", b"tiff:DateTime", b"ModifyDate")
"""Properties with a time, the best one first; their prefixes may be other ones."""
_LONGEST = 64
_FIRST_YEAR = 1970
"""No camera's clock begins earlier; programs write 0001 or 1904 if they know nothing."""
_MOST_ZONE_S = 15 * 3600
_ZONE = r"(?:(?:UTC|GMT)?\s*(?P<sign>[+-])(?P<zone_hours>\d{1,2})(?::?(?P<zone_minutes>\d{2}))?|(?P<utc>Z|UTC|GMT))"
_CLOCK = rf"(?:[.,:]\s*(?P<fraction>\d+))?)?\s*(?P<half>[ap]\.?m\b\.?)?\s*(?:{_ZONE})?"
_FORMS = tuple(
    re.compile(form + _CLOCK, re.ASCII | re.IGNORECASE)
    for form in (
        r"(?<!\d)(?P<year>\d{4})\s*[:/.-]\s*(?P<month>\d{1,2})\s*[:/.-]\s*(?P<day>\d{1,2})[T\s:_-]+"
        r"(?P<hour>\d{1,2})\s*[:.]\s*(?P<minute>\d{1,2})(?:\s*[:.]\s*(?P<second>\d{1,2})",
        r"(?<!\d)(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})[T\s_]"
        r"(?P<hour>\d{2})(?P<minute>\d{2})(?:(?P<second>\d{2})",
    )
)
_ZONE_ALONE = re.compile(_ZONE, re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Moment:
    """A time that a file states."""

    time: datetime
    """On the camera's own clock, without zone."""
    utc_offset_s: float | None = None
    """How far that clock is ahead of UTC, in seconds; None if the file does not say."""


def moment_in(main: Values, shot: Values, position: Values, xmp: bytes) -> Moment | None:
    """Return when a photo was taken; None if nothing says so.

    Parameters
    ----------
    main, shot, position
        The fields of the first directory of an EXIF block, of that of the shot and of that of the position. TIFF/EP
        puts fields of the shot into the first directory, so they are looked for in both.
    xmp
        The XMP packet; empty if there is none.

    """
    said = {**main, **shot}
    texts = {tag: as_text(said.get(tag)) for tag, _, _ in _FIELDS}
    for tag, fraction, _ in _FIELDS:
        if moment := parsed(texts[tag]):
            time, zone = moment.time, moment.utc_offset_s
            if not time.microsecond:
                time = time.replace(microsecond=_micros(as_text(said.get(fraction))))
            if zone is None:
                zone = _zone_of(tag, said, texts)
            return Moment(time, zone)
    return _by_satellites(position) or _in_xmp(xmp)


def parsed(text: str) -> Moment | None:
    """Return the time that a text begins with, or holds after other characters; None if there is none.

    Read are dates with colons, dashes, slashes or dots, and without anything between, a T or a space before the time,
    times without seconds, of 12 hours and with fractions, and a zone after them.
    """
    text = text[:_LONGEST].replace("\N{MINUS SIGN}", "-")
    for form in _FORMS:
        if found := form.search(text):
            return _moment(found)
    return None


def as_text(value: object) -> str:
    """Return a field as text; NUL bytes, which end a text or fill it up, count as spaces."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        value = value[0] if value else ""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).replace("\0", " ").strip()


def _moment(found: re.Match[str]) -> Moment | None:
    year, month, day, hour, minute = (int(found[name]) for name in ("year", "month", "day", "hour", "minute"))
    second = int(found["second"] or 0)
    if found["half"] and 1 <= hour <= 12:
        hour = hour % 12 + (12 if found["half"][0] in "pP" else 0)
    if year < _FIRST_YEAR or second > 60:
        return None
    try:
        # Phones count the first hour of a day as 24 (Java's pattern kk), and leap seconds as 60.
        time = datetime(year, month, day, 0 if hour == 24 else hour, minute) + timedelta(seconds=second)
    except (ValueError, OverflowError):
        return None
    return Moment(time.replace(microsecond=_micros(found["fraction"] or "")), _zone(found))


def _micros(digits: str) -> int:
    found = re.match(r"\d+", digits, re.ASCII)
    return int(f"{found[0]:0<6}"[:6]) if found else 0


def _zone(found: re.Match[str] | None) -> float | None:
    if found is None:
        return None
    if found["utc"]:
        return 0.0
    if not found["sign"]:
        return None
    seconds = int(found["zone_hours"]) * 3600 + int(found["zone_minutes"] or 0) * 60
    return None if seconds > _MOST_ZONE_S else float(-seconds if found["sign"] == "-" else seconds)


def _zone_of(tag: int, said: Values, texts: Mapping[int, str]) -> float | None:
    """Return the difference from UTC that goes with a field, also if it stands beside another field of equal time."""
    own = next(zone for time, _, zone in _FIELDS if time == tag)
    # A program that changes a photo writes the zone of its computer beside another time.
    equal = [zone for time, _, zone in _FIELDS if time != tag and texts[time] == texts[tag]]
    for zone in (own, *equal):
        if (known := _zone(_ZONE_ALONE.fullmatch(as_text(said.get(zone))))) is not None:
            return known
    hours = _numbers(said.get(ZONE_HOURS))
    place = 1 if tag == DATE_TIME else 0
    known = hours[place] * 3600 if len(hours) > place else None
    return known if known is not None and abs(known) <= _MOST_ZONE_S else None


def _by_satellites(position: Values) -> Moment | None:
    date, clock = as_text(position.get(GPS_DATE)), position.get(GPS_TIME)
    parts = _numbers(clock)
    if len(parts) < 2:
        moment = parsed(f"{date} {as_text(clock)}")
        return Moment(moment.time, 0.0) if moment else None
    hour, minute, second = (*parts, 0.0)[:3]
    day = parsed(f"{date} 00:00:00")
    if day is None or not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 61):
        return None
    return Moment(day.time + timedelta(hours=hour, minutes=minute, seconds=round(second, 6)), 0.0)


def _numbers(value: object) -> list[float]:
    if isinstance(value, str | bytes) or value is None:
        return []
    try:
        return [float(part) for part in (value if isinstance(value, Sequence) else (value,))]  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return []


def _in_xmp(xmp: bytes) -> Moment | None:
    # A packet may be in UTF-16, whose other bytes are NUL in names and times.
    packet = xmp[:MOST_XMP].replace(b"\0", b"")
    for name in _XMP_NAMES:
        for found in re.finditer(rb"(?<![\w/])(?:\w+:)?" + name + rb"(?:\s*=\s*[\"']|\s*>)\s*([^\"'<]{1,64})", packet):
            if moment := parsed(found[1].decode("latin-1")):
                return moment
    return None
