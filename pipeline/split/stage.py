"""Stage split: divides scenes into training, validation and test; nothing on one side is seen on another."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import write_text
from dpedtool.dataset.names import counting
from dpedtool.dataset.params import TABLES_OF_SPLIT, SplitParams
from dpedtool.dataset.rows import columns
from dpedtool.dataset.scene_table import MOST_NAMED, SceneEntry, SceneTable
from dpedtool.dataset.schema import Frame, Patch, Photo, Sample, Scene
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.dataset.sides import EXCLUDED, SPLITS
from dpedtool.dataset.tables import PathNames, holds, read_frame, read_rows, write_rows
from dpedtool.pipeline.split.earlier_sides import read_sides
from dpedtool.pipeline.split.groups import SAME_GROUP, Place, Tie, Wishes, place_frames, time_of
from dpedtool.pipeline.split.near_duplicates import Limits, View, find_links
from dpedtool.pipeline.split.verification import TEST_PHOTOS

GIANT_SHARE, GIANT_SCENES = 0.5, 10


@dataclass(frozen=True)
class Split:
    """How the split turned out."""

    patches: pd.DataFrame
    """Patches by phone (rows) and split (columns)."""
    scenes: Mapping[str, int]
    """Scenes by split, including `excluded`."""
    keeps_sides: bool
    """Whether scenes kept the sides of an earlier run, which other shares do not change."""
    groups: int
    """Number of groups of scenes that stay together, including groups of one scene."""
    notes: Sequence[str]
    """What the user should know, a sentence each."""


def split(
    patches: Mapping[str, Path],
    out: Path,
    params: SplitParams,
    *,
    scenes: SceneTable | None = None,
    keep: Path | None = None,
) -> Split:
    """Write `out/photos.parquet`, and `out/<phone>.parquet` for each phone: its accepted patches and their split.

    `out/scenes.parquet` holds the side of each scene and what the table of scenes says about it.

    If `out` holds the result of an earlier run, old scenes keep their side, even if the seed or the shares have changed
    since, unless `params.redraw` is true. A verdict there on the earlier tables is removed.

    Parameters
    ----------
    patches
        The table of patches of each phone; its table of frames lies in the same folder. The phones are called by these
        names in what is written, whatever the folder of their photos was called.
    out
        Folder of the new tables, and of `test_photos.csv`.
    params
        Shares, seed, and the limits of near-duplicates.
    scenes
        The table of scenes; by default there is none.
    keep
        A folder of an earlier split, or a release: its scenes keep the side that they have there, whatever `out` holds.

    Raises
    ------
    DpedtoolError
        A table is missing or contradicts another; near-duplicates would be on two sides, by an earlier run or by the
        table of scenes; or `keep` is neither a split nor a release.

    """
    if taken := [phone for phone in patches if phone.lower() in TABLES_OF_SPLIT]:
        raise DpedtoolError(
            f"A phone is called {taken[0]}, and so is a table of the split: give the phone's folder another name."
        )
    frames = _frames(patches)
    record, notes = _record(Photo.table_in(out), params)
    if keep:
        record, kept_notes = _joined(read_sides(keep), record, keep, {frame.scene_id for frame in frames})
        notes += kept_notes
    gone = absent(frames, record)
    entries, wishes, said = _wishes(frames, gone, scenes or SceneTable(), params)
    notes += said
    links = find_links(
        views([*frames, *(photo for photo in gone if photo.thumbnail)]),
        Limits(params.near_minutes, params.near_keypoints),
    )
    recorded = recorded_photos(frames, record)
    sides_before = {name: photo.split for name, photo in recorded.items()}
    places = place_frames(frames, links, sides_before, params, gone, wishes)
    notes += _moved(places, sides_before)
    sides = {place.frame.pair_id: place.split for place in places}
    samples = {phone: _samples(phone, _accepted(table), sides, table) for phone, table in patches.items()}
    Verdict.file_in(out).unlink(missing_ok=True)
    # The decision is written first, so that the run after an interruption completes it.
    write_rows(Photo.table_in(out), Photo, [*(_photo(place, params, recorded) for place in places), *gone])
    write_rows(Scene.table_in(out), Scene, _scene_rows(places, entries))
    for phone, rows in samples.items():
        write_rows(out / f"{phone}.parquet", Sample, rows)
    write_text(out / TEST_PHOTOS, _test_photos(places, out))
    notes += [_remove(path) for path in sorted(out.glob("*.parquet")) if path.stem not in patches and _is_ours(path)]
    counts = {
        name: {phone: sum(row.split == name for row in rows) for phone, rows in samples.items()} for name in SPLITS
    }
    return Split(
        patches=pd.DataFrame(counts),
        scenes=_scenes(places),
        keeps_sides=bool(recorded),
        groups=len({place.group for place in places} - {""}),
        notes=notes + _notes(places, keeps_sides=bool(recorded)),
    )


def _wishes(
    frames: Sequence[Frame], gone: Iterable[Photo], table: SceneTable, params: SplitParams
) -> tuple[dict[str, SceneEntry], Wishes, list[str]]:
    """Return the entries of the table of scenes by scene_id, what they ask for, and notes on lines without effect."""
    sessions = {frame.scene_id: frame.session for frame in frames}
    entries = table.find({*sessions, *(photo.scene_id for photo in gone)})
    strata = None
    if params.stratify:
        is_session = params.stratify.casefold() == "session"
        strata = sessions if is_session else table.strata(sessions, params.stratify)
    wishes = Wishes(
        groups={scene: entry.group_key for scene, entry in entries.items() if entry.group},
        forced={scene: entry.split for scene, entry in entries.items() if entry.split and scene in sessions},
        strata=strata,
    )
    return entries, wishes, _without_effect(table, entries)


def _without_effect(table: SceneTable, entries: Mapping[str, SceneEntry]) -> list[str]:
    """Return a note on lines that ask for a side or a group, but are about no scene of this split."""
    used = {entry.line for entry in entries.values()}
    lost = [entry for entry in table.entries if entry.line not in used and (entry.split or entry.group)]
    if not lost:
        return []
    lines = ", ".join(f"line {entry.line} ({entry.label})" for entry in lost[:MOST_NAMED])
    more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
    return [f"{table.path} asks for the side or the group of scenes that are not in this split: {lines}{more}."]


def _joined(
    kept: Sequence[Photo], record: Sequence[Photo], source: Path, present: Container[str]
) -> tuple[list[Photo], list[str]]:
    """Return the record with the sides of `--keep` in front, and notes on scenes that these move."""
    names = {photo.scene_id: photo.split for photo in kept if _stands(photo)}
    here = sum(scene in present for scene in names)
    files = {photo.dslr_sha256 for photo in kept if _stands(photo)}
    moved = sorted(
        {
            photo.scene_id
            for photo in record
            if _stands(photo) and names.get(photo.scene_id, photo.split) != photo.split
        },
        key=counting,
    )
    rest = [photo for photo in record if photo.scene_id not in names and photo.dslr_sha256 not in files]
    notes = [f"{here} of {len(names)} scenes of {source} are here, and keep the side that they have there."]
    if moved:
        notes.append(f"{_several(moved)} moved to it from another side of the earlier run.")
    return [*kept, *rest], notes


def _moved(places: Iterable[Place], before: Mapping[str, str]) -> list[str]:
    """Return a note on scenes that the table of scenes takes to another side than they had."""
    moved = {place.frame.scene_id for place in places if before.get(place.frame.pair_id, place.split) != place.split}
    if not moved:
        return []
    return [f"{_several(sorted(moved, key=counting))} moved to the side that the table of scenes asks for."]


def _several(scenes: Sequence[str]) -> str:
    shown = ", ".join(scenes[:MOST_NAMED]) + (
        f" and {len(scenes) - MOST_NAMED} more" if len(scenes) > MOST_NAMED else ""
    )
    return f"{len(scenes)} {'scene' if len(scenes) == 1 else 'scenes'} ({shown})"


def _scene_rows(places: Sequence[Place], entries: Mapping[str, SceneEntry]) -> list[Scene]:
    first = {place.frame.scene_id: place for place in reversed(places)}
    rows = []
    for scene_id in sorted(first):
        place, entry = first[scene_id], entries.get(scene_id)
        said = entry or SceneEntry(scene=scene_id)
        rows.append(
            Scene(
                scene_id=scene_id,
                session=place.frame.session,
                split=place.split,
                forced=said.split,
                group=said.group,
                tags=tuple(f"{key}={value}" for key, value in said.tags.items()),
                licence=said.licence,
                consent=said.consent,
                notes=said.notes,
            )
        )
    return rows


def _frames(tables: Mapping[str, Path]) -> list[Frame]:
    """Read the frames of all phones. From here on a phone is called as its folder of patches is."""
    frames = {}
    for phone, table in tables.items():
        for frame in read_rows(Frame.table_in(table.parent), Frame):
            if frame.pair_id in frames:
                raise DpedtoolError(
                    f"{table.parent} holds {frame.pair_id}, and so does another folder: remove one of them."
                )
            frames[frame.pair_id] = dataclasses.replace(frame, phone=phone)
    return list(frames.values())


def _is_ours(path: Path) -> bool:
    try:
        return holds(path, Sample)
    except DpedtoolError:
        return False


def _remove(path: Path) -> str:
    path.unlink()
    return f"{path} was removed, because no phone of that name was split."


def views(frames: Iterable[Frame | Photo]) -> list[View]:
    """Return the DSLR's photos, each once, by their SHA-256."""
    found = {frame.dslr_sha256: View(frame.dslr_sha256, frame.thumbnail, time_of(frame.dslr_time)) for frame in frames}
    return list(found.values())


