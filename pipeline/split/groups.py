"""Groups of frames that must stay together: each group lies on one side of the split.

Frames are tied by one scene, one DSLR file, one phone file, a near-duplicate view, or a group in the table of scenes.
Decisions of earlier runs are kept: their frames keep their side, and new frames follow those that they are tied to. The
table of scenes may force a side, which overrides that of an earlier run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.schema import Frame, Photo
from dpedtool.dataset.sides import EXCLUDED
from dpedtool.pipeline.split.drawing import draw_sides
from dpedtool.pipeline.split.near_duplicates import Link

SAME_GROUP = "in the table of scenes"
"""How the evidence of a tie by a group ends."""
_AGREE = re.compile(r"(\d+) keypoints agree")
_APART = re.compile(r"(\d+) s apart")

Order = tuple[bool, datetime, str, str, str]
Shot = Frame | Photo
"""A frame of this run, or one that is known only from an earlier run."""


@dataclass(frozen=True)
class Tie:
    """What holds a frame to another one."""

    frame: Shot
    evidence: str


@dataclass(frozen=True)
class Place:
    """Where a frame ends up."""

    frame: Frame
    split: str
    group: str = ""
    """Name of the group's earliest scene; empty when excluded."""
    tie: Tie | None = None
    """The tie to the earliest frame of another scene in the group."""
    detail: str = ""
    """Why it is excluded."""


@dataclass(frozen=True)
class Wishes:
    """What the table of scenes asks for, by scene_id."""

    groups: Mapping[str, str] = field(default_factory=dict)
    """Names of groups that must stay on one side."""
    forced: Mapping[str, str] = field(default_factory=dict)
    """Sides that scenes must be on."""
    strata: Mapping[str, str] | None = None
    """Strata that each get their share of every split; None: there are none."""


def time_of(text: str | None) -> datetime | None:
    """Return the capture time that a table holds as text; None if it holds none."""
    return datetime.fromisoformat(text) if text else None


def order(frame: Shot) -> Order:
    """Return the key that sorts frames: by the DSLR's clock, those without a time last, then by content and name."""
    time = time_of(frame.dslr_time)
    return time is None, time or datetime.max, frame.dslr_sha256, frame.phone_sha256, frame.pair_id


def place_frames(
    frames: Iterable[Frame],
    links: Iterable[Link],
    recorded: Mapping[str, str],
    params: SplitParams,
    absent: Iterable[Photo] = (),
    wishes: Wishes | None = None,
) -> list[Place]:
    """Return the side of every frame, in the order of time.

    A new frame that ties groups on two sides together is excluded. If no frame is recorded, the sides depend only on
    the frames. They never depend on the order of the frames or of the phones.

    Parameters
    ----------
    frames
        All frames of all phones; each `pair_id` once.
    links
        Near-duplicate views among the DSLR's photos, which are named by their SHA-256.
    recorded
        The split of the pairs that an earlier run has placed, by `pair_id`.
    params
        Shares or number, and seed.
    absent
        Photos that an earlier run has placed and that are missing now: new frames follow them too.
    wishes
        What the table of scenes asks for.

    Raises
    ------
    DpedtoolError
        Frames that are recorded or forced on two sides are tied to each other.

    """
    wishes = wishes or Wishes()
    ties = _Ties(links, wishes, params)
    excluded: dict[str, str] = {}
    ordered = sorted(frames, key=order)
    # Recorded frames come first, so that a new frame never decides about an old one.
    decided = {frame.pair_id: side for frame in ordered if (side := _decided(frame, recorded, wishes)) is not None}
    for frame in ordered:
        if frame.pair_id in decided:
            ties.add(frame, decided[frame.pair_id])
    for photo in sorted(absent, key=order):
        ties.remember(photo)
    for frame in ordered:
        if frame.pair_id not in decided and (detail := ties.add(frame, None)):
            excluded[frame.pair_id] = detail
    groups: dict[str, list[Frame]] = {}
    for frame in ordered:
        if frame.pair_id not in excluded:
            groups.setdefault(ties.root(frame), []).append(frame)
    sides = draw_sides(groups, {root: ties.sides[root] for root in groups if root in ties.sides}, params, wishes.strata)
    placed = {
        frame.pair_id: Place(frame, sides[root], members[0].scene_id, _first_tie(frame, members, ties))
        for root, members in groups.items()
        for frame in members
    }
    return [placed.get(frame.pair_id) or Place(frame, EXCLUDED, detail=excluded[frame.pair_id]) for frame in ordered]


def _decided(frame: Frame, recorded: Mapping[str, str], wishes: Wishes) -> str | None:
    """Return the side that a frame must be on; None if any will do."""
    return wishes.forced.get(frame.scene_id) or recorded.get(frame.pair_id)


def _first_tie(frame: Frame, members: Sequence[Frame], ties: _Ties) -> Tie | None:
    found = [tie for tie in ties.of(frame) if tie.frame.scene_id != frame.scene_id]
    return min(found, key=lambda tie: order(tie.frame)) if len(members) > 1 and found else None


