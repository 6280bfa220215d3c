"""Names: identifiers made from them, their order, samples of them, and which are held out for validation."""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import digest


def counting(name: str) -> tuple[list[str | int], str]:
    """Return the key that sorts names as people count: 9 before 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


def in_order_of_names(names: Iterable[str]) -> list[str]:
    """Return the names of photos in the order in which cameras gave them, as far as names tell.

    Numbers count (BURST6 before BURST11), a plain name comes before its copies (IMG_1.JPG before IMG_1 (1).JPG), and
    capitals do not matter. Where numbers began again after the highest one, IMG_9999 comes before IMG_0001: if names
    of one series reach up to the highest number and down to 0, and a larger gap lies between.
    """
    known = {name: _PhotoName.of(name) for name in names}
    groups: dict[tuple[object, ...], set[int]] = {}
    for one in known.values():
        groups.setdefault(one.series, set()).add(one.counter)
    first_after = {series: _first_before_rollover(counters, series) for series, counters in groups.items()}

    def key(name: str) -> tuple[object, ...]:
        one = known[name]
        return one.key(began_again=one.counter < first_after[one.series])

    return sorted(known, key=key)


@dataclass(frozen=True)
class _PhotoName:
    """A photo's name, and the counter in it: the last four digits of its last long number."""

    parts: tuple[str | int, ...]
    """Of the stem: texts in small letters and numbers, in turn."""
    place: int
    """Of the number with the counter among the parts; -1 if there is none."""
    digits: int
    """Of the counter."""
    name: str

    @classmethod
    def of(cls, name: str) -> _PhotoName:
        texts = re.split(r"([0-9]+)", Path(name).stem.casefold())
        parts = tuple(int(part) if index % 2 else part for index, part in enumerate(texts))
        long = [index for index in range(1, len(texts), 2) if len(texts[index]) >= _FEWEST_DIGITS]
        place = long[-1] if long else -1
        return cls(parts, place, min(len(texts[place]), _COUNTER_DIGITS) if long else 0, name)

    @property
    def counter(self) -> int:
        number = self.parts[self.place] if self.place >= 0 else 0
        return number % 10**self.digits if isinstance(number, int) else 0

    @property
    def series(self) -> tuple[object, ...]:
        """What names that are counted together have in common."""
        number = self.parts[self.place] if self.place >= 0 else 0
        before = number // 10**self.digits if isinstance(number, int) else 0
        return self.parts[: max(self.place, 0)], before, self.digits, not self.digits and self.name

    def key(self, *, began_again: bool) -> tuple[object, ...]:
        parts = list(self.parts)
        number = parts[self.place]
        if began_again and isinstance(number, int):
            parts[self.place] = number + 10**self.digits
        return parts, counting(self.name)


_FEWEST_DIGITS, _COUNTER_DIGITS = 3, 4


def _first_before_rollover(counters: set[int], series: tuple[object, ...]) -> int:
    """Return the lowest counter that comes before the highest one; lower ones come after it. 0: none do."""
    digits = series[2]
    ordered = sorted(counters)
    if not isinstance(digits, int) or not digits or len(ordered) < 2:
        return 0
    highest, near = 10**digits - 1, 10 ** (digits - 2)
    gap, after = max((high - low, high) for low, high in itertools.pairwise(ordered))
    is_near = ordered[-1] >= highest - near and ordered[0] <= near
    return after if is_near and gap > highest - ordered[-1] + ordered[0] else 0


def folded(name: str) -> str:
    """Return the key by which names are matched: without differences of letter case and of how accents are composed.

    macOS writes an accent as a letter of its own (NFD), other systems do not (NFC).
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Return images by their names without suffix.

    Raises
    ------
    DpedtoolError
        Two have the same name with different suffixes.

    """
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise DpedtoolError(
                f"{found[path.stem]} and {path} have the same name with different suffixes: remove one."
            )
        found[path.stem] = path
    return found


def drawn(names: Iterable[str], most: int | None = None) -> list[str]:
    """Return at most `most` of the names, sorted: those with the lowest digests; None: all.

    The sample depends on neither order nor seed. A name that is added or removed changes one name of it at most.
    """
    ranked = sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).digest())
    return sorted(ranked[:most])


def choose_held_out(names: Iterable[str], share: float, seed: int) -> set[str]:
    """Return the names that are kept for validation: the `share` of all with the lowest digests of seed and name.

    Neither order nor suffix matters. With a share above 0 at least one name is kept, but never all. A name that is
    added or removed moves at most one other name from one side to the other.
    """
    ranked = sorted(set(names), key=lambda name: digest([seed, Path(name).stem]))
    count = max(1, round(share * len(ranked))) if share > 0 else 0
    return set(ranked[: min(count, len(ranked) - 1)])


def published(camera: str) -> str:
    """Return the name of a camera in releases: programs that load these may not take blanks in names of files."""
    return camera.replace(" ", "_")


MOST_OF_MOMENT, MOST_OF_SESSION, MOST_OF_CAMERA = 40, 16, 28
"""Most characters of a moment's name, of the session's part of it, and of a camera's name in identifiers."""


def moment_identifier(session: str, name: str) -> str:
    """Return the identifier of a photo in its session: equal file names in two sessions get different ones.

    It has at most 40 characters, and does not change when sessions are added or moved. Without a session it is the
    photo's own identifier. Files that another system has copied keep theirs, however it composes accents.
    """
    name = unicodedata.normalize("NFC", name)
    if not session:
        return identifier(name)
    of_session = identifier(session, MOST_OF_SESSION)
    return f"{of_session}--{identifier(name, MOST_OF_MOMENT - len(of_session) - 2)}"


def identifier(name: str, most: int = MOST_OF_MOMENT) -> str:
    """Return a name of letters, digits, '_' and '-' for files, tables and tar members; an altered name gets a digest.

    With `most` characters for a photo and fewer for a camera, the file name of a patch fits the 100 bytes of a tar
    header. The name neither holds '--' nor begins or ends with '-', so that '--' joins two of them unambiguously.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+|--+|^-|-$", "_", name)
    if plain == name and 0 < len(plain) <= most:
        return plain
    return f"{plain[: most - 9]}_{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
