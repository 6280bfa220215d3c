"""Stage release: makes a folder that can be uploaded from the tables and shards.

Everything is written to a hidden folder next to the final one. It gets the final name once all files are there and
checked: an interrupted build leaves nothing under the final name, and the same command continues where it stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import cv2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dpedtool.dataset.code_digest import code_digest
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import (
    digest,
    file_sha256,
    lock_folder,
    read_json,
    replacing,
    write_json,
    write_text,
)
from dpedtool.dataset.licence import check_licence
from dpedtool.dataset.params import ReleaseParams, describe
from dpedtool.dataset.photos.decoding import decode_image
from dpedtool.dataset.photos.encoding import save_image
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.progress import track
from dpedtool.dataset.sections import PUBLISHED_NAME
from dpedtool.dataset.shards import Extent, read_extent
from dpedtool.pipeline.memory import ITEM, Need, memory_of
from dpedtool.pipeline.release.changes import compare
from dpedtool.pipeline.release.chunks import Chunk, Images, as_facts, by_patch, chunks_of, read_rows_of
from dpedtool.pipeline.release.columns import (
    CUT_SUMS,
    LOOSE_SUMS,
    PAIRS,
    PATCHES,
    PATCHES_SCHEMA,
    SCENES,
    STACKS,
    STACKS_SCHEMA,
)
from dpedtool.pipeline.release.contents import Contents, gather
from dpedtool.pipeline.release.description import (
    CARD,
    CITATION,
    CROISSANT,
    EXAMPLES,
    FORMAT,
    LICENCE,
    RELEASE,
    STATISTICS,
    SUMS,
    DataFile,
    Description,
)
from dpedtool.pipeline.release.documents.card import card
from dpedtool.pipeline.release.documents.citation import citation
from dpedtool.pipeline.release.documents.croissant import croissant
from dpedtool.pipeline.release.documents.example_sheet import example_picture
from dpedtool.pipeline.release.documents.licence_text import licence_text
from dpedtool.pipeline.release.documents.statistics import figures
from dpedtool.pipeline.release.layouts import dped, is_loose, layouts_of
from dpedtool.pipeline.release.pair_folders import (
    WantedPair,
    WrittenPair,
    choose_pairs,
    files_of,
    pair_need,
    remember,
    remembered,
    write_pair,
)
from dpedtool.pipeline.release.previous import Previous, named_release, replaced_release
from dpedtool.pipeline.release.privacy.dated_names import dated_names, dates_note, sessions_note
from dpedtool.pipeline.release.privacy.private_texts import Secret
from dpedtool.pipeline.release.privacy.scan import own_secrets, scan_file
from dpedtool.pipeline.release.room import check_room, loose_files_notes
from dpedtool.pipeline.release.scenes import described, licences_note, other_licences
from dpedtool.pipeline.release.whole_alignments import read_alignments
from dpedtool.pipeline.release.whole_photos import (
    Wanted,
    WholePhoto,
    cameras,
    choose,
    first_notes,
    left_out,
    photo_need,
    write_photo,
)
from dpedtool.pipeline.runner import Lost, Results, run

Item = TypeVar("Item")
Result = TypeVar("Result")

FILES_AT_ONCE = 500
COPIES = 5
"""How often images are in the memory while a chunk is written: read, in a table, in a file, and encoded again."""
_WORK, _PLAN, _STACKS_PLAN, _KEY = ".work", "plan.parquet", "stacks.parquet", "key.json"


@dataclass(frozen=True)
class Built:
    """The result of a build."""

    counts: Mapping[str, Mapping[str, int]]
    """Patches by phone, then by split."""
    files: int
    bytes: int
    seconds: float
    notes: Sequence[str]
    """What the user should know, one sentence each."""


def build_release(
    splits: Path,
    out: Path,
    params: ReleaseParams,
    *,
    replace_old: bool = False,
    previous: Path | None = None,
    aligned: Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    max_memory: int | None = None,
) -> Built:
    """Write the data set that a split describes to the folder `out`.

    The same input gives the same bytes for every folder and number of workers, with or without interruptions.

    Parameters
    ----------
    splits
        What `dpedtool split` wrote; its tables name the shards, and the tables of patches lie next to the shards.
    out
        The folder of the release. It must not exist, unless it is an earlier release and `replace_old` is set.
    params
        What the release says about itself, and its layouts.
    replace_old
        Replace an earlier release once the new one is finished.
    previous
        An earlier release of the same data set: the card says what has changed since. By default this is the release
        that is replaced, if it has the same name and another version.
    aligned
        What `dpedtool align` wrote, or a folder of several such folders: the DSLR's full-size test photos, on the grid
        of the phone's, are put beside these. None: the phone's are released alone.
    workers, scheduler
        As for `dpedtool.pipeline.runner.run`.
    max_memory
        Most memory that all processes here may take, in bytes: fewer of them may work then. None: there is no limit.

    Raises
    ------
    DpedtoolError
        A name or the licence is missing, one table contradicts another, `aligned` lacks a pair, the people in a scene
        do not agree, `previous` is not an earlier release of this data set, the disk or `max_memory` is too small, or a
        file contains private data.

    """
    params = _checked(params)
    out = out.absolute()
    root = out.with_name(f".{out.name}.release-part")
    _put_back(out, _old(root))
    _check_out(out, replace_old=replace_old)
    earlier, notes = (named_release(previous, params), []) if previous else replaced_release(out, params)
    gathered = gather(splits, params.patches_a_file, thumbnails=params.thumbnails)
    _check_folders(gathered, params)
    alignments = read_alignments(aligned) if aligned else None
    wanted = choose(gathered.photos, params, alignments), choose_pairs(gathered.photos, params, alignments)
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root), _naming(root):
        run_all = partial(_run, workers=workers, scheduler=scheduler, max_memory=max_memory, folder=root)
        built = _Build(root, gathered, params, earlier, run_all).make(splits, *wanted)
        _publish(root, out)
    return dataclasses.replace(built, notes=[*built.notes, *notes])


class _Build:
    """One release while it is being built, in its hidden folder."""

    def __init__(
        self,
        root: Path,
        gathered: Contents,
        params: ReleaseParams,
        previous: Previous | None,
        run_all: Callable[..., Any],
    ) -> None:
        self._root, self._contents, self._params, self._run = root, gathered, params, run_all
        self._previous = previous
        self._work = root / _WORK
        self._plan, self._stacks_plan = self._work / _PLAN, self._work / _STACKS_PLAN

    @cached_property
    def _chunks(self) -> Sequence[Chunk]:
        """The chunks of the plan; the plan must have been written."""
        return chunks_of(self._plan)

    def make(self, splits: Path, wanted: Sequence[Wanted], pairs: Sequence[WantedPair]) -> Built:
        """Write all files, the full-size photos and whole pairs that are wanted among them, and check them."""
        start = time.monotonic()
        self._begin()
        self._clear(pairs)
        check_room(self._root, self._contents, wanted, pairs, self._params)
        encoded = self._write_images()
        photos = self._write_photos(wanted)
        whole = self._write_pairs(pairs)
        self._write_tables()
        sums = self._prove(self._files())
        description = Description(
            params=self._params,
            counts=self._contents.counts(),
            figures=self._figures(splits),
            files=[self._data_file(name, value) for name, value in sums.items() if not is_loose(name)],
            encoded=encoded,
            photos=[photo.as_json() for photo in photos if photo.file],
            whole_pairs=[pair.pair_id for pair in whole if not pair.note],
            licences=other_licences(self._contents.scenes, str(self._params.licence)),
            stacks=0 if self._contents.stacks is None else self._contents.stacks.num_rows,
            target_scale=self._contents.target_scale,
            previous=self._previous.version if self._previous else None,
            changes=self._changes(),
        )
        self._write_documents(description)
        sums |= self._prove([name for name in self._files() if name not in sums])
        write_text(self._root / SUMS, _sums_text(sums))
        size = sum(path.stat().st_size for path in (self._root / name for name in (*sums, SUMS)))
        notes = [
            *left_out(photos),
            *first_notes([pair.note for pair in whole if pair.note]),
            *dates_note(self._dated()),
            *sessions_note(description.figures["sessions"]),
            *licences_note(description.licences),
            *loose_files_notes(description.counts, self._params),
        ]
        return Built(description.counts, len(sums) + 1, size, time.monotonic() - start, notes)

    def _changes(self) -> list[str]:
        """What has changed since the previous release, a sentence each."""
        if self._previous is None:
            return []
        return compare(self._previous.folder, self._root).sentences()

    def _begin(self) -> None:
        """Write the plan. Records of an interrupted build of the same plan are kept: they say what was finished."""
        self._work.mkdir(exist_ok=True)
        self._contents.write_plan(self._plan, self._stacks_plan, self._params.patches_a_file)
        plans = [file_sha256(plan) for plan in (self._plan, self._stacks_plan) if plan.exists()]
        key = digest([_CODE, cv2.__version__, pa.__version__, _telling(self._params), *plans])
        with contextlib.suppress(DpedtoolError):
            if read_json(self._work / _KEY).get("key") == key:
                return
        for record in self._work.glob("*.json"):
            record.unlink()
        write_json(self._work / _KEY, {"key": key})

    def _clear(self, pairs: Sequence[WantedPair]) -> None:
        """Keep only the files of finished chunks and whole pairs.

        All others are written again, as a kill may have cut them short.
        """
        finished = [chunk for chunk in self._chunks if self._record(chunk).is_file()]
        kept = {
            name for layout in layouts_of(self._params).values() for chunk in finished for name in layout.files(chunk)
        }
        kept |= {
            name
            for pair in pairs
            if remembered(pair, self._work)
            for name in files_of(pair.phone, pair.split, pair.pair_id, str(self._params.whole_pairs))
        }
        for name in self._files():
            if name not in kept:
                (self._root / name).unlink()

    def _write_images(self) -> int:
        """Write all chunks; return how many patches layout dped has encoded again."""
        waiting = [chunk for chunk in self._chunks if not self._record(chunk).is_file()]
        work = partial(write_chunk, plan=self._plan, root=self._root, params=self._params)
        for chunk, written in self._done(work, waiting, self._need_of, "release"):
            write_json(self._record(chunk), written)
        return sum(read_json(self._record(chunk))["encoded"] for chunk in self._chunks)

    def _record(self, chunk: Chunk) -> Path:
        return self._work / f"{chunk.row_group:06d}.json"

    def _need_of(self, chunk: Chunk) -> Need:
        """Return the memory that writing a chunk takes: its images, and copies of them in the files of the layouts."""
        rows = read_rows_of(self._plan, chunk, ["phone_bytes", "dslr_bytes"])
        held = sum(pc.sum(rows[name]).as_py() or 0 for name in rows.column_names)
        if self._contents.stacks is not None:
            held += pc.sum(read_rows_of(self._stacks_plan, chunk, ["bytes"])["bytes"]).as_py() or 0
        return Need(f"A file of {chunk.count} patches of {chunk.phone}", ITEM + COPIES * held)

    def _need_to_prove(self, names: Sequence[str]) -> Need:
        """Return the memory that it takes to read files, one after the other."""
        size, name = max(((self._root / name).stat().st_size, name) for name in names)
        return Need(f"The file {name} of the release", ITEM + 2 * size)

    def _write_photos(self, wanted: Sequence[Wanted]) -> list[WholePhoto]:
        params = self._params
        work = partial(write_photo, root=self._root, jpeg_quality=params.jpeg_quality, dslr_folder=params.dslr_folder)
        found = dict(self._done(work, wanted, photo_need, "full-size photos"))
        return [found[photo] for photo in wanted]

    def _write_pairs(self, wanted: Sequence[WantedPair]) -> list[WrittenPair]:
        params = self._params
        work = partial(write_pair, root=self._root, suffix=str(params.whole_pairs), jpeg_quality=params.jpeg_quality)
        found = {pair.pair_id: done for pair in wanted if (done := remembered(pair, self._work))}
        waiting = [pair for pair in wanted if pair.pair_id not in found]
        for pair, written in self._done(work, waiting, pair_need, "whole pairs"):
            remember(written, self._work)
            found[pair.pair_id] = written
        return [found[pair.pair_id] for pair in wanted]

    def _write_tables(self) -> None:
        with (
            replacing(self._root / PATCHES) as temporary,
            pq.ParquetWriter(temporary, PATCHES_SCHEMA, compression="zstd") as file,
        ):
            for chunk in self._chunks:
                rows = read_rows_of(self._plan, chunk)
                for name, values in read_json(self._record(chunk))["sums"].items():
                    rows = rows.append_column(name, pa.array(values, pa.string()))
                columns = [rows[name] for name in PATCHES_SCHEMA.names]
                file.write_table(pa.Table.from_arrays(columns, schema=PATCHES_SCHEMA), row_group_size=chunk.count)
        if self._contents.stacks is not None:
            self._write_stacks()
        with replacing(self._root / PAIRS) as temporary:
            pq.write_table(self._contents.pairs, temporary, compression="zstd")
        with replacing(self._root / SCENES) as temporary:
            # Verification reads no dictionaries of lists, which may unpack to any size.
            pq.write_table(self._contents.scenes, temporary, compression="zstd", use_dictionary=False)

    def _write_stacks(self) -> None:
        with (
            replacing(self._root / STACKS) as temporary,
            pq.ParquetWriter(temporary, STACKS_SCHEMA, compression="zstd", use_dictionary=False) as file,
        ):
            for chunk in self._chunks:
                sums = pa.array(read_json(self._record(chunk))["frame_sums"], pa.string())
                rows = read_rows_of(self._stacks_plan, chunk).append_column("image_sha256", sums)
                columns = [rows[name] for name in STACKS_SCHEMA.names]
                file.write_table(pa.Table.from_arrays(columns, schema=STACKS_SCHEMA), row_group_size=rows.num_rows)

    def _files(self) -> list[str]:
        """All files so far, sorted, relative to the release."""
        found = (path.relative_to(self._root) for path in self._root.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in found if path.parts[0] != _WORK)

    def _prove(self, names: Sequence[str]) -> dict[str, str]:
        """Return the SHA-256 of the files on the disk, and check that none contains private data."""
        work = partial(prove_files, root=self._root, secrets=own_secrets(self._places(), self._stated()))
        sums: dict[str, str] = {}
        findings: list[str] = []
        for _, (found, told) in self._done(work, _batches(names), self._need_to_prove, "sums and privacy"):
            sums |= found
            findings += told
        if findings:
            more = f" ({len(findings)} findings in all)" if len(findings) > 1 else ""
            raise DpedtoolError(
                f"Nothing was released, as the files would contain private data: {min(findings)}{more} Change the "
                "photos, names or parameters that it comes from."
            )
        return dict(sorted(sums.items()))

    def _places(self) -> set[Path]:
        """Folders of this machine that the release comes from. Short ones, such as /data, reveal nothing."""
        photos = [path for photo in self._contents.photos for path in (photo.phone_path, photo.dslr_path)]
        folders = {path.parent for path in photos if isinstance(path, Path)}
        folders |= {*self._contents.folders.values(), self._root, Path.cwd()}
        return {place for folder in folders if len((place := folder.resolve()).parts) > 2}

    def _stated(self) -> list[str]:
        """Texts that the publisher chose to publish."""
        params = self._params
        said = (params.name, params.description, params.contact, params.url, params.licence, *params.authors)
        return [text for text in (*said, *self._contents.folders) if text]

    def _figures(self, splits: Path) -> dict[str, Any]:
        found = figures(splits, self._contents.folders)
        names = cameras(self._contents.photos)
        simulated = any(name.startswith("simulated") for name in names.values())
        said = described(self._contents.scenes, self._contents.photos)
        return found | said | {"cameras": names, "simulated": simulated, "dated_names": len(self._dated())}

    def _dated(self) -> list[str]:
        """Names of photos that contain a date."""
        pairs, stacks = self._contents.pairs, self._contents.stacks
        names = {*pairs["phone_photo"].to_pylist(), *pairs["dslr_photo"].to_pylist()}
        return dated_names(sorted(names | set(() if stacks is None else stacks["photo"].to_pylist())))

    def _data_file(self, name: str, sha256: str) -> DataFile:
        return DataFile(name, sha256, (self._root / name).stat().st_size)

    def _write_documents(self, description: Description) -> None:
        root = self._root
        for phone in self._contents.folders:
            save_image(root / EXAMPLES / f"{phone}.png", example_picture(self._examples(phone)))
        write_json(root / STATISTICS, description.figures)
        write_json(root / RELEASE, _as_json(description, self._contents))
        write_text(root / LICENCE, licence_text(self._params))
        write_text(root / CITATION, citation(description))
        write_text(root / CARD, card(description))
        write_text(root / CROISSANT, json.dumps(croissant(description), indent=2, ensure_ascii=False) + "\n")

    def _examples(self, phone: str) -> list[tuple[Image, Image]]:
        """The first patches of a phone. They are a random sample of its training patches, if it has any."""
        first = next(chunk for chunk in self._chunks if chunk.phone == phone)
        taken = read_rows_of(self._plan, first).slice(0, self._params.examples)
        return [(_decoded(image.phone, image), _decoded(image.dslr, image)) for image in _read(taken)]

    def _done(
        self, work: Callable[[Item], Result], items: Sequence[Item], need: Callable[[Item], Need], label: str
    ) -> Iterator[tuple[Item, Result]]:
        """Process all items, and end the build if one is lost."""
        with contextlib.closing(self._run(work, items, need, label)) as results:
            for item, result in track(results, label, len(items)):
                if isinstance(result, Lost):
                    raise DpedtoolError(f"{result.detail} Finished files are kept: run the same command again.")
                yield item, result


def _run(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    need: Callable[[Item], Need],
    label: str,
    *,
    workers: int,
    scheduler: str | None,
    max_memory: int | None,
    folder: Path,
) -> Results[Item, Result]:
    """Work on all items, with as many processes here as fit into the memory."""
    memory = None if scheduler else memory_of(max_memory, need)
    fitting = memory.workers(items, workers, label) if memory else workers
    return run(work, items, fitting, scheduler=scheduler, folder=folder)


def write_chunk(chunk: Chunk, plan: Path, root: Path, params: ReleaseParams) -> dict[str, Any]:
    """Write a chunk in every layout.

    Returns
    -------
    dict
        `sums`: columns of the table of patches, with the SHA-256 of the image files as they were cut and as layout dped
        has them; `frame_sums`: those of all frames, in the order of the table of stacks; `encoded`: how many patches
        layout dped has encoded again.

    """
    rows, stacks = read_rows_of(plan, chunk), plan.with_name(_STACKS_PLAN)
    images = _with_frames(_read(rows), read_rows_of(stacks, chunk)) if stacks.exists() else _read(rows)
    wanted = layouts_of(params)
    for layout in wanted.values():
        layout.write(chunk, rows, images, root)
    loose = list(wanted["dped"].read(chunk, root)) if "dped" in wanted else None
    return {
        "sums": _sums(CUT_SUMS, images) | _sums(LOOSE_SUMS, loose or [None] * len(images)),
        "frame_sums": [sha256 for image in images for sha256 in _frame_sums(image)],
        "encoded": sum(not dped.is_jpeg(image.phone) for image in images) if loose else 0,
    }


def _sums(columns: Mapping[str, str], images: Sequence[Images | None]) -> dict[str, list[str | None]]:
    return {
        name: [hashlib.sha256(getattr(image, side)).hexdigest() if image else None for image in images]
        for side, name in columns.items()
    }


def _frame_sums(image: Images) -> list[str]:
    """Return the SHA-256 of all frames of a patch, in the order of its stack; none without a stack."""
    further = iter(image.frames)
    contents = [image.phone if frame["role"] == "base" else next(further) for frame in image.stack]
    return [hashlib.sha256(content).hexdigest() for content in contents]


def prove_files(names: Collection[str], root: Path, secrets: Collection[Secret]) -> tuple[dict[str, str], list[str]]:
    """Return the SHA-256 of files by name, and the private data found in them, one sentence each."""
    sums = {name: file_sha256(root / name) for name in names}
    return sums, [finding for name in names for finding in scan_file(root / name, name, secrets)]


def _sums_text(sums: Mapping[str, str]) -> str:
    """Return the text of SHA256SUMS, as `sha256sum -c` reads it."""
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items()))


def _batches(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return files in batches: `FILES_AT_ONCE` loose ones, as they are small, or a single other one."""
    loose = [name for name in names if is_loose(name)]
    batches = [tuple(loose[start : start + FILES_AT_ONCE]) for start in range(0, len(loose), FILES_AT_ONCE)]
    return batches + [(name,) for name in names if not is_loose(name)]


