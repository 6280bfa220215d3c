"""The scenes of a release: what the table of scenes says about them, except notes; consent and licences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.licence import check_licence
from dpedtool.dataset.names import counting
from dpedtool.dataset.schema import Photo, Scene
from dpedtool.dataset.sides import EXCLUDED
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.release.columns import SCENES_SCHEMA

REFUSALS = frozenset({"no", "refused", "withdrawn", "none given"})
"""What the column consent says of people who do not agree, in small letters."""
NOT_STATED = "not stated"
MOST_NAMES = 20
"""A sentence or a cell names at most this many scenes."""


def scene_table(splits: Path, photos: Iterable[Photo]) -> pa.Table:
    """Return the scenes of some photos, by name, with the columns of `SCENES_SCHEMA`.

    Parameters
    ----------
    splits
        Folder that `dpedtool split` wrote. Without `scenes.parquet` in it, the scenes have only a session and a side.
    photos
        The released photos, with their sides.

    Raises
    ------
    DpedtoolError
        `scenes.parquet` is damaged, or does not know these scenes with these sides and sessions.

    """
    first = {photo.scene_id: photo for photo in reversed(list(photos))}
    path = Scene.table_in(splits)
    known = {scene.scene_id: scene for scene in read_rows(path, Scene)} if path.is_file() else None
    rows = []
    for scene_id, photo in sorted(first.items()):
        said = Scene(scene_id=scene_id, session=photo.session, split=photo.split)
        if known is not None:
            said = known.get(scene_id, said)
            # A scene is called excluded if any of its pairs is.
            if scene_id not in known or said.split not in (photo.split, EXCLUDED) or said.session != photo.session:
                raise DpedtoolError(
                    f"{path} does not fit {Photo.table_in(splits)} in scene {scene_id}: run `dpedtool split` again."
                )
        rows.append({name: getattr(said, name) for name in SCENES_SCHEMA.names} | {"split": photo.split})
    return pa.Table.from_pylist(rows, SCENES_SCHEMA)


def refused(consent: str) -> bool:
    """Return whether a cell of the column consent says that people do not agree."""
    return " ".join(consent.split()).casefold() in REFUSALS


def check_consent(scenes: pa.Table) -> None:
    """Refuse scenes whose people do not agree.

    Raises
    ------
    DpedtoolError
        The column consent says so of a scene.

    """
    against = {row["scene_id"]: row["consent"] for row in _rows(scenes, "consent") if refused(row["consent"])}
    if against:
        words = ", ".join(dict.fromkeys(map(repr, against.values())))
        raise DpedtoolError(
            f"The people in {_counted(against)} do not agree, as the table of scenes has {words} in its column "
            f"consent ({shortened(sorted(against, key=counting))}): leave the photos of these scenes out, or correct "
            "the table of scenes, and run `dpedtool split` again."
        )


def other_licences(scenes: pa.Table, licence: str) -> dict[str, list[str]]:
    """Return the scenes with another licence than that of the release, by licence; both sorted."""
    found: dict[str, list[str]] = {}
    for row in _rows(scenes, "licence"):
        named = _spelled(row["licence"])
        if named and named != _spelled(licence):
            found.setdefault(named, []).append(row["scene_id"])
    return {named: sorted(found[named], key=counting) for named in sorted(found)}


def licences_note(licences: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a sentence about scenes with another licence, or an empty list."""
    named = [name for scenes in licences.values() for name in scenes]
    verb = "has" if len(named) == 1 else "have"
    return [f"{_counted(named)} {verb} another licence than the release: its card lists them."] if named else []


def described(scenes: pa.Table, photos: Iterable[Photo]) -> dict[str, Any]:
    """Return figures on what is said about the scenes, ready for JSON.

    Parameters
    ----------
    scenes
        As `scene_table` returns them.
    photos
        The released photos of these scenes.

    Returns
    -------
    dict
        `sessions` and `tags`: number of scenes, pairs and patches by session, and by "key=value"; `consent`: number of
        scenes by what the column says. Each is empty if nothing is said of any scene.

    """
    rows = scenes.to_pylist()
    pairs, patches = Counter[str](), Counter[str]()
    for photo in photos:
        pairs[photo.scene_id] += 1
        patches[photo.scene_id] += photo.accepted
    sessions: dict[str, list[str]] = {}
    tags: dict[str, list[str]] = {}
    for row in rows:
        for names, into in (([row["session"]] if row["session"] else [], sessions), (row["tags"], tags)):
            for name in names:
                into.setdefault(name, []).append(row["scene_id"])
    told = Counter(row["consent"] or NOT_STATED for row in rows)
    return {
        **{
            kind: {
                name: {
                    "scenes": len(of),
                    "pairs": sum(pairs[scene] for scene in of),
                    "patches": sum(patches[scene] for scene in of),
                }
                for name, of in sorted(found.items(), key=lambda item: counting(item[0]))
            }
            for kind, found in (("sessions", sessions), ("tags", tags))
        },
        "consent": dict(sorted(told.items())) if told.keys() - {NOT_STATED} else {},
    }


def shortened(names: Sequence[str], most: int = MOST_NAMES) -> str:
    """Return names in one line, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _rows(scenes: pa.Table, column: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = scenes.select(["scene_id", column]).to_pylist()
    return rows


def _spelled(licence: str) -> str:
    """Return a licence as SPDX spells it; one that is not on its list stays as it is."""
    try:
        return check_licence(licence)
    except DpedtoolError:
        return " ".join(licence.split())


def _counted(scenes: Iterable[str]) -> str:
    count = len(list(scenes))
    return "1 scene" if count == 1 else f"{count} scenes"
