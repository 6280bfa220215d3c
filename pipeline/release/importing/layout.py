"""Turns other people's data sets in the layout of DPED into tables and shards, for training and evaluation.

    OUT/patches/<phone>/patches.parquet, patches-NNNNN.tar, imported.json
    OUT/splits/<phone>.parquet

Image files are copied byte for byte, and every pair that can be read is kept. The table has what was measured on each
pair, so that users can filter. Photos, scenes and times are not known, so there is no table of photos, and nothing
about the split can be proven.
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
from dpedtool.dataset.io import digest, remove_leftovers_of, replacing
from dpedtool.dataset.names import choose_held_out, identifier
from dpedtool.dataset.params import Params, PatchesParams, SplitParams
from dpedtool.dataset.progress import track
from dpedtool.dataset.publication import Publication
from dpedtool.dataset.rows import columns
from dpedtool.dataset.schema import Frame, Patch, Photo, Sample
from dpedtool.dataset.shards import ShardWriter
from dpedtool.dataset.sidecars.imported_patches import ImportedPatches, MeasuredShifts
from dpedtool.dataset.sides import SPLITS
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
    """The result of an import."""

    patches: pd.DataFrame
    """Patches by phone (rows) and split (columns)."""
    notes: Sequence[str]
    """What the user should know, one sentence each."""


@dataclass(frozen=True)
class Batch:
    """Some pairs of one phone and split."""

    phone: str
    split: str
    """The split that the folder names, before any pairs are held out."""
    phone_dir: Path
    dslr_dir: Path
    couples: tuple[Couple, ...]
    key: str
    """Digest of parameters, code, and names, sizes and times of the files. It identifies what earlier runs finished."""


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

    If a phone has training patches and no validation patches, the share `split.validation` of the training patches is
    held out. Tables and shards are the same bytes for any number of workers. An interrupted import continues where it
    stopped.

    Parameters
    ----------
    folder
        The data set: the folder of a phone or of several phones, a release of ours, or two plain folders of images.
    out
        Folder of the results.
    params
        `patches.search_px` and `patches.blur_px`, used for the measurements; `split.validation` and `split.seed`;
        `patches.shard_patches`.
    part
        The split of plain folders: train, validation or test.
    dslr
        Name of the DSLR's folders.
    workers, scheduler
        As for `dpedtool.pipeline.runner.run`.

    Raises
    ------
    DpedtoolError
        The folder holds no pairs, or it is not clear which (`dpedtool.pipeline.foreign.dped_pairs.find_pairs`); `out`
        holds patches that were cut from photos; another run is writing there; or some pairs could not be processed.

    """
    if (folder / RELEASE).is_file() and not (folder / BELOW).is_dir():
        raise DpedtoolError(f"{folder} is a release without layout dped: only that layout can be imported.")
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
    """Read the pairs of a batch in their order, and store those that can be read in a tar file below `parts`."""
    part = parts / f"{batch.key}.tar"
    with replacing(part) as temporary, ShardWriter(temporary) as shard:
        return [_import_pair(batch, couple, params, shard, part) for couple in batch.couples]


def _import_pair(batch: Batch, couple: Couple, params: PatchesParams, shard: ShardWriter, part: Path) -> Patch:
    # If an image has no mate, this is where the mate would be.
    names = couple.phone or couple.dslr or "", couple.dslr or couple.phone or ""
    phone, dslr = batch.phone_dir / names[0], batch.dslr_dir / names[1]
    blank = _blank(batch, couple) | {"phone_path": phone, "dslr_path": dslr, "params_sha256": digest(_telling(params))}
    if couple.phone is None or couple.dslr is None:
        there, lacking = (phone, batch.dslr_dir) if couple.phone else (dslr, batch.phone_dir)
        detail = f"{there} has no mate: {lacking} has no image named {couple.name}."
        return _row(blank, {"reason": "no_mate", "detail": detail}, params)
    judged = judge_pair(phone, dslr, params)
    row = _row(blank, judged.facts, params)
    return store(row, *judged.images, shard, part) if judged.images else row


def _blank(batch: Batch, couple: Couple) -> dict[str, Any]:
    """Return the columns that name a pair. Each pair is its own photo and scene, as their relations are not known."""
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
    """Return the parameters that affect the measurements."""
    return {"mode": MODE, "search_px": params.search_px, "blur_px": params.blur_px}


