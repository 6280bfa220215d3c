"""Stage patches: windows that move in parallel over both aligned photos, kept where both show the same.

`strict` leaves every window where it is and proves that it is aligned; `dped` lets the phone's window move and turn to
where it correlates best, as DPED (Ignatov et al. 2017, arXiv 1704.02470, section 3.2) describes it.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import cv2
import pandas as pd

from dpedtool.dataset.code_digest import code_digest
from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.io import digest, replacing
from dpedtool.dataset.params import PatchesParams
from dpedtool.dataset.photos.decoding import PhotoFile, open_unchanged
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.photos.thumbnails import thumbnail
from dpedtool.dataset.places import Place
from dpedtool.dataset.publication import Publication
from dpedtool.dataset.scene_table import MOST_NAMED
from dpedtool.dataset.schema import Alignment, Frame, Patch, StackFrame
from dpedtool.dataset.shards import ShardWriter
from dpedtool.dataset.sidecars.selection import Selection, StackCounts
from dpedtool.dataset.tables import TableWriter, read_frame, write_rows
from dpedtool.pipeline.geometry.aligned import crop_box, cut, mask, required, transform
from dpedtool.pipeline.geometry.transform import Transform
from dpedtool.pipeline.geometry.warping import warp_dslr
from dpedtool.pipeline.measure.colour_relation import ColourRelation, colour_relation
from dpedtool.pipeline.memory import PATCHES, Need, memory_of, pair_need
from dpedtool.pipeline.moments import Moment, moments
from dpedtool.pipeline.patches.judging import (
    blank_row,
    finer_target,
    judge_windows,
    params_sha256,
    small_crop,
    telling,
    telling_of_windows,
    too_coarse,
)
from dpedtool.pipeline.patches.selection_figures import summary
from dpedtool.pipeline.patches.session_colours import OUTLIER, outliers, with_distances, without_outliers
from dpedtool.pipeline.patches.shelf import Shelf, is_frame_stored, is_stored, still_wanted, store, store_frame
from dpedtool.pipeline.patches.stacks import enough_frames, place_in_stack, stacks, targets
from dpedtool.pipeline.resume import Aside, Finished, save_all_aside, save_aside, work_off
from dpedtool.pipeline.runner import Lost

RowT = TypeVar("RowT", Patch, Frame)


def cut_patches(
    alignments: Sequence[Alignment],
    out: Path,
    params: PatchesParams,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    max_memory: int | None = None,
) -> Path:
    """Cut the patches of all aligned moments into `out/patches-NNNNN.tar`, and write their tables.

    `out/patches.parquet` has a row for every candidate window, kept or not, and `out/frames.parquet` one for every
    pair. With `params.frames` all, or with photos of further references, `out/stacks.parquet` has a row for every frame
    and further target of every patch. `out/selection.json`
    says how many pairs were not aligned and why, and what share of the windows was kept by brightness, texture, noise
    and place. `out/frames.parquet` says how the colours of each pair relate, and how far that is from the median of
    its phone and session. With `params.max_exposure_difference`, the pairs that are too far away give no patches. This
    is decided for all pairs together in each run, so that a session that grows may gain or lose pairs; standard error
    names these.
    The photos in the table of alignments are read again, so that the DSLR's pixels are resampled only once.
    Tables and shards are the same bytes for any number of workers. What an earlier run finished is kept: shards whose
    patches are all wanted still stay as they are, and new patches go into new shards. With `max_memory`, in bytes, only
    so many processes work as fit into it.

    Returns
    -------
    Path
        The table of patches.

    Raises
    ------
    DpedtoolError
        Another run is writing to `out`, windows would move away from the places of further targets, or a pair needs
        more memory.

    """
    found = [moment for moment in moments(alignments) if moment.standing]
    has_targets = any(moment.targets for moment in found)
    if has_targets and params.mode == "dped":
        raise DpedtoolError(
            "There are photos of further references, but windows of the mode dped move away from their places: set "
            "patches.mode to strict, or leave captures.references empty."
        )
    is_stacked = params.frames == "all" or has_targets or params.min_references > 1
    items = {_key(moment, params): moment for moment in sorted(found, key=lambda moment: _cut_from(moment).pair_id)}
    table = Patch.table_in(out)
    with Finished(table, Patch) as finished:
        known = set(finished.aside(items, Frame))
        frames = finished.kept_aside(StackFrame) if is_stacked else None
        work = partial(
            work_off,
            work=partial(cut_moment, params=params, parts=finished.parts, is_stacked=is_stacked),
            when_lost=partial(_lost, params=params),
            finished=finished,
            reads=[path for moment in items.values() for path in _paths(moment, params)],
            workers=workers,
            scheduler=scheduler,
            memory=memory_of(max_memory, partial(_need, params=params)),
            label="patches",
        )
        work(items, usable=lambda rows: _is_usable(rows, known, frames))
        colours = with_distances(_frames_at_home(items, finished))
        far = outliers(colours, params.max_exposure_difference)
        if back := _no_outliers_any_more(items, finished, table, far):
            work(back, usable=lambda _: False)
        _collect(items, finished, table, params, far, is_stacked=is_stacked)
        _write_summary(out, alignments, params, is_stacked=is_stacked)
        finished.clear()
    return table


def _cut_from(moment: Moment) -> Alignment:
    """Return the pair that patches are cut from."""
    return required(moment.standing)


def _wanted(moment: Moment, params: PatchesParams) -> list[Alignment]:
    """Return the pairs that patches and their stacks are made from."""
    return [_cut_from(moment), *(moment.others if params.frames == "all" else ()), *moment.targets]


def _paths(moment: Moment, params: PatchesParams) -> list[Place]:
    return [path for pair in _wanted(moment, params) for path in (pair.phone_path, pair.dslr_path)]


def _need(moment: Moment, params: PatchesParams) -> Need:
    """Return the memory that a moment takes."""
    base, (phone, dslr, *others) = _cut_from(moment), _paths(moment, params)
    return pair_need(PATCHES, base.pair_id, phone, dslr, dict.fromkeys(others))


def cut_moment(moment: Moment, params: PatchesParams, parts: Path, *, is_stacked: bool) -> list[Patch]:
    """Judge all windows of one moment; the accepted ones go into a tar file of their own below `parts`.

    `is_stacked` says whether patches have a table of frames and further targets.
    """
    key, base = _key(moment, params), _cut_from(moment)
    try:
        files, to = _open(base), transform(base)
        photos = tuple(file.colour() for file in files)
    except Rejection as problem:
        return [_failed(moment, params, problem)]
    crop, refusal = warp_dslr(photos[1], to, crop_box(base)), too_coarse(to, crop_box(base), params)
    rows: list[Patch] = []
    frames: list[StackFrame] = []
    with replacing(part := parts / f"{key}.tar") as temporary, ShardWriter(temporary) as shard:
        if not refusal:
            rows = list(_cut_windows(base, to, (photos[0], photos[1]), crop, params, _Part(shard, part, key)))
        if is_stacked:
            frames = _cut_stacks(moment, to, (photos[0], photos[1]), rows, params, _Part(shard, part, key))
            rows, frames = _with_enough_frames(rows, frames, params)
    if is_stacked:
        save_all_aside(parts, key, StackFrame, frames)
    colours = _colours(base, photos[0], crop)
    save_aside(parts, key, _frame(base, files, thumbnail(photos[1]), rows, colours, key))
    return rows or [_failed(moment, params, refusal or small_crop(base, params))]


def _frames_at_home(items: Mapping[str, Moment], finished: Finished[Patch]) -> list[Frame]:
    """Return the frames of all items that have one, in their order."""
    frames = finished.aside(items, Frame)
    return [_at_home(frames[key], _cut_from(moment)) for key, moment in items.items() if key in frames]


def _no_outliers_any_more(
    items: Mapping[str, Moment], finished: Finished[Patch], table: Path, far: Container[str]
) -> dict[str, Moment]:
    """Return the items without images that are no longer outliers of their session; say whose verdict has changed."""
    kept = {key: moment for key, moment in items.items() if not finished.is_part(key)}
    before = _outliers_before(table)
    back = {key: moment for key, moment in kept.items() if key in before and key not in far}
    gone = [
        _cut_from(moment).pair_id
        for key, moment in kept.items()
        if key in far and key not in before and any(row.status == "accepted" for row in finished.get(key))
    ]
    _say_whose(gone, "lose their patches, as their exposure is now too far from the median of their session")
    names = [_cut_from(moment).pair_id for moment in back.values()]
    _say_whose(names, "are cut again, as their exposure is no longer too far from the median of their session")
    return back


def _say_whose(pairs: Sequence[str], what: str) -> None:
    """Say on standard error what happens to pairs that an earlier run has judged otherwise, if there are any."""
    if pairs:
        more = f" and {len(pairs) - MOST_NAMED} more" if len(pairs) > MOST_NAMED else ""
        named = f"{', '.join(pairs[:MOST_NAMED])}{more}"
        print(f"patches: of the pairs of the earlier run, these {what}: {named}", file=sys.stderr)


def _outliers_before(table: Path) -> set[str]:
    """Return the keys of pairs whose patches an earlier table leaves out as outliers of their session."""
    try:
        rows = read_frame(table, Patch, ["key"], where={"reason": OUTLIER})
    except DpedtoolError:
        return set()
    return set(rows["key"].tolist())


def _open(alignment: Alignment) -> tuple[PhotoFile, PhotoFile]:
    phone = open_unchanged(alignment.phone_path, alignment.phone_sha256)
    return phone, open_unchanged(alignment.dslr_path, alignment.dslr_sha256)


@dataclass(frozen=True)
class _Part:
    """The tar file of one moment while it is written."""

    shard: ShardWriter
    path: Path
    """Its name when it is complete."""
    key: str


def _cut_windows(
    alignment: Alignment, to: Transform, photos: tuple[Image, Image], crop: Image, params: PatchesParams, part: _Part
) -> Iterator[Patch]:
    """Yield the rows of all windows; the images of the accepted ones go into the tar file.

    `crop` is the DSLR's photo on the phone's grid, in the common crop.
    """
    phone, dslr = photos
    target = finer_target(dslr, to, crop_box(alignment), params)
    for row, windows in judge_windows(alignment, to, phone, crop, params, key=part.key, target=target):
        if windows:
            phone_file, dslr_file = (_encoded(image, params) for image in windows)
            yield store(row, phone_file, dslr_file, part.shard, part.path)
        else:
            yield row


def _cut_stacks(
    moment: Moment,
    to: Transform,
    photos: tuple[Image, Image],
    rows: Sequence[Patch],
    params: PatchesParams,
    part: _Part,
) -> list[StackFrame]:
    """Return the frames and further targets of all accepted patches, patch by patch, in the order of `place_in_stack`.

    Their images go into the tar file.
    """
    patches = {row.patch_id: row for row in rows if row.status == "accepted"}
    found: dict[str, list[StackFrame]] = {name: [] for name in patches}
    accepted = list(patches.values())
    if params.frames == "base":
        moment = replace(moment, base=_cut_from(moment), further=())
    cuts = stacks(moment, to, photos[1], accepted, params, part.key)
    for window in itertools.chain(cuts, targets(moment, photos[0], accepted, params, part.key)):
        content = b"" if window.image is None else _encoded(window.image, params)
        name = window.row.patch_id
        found[name].append(store_frame(window.row, content, patches[name], part.shard, part.path))
    return [frame for frames in found.values() for frame in sorted(frames, key=place_in_stack)]


def _with_enough_frames(
    rows: Sequence[Patch], frames: Sequence[StackFrame], params: PatchesParams
) -> tuple[list[Patch], list[StackFrame]]:
    """Return all rows, with those patches rejected that have too few frames; frames of rejected ones name no image."""
    stack = _by_patch(frames)
    judged = [enough_frames(row, stack[row.patch_id], params) if row.status == "accepted" else row for row in rows]
    kept = {row.patch_id for row in judged if row.status == "accepted"}
    return judged, [frame if frame.patch_id in kept else _nowhere(frame) for frame in frames]


def _nowhere(frame: StackFrame) -> StackFrame:
    """Return the frame of a rejected patch, which names no image."""
    return replace(frame, shard=None, offset=None, bytes=None)


def _by_patch(frames: Sequence[StackFrame]) -> dict[str, list[StackFrame]]:
    """Return frames by patch; those of one patch are adjacent."""
    return {name: list(of) for name, of in groupby(frames, key=lambda frame: frame.patch_id)}


def _encoded(image: Image, params: PatchesParams) -> bytes:
    return encode_image(image, f".{params.format}", params.jpeg_quality)


def _colours(alignment: Alignment, phone: Image, crop: Image) -> ColourRelation | None:
    """Return how the colours of the phone's photo and the DSLR's crop relate, without masked parts."""
    masked = (mask(alignment), alignment.mask_cell_px) if alignment.masked else (None, None)
    return colour_relation(cut(phone, crop_box(alignment)), crop, *masked)


def _frame(
    alignment: Alignment,
    files: tuple[PhotoFile, PhotoFile],
    small: bytes,
    rows: Sequence[Patch],
    colours: ColourRelation | None,
    key: str,
) -> Frame:
    phone_time, dslr_time = (time.isoformat() if time else None for time in (file.time for file in files))
    return Frame(
        pair_id=alignment.pair_id,
        phone=alignment.phone,
        session=alignment.session,
        scene_id=alignment.scene_id,
        phone_path=alignment.phone_path,
        dslr_path=alignment.dslr_path,
        phone_sha256=alignment.phone_sha256,
        dslr_sha256=alignment.dslr_sha256,
        phone_width=required(alignment.phone_width),
        phone_height=required(alignment.phone_height),
        phone_time=phone_time,
        dslr_time=dslr_time,
        thumbnail=small,
        windows=len(rows),
        accepted=sum(row.status == "accepted" for row in rows),
        **(asdict(colours) if colours else {}),
        key=key,
    )


def _is_usable(rows: Sequence[Patch], frames: Container[str], stacked: Aside[StackFrame] | None) -> bool:
    """Whether the bytes of the rows' patches, the frame of their pair, and the frames of their stacks exist."""
    stored = all(is_stored(row) for row in rows if row.status == "accepted")
    if not stored or not (rows[0].key in frames or rows[0].reason in UNSEEN):
        return False
    if stacked is None or not any(row.status == "accepted" or row.reason in _STACKED for row in rows):
        return True
    found = stacked.get(rows[0].key)
    return found is not None and all(is_frame_stored(row) and row.reason not in StackFrame.RETRIED for row in found)


