"""The yield of parts of a data set: of each session, and of the scenes with each tag."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dpedtool.dataset.names import counting
from dpedtool.pipeline.report.results import PhoneResults, RunResults


@dataclass(frozen=True)
class Part:
    """The yield of some of the pairs, of all phones together."""

    name: str
    """Name of the session; or the tag as key=value; or empty, for pairs without any."""
    scenes: int
    pairs: int
    """Moments of phones that were to be aligned; further frames of bursts and brackets are not counted."""
    aligned: int
    windows: int | None
    """Candidate windows; None if stage patches has not run."""
    accepted: int | None
    kept: float | None
    """Share 0..1 of the windows that became patches; None without windows."""


@dataclass(frozen=True)
class Parts:
    """The yield by session and by tag, without pairs and windows of an earlier run that no longer exist."""

    sessions: list[Part]
    """Empty unless there are several."""
    tags: list[Part]
    """A pair counts in the part of each of its tags."""
    untagged: Part | None
    """The pairs whose scene has no tag; None if all have one, or none has."""


@dataclass(frozen=True)
class _Counted:
    """A moment of a phone that was to be aligned, and the number of its windows."""

    scene: str
    aligned: bool
    windows: int | None
    accepted: int | None


def parts(run: RunResults) -> Parts:
    """Return the yield by session and by tag of a run.

    Raises
    ------
    DpedtoolError
        A table is damaged.

    """
    sessions: dict[str, list[_Counted]] = defaultdict(list)
    tags: dict[str, list[_Counted]] = defaultdict(list)
    untagged = []
    for phone in run.phones:
        for session, pair in _pairs(phone):
            sessions[session].append(pair)
            own = run.tags.get(pair.scene, ())
            for tag in own:
                tags[tag].append(pair)
            if not own:
                untagged.append(pair)
    return Parts(
        sessions=list(_parts(sessions)) if len(sessions) > 1 else [],
        tags=list(_parts(tags)),
        untagged=_part("", untagged) if tags and untagged else None,
    )


def _pairs(phone: PhoneResults) -> Iterator[tuple[str, _Counted]]:
    """Yield the session of each pair, and its counts."""
    cut = phone.windows_by_pair
    for moment in phone.moments:
        names = [row.pair_id for row in moment.frames]
        windows, accepted = (_total(cut.windows, names), _total(cut.accepted, names)) if cut else (None, None)
        yield moment.base.session, _Counted(moment.base.scene_id, moment.status == "aligned", windows, accepted)


def _total(counts: Mapping[str, int], names: Iterable[str]) -> int:
    return sum(counts.get(name, 0) for name in names)


def _parts(pairs: Mapping[str, Sequence[_Counted]]) -> Iterator[Part]:
    """Yield the parts in the order of their names, numbers as people count."""
    for name in sorted(pairs, key=counting):
        yield _part(name, pairs[name])


def _part(name: str, pairs: Sequence[_Counted]) -> Part:
    windows, accepted = _sum(pair.windows for pair in pairs), _sum(pair.accepted for pair in pairs)
    return Part(
        name=name,
        scenes=len({pair.scene for pair in pairs}),
        pairs=len(pairs),
        aligned=sum(pair.aligned for pair in pairs),
        windows=windows,
        accepted=accepted,
        kept=accepted / windows if windows and accepted is not None else None,
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    """Return the sum of what was counted; None if nothing was."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