def recorded_photos(frames: Sequence[Frame], record: Sequence[Photo]) -> dict[str, Photo]:
    """Return the records that decide on the side of frames, by `pair_id`.

    A pair is known by its two files. If it is gone, it is known by the DSLR's file, and if that was written again, by
    the scene. Scenes for training without a patch were never trained on, so they are drawn again: otherwise, one run
    whose limits accept nothing would leave no scenes for the test in all later runs.
    """
    record = [photo for photo in record if _stands(photo)]
    by_files = {(photo.dslr_sha256, photo.phone_sha256): photo for photo in record}
    known_as = {
        frame.pair_id: by_files[frame.dslr_sha256, frame.phone_sha256]
        for frame in frames
        if (frame.dslr_sha256, frame.phone_sha256) in by_files
    }
    here = {frame.dslr_sha256 for frame in frames}
    by_dslr = {photo.dslr_sha256: photo for photo in record}
    by_scene = {photo.scene_id: photo for photo in record if photo.dslr_sha256 not in here}
    for known, name in ((by_dslr, "dslr_sha256"), (by_scene, "scene_id")):
        settled = {getattr(frame, name) for frame in frames if frame.pair_id in known_as}
        for frame in frames:
            if frame.pair_id not in known_as and (value := getattr(frame, name)) in known and value not in settled:
                known_as[frame.pair_id] = known[value]
    return known_as