def _read(rows: pa.Table) -> list[Images]:
    """Return the image files of patches, read from their shards in the order in which they are stored."""
    places = rows.select(["patch_id", "shard", "phone_offset", "phone_bytes", "dslr_offset", "dslr_bytes"]).to_pylist()
    found: dict[str, Images] = {}
    for place in sorted(places, key=lambda place: (place["shard"], place["phone_offset"])):
        phone, dslr = (
            read_extent(Path(place["shard"]), Extent(place[f"{side}_offset"], place[f"{side}_bytes"]))
            for side in ("phone", "dslr")
        )
        found[place["patch_id"]] = Images(place["patch_id"], phone, dslr)
    return [found[place["patch_id"]] for place in places]


def _with_frames(images: Sequence[Images], rows: pa.Table) -> list[Images]:
    """Return images with the frames of their patches, which the rows of the table of stacks name."""
    stack = by_patch(rows)
    return [
        dataclasses.replace(
            image,
            frames=tuple(_of_frame(row) for row in stack[image.name] if row["role"] != "base"),
            stack=as_facts(stack[image.name]),
        )
        for image in images
    ]


def _of_frame(row: Mapping[str, Any]) -> bytes:
    return read_extent(Path(row["shard"]), Extent(row["offset"], row["bytes"]))


