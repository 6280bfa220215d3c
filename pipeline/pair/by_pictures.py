"""Pairs by what the photos show, for folders without capture times and without common names.

Every photo of the phone is compared with every photo of the DSLR; of many photos, those that differ plainly are not.
Two photos are a pair only if a homography explains twice as many keypoints as any two photos of different things had
(`dpedtool.pipeline.pair.likeness`), and at least twice as many as with any other photo of either camera. All others
stay without a mate, and are named if several photos show the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dpedtool.dataset.places import Place
from dpedtool.dataset.progress import track
from dpedtool.pipeline.pair.likeness import KEPT_SKETCHES, UNLIKE, Pictures
from dpedtool.pipeline.pair.notes import many, named
from dpedtool.pipeline.pair.shots import Shot
from dpedtool.pipeline.pair.ties import CLEARLY, FEW_CANDIDATES

PROVEN = 1.0
"""Least likeness of a pair: twice the inliers of photos that may show the same."""
BLOCK = KEPT_SKETCHES // 2 - 8
"""Photos of either camera that are compared before others, so that their keypoints are found once a block."""
MOST_NAMED = 3
"""Photos that one sentence names as showing the same."""


@dataclass(frozen=True)
class Compared:
    """The pairs that the pictures prove, by index, and what they leave open."""

    partners: dict[int, int]
    unclear: Mapping[Place, str]
    """As `Matching.unclear`."""
    notes: list[str]


def compare_all(phones: Sequence[Shot], dslrs: Sequence[Shot], pictures: Pictures) -> Compared:
    """Find the pairs of two cameras' photos by what they show.

    Parameters
    ----------
    phones, dslrs
        The photos.
    pictures
        Compares two of them.

    """
    table = _table(phones, dslrs, pictures)
    partners, unclear = {}, dict[Place, str]()
    for row, column in np.argwhere(table >= PROVEN).tolist():
        own = table[row, column]
        rivals = np.concatenate([np.delete(table[row], column), np.delete(table[:, column], row)])
        if (rivals <= own - CLEARLY).all():
            partners[row] = column
    alike = table >= 0
    alike[list(partners)], alike[:, list(partners.values())] = False, False
    for index, shots, others, rows in ((0, phones, dslrs, alike), (1, dslrs, phones, alike.T)):
        for shot, candidates in zip(shots, rows, strict=True):
            names = [others[place].path.name for place in np.flatnonzero(candidates).tolist()]
            if names:
                unclear[shot.path] = _why(shot, names, ("DSLR", "phone")[index])
    notes = []
    lone = [shot.path.name for shot in phones if shot.path in unclear]
    if lone:
        are = many(len(lone), "photo of the phone is", "photos of the phone are")
        pairs = many(len(lone), "its mate", "their mates")
        notes.append(
            f"{len(lone)} {are} left without a mate, because several photos show the same, or too little of it: "
            f"{named(lone)}; name {pairs} in a list of pairs (pair.csv or --csv)."
        )
    return Compared(partners, unclear, notes)


def _table(phones: Sequence[Shot], dslrs: Sequence[Shot], pictures: Pictures) -> npt.NDArray[np.float64]:
    """Return the likeness of all photos, (N, M); that of photos that show too little to compare is `UNLIKE`."""
    table = np.full((len(phones), len(dslrs)), UNLIKE)
    blocks = [
        (range(row, min(row + BLOCK, len(phones))), range(column, min(column + BLOCK, len(dslrs))))
        for row in range(0, len(phones), BLOCK)
        for column in range(0, len(dslrs), BLOCK)
    ]
    asked = [(row, column) for block in blocks for row, column in _worth_comparing(*block, phones, dslrs, pictures)]
    for row, column in track(asked, "compare pictures", len(asked)):
        value = pictures.likeness(phones[row].path, dslrs[column].path)
        table[row, column] = UNLIKE if value is None else value
    return table


def _worth_comparing(
    rows: range, columns: range, phones: Sequence[Shot], dslrs: Sequence[Shot], pictures: Pictures
) -> Iterator[tuple[int, int]]:
    """Yield the photos of a block, by index, that are compared: all of a few, of more those that may be alike."""
    if len(rows) * len(columns) <= FEW_CANDIDATES:
        yield from itertools.product(rows, columns)
        return
    unlike = pictures.plainly_unlike([phones[row].path for row in rows], [dslrs[column].path for column in columns])
    for row, column in np.argwhere(~unlike).tolist():
        yield rows[row], columns[column]


def _why(shot: Shot, names: Sequence[str], camera: str) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    shows = many(len(names), "shows the same, but not clearly enough", "show the same, and none clearly more")
    return (
        f"{shot.path} has no mate: of the {camera}'s photos, {', '.join(names[:MOST_NAMED])}{more} {shows}; name its "
        "pair in a list of pairs (pair.csv or --csv)."
    )