def _collect(
    items: Mapping[str, Moment],
    finished: Finished[Patch],
    table: Path,
    params: PatchesParams,
    far: Mapping[str, Rejection],
    *,
    is_stacked: bool,
) -> None:
    """Join the parts, in the order of the items, into shards and tables that replace the earlier ones.

    Shards whose patches are all wanted as they are stay. `far` says, by key, which items are outliers of their session.
    """
    old = {key for key in items if key not in far and not finished.is_part(key)}
    has_grown = _packed_by(table.parent) == params.shard_patches
    kept = still_wanted(table, old) if has_grown else ()
    sha256 = params_sha256(params)
    stacked = finished.kept_aside(StackFrame) if is_stacked else None
    stack_table = StackFrame.table_in(table.parent)
    with Publication(table.parent) as publication:
        with (
            TableWriter(publication.beside(stack_table), StackFrame) if stacked else nullcontext() as stack_writer,
            TableWriter(publication.beside(table), Patch) as writer,
            Shelf(table.parent, publication, params.shard_patches, kept) as shelf,
        ):
            for key, moment in items.items():
                found = (stacked.get(key) if stacked else None) or []
                # An earlier run may have had another limit of the exposure.
                own = [
                    row if row.params_sha256 == sha256 else replace(row, params_sha256=sha256)
                    for row in finished.get(key)
                ]
                rows, stack = _shelved(without_outliers(own, far.get(key)), found, moment, shelf)
                writer.write(rows)
                if stack_writer:
                    stack_writer.write(stack)
        frames = [
            replace(frame, accepted=0) if frame.key in far else frame
            for frame in with_distances(_frames_at_home(items, finished))
        ]
        write_rows(publication.beside(Frame.table_in(table.parent)), Frame, frames)
        if stacked is None:
            publication.remove(stack_table)


