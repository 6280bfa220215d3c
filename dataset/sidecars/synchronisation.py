"""synchronisation.json: how one phone's photos and the DSLR's were paired, next to the table of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dpedtool.dataset.sidecars.json_objects import JsonObject, Sidecar


@dataclass(frozen=True)
class Shots(JsonObject):
    """How many photos there are of either camera."""

    phone: int
    dslr: int


@dataclass(frozen=True)
class Ties(JsonObject):
    """Pairs that had other candidates by time: how many were settled by the pictures, and how many by the order."""

    by_picture: int
    by_order: int


@dataclass(frozen=True)
class TimeSteps(JsonObject):
    """The coarsest step of the times in the photos' EXIF, in seconds; None if there are no times."""

    phone: float | None
    dslr: float | None


@dataclass(frozen=True)
class ClockErrors(JsonObject):
    """Differences of the pairs' times from the fit of the clocks, in seconds."""

    median: float
    p95: float
    max: float


@dataclass(frozen=True, kw_only=True)
class ClockFigures(JsonObject):
    """How the two clocks relate; offsets are DSLR minus phone."""

    offset_start_s: float
    offset_end_s: float
    drift_s_per_day: float | None
    """None for fewer than ten pairs; a drift below twice its error is not used in the offsets."""
    drift_standard_error_s_per_day: float | None
    pieces: int
    """Pieces of the fit; between two of them, a clock was set again."""
    stray_pairs: int
    """Pairs outside all pieces."""
    error_s: ClockErrors


@dataclass(frozen=True, kw_only=True)
class Synchronisation(Sidecar):
    """How many photos were paired and by what means, why the others were not, and how certain the pairs are."""

    FILE: ClassVar[str] = "synchronisation.json"

    shots: Shots
    paired: int
    """Moments that both cameras have; further frames are not counted."""
    matched_by: dict[str, int]
    """Pairs by how they were matched, as in the column matched_by of the table of pairs."""
    ties: Ties
    unpaired: dict[str, int]
    """Photos without a mate, by reasons of `dpedtool.dataset.schema.Pair`."""
    unpaired_photos: dict[str, str]
    """The reason of each, by pair_id."""
    exif_resolution_s: TimeSteps
    frames: int = 0
    """Further photos of the phone that show a moment of a pair: of bursts and brackets."""
    clocks: dict[str, ClockFigures]
    """The clocks by session (empty name: there is only one); sessions without times are missing."""
