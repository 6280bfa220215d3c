"""Other people's data sets, laid out as DPED, as tables and shards of this project: to train and evaluate on.

    OUT/patches/<phone>/patches.parquet, patches-NNNNN.tar, imported.json
    OUT/splits/<phone>.parquet

Image files are taken over byte for byte, and every pair that can be read is kept: what is measured on it stands in the
table, for whoever wants to filter. Neither photos nor scenes nor times are known, so there is no table of them, and
nothing about the split can be proven.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from dpedtool.dataset.code_digest import code_digest
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import digest, replacing
from dpedtool.dataset.names import choose_held_out, identifier
from dpedtool.dataset.params import Params, PatchesParams, SplitParams
from dpedtool.dataset.progress import track
from dpedtool.dataset.schema import SPLITS, Frame, Patch, Photo, Sample, columns
from dpedtool.dataset.shards import ShardWriter
from dpedtool.dataset.sidecars.imported_patches import ImportedPatches, MeasuredShifts
from dpedtool.dataset.tables import TableWriter, read_frame
from dpedtool.pipeline.foreign.dped_layout import BELOW
from dpedtool.pipeline.foreign.dped_pairs import Couple, Found, PairFolders, find_pairs
from dpedtool.pipeline.patches.shelf import Shelf, is_stored, store
from dpedtool.pipeline.release.description import RELEASE
from dpedtool.pipeline.release.importing.measured_pair import judge_pair
from dpedtool.pipeline.resume import Finished, work_off
from dpedtool.pipeline.runner import Lost

MODE = "imported"
BATCH = 500
"""Pairs that one process works on at a time."""


@dataclass(frozen=True)
class Imported:
    """How an import turned out."""

    patches: pd.DataFrame
    """Patches by phone (rows) and split (columns)."""
    notes: Sequence[str]
    """What the user should know, a sentence each."""


@dataclass(frozen=True)
class Batch:
    """Some pairs of one phone that are for one thing."""

    phone: str
    split: str
    """What the folder says that they are for, before any are held out."""
    phone_dir: Path
    dslr_dir: Path
    couples: tuple[Couple, ...]
    key: str
    """Digest of the parameters, the code, and the files' names, sizes and times: what an interrupted run has done."""


def import_layout(
    folder: Path,
    out: Path,
    params: Params,
    *,
    part: str | None = None,
    dslr: str = "canon",
    workers: int = 1,
    scheduler: str | None = None,
) -> Imported:
    """Import a folder in the layout of DPED into `out/patches/<phone>/` and `out/splits/<phone>.parquet`.

    Where a phone has patches to train on and none to validate on, the share `split.validation` of the former is held
    out. Tables and shards are the same bytes for any number of workers; an interrupted import goes on where it stopped.

    Parameters
    ----------
    folder
        The data set: a phone's folder, one of several phones', a release of ours, or two plain folders of images.
    out
        Folder of the results.
    params
        `patches.search_px` and `patches.blur_px`, which the measures are taken with; `split.validation` and
        `split.seed`; `patches.shard_patches`.
    part
        What plain folders are for: train, validation or test.
    dslr
        Name of the DSLR's folders.
    workers, scheduler
        As for `dpedtool.pipeline.runner.run`.

    Raises
    ------
    DpedtoolError
        The folder holds no pairs, or it is not clear which (`dpedtool.pipeline.foreign.dped_pairs.find_pairs`); `out`
        holds patches that were cut from photos; another run is writing there; or work came to no end.

    """
    if (folder / RELEASE).is_file() and not (folder / BELOW).is_dir():
        raise DpedtoolError(f"{folder} is a release without layout dped, which alone can be imported.")
    found = find_pairs(folder, dslr, part)
    phones = sorted({pairs.phone for pairs in found.pairs})
    _check_out(out, phones)
    done = {
        phone: _Import(phone, [pairs for pairs in found.pairs if pairs.phone == phone], out, params).run(
            workers, scheduler
        )
        for phone in phones
    }
    counts = pd.DataFrame.from_dict({phone: told.patches for phone, told in done.items()}, orient="index")
    notes = [note for phone, told in done.items() for note in _notes(phone, told)]
    return Imported(counts.reindex(columns=list(SPLITS)), [*notes, *_general_notes(found, out)])


def import_batch(batch: Batch, params: PatchesParams, parts: Path) -> list[Patch]:
    """Judge the pairs of a batch, in their order; the readable ones go into a tar file of the batch below `parts`."""
    part = parts / f"{batch.key}.tar"
    with replacing(part) as temporary, ShardWriter(temporary) as shard:
        return [_import_pair(batch, couple, params, shard, part) for couple in batch.couples]