class _Import:
    """The import of one phone's pairs."""

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
        """Join the parts, in the order of the names, into shards and tables that replace the earlier ones."""
        folder, size = self._table.parent, self._params.patches.shard_patches
        # The samples are in another folder, which other imports may use at the same time.
        remove_leftovers_of(self._samples)
        with replacing(self._samples) as beside, Publication(folder) as publication:
            with (
                TableWriter(publication.beside(self._table), Patch) as table,
                TableWriter(beside, Sample) as samples,
                Shelf(folder, publication, size) as shelf,
            ):
                for key, batch in track(batches.items(), "shards", len(batches)):
                    rows = [shelf.take(row)[0] if row.status == "accepted" else row for row in finished.get(key)]
                    table.write(rows)
                    samples.write(self._sample(row, batch.split) for row in rows if row.status == "accepted")
            publication.hide(self._samples)

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
    """Return what identifies a version of a file. It is the same for a missing file and for a broken link."""
    try:
        found = path.stat()
    except OSError:
        return [path.name]
    return [path.name, found.st_size, found.st_mtime_ns]


def _examples(batch: Batch) -> list[Path]:
    return _files(batch, batch.couples[0])


def _held_out(folders: Sequence[PairFolders], params: SplitParams) -> set[str]:
    """Return the training patches that are held out for validation, by digest of seed and name, if it has none."""
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
        f"The pairs {first} to {last} of {batch.phone_dir} could not be processed: {lost.detail.rstrip('.')}. Finished "
        "pairs are kept: run the same command again to continue."
    )


def _check_out(out: Path, phones: Sequence[str]) -> None:
    """Refuse a folder with tables of photos: they would no longer fit the patches in it."""
    ours = [Photo.table_in(out / "splits"), *(Frame.table_in(out / "patches" / phone) for phone in phones)]
    for table in ours:
        if table.exists():
            raise DpedtoolError(f"{table} belongs to patches that were cut from photos: choose another output folder.")
    if "photos" in map(str.lower, phones):
        raise DpedtoolError("A phone is called photos, like a table of the split: give its folder another name.")


def _shifts(values: Any) -> MeasuredShifts:
    quantiles = {"median": 50, "p90": 90, "p95": 95}
    found = {name: round(float(np.percentile(values, q)), 6) if len(values) else None for name, q in quantiles.items()}
    return MeasuredShifts(measured=len(values), **found)


def _notes(phone: str, told: ImportedPatches) -> list[str]:
    """Return the notes on one phone."""
    kept, notes = sum(told.patches.values()), []
    if left_out := sum(told.rejected.values()):
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(told.rejected.items()))
        notes.append(
            f"{phone}: {left_out} of {left_out + kept} pairs {'is' if left_out == 1 else 'are'} left out ({reasons}); "
            f"the first: {told.first_rejected}"
        )
    if told.stored_as_png:
        notes.append(
            f"{phone}: {_pairs(told.stored_as_png, 'has', 'have')} a file that was stored again as PNG, with the same "
            "pixels; the column detail says which."
        )
    if told.held_out:
        notes.append(
            f"{phone}: no pairs are marked for validation, so {_pairs(told.held_out, 'is', 'are')} held out from the "
            "training pairs, by digest (split.validation, split.seed). The same scene may be on both sides."
        )
    found = told.residual_px
    if found.measured:
        notes.append(
            f"{phone}: the shift between the two images was measured on {found.measured} of {kept} pairs: "
            f"median {found.median:.2f} px, 90th percentile {found.p90:.2f} px. dx and dy have it for all, to 1 px."
        )
    return notes


def _pairs(count: int, one: str, several: str) -> str:
    return f"1 pair {one}" if count == 1 else f"{count} pairs {several}"


def _general_notes(found: Found, out: Path) -> list[str]:
    notes = [
        "Scenes and photos are not known, so each patch counts as its own scene. "
        f"`dpedtool split --verify {out / 'splits'}` can compare files, but cannot prove that no scene is on two sides."
    ]
    if found.full_size:
        photos = "1 full-size test photo is" if found.full_size == 1 else f"{found.full_size} full-size test photos are"
        notes.append(f"{photos} not imported, as the DSLR's photos are missing.")
    return notes


_CODE = code_digest(__name__)
