"""Cameras, clocks and pairs of a session: what there was to align, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dpedtool.dataset.schema import Alignment, Pair, Row
from dpedtool.dataset.sidecars.synchronisation import ClockFigures, Ties, TimeSteps
from dpedtool.pipeline.report.results import PhoneResults, RunResults


@dataclass(frozen=True)
class Reason:
    """A word of a table's list of reasons: what it means, and how many rows of each phone have it."""

    reason: str
    meaning: str
    all: int
    phones: dict[str, int]


@dataclass(frozen=True)
class SizeCount:
    """How many photos have one size, upright."""

    width_px: int
    height_px: int
    photos: int


@dataclass(frozen=True)
class CameraPhotos:
    """One camera: its photos, and the sizes of those that were read."""

    name: str
    is_phone: bool
    photos: int | None
    sizes: list[SizeCount]
    """The most frequent first."""


@dataclass(frozen=True)
class Photos:
    """What pairing made of one phone's photos and the DSLR's, as synchronisation.json says."""

    phone_photos: int
    dslr_photos: int
    pairs: int
    unpaired: int
    """Photos of either camera without a mate."""
    phone_unpaired: int
    """Those of the phone, as the table of pairs has them."""
    dslr_unpaired: int
    matched_by: dict[str, int]
    """Pairs by what told that they belong together, as column matched_by of the table of pairs says."""


@dataclass(frozen=True, kw_only=True)
class Clock(ClockFigures):
    """The clocks of one phone and the DSLR, as synchronisation.json says, and the times that this follows from."""

    ties: Ties
    """Pairs that had other candidates by time, by what settled them."""
    exif_resolution_s: TimeSteps
    """Step of the times in the photos, by camera: phone, dslr."""
    pair_hours: list[float]
    """When each pair was taken, in hours since the session's first: on the DSLR's clock."""
    pair_offset_s: list[float]
    """DSLR clock minus phone clock of that pair, as its photos say."""


@dataclass(frozen=True)
class PairCounts:
    """Pairs by what stage align found."""

    pairs: int
    aligned: int
    rejected: int
    failed: int
    with_masked_parts: int
    """Aligned ones of which parts are masked: parallax or motion."""


@dataclass(frozen=True)
class Session:
    """What was photographed, paired and aligned; by phone, None where the stage has not run."""

    cameras: list[CameraPhotos]
    photos: dict[str, Photos | None]
    unpaired_reasons: list[Reason]
    clocks: dict[str, Clock | None]
    """None also where no photo has a time."""
    pairs: PairCounts
    pairs_by_phone: dict[str, PairCounts | None]
    pair_reasons: list[Reason]


def session(run: RunResults) -> Session:
    """Return what became of the photos of a run.

    Raises
    ------
    DpedtoolError
        A file is damaged, or of another version.

    """
    photos = {phone.name: _photos(phone) for phone in run.phones}
    first = _first_time(run.phones)
    counts = {phone.name: None if phone.alignments is None else pair_counts(phone.alignments) for phone in run.phones}
    return Session(
        cameras=_cameras(run, photos),
        photos=photos,
        unpaired_reasons=reasons(Pair, {phone.name: _unpaired(phone) for phone in run.phones}),
        clocks={phone.name: _clock(phone, first) for phone in run.phones},
        pairs=pair_counts([row for phone in run.phones for row in phone.alignments or ()]),
        pairs_by_phone=counts,
        pair_reasons=reasons(
            Alignment, {phone.name: Counter(row.reason for row in phone.alignments or ()) for phone in run.phones}
        ),
    )


def pair_counts(rows: Sequence[Alignment]) -> PairCounts:
    """Count rows of the table of alignments by status."""
    statuses = Counter(row.status for row in rows)
    masked = sum(row.status == "aligned" and bool(row.masked) for row in rows)
    return PairCounts(len(rows), statuses["aligned"], statuses["rejected"], statuses["failed"], masked)


