"""The table of scenes, scenes.csv: what users say about their scenes, and the template that `dpedtool pair` writes."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dpedtool.dataset.csv_lines import csv_lines
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.names import counting, folded, moment_identifier
from dpedtool.dataset.sides import SPLITS

TEMPLATE = "scenes.csv"
COLUMNS = ("session", "scene", "group", "split", "tags", "licence", "consent", "notes")
"""The columns with a meaning of their own; each further column is a tag."""
CONSENT = {
    **dict.fromkeys(("yes", "y", "true", "given", "agreed", "granted"), "yes"),
    **dict.fromkeys(("no", "n", "false", "refused", "withdrawn", "revoked", "declined", "denied", "none given"), "no"),
    **dict.fromkeys(("not needed", "none needed", "n/a", "no people"), "not needed"),
}
"""What the column consent may hold, and what it means; empty: not stated."""
YES = "yes"
"""The value of a tag that is a word of the column `tags`."""
MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class SceneEntry:
    """One line of the table; cells that are not filled in are empty."""

    session: str = ""
    scene: str
    group: str = ""
    """What must stay on one side of the split, such as a place."""
    split: str = ""
    """The side that the scene must be on: train, validation or test; empty: any."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Words of the column `tags` with the value yes, and further columns with their cells; in lower case."""
    licence: str = ""
    consent: str = ""
    notes: str = ""
    line: int = 0
    """Its number in the file."""

    @property
    def label(self) -> str:
        """The scene as a sentence names it."""
        return f"{self.session}/{self.scene}" if self.session else self.scene

    @property
    def group_key(self) -> str:
        """The group without differences of case and blanks."""
        return group_key(self.group)

    @property
    def names(self) -> tuple[str, ...]:
        """The scene_id that the entry may mean: by the photo's name as it stands there, and without its suffix."""
        # Of a photo in a sub-folder, the sub-folder is a part of the name.
        scenes = dict.fromkeys((self.scene, self.scene.removesuffix(Path(self.scene).suffix)))
        return tuple(moment_identifier(self.session, scene) for scene in scenes)


def group_key(group: str) -> str:
    """Return a name of a group without differences of case and blanks: `Old  pier` and `old pier` are one group."""
    return " ".join(group.split()).casefold()


@dataclass(frozen=True)
class SceneTable:
    """The table of scenes, or an empty one where there is none."""

    entries: Sequence[SceneEntry] = ()
    further: Sequence[str] = ()
    """Columns without a meaning of their own, as the file spells them."""
    path: Path | None = None

    def find(self, scene_ids: Iterable[str]) -> dict[str, SceneEntry]:
        """Return the entries of these scenes, by scene_id; scenes that the table does not know are missing.

        Raises
        ------
        DpedtoolError
            Two lines mean the same scene.

        """
        known = set(scene_ids)
        counted = Counter(map(folded, known))
        alike = {key: name for name in known if counted[key := folded(name)] == 1}
        found: dict[str, SceneEntry] = {}
        for entry in self.entries:
            name = next((name for name in entry.names if name in known), None)
            name = name or next((alike[key] for name in entry.names if (key := folded(name)) in alike), None)
            if name in found:
                raise DpedtoolError(
                    f"Lines {found[name].line} and {entry.line} of {self.path} are both about the scene {name}: remove "
                    "one of them."
                )
            if name is not None:
                found[name] = entry
        return found

    def strata(self, scene_ids: Iterable[str], key: str) -> dict[str, str]:
        """Return the value of a column or tag of each scene; empty for scenes without one.

        Raises
        ------
        DpedtoolError
            No scene has such a tag.

        """
        key = key.casefold()
        found = self.find(scene_ids)
        values = {
            scene: getattr(entry, key) if key in ("session", "group", "licence", "consent") else entry.tags.get(key, "")
            for scene, entry in found.items()
        }
        if not any(values.values()):
            there = ", ".join(sorted({tag for entry in found.values() for tag in entry.tags})) or "none"
            raise DpedtoolError(
                f"split.stratify is {key}, but no scene in {self.path or 'captures.scenes'} has this tag: name one of "
                f"those that there are ({there}), or set it to null."
            )
        return values


def read_scene_table(path: Path) -> SceneTable:
    """Read the table of scenes.

    Parameters
    ----------
    path
        A CSV file in UTF-8. The header names the columns in any order and case; `scene` must be there, and `session`
        where there are several sessions. `scene` holds the name of the DSLR's photo, with suffix or without.

    Raises
    ------
    DpedtoolError
        The file is missing or not such a table, two columns have the same meaning, a line names no scene or an unknown
        side, or two lines name the same scene.

    """
    lines = csv_lines(path, "captures.scenes")
    _, header = next(lines, (0, []))
    columns = _columns(path, header)
    entries = [_entry(path, number, cells, columns) for number, cells in lines]
    seen: dict[tuple[str, str], int] = {}
    for entry in entries:
        key = (entry.session.casefold(), entry.scene.casefold())
        if key in seen:
            raise DpedtoolError(
                f"Lines {seen[key]} and {entry.line} of {path} are both about the scene {entry.label}: remove one."
            )
        seen[key] = entry.line
    return SceneTable(entries, [name for name in header if name.casefold() not in COLUMNS], path)