def _decoded(content: bytes, image: Images) -> Image:
    return decode_image(content, Path(image.name))


def _telling(params: ReleaseParams) -> dict[str, Any]:
    """The parameters that change image files. The others may change without writing the images again."""
    names = ("layouts", "patches_a_file", "dslr_folder", "jpeg_quality", "full_size_photos", "whole_pairs")
    return {name: value for name, value in describe(params).items() if name in names}


def _as_json(description: Description, gathered: Contents) -> dict[str, Any]:
    said = describe(description.params)
    # It is a path of this machine.
    del said["licence_file"]
    return {
        "format": FORMAT,
        "release": said,
        "counts": description.counts,
        "pairs": gathered.pairs.num_rows,
        "size_px": gathered.size_px,
        "target_scale": gathered.target_scale,
        "encoded": description.encoded,
        "photos": list(description.photos),
        "whole_pairs": list(description.whole_pairs),
        "stacks": description.stacks,
        "previous": description.previous,
        "made_by": f"dpedtool {version('dpedtool')}",
    }


def _checked(params: ReleaseParams) -> ReleaseParams:
    """Return the parameters, with the licence spelled as in SPDX."""
    if params.name is None:
        raise DpedtoolError("The data set has no name: set release.name.")
    if params.licence is None:
        raise DpedtoolError(
            "The data set has no licence, without which nobody may use it: set release.licence to an SPDX identifier "
            "such as CC-BY-4.0, or to LicenseRef-NAME and release.licence_file to its text."
        )
    params = dataclasses.replace(params, licence=check_licence(params.licence))
    licence_text(params)
    return params