class _Ties:
    """A forest of frames that are tied by what they have in common; each tree has at most one side."""

    def __init__(self, links: Iterable[Link], wishes: Wishes, params: SplitParams) -> None:
        self._wishes, self._params = wishes, params
        self.sides: dict[str, str] = {}
        """The recorded side of a tree, by its root."""
        self._parents: dict[str, str] = {}
        self._holders: dict[str, list[Shot]] = {}
        self._views: dict[str, list[tuple[str, str]]] = {}
        for link in links:
            self._views.setdefault(link.one, []).append((link.two, link.evidence))
            self._views.setdefault(link.two, []).append((link.one, link.evidence))

    def remember(self, photo: Photo) -> None:
        """Add a photo that is missing now, unless frames that it is tied to are on another side."""
        if set(self._sides(photo)) <= {photo.split}:
            self.add(photo, photo.split)

    def add(self, frame: Shot, side: str | None) -> str:
        """Add a frame and its recorded side; return why it must be left out, or an empty text."""
        sides = self._sides(frame)
        if side is not None and (other := next((split for split in sides if split != side), None)):
            raise _contradiction(frame, side, sides[other], other, self._wishes, self._params)
        if len(sides) > 1:
            return _between(frame, sides)
        roots = sorted({self.root(tie.frame) for tie in self.of(frame)})
        keys = self._keys(frame)
        for key in keys:
            self._parents.setdefault(key, key)
            self._hold(key, frame)
        top = roots[0] if roots else self._find(keys[0])
        for root in [*roots, *map(self._find, keys)]:
            self._parents[self._find(root)] = top
        if known := side or next(iter(sides), None):
            self.sides[top] = known
        return ""

    def _hold(self, key: str, frame: Shot) -> None:
        """Keep a frame under what it has in common with others: the earliest frames of two scenes are enough.

        All frames under a key are in one tree, so that one of them stands for all; two scenes, so that a frame finds a
        tie to another scene than its own.
        """
        holders = self._holders.setdefault(key, [])
        same = next((at for at, other in enumerate(holders) if other.scene_id == frame.scene_id), None)
        if same is None:
            holders.append(frame)
        elif order(frame) < order(holders[same]):
            holders[same] = frame
        holders.sort(key=order)
        del holders[2:]

    def _sides(self, frame: Shot) -> dict[str, Tie]:
        """The recorded sides of the frames that a frame is tied to, and one tie to each side."""
        return {self.sides[root]: tie for tie in self.of(frame) if (root := self.root(tie.frame)) in self.sides}

    def of(self, frame: Shot) -> list[Tie]:
        """Return the ties of a frame to the frames that were added."""
        scene, dslr, phone, *groups = self._keys(frame)
        found = [Tie(other, "the same moment") for other in self._holders.get(scene, ())]
        found += [Tie(other, "the same DSLR file") for other in self._holders.get(dslr, ())]
        found += [Tie(other, "the same phone file") for other in self._holders.get(phone, ())]
        for group in groups:
            found += [Tie(other, f"the same {group} {SAME_GROUP}") for other in self._holders.get(group, ())]
        for view, evidence in self._views.get(frame.dslr_sha256, ()):
            found += [Tie(other, evidence) for other in self._holders.get(_dslr_key(view), ())]
        return [tie for tie in found if tie.frame is not frame]

    def root(self, frame: Shot) -> str:
        """Return the name of the tree of a frame that was added."""
        return self._find(self._keys(frame)[0])

    def _keys(self, frame: Shot) -> tuple[str, ...]:
        """What a frame has in common with others: scene, DSLR file, phone file, and a group if it is in one."""
        group = self._wishes.groups.get(frame.scene_id)
        own = (f"scene {frame.scene_id}", _dslr_key(frame.dslr_sha256), f"phone {frame.phone_sha256}")
        return (*own, f"group {group}") if group else own

    def _find(self, key: str) -> str:
        while (parent := self._parents[key]) != key:
            self._parents[key] = key = self._parents[parent]
        return key


def _dslr_key(sha256: str) -> str:
    return f"dslr {sha256}"


def _between(frame: Shot, sides: Mapping[str, Tie]) -> str:
    parts = [f"{tie.frame.scene_id}, which is in {split} ({tie.evidence})" for split, tie in sorted(sides.items())]
    return f"Scene {frame.scene_id} shows the same as {' and as '.join(parts)}."


def _contradiction(frame: Shot, side: str, tie: Tie, other: str, wishes: Wishes, params: SplitParams) -> DpedtoolError:
    scenes = (frame.scene_id, side), (tie.frame.scene_id, other)
    by_table = [scene in wishes.forced for scene, _ in scenes]
    apart = _let_differ(tie.evidence, params)
    ways = [apart] if apart else []
    if any(by_table):
        one, two = (
            f"{scene} ({on}, by {'the table of scenes' if forced else 'an earlier run'})"
            for (scene, on), forced in zip(scenes, by_table, strict=True)
        )
        if not all(by_table):
            ways.append("set split.redraw if earlier sides need not stay")
        return DpedtoolError(
            f"Scenes {one} and {two} must be on one side ({tie.evidence}): "
            f"{', or '.join(['give them one split in captures.scenes', *ways])}."
        )
    ways.append("set split.redraw to draw all scenes again, without --keep")
    return DpedtoolError(
        f"Scenes {frame.scene_id} ({side}) and {tie.frame.scene_id} ({other}) show the same ({tie.evidence}), but an "
        f"earlier run put them on two sides: {', or '.join(['take one of them out of the captures', *ways])}."
    )


def _let_differ(evidence: str, params: SplitParams) -> str:
    """Return what makes two scenes with this tie different ones; empty if no parameter and no table does."""
    if evidence.endswith(SAME_GROUP):
        return "take one of them out of its group in captures.scenes"
    agree, seconds = _AGREE.match(evidence), _APART.search(evidence)
    if not agree:
        return ""
    limits = []
    if (keypoints := int(agree[1])) >= params.near_keypoints:
        limits.append(f"split.near_keypoints to {keypoints + 1}")
    if seconds and int(seconds[1]) <= 60 * params.near_minutes:
        # A second is spared, since the evidence rounds.
        minutes = math.floor((int(seconds[1]) - 1) / 60 * 1000) / 1000
        if minutes < 0:
            return ""
        limits.append(f"split.near_minutes to {minutes:g}")
    return f"set {' and '.join(limits)} if they show different things" if limits else ""
