"""Cameras, clocks and pairs of a session: the photos, how they were paired, and how many pairs were aligned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dpedtool.dataset.rows import Row
from dpedtool.dataset.schema import Alignment, Pair
from dpedtool.dataset.sidecars.selection import FrameCounts
from dpedtool.dataset.sidecars.synchronisation import ClockFigures, Synchronisation, Ties, TimeSteps
from dpedtool.pipeline.moments import Moment, dslr_sampling, frame_counts, standing
from dpedtool.pipeline.report.results import PhoneResults, RunResults


@dataclass(frozen=True)
class Reason:
    """A reason from a table's list: its meaning, and the number of rows of each phone that have it."""

    reason: str
    meaning: str
    all: int
    phones: dict[str, int]


@dataclass(frozen=True)
class SizeCount:
    """Number of photos of one size, upright."""

    width_px: int
    height_px: int
    photos: int


@dataclass(frozen=True)
class CameraPhotos:
    """One camera: the number of its photos, and the sizes of those that were read."""

    name: str
    is_phone: bool
    photos: int | None
    sizes: list[SizeCount]
    """The most frequent first."""


@dataclass(frozen=True)
class Photos:
    """The pairing of one phone's photos with the DSLR's, from synchronisation.json."""

    phone_photos: int
    dslr_photos: int
    pairs: int
    """Moments that both cameras have; further frames are not counted."""
    frames: int
    """Further photos of the phone that show such a moment: of bursts and brackets."""
    unpaired: int
    """Photos of either camera without a mate."""
    phone_unpaired: int
    """Photos of the phone without a mate, from the table of pairs."""
    dslr_unpaired: int
    matched_by: dict[str, int]
    """Pairs by how they were matched (column matched_by of the table of pairs)."""


@dataclass(frozen=True, kw_only=True)
class Clock(ClockFigures):
    """The clocks of one phone and the DSLR in one session, and the times that they were computed from.

    The figures are those of synchronisation.json.
    """

    ties: Ties
    """Pairs whose times were ambiguous, by how they were resolved."""
    exif_resolution_s: TimeSteps
    """Resolution of the times in the photos, by camera: phone, dslr."""
    pair_hours: list[float]
    """When each pair was taken on the DSLR's clock, in hours since the first pair of all."""
    pair_offset_s: list[float]
    """DSLR clock minus phone clock for each pair, from the photos."""


@dataclass(frozen=True)
class PairCounts:
    """Moments by the result of stage align. Where each has one frame, these are the pairs of photos."""

    pairs: int
    """Moments that were to be aligned."""
    aligned: int
    """Those whose base frame was aligned, or a frame that stands in for it."""
    rejected: int
    failed: int
    with_masked_parts: int
    """Aligned ones in which parts are masked because of parallax or motion."""
    dslr_px_per_phone_px: float | None
    """Median of the aligned ones: how finely the DSLR samples what the phone sees. None if it is not known."""
    with_coarser_dslr: int
    """Aligned ones in which the DSLR's photo is coarser than the phone's."""
    frames: FrameCounts
    """The further frames of these moments."""


@dataclass(frozen=True)
class Session:
    """What was photographed, paired and aligned. Values by phone are None if the stage has not run."""

    cameras: list[CameraPhotos]
    photos: dict[str, Photos | None]
    unpaired_reasons: list[Reason]
    clocks: dict[str, Clock | None]
    """By phone, or where there are several sessions by phone and session. None if the stage has not run, or no photo
    has a time."""
    pairs: PairCounts
    pairs_by_phone: dict[str, PairCounts | None]
    pair_reasons: list[Reason]
    """Why moments were not aligned."""
    frame_reasons: list[Reason]
    """Why further frames were not aligned."""
    stand_in_reasons: list[Reason]
    """Why base frames were not aligned for which another frame stands in."""


def session(run: RunResults) -> Session:
    """Return what was photographed, paired and aligned in a run.

    Raises
    ------
    DpedtoolError
        A file is damaged, or from another version.

    """
    photos = {phone.name: _photos(phone) for phone in run.phones}
    first = _first_time(run.phones)
    counts = {phone.name: None if phone.alignments is None else pair_counts(phone.moments) for phone in run.phones}
    return Session(
        cameras=_cameras(run, photos),
        photos=photos,
        unpaired_reasons=reasons(Pair, {phone.name: _unpaired(phone) for phone in run.phones}),
        clocks={name: clock for phone in run.phones for name, clock in _clocks(phone, first).items()},
        pairs=pair_counts([moment for phone in run.phones for moment in phone.moments]),
        pairs_by_phone=counts,
        pair_reasons=_by_phone(run, lambda moment: [moment.reason]),
        frame_reasons=_by_phone(run, lambda moment: [row.reason for row in moment.further]),
        stand_in_reasons=_by_phone(run, lambda moment: [moment.base.reason] if moment.has_stand_in else []),
    )