def _check_out(out: Path, *, replace_old: bool) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if out.is_dir() and not out.is_symlink() and not any(out.iterdir()):
        return
    if not (out / RELEASE).is_file() or out.is_symlink():
        raise DpedtoolError(f"{out} exists and is not a release: choose another folder.")
    if not replace_old:
        raise DpedtoolError(f"{out} is already a release: choose another folder, or add --replace.")


def _check_folders(gathered: Contents, params: ReleaseParams) -> None:
    for layout in ("dped", "burst"):
        if layout in params.layouts and params.dslr_folder in gathered.folders:
            raise DpedtoolError(
                f"A phone is called {params.dslr_folder}, like the DSLR's folder in layout {layout}: set "
                "release.dslr_folder."
            )
    for phone in gathered.folders:
        if not re.fullmatch(PUBLISHED_NAME, phone):
            raise DpedtoolError(
                f"The phone is called {phone!r}, a name that some programs cannot handle: use only letters, digits, "
                "'.', '_' and '-' for its folder, and start again with `dpedtool pair`."
            )
    if "burst" in params.layouts and not gathered.are_png():
        raise DpedtoolError(
            "Layout burst holds PNG images, but these patches are JPEG: set patches.format to png and run "
            "`dpedtool patches` again, or leave burst out of release.layouts."
        )
    # They raise an error if there are several sizes or scales, before anything is written.
    _ = gathered.size_px, gathered.target_scale


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = lock_folder(folder)
    try:
        yield
    finally:
        os.close(handle)


def _publish(root: Path, out: Path) -> None:
    """Give the finished folder its name; an earlier release is moved away at the last moment."""
    shutil.rmtree(root / _WORK)
    if out.exists():
        out.rename(_old(root))
    root.rename(out)
    shutil.rmtree(_old(root), ignore_errors=True)


def _old(root: Path) -> Path:
    return root.with_name(f"{root.name}.old")


def _put_back(out: Path, old: Path) -> None:
    """Clean up after a kill during `_publish`: restore the earlier release, or remove it if it was replaced."""
    if old.exists():
        if out.exists():
            shutil.rmtree(old)
        else:
            old.rename(out)


@contextlib.contextmanager
def _naming(root: Path) -> Iterator[None]:
    """Name the folder when a write fails: the error of a full disk names no file."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(root)
        raise


_CODE = code_digest(__name__)
