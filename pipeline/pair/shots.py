"""The photos that are to be paired, and the pairs that they form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dpedtool.dataset.photos.exif import Taken
from dpedtool.dataset.places import Place, printable


@dataclass(frozen=True)
class Shot:
    """One photo as pairing sees it."""

    path: Place
    name: str
    """The file's name as an identifier, after that of its session: unique among the camera's photos."""
    taken: Taken = field(default_factory=Taken)
    """When and how it was taken, as its EXIF block says."""
    beside: Shot | None = None
    """The photo of the same exposure that stands for it; None: the file stands for its exposure itself."""
    rank: int = 0
    """Its place among the camera's photos in the order of time and, within a second, of names."""
    zone_s: float | None = None
    """How far the clock of the camera's first photo was ahead of UTC, in seconds; None if no photo says so."""
    moved_s: float = 0.0
    """By how much the camera's clock was moved to another zone, or to summer time, since its first photo, in seconds;
    the photo itself says so."""
    folder: str = ""
    """The sub-folder of the camera's folder that it lies in, with forward slashes; empty: in none."""

    @property
    def time(self) -> datetime | None:
        """Capture time on the camera's own clock; None if it is not known."""
        return self.taken.time

    @property
    def seconds(self) -> float:
        """Capture time in seconds on the camera's own clock, in the zone of its first photo.

        The photo must have a time.
        """
        if self.time is None:
            raise ValueError(f"{self.path} has no capture time")
        return (self.time - datetime(1970, 1, 1)).total_seconds() - self.moved_s

    @property
    def is_usable(self) -> bool:
        """Whether tables and messages can hold the photo's path: it is one line of Unicode."""
        return is_one_line(self.path)


@dataclass(frozen=True)
class FramePlace:
    """The place of a photo among the phone's frames of its moment."""

    role: str
    """base or frame."""
    number: int
    """From 0, in the order of time."""
    count: int
    detail: str = ""
    """What is to be known of the frame, in sentences; of the base, if there are several, why it is the base."""


@dataclass(frozen=True)
class Matching:
    """Which photos form pairs, and how that was found."""

    dslr_of_phone: Mapping[int, int]
    """The DSLR's photo of each of the phone's; several of the phone's may be frames of one moment."""
    note: str
    method: str
    """A value of the column `matched_by`: name, csv, clock, sequence or likeness."""
    how: Mapping[int, str] = field(default_factory=dict)
    """For the phone's photos with several candidates, what decided: picture or order."""
    offsets: Mapping[Place, float] | None = None
    """Seconds to add to the phone's clock, for each of its photos with a time; None unless the clock decided."""
    places: Mapping[int, FramePlace] = field(default_factory=dict)
    """The place of each of the phone's photos with a mate among the frames of its moment."""
    between: frozenset[int] = frozenset()
    """The phone's photos that lie between two moments."""
    notes: Sequence[str] = ()
    """What the user should know of the photos, in sentences."""
    unclear: Mapping[Place, str] = field(default_factory=dict)
    """Why each of the photos, of both cameras, that show the same as several others has no mate, as a sentence."""

    def couples(self, phones: Sequence[Shot], dslrs: Sequence[Shot]) -> list[Couple]:
        """Return every photo of the phone once, with its mate or alone, and every lone photo of the DSLR."""
        alone = sorted(set(range(len(dslrs))) - set(self.dslr_of_phone.values()))
        couples = [Couple(None, dslrs[index]) for index in alone]
        for index, phone in enumerate(phones):
            mate = self.dslr_of_phone.get(index)
            dslr = None if mate is None else dslrs[mate]
            how = self.how.get(index, self.method)
            couples.append(Couple(phone, dslr, how, self.places.get(index), index in self.between))
        return couples


@dataclass(frozen=True)
class Couple:
    """A photo of the phone and its mate, or one of them alone."""

    phone: Shot | None
    dslr: Shot | None
    how: str = ""
    """How they were matched."""
    place: FramePlace | None = None
    is_between: bool = False
    """Whether the phone's photo lies between two moments."""


def is_one_line(path: Place) -> bool:
    """Whether a name is one line of valid UTF-8, which names from old archives may not be."""
    return printable(path) == str(path)