def _import_pair(batch: Batch, couple: Couple, params: PatchesParams, shard: ShardWriter, part: Path) -> Patch:
    # Where the mate of an image would be, were it there.
    names = couple.phone or couple.dslr or "", couple.dslr or couple.phone or ""
    phone, dslr = batch.phone_dir / names[0], batch.dslr_dir / names[1]
    blank = _blank(batch, couple) | {"phone_path": phone, "dslr_path": dslr, "params_sha256": digest(_telling(params))}
    if couple.phone is None or couple.dslr is None:
        there, lacking = (phone, batch.dslr_dir) if couple.phone else (dslr, batch.phone_dir)
        detail = f"{there} has no mate: {lacking} holds no image named {couple.name}."
        return _row(blank, {"reason": "no_mate", "detail": detail}, params)
    judged = judge_pair(phone, dslr, params)
    row = _row(blank, judged.facts, params)
    return store(row, *judged.images, shard, part) if judged.images else row


def _blank(batch: Batch, couple: Couple) -> dict[str, Any]:
    """The columns that name a pair; each is a photo and a scene of its own, as nothing tells which belong together."""
    name = _patch_id(batch.phone, batch.split, couple)
    return {
        "patch_id": name,
        "pair_id": name,
        "phone": batch.phone,
        "scene_id": name,
        "status": "rejected",
        "mode": MODE,
        "phone_sha256": "",
        "dslr_sha256": "",
    }


def _row(blank: Mapping[str, Any], facts: Mapping[str, Any], params: PatchesParams) -> Patch:
    known = {**blank, **facts}
    key = digest([_CODE, cv2.__version__, _telling(params), known["phone_sha256"], known["dslr_sha256"]])
    return Patch(**known, key=key)


def _patch_id(phone: str, split: str, couple: Couple) -> str:
    return f"{identifier(phone, most=28)}--{split}--{identifier(couple.name)}"


def _telling(params: PatchesParams) -> dict[str, Any]:
    """The parameters that decide on what is measured."""
    return {"mode": MODE, "search_px": params.search_px, "blur_px": params.blur_px}


class _Import:
    """One phone's pairs on their way into its tables."""

    def __init__(self, phone: str, folders: Sequence[PairFolders], out: Path, params: Params) -> None:
        self._folders, self._params = folders, params
        self._table = Patch.table_in(out / "patches" / phone)
        self._samples = out / "splits" / f"{phone}.parquet"
        self._held_out = _held_out(folders, params.split)

    def run(self, workers: int, scheduler: str | None) -> ImportedPatches:
        """Import, and return what `imported.json` says."""
        batches = {batch.key: batch for folders in self._folders for batch in _batches(folders, self._params.patches)}
        with Finished(self._table, Patch) as finished:
            work_off(
                batches,
                partial(import_batch, params=self._params.patches, parts=finished.parts),
                _refuse_lost,
                finished,
                usable=lambda rows: all(is_stored(row) for row in rows if row.status == "accepted"),
                reads=[path for batch in batches.values() for path in _examples(batch)],
                workers=workers,
                scheduler=scheduler,
                label="batches",
            )
            self._collect(batches, finished)
            finished.clear()
        told = self._told()
        told.write(told.file_in(self._table.parent))
        return told

    def _collect(self, batches: Mapping[str, Batch], finished: Finished[Patch]) -> None:
        """Join the parts, in the order of the names, into shards and tables that take the earlier ones' place."""
        shelf = Shelf(self._table.parent, self._params.patches.shard_patches)
        with TableWriter(self._table, Patch) as table, TableWriter(self._samples, Sample) as samples, shelf:
            for key, batch in track(batches.items(), "shards", len(batches)):
                rows = [shelf.take(row) if row.status == "accepted" else row for row in finished.get(key)]
                table.write(rows)
                samples.write(self._sample(row, batch.split) for row in rows if row.status == "accepted")
            # From here to the new tables' appearance the old ones would name bytes that have moved.
            for old in (self._table, self._samples):
                old.unlink(missing_ok=True)
            shelf.publish()

    def _sample(self, row: Patch, split: str) -> Sample:
        known = {spec.name: getattr(row, spec.name) for spec in columns(Sample) if spec.name != "split"}
        return Sample(**known, split="validation" if row.patch_id in self._held_out else split)

    def _told(self) -> ImportedPatches:
        """Count what the tables hold."""
        rows = read_frame(self._table, Patch, ["status", "reason", "detail", "residual_px"])
        accepted, rejected = rows[rows["status"] == "accepted"], rows[rows["status"] == "rejected"]
        splits = Counter(read_frame(self._samples, Sample, ["split"])["split"])
        measured = accepted["residual_px"].dropna()
        params = _telling(self._params.patches)
        return ImportedPatches(
            patches={name: splits[name] for name in SPLITS},
            held_out=len(self._held_out),
            rejected=dict(Counter(rejected["reason"])),
            first_rejected=next(iter(rejected["detail"]), ""),
            stored_as_png=int((accepted["detail"] != "").sum()),
            residual_px=_shifts(measured.to_numpy()),
            params=params,
            params_sha256=digest(params),
        )


