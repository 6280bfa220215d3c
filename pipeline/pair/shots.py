"""The photos that are to be paired, and the pairs that they form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dpedtool.dataset.places import Place, printable


@dataclass(frozen=True)
class Shot:
    """One photo as pairing sees it."""

    path: Place
    name: str
    """The file's name as an identifier, after that of its session: unique among the camera's photos."""
    time: datetime | None

    @property
    def seconds(self) -> float:
        """Capture time in seconds on the camera's own clock; the photo must have a time."""
        if self.time is None:
            raise ValueError(f"{self.path} has no capture time")
        return (self.time - datetime(1970, 1, 1)).total_seconds()

    @property
    def is_usable(self) -> bool:
        """Whether tables can hold the photo's path: text in them is Unicode."""
        return is_unicode(self.path)


@dataclass(frozen=True)
class Matching:
    """Which photos form pairs, and how that was found."""

    dslr_of_phone: Mapping[int, int]
    note: str
    method: str
    """A value of the column `matched_by`: name, csv or clock."""
    how: Mapping[int, str] = field(default_factory=dict)
    """For the phone's photos with several candidates, what decided: picture or order."""
    offsets: Mapping[Place, float] | None = None
    """Seconds to add to the phone's clock, for each of its photos with a time; None unless the clock decided."""

    def couples(self, phones: Sequence[Shot], dslrs: Sequence[Shot]) -> list[tuple[Shot | None, Shot | None, str]]:
        """Return every photo once, with its mate or alone, and how it was matched."""
        alone = sorted(set(range(len(dslrs))) - set(self.dslr_of_phone.values()))
        couples: list[tuple[Shot | None, Shot | None, str]] = [(None, dslrs[index], "") for index in alone]
        for index, phone in enumerate(phones):
            mate = self.dslr_of_phone.get(index)
            couples.append((phone, None if mate is None else dslrs[mate], self.how.get(index, self.method)))
        return couples


def is_unicode(path: Place) -> bool:
    """Whether a name is valid UTF-8, which names from old archives may not be."""
    return printable(path) == str(path)