def absent(frames: Sequence[Frame], record: Iterable[Photo]) -> list[Photo]:
    """Return photos that an earlier run has placed and that are missing now: they keep their side if they come back."""
    files = {(frame.dslr_sha256, frame.phone_sha256) for frame in frames}
    names = {frame.pair_id for frame in frames}
    return [
        replace(photo, status="absent")
        for photo in record
        if _stands(photo) and (photo.dslr_sha256, photo.phone_sha256) not in files and photo.pair_id not in names
    ]


def _stands(photo: Photo) -> bool:
    """Whether a recorded side was ever used."""
    return photo.split != EXCLUDED and (photo.accepted > 0 or photo.split != "train")


def _record(table: Path, params: SplitParams) -> tuple[list[Photo], list[str]]:
    """Return what an earlier run has decided, unless all is to be drawn again, and notes for the user."""
    if not table.is_file():
        return [], []
    if params.redraw:
        return [], ["All scenes were drawn again, as split.redraw asks for it; without it, they keep their sides."]
    try:
        record = read_rows(table, Photo)
    except DpedtoolError as error:
        raise DpedtoolError(
            f"{table}, which records the sides of earlier scenes, cannot be read: remove it to draw all scenes from "
            f"scratch ({error})"
        ) from None
    drawn_by = {photo.drawn_by for photo in record}
    if not drawn_by or _drawn_by(params) in drawn_by:
        return record, []
    return record, [
        "The parameters of the split have changed, but scenes keep the sides that were drawn by "
        f"{', '.join(sorted(drawn_by))}; only new scenes were drawn by {_drawn_by(params)}. With split.redraw: true, "
        "all scenes are drawn again."
    ]


def _drawn_by(params: SplitParams) -> str:
    test = f"{params.test_scenes} scenes" if params.test_scenes else f"{params.test:g}"
    return f"seed {params.seed}; test {test}; validation {params.validation:g}"


def _photo(place: Place, params: SplitParams, recorded: Mapping[str, Photo]) -> Photo:
    known = recorded.get(place.frame.pair_id)
    facts = {spec.name: getattr(place.frame, spec.name) for spec in columns(Photo) if hasattr(place.frame, spec.name)}
    return Photo(
        **facts,
        group=place.group,
        split=place.split,
        reason="two_sides" if place.split == EXCLUDED else "",
        detail=place.detail,
        near_duplicate_of=place.tie.frame.scene_id if place.tie else None,
        evidence=place.tie.evidence if place.tie else "",
        drawn_by=known.drawn_by if known else _drawn_by(params),
        near_minutes=params.near_minutes,
        near_keypoints=params.near_keypoints,
    )