def filled_in(path: Path) -> SceneTable:
    """Return a template that an earlier run has written, with what was filled in since; empty where there is none.

    Raises
    ------
    DpedtoolError
        The file cannot be read as such a table any more.

    """
    return replace(read_scene_table(path), path=None) if path.is_file() else SceneTable()


def template(table: SceneTable, scenes: Mapping[str, str]) -> str:
    """Return the table as CSV, with a line for each scene that it lacks.

    Parameters
    ----------
    table
        What is known.
    scenes
        The session of each scene, by scene_id.

    """
    found = table.find(scenes)
    new = [
        SceneEntry(session=session, scene=scene.partition("--")[2] if session else scene)
        for scene, session in scenes.items()
        if scene not in found
    ]
    entries = sorted([*table.entries, *new], key=lambda entry: (counting(entry.session), counting(entry.scene)))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *table.further])
    for entry in entries:
        own = {name.casefold() for name in table.further}
        words = " ".join(tag for tag, value in entry.tags.items() if tag not in own and value == YES)
        cells = [words if name == "tags" else getattr(entry, name) for name in COLUMNS]
        writer.writerow([*cells, *(entry.tags.get(name.casefold(), "") for name in table.further)])
    return text.getvalue()


def unknown_scenes(table: SceneTable, scenes: Mapping[str, str], other_sessions: Container[str] = ()) -> list[str]:
    """Return in sentences which scenes the table does not know, and which of its lines are about none of them.

    Parameters
    ----------
    table
        The table; nothing is said of an empty one without a file.
    scenes
        The session of each scene, by scene_id.
    other_sessions
        Further sessions that there are; their lines are not looked at.

    """
    if table.path is None:
        return []
    found = table.find(scenes)
    used = {entry.line for entry in found.values()}
    lost = [
        f"{entry.label} (line {entry.line})"
        for entry in table.entries
        if entry.line not in used and entry.session not in other_sessions
    ]
    says = []
    if new := sorted(scenes.keys() - found.keys(), key=counting):
        says.append(f"{table.path} does not know {_listed(new)}.")
    if lost:
        says.append(f"{table.path} names {_listed(lost)}, but the DSLR has no such photo.")
    return says


def _columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    """Return the place of each column, by its name in lower case."""
    places: dict[str, int] = {}
    for place, name in enumerate(header):
        plain = name.casefold()
        if not plain:
            raise DpedtoolError(f"Column {place + 1} of {path} has no name in the first line: give it one.")
        if "=" in plain or not plain.isprintable():
            raise DpedtoolError(f"{path} has a column {name!r}: a name of a tag cannot hold '=' or control characters.")
        if plain in places:
            raise DpedtoolError(
                f"{path} has the columns {header[places[plain]]!r} and {name!r}, which mean the same: join them."
            )
        places[plain] = place
    if "scene" not in places:
        raise DpedtoolError(
            f"{path} has no column scene in its first line, which holds {', '.join(header) or 'nothing'}."
        )
    return places


def _entry(path: Path, number: int, cells: Sequence[str], columns: Mapping[str, int]) -> SceneEntry:
    if len(cells) > len(columns):
        raise DpedtoolError(f"Line {number} of {path} has more cells than there are columns: quote cells with commas.")
    values = {name: cells[place] if place < len(cells) else "" for name, place in columns.items()}
    if not values["scene"]:
        raise DpedtoolError(f"Line {number} of {path} names no scene: fill it in, or remove the line.")
    consent = " ".join(values.get("consent", "").casefold().split())
    if consent and consent not in CONSENT:
        raise DpedtoolError(
            f"Line {number} of {path} says {values['consent']!r} in its column consent: write yes, no, not needed, or "
            "nothing; remarks belong into the column notes."
        )
    side = values.get("split", "").casefold()
    if side and side not in SPLITS:
        raise DpedtoolError(
            f"Line {number} of {path} asks for the split {values['split']!r}: write {', '.join(SPLITS)}, or nothing."
        )
    tags = {word.casefold(): YES for word in values.get("tags", "").replace(",", " ").replace(";", " ").split()}
    further = {name: value for name, value in values.items() if name not in COLUMNS and value}
    if both := sorted(tags.keys() & columns.keys()):
        raise DpedtoolError(
            f"Line {number} of {path} has the tag {both[0]!r}, which is the name of a column: use one of the two."
        )
    if bad := next((word for word in tags if "=" in word), None):
        raise DpedtoolError(f"Line {number} of {path} has the tag {bad!r}: a tag cannot hold '='.")
    known: dict[str, Any] = {name: values[name] for name in COLUMNS if name in values and name not in ("tags", "split")}
    known["consent"] = CONSENT.get(consent, "")
    entry = SceneEntry(**known, split=side, tags=tags | further, line=number)
    return replace(entry, tags=dict(sorted(entry.tags.items())))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    scenes = "scene" if len(names) == 1 else "scenes"
    return f"{len(names)} {scenes}: {shown}" + (
        f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    )