def pair_counts(found: Sequence[Moment]) -> PairCounts:
    """Count moments by status, and their further frames."""
    statuses = Counter(moment.status for moment in found)
    sampling, coarser = dslr_sampling(standing(found))
    return PairCounts(
        pairs=len(found),
        aligned=statuses["aligned"],
        rejected=statuses["rejected"],
        failed=statuses["failed"],
        with_masked_parts=sum(bool(row.masked) for row in standing(found)),
        dslr_px_per_phone_px=sampling,
        with_coarser_dslr=coarser,
        frames=frame_counts(found),
    )


def _by_phone(run: RunResults, reasons_of: Callable[[Moment], list[str]]) -> list[Reason]:
    return reasons(
        Alignment,
        {
            phone.name: Counter(reason for moment in phone.moments for reason in reasons_of(moment))
            for phone in run.phones
        },
    )


def reasons(row_type: type[Row], counts: Mapping[str, Mapping[str, int]]) -> list[Reason]:
    """Return reasons with their meanings, the most frequent first.

    Parameters
    ----------
    row_type
        The type of row that has the list of reasons.
    counts
        Number of rows by reason, for each phone. The empty reason is not counted.

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
        told.frames,
        sum(told.unpaired.values()),
        by_phone,
        by_dslr,
        told.matched_by,
    )


def _lone_photos(rows: Iterable[Pair]) -> tuple[int, int]:
    """Count the photos without a mate: the phone's, and the DSLR's."""
    lone = [row for row in rows if row.status == "unpaired"]
    # A DSLR photo whose name cannot be written has no path, but it has a scene or is of a further reference.
    of_dslr = sum(row.phone_path is None and (row.scene_id is not None or bool(row.reference)) for row in lone)
    return len(lone) - of_dslr, of_dslr


def _unpaired(phone: PhoneResults) -> Mapping[str, int]:
    return phone.synchronisation.unpaired if phone.synchronisation else {}


def _cameras(run: RunResults, photos: Mapping[str, Photos | None]) -> list[CameraPhotos]:
    phones = [
        CameraPhotos(phone.name, True, counts.phone_photos if (counts := photos[phone.name]) else None, _sizes([phone]))
        for phone in run.phones
    ]
    # The photos of all phones are paired with the same photos of the DSLR.
    known = [counts.dslr_photos for counts in photos.values() if counts]
    dslr = CameraPhotos(run.params.captures.reference, False, max(known, default=None), _sizes(run.phones, "dslr"))
    further = [
        CameraPhotos(name, False, _photos_of(run.phones, name), _sizes(run.phones, "dslr", name))
        for name in run.params.captures.references
    ]
    return [dslr, *further, *phones]


def _photos_of(phones: Iterable[PhoneResults], reference: str) -> int | None:
    """Return the number of photos of a further reference; None if stage pair has not run."""
    known = [{row.dslr_path for row in phone.pairs if row.reference == reference} for phone in phones if phone.pairs]
    return max(map(len, known), default=None)


def _sizes(phones: Iterable[PhoneResults], side: str = "phone", reference: str = "") -> list[SizeCount]:
    """Return the sizes of the photos that align read. A DSLR photo counts once, even if several phones have a pair."""
    rows = [row for phone in phones for row in phone.alignments or () if row.reference == reference]
    sizes = {
        getattr(row, f"{side}_sha256"): (getattr(row, f"{side}_width"), getattr(row, f"{side}_height")) for row in rows
    }
    counts = Counter(size for size in sizes.values() if None not in size)
    return [SizeCount(*size, photos) for size, photos in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def _clocks(phone: PhoneResults, first: datetime | None) -> dict[str, Clock | None]:
    told = phone.synchronisation
    if told is None or not told.clocks or first is None:
        return {phone.name: None}
    return {
        f"{phone.name}, {session}" if session else phone.name: _clock(phone, session, told, first)
        for session in told.clocks
    }


def _clock(phone: PhoneResults, session: str, told: Synchronisation, first: datetime) -> Clock:
    # Further frames were taken at other times than the DSLR's photo.
    rows = [row for row in phone.pairs or () if row.session == session and row.role not in ("frame", "target")]
    by = Counter(row.matched_by for row in rows)
    timed = sorted((dslr, dslr - phone_time) for dslr, phone_time in _times(rows))
    return Clock(
        **vars(told.clocks[session]),
        ties=Ties(by_picture=by["picture"], by_order=by["order"]),
        exif_resolution_s=told.exif_resolution_s,
        pair_hours=[round((time - first).total_seconds() / 3600, 6) for time, _ in timed],
        pair_offset_s=[round(offset.total_seconds(), 6) for _, offset in timed],
    )


def _times(rows: Iterable[Pair]) -> list[tuple[datetime, datetime]]:
    """Return the capture times of the DSLR and the phone for each pair."""
    return [
        (datetime.fromisoformat(row.dslr_time), datetime.fromisoformat(row.phone_time))
        for row in rows
        if row.status == "paired" and row.dslr_time and row.phone_time
    ]


def _first_time(phones: Iterable[PhoneResults]) -> datetime | None:
    return min((dslr for phone in phones for dslr, _ in _times(phone.pairs or ())), default=None)