def _test_photos(places: Iterable[Place], out: Path) -> str:
    names, text = PathNames(out), io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["pair_id", "phone", "phone_path", "dslr_path"])
    tested = [place.frame for place in places if place.split == "test"]
    for frame in sorted(tested, key=lambda frame: (frame.phone, frame.pair_id)):
        table.writerow([frame.pair_id, frame.phone, names[frame.phone_path], names[frame.dslr_path]])
    return text.getvalue()


def _scenes(places: Iterable[Place]) -> dict[str, int]:
    found: dict[str, set[str]] = {name: set() for name in (*SPLITS, EXCLUDED)}
    for place in places:
        found[place.split].add(place.frame.scene_id)
    return {name: len(scenes) for name, scenes in found.items()}


def _notes(places: Sequence[Place], *, keeps_sides: bool) -> list[str]:
    scenes: dict[str, set[str]] = {}
    for place in places:
        scenes.setdefault(place.group, set()).add(place.frame.scene_id)
    notes = []
    if left_out := sorted(scenes.pop("", ())):
        first = next(place.detail for place in places if place.split == EXCLUDED)
        some = (
            "1 scene is left out, because it ties"
            if len(left_out) == 1
            else f"{len(left_out)} scenes are left out, because they tie"
        )
        notes.append(
            f"{some} scenes on two sides together. {first} photos.parquet lists all of them with their reasons."
        )
    total = len(set().union(*scenes.values()))
    largest = max(scenes, key=lambda name: len(scenes[name]), default="")
    if total >= GIANT_SCENES and len(scenes[largest]) > GIANT_SHARE * total:
        notes.append(
            f"{len(scenes[largest])} of {total} scenes form one group, that of scene {largest}, and so on one side: "
            "if they show different things (near_duplicate_of and evidence in photos.parquet say what ties them), "
            f"{_ways_apart(place.tie for place in places if place.group == largest and place.tie)}."
        )
    tested = len({place.frame.scene_id for place in places if place.split == "test"})
    if total >= GIANT_SCENES and tested > GIANT_SHARE * total:
        also = ", and set split.redraw, since scenes keep the sides of an earlier run" if keeps_sides else ""
        notes.append(f"{tested} of {total} scenes are for the test: lower split.test or split.test_scenes{also}.")
    return notes


def _ways_apart(ties: Iterable[Tie]) -> str:
    """Return what divides a group of scenes, depending on what ties them."""
    evidence = {tie.evidence for tie in ties}
    by_table = {said for said in evidence if said.endswith(SAME_GROUP)}
    by_file = {said for said in evidence if said.startswith("the same")} - by_table
    ways = []
    if evidence - by_table - by_file:
        ways.append("raise split.near_keypoints above the keypoints that agree and lower split.near_minutes")
    if by_table:
        ways.append("correct the groups in the table of scenes")
    if by_file:
        ways.append("take out copies of one photo that belong to several scenes")
    return ", and ".join(ways)


def _accepted(table: Path) -> pd.DataFrame:
    names = [spec.name for spec in columns(Sample) if spec.name != "split"]
    return read_frame(table, Patch, names, where={"status": "accepted"})


def _samples(phone: str, frame: pd.DataFrame, sides: Mapping[str, str], table: Path) -> list[Sample]:
    if unknown := sorted(set(frame["pair_id"]) - set(sides)):
        raise DpedtoolError(
            f"{table} has patches of {unknown[0]}, which is not in the table of frames in the same folder: run "
            "`dpedtool patches` again."
        )
    return [
        Sample(
            patch_id=row["patch_id"],
            pair_id=row["pair_id"],
            phone=phone,
            scene_id=row["scene_id"],
            split=sides[row["pair_id"]],
            target_scale=int(row["target_scale"]),
            shard=Path(row["shard"]),
            phone_offset=int(row["phone_offset"]),
            phone_bytes=int(row["phone_bytes"]),
            dslr_offset=int(row["dslr_offset"]),
            dslr_bytes=int(row["dslr_bytes"]),
        )
        for row in frame.to_dict("records")
        if sides[row["pair_id"]] != EXCLUDED
    ]