def _batches(folders: PairFolders, params: PatchesParams) -> Iterator[Batch]:
    for start in range(0, len(folders.couples), BATCH):
        couples = tuple(folders.couples[start : start + BATCH])
        named = [folders.phone, folders.split, str(folders.phone_dir), str(folders.dslr_dir)]
        files = [_stamp(path) for couple in couples for path in _files(folders, couple)]
        key = digest([_CODE, cv2.__version__, _telling(params), named, files])
        yield Batch(folders.phone, folders.split, folders.phone_dir, folders.dslr_dir, couples, key)


def _files(of: PairFolders | Batch, couple: Couple) -> list[Path]:
    sides = (of.phone_dir, couple.phone), (of.dslr_dir, couple.dslr)
    return [folder / name for folder, name in sides if name is not None]


def _stamp(path: Path) -> list[Any]:
    """What changes with a file; the same for one that is gone as for a link that leads nowhere."""
    try:
        found = path.stat()
    except OSError:
        return [path.name]
    return [path.name, found.st_size, found.st_mtime_ns]


def _examples(batch: Batch) -> list[Path]:
    return _files(batch, batch.couples[0])


def _held_out(folders: Sequence[PairFolders], params: SplitParams) -> set[str]:
    """Which patches to train on are kept for validation: by digest of seed and name; none where there are some."""
    if any(part.split == "validation" for part in folders):
        return set()
    whole = {
        couple.name: _patch_id(part.phone, part.split, couple)
        for part in folders
        for couple in part.couples
        if part.split == "train" and couple.phone and couple.dslr
    }
    return {whole[name] for name in choose_held_out(whole, params.validation, params.seed)}


def _refuse_lost(batch: Batch, lost: Lost) -> list[Patch]:
    first, last = batch.couples[0].name, batch.couples[-1].name
    raise DpedtoolError(
        f"The pairs {first} to {last} of {batch.phone_dir} came to no end: {lost.detail.rstrip('.')}. What was "
        "finished is kept: the same command goes on from there."
    )


def _check_out(out: Path, phones: Sequence[str]) -> None:
    """Refuse a folder where tables of photos stand, which would no longer be of the patches beside them."""
    ours = [Photo.table_in(out / "splits"), *(Frame.table_in(out / "patches" / phone) for phone in phones)]
    for table in ours:
        if table.exists():
            raise DpedtoolError(f"{table} is of patches that were cut from photos: choose another folder for these.")
    if "photos" in map(str.lower, phones):
        raise DpedtoolError("A phone is called photos, as a table of the split is: give its folder another name.")


def _shifts(values: Any) -> MeasuredShifts:
    quantiles = {"median": 50, "p90": 90, "p95": 95}
    found = {name: round(float(np.percentile(values, q)), 6) if len(values) else None for name, q in quantiles.items()}
    return MeasuredShifts(measured=len(values), **found)


def _notes(phone: str, told: ImportedPatches) -> list[str]:
    """What is to be said of one phone."""
    kept, notes = sum(told.patches.values()), []
    if left_out := sum(told.rejected.values()):
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(told.rejected.items()))
        notes.append(
            f"{phone}: {left_out} of {left_out + kept} pairs are left out ({reasons}), the first: {told.first_rejected}"
        )
    if told.stored_as_png:
        notes.append(
            f"{phone}: {told.stored_as_png} pairs have a file that is stored anew, as PNG, pixel for pixel; the "
            "column detail says which."
        )
    if told.held_out:
        notes.append(
            f"{phone}: nothing is marked for validation, so {told.held_out} of the training pairs are held out for "
            "it, by digest (split.validation, split.seed); the same scene may be on both sides."
        )
    found = told.residual_px
    if found.measured:
        notes.append(
            f"{phone}: the shift between the two images could be measured on {found.measured} of {kept} pairs: "
            f"median {found.median:.2f} px, 90th percentile {found.p90:.2f} px; dx and dy tell of all, to a px."
        )
    return notes


def _general_notes(found: Found, out: Path) -> list[str]:
    notes = [
        "Scenes and photos are not known, so each patch counts as one of its own, and "
        f"`dpedtool split --verify {out / 'splits'}` can compare files, but not prove that no scene is on two sides."
    ]
    if found.full_size:
        notes.append(f"{found.full_size} full-size test photos are not imported: they have no mates.")
    return notes


_CODE = code_digest(__name__)