def _shelved(
    rows: Sequence[Patch], frames: Sequence[StackFrame], moment: Moment, shelf: Shelf
) -> tuple[list[Patch], list[StackFrame]]:
    """Return the final rows of a moment; the images of the accepted patches and their frames are in the shards then."""
    stack, places = _by_patch(frames), {pair.pair_id: pair.phone_path for pair in moment.frames}
    places |= {pair.pair_id: pair.dslr_path for pair in moment.targets}
    kept_rows, kept_frames = [], []
    for row in (_at_home(row, _cut_from(moment)) for row in rows):
        own = [replace(frame, path=places[frame.pair_id]) for frame in stack.get(row.patch_id, ())]
        if row.status == "accepted":
            row, own = shelf.take(row, own)
        elif row.reason == OUTLIER:
            own = [_nowhere(frame) for frame in own]
        kept_rows.append(row)
        kept_frames += own
    return kept_rows, kept_frames


def _packed_by(folder: Path) -> int | None:
    """Return the number of patches a shard by which the shards in a folder were filled; None if it is not known."""
    try:
        return Selection.read(Selection.file_in(folder)).shard_patches
    except DpedtoolError:
        return None


def _write_summary(out: Path, alignments: Sequence[Alignment], params: PatchesParams, *, is_stacked: bool) -> None:
    """Write `selection.json`: what became of the pairs, what the filters removed, and the parameters."""
    looks = ["pair_id", "status", "reason", "proved_by", "x", "y", "size", "dslr_brightness", "dslr_contrast"]
    patches = read_frame(Patch.table_in(out), Patch, looks)
    frames = read_frame(Frame.table_in(out), Frame, ["pair_id", "phone_width", "phone_height"])
    told = summary(patches, frames, alignments, telling(params))
    stacked = _stack_counts(StackFrame.table_in(out)) if is_stacked else None
    replace(told, shard_patches=params.shard_patches, stacks=stacked).write(Selection.file_in(out))