def reasons(row_type: type[Row], counts: Mapping[str, Mapping[str, int]]) -> list[Reason]:
    """Return reasons with their meaning, the most frequent first.

    Parameters
    ----------
    row_type
        Whose list of reasons it is.
    counts
        For each phone how many rows have which reason; the empty one is none.

    """
    total: Counter[str] = Counter()
    for of_phone in counts.values():
        total.update(of_phone)
    return [
        Reason(
            word,
            row_type.REASONS.get(word, ""),
            total[word],
            {phone: of_phone.get(word, 0) for phone, of_phone in counts.items()},
        )
        for word in sorted(total, key=lambda word: (-total[word], word))
        if word and total[word]
    ]


def _photos(phone: PhoneResults) -> Photos | None:
    told = phone.synchronisation
    if told is None:
        return None
    by_phone, by_dslr = _lone_photos(phone.pairs or ())
    return Photos(
        told.shots.phone,
        told.shots.dslr,
        told.paired,
        sum(told.unpaired.values()),
        by_phone,
        by_dslr,
        told.matched_by,
    )


def _lone_photos(rows: Iterable[Pair]) -> tuple[int, int]:
    """Count the photos without a mate: the phone's, and the DSLR's."""
    lone = [row for row in rows if row.status == "unpaired"]
    # A photo of the DSLR whose name cannot be written has no path, but names its scene.
    of_dslr = sum(row.scene_id is not None and row.phone_path is None for row in lone)
    return len(lone) - of_dslr, of_dslr


def _unpaired(phone: PhoneResults) -> Mapping[str, int]:
    return phone.synchronisation.unpaired if phone.synchronisation else {}


def _cameras(run: RunResults, photos: Mapping[str, Photos | None]) -> list[CameraPhotos]:
    phones = [
        CameraPhotos(phone.name, True, counts.phone_photos if (counts := photos[phone.name]) else None, _sizes([phone]))
        for phone in run.phones
    ]
    # All phones' photos are paired with the same ones of the DSLR.
    known = [counts.dslr_photos for counts in photos.values() if counts]
    dslr = CameraPhotos(run.params.captures.reference, False, max(known, default=None), _sizes(run.phones, "dslr"))
    return [dslr, *phones]


def _sizes(phones: Iterable[PhoneResults], side: str = "phone") -> list[SizeCount]:
    """Sizes of the photos that were aligned or looked at; one of the DSLR counts once, whatever phones it serves."""
    rows = [row for phone in phones for row in phone.alignments or ()]
    sizes = {
        getattr(row, f"{side}_sha256"): (getattr(row, f"{side}_width"), getattr(row, f"{side}_height")) for row in rows
    }
    counts = Counter(size for size in sizes.values() if None not in size)
    return [SizeCount(*size, photos) for size, photos in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def _clock(phone: PhoneResults, first: datetime | None) -> Clock | None:
    told = phone.synchronisation
    if told is None or told.clock is None or first is None:
        return None
    timed = sorted((dslr, dslr - phone_time) for dslr, phone_time in _times(phone))
    return Clock(
        **vars(told.clock),
        ties=told.ties,
        exif_resolution_s=told.exif_resolution_s,
        pair_hours=[round((time - first).total_seconds() / 3600, 6) for time, _ in timed],
        pair_offset_s=[round(offset.total_seconds(), 6) for _, offset in timed],
    )


def _times(phone: PhoneResults) -> list[tuple[datetime, datetime]]:
    """Capture times of the DSLR and of the phone, pair by pair."""
    return [
        (datetime.fromisoformat(row.dslr_time), datetime.fromisoformat(row.phone_time))
        for row in phone.pairs or ()
        if row.status == "paired" and row.dslr_time and row.phone_time
    ]


def _first_time(phones: Iterable[PhoneResults]) -> datetime | None:
    return min((dslr for phone in phones for dslr, _ in _times(phone)), default=None)