def _stack_counts(table: Path) -> StackCounts:
    found = read_frame(table, StackFrame, ["status", "reason", "role", "reference"])
    frames, of_targets = found[found["role"] == "frame"], found[found["role"] == "target"]
    counts = {str(name): _verdicts(of) for name, of in of_targets.groupby("reference", observed=True)}
    verdicts = _verdicts(frames)
    accepted = verdicts.pop("accepted", 0)
    return StackCounts(all=len(frames), accepted=accepted, reasons=verdicts, targets=counts or None)


def _verdicts(frames: pd.DataFrame) -> dict[str, int]:
    """Count the accepted frames, and the others by reason, in the order of these names."""
    verdicts = frames["reason"].astype(str).where(frames["status"] != "accepted", "accepted").value_counts()
    return {str(name): int(verdicts[name]) for name in sorted(verdicts.index)}


def _at_home(row: RowT, alignment: Alignment) -> RowT:
    """Return the row with today's paths, since the photos may have moved since an earlier run."""
    if (row.phone_path, row.dslr_path) == (alignment.phone_path, alignment.dslr_path):
        return row
    return replace(row, phone_path=alignment.phone_path, dslr_path=alignment.dslr_path)


def _failed(moment: Moment, params: PatchesParams, rejection: Rejection) -> Patch:
    blank = blank_row(_cut_from(moment), params, _key(moment, params))
    return Patch(**blank, patch_id=_cut_from(moment).pair_id, reason=rejection.reason, detail=rejection.detail)


def _lost(moment: Moment, lost: Lost, params: PatchesParams) -> list[Patch]:
    return [_failed(moment, params, Rejection(lost.reason, lost.detail))]


def _key(moment: Moment, params: PatchesParams) -> str:
    # Whether a pair is an outlier follows from its whole session, and is decided again in each run.
    # Names of pairs, and numbers of further references, stand in rows and in the names of images.
    wanted = _wanted(moment, params)
    names = [(pair.pair_id, pair.phone, pair.session, pair.scene_id) for pair in wanted]
    numbers = [(target.frame, target.reference) for target in moment.targets]
    return digest(
        [_CODE, cv2.__version__, telling_of_windows(params), *(pair.key for pair in wanted), *names, *numbers]
    )


UNSEEN = Patch.RETRIED
"""Reasons of pairs whose photos were not read, so that they have no frame."""
_STACKED = ("few_frames", "few_references", OUTLIER)
"""Reasons of rejected patches whose frames are in the table of stacks."""

_CODE = code_digest(__name__)
