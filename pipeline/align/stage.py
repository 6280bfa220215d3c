"""Stage align: the transform between the two photos of each pair, and the crop that both show."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.code_digest import code_digest
from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.io import digest
from dpedtool.dataset.params import AlignParams, describe
from dpedtool.dataset.photos.decoding import PhotoFile, open_unchanged
from dpedtool.dataset.photos.encoding import save_image
from dpedtool.dataset.photos.pixels import Factor
from dpedtool.dataset.photos.stored import ReducedGrey
from dpedtool.dataset.plugins import PluginName, digest_in_use
from dpedtool.dataset.schema import Alignment, Pair, Timing
from dpedtool.dataset.tables import write_rows
from dpedtool.pipeline.align.following import Followed, follow
from dpedtool.pipeline.align.masking import grown, moved_cells
from dpedtool.pipeline.align.own_methods import check_own_methods, own_flow, own_matcher
from dpedtool.pipeline.align.refinement import COARSE_SIDE, GREY_LEVELS, Refined, WarpedPair, refine
from dpedtool.pipeline.align.results import (
    NODES,
    bring_files,
    check_image_folders,
    image_files,
    is_at_hand,
    named_today,
    nodes_file,
    remove_images_of_others,
    remove_nodes_of_others,
)
from dpedtool.pipeline.align.shake import with_shake
from dpedtool.pipeline.align.verdict import (
    PairVerdict,
    blur_evenness,
    check_blur,
    is_better,
    judge,
    may_have_depth,
    nodes_needed,
    shifted_cells,
    widened,
    windows_show_depth,
)
from dpedtool.pipeline.geometry.aligned import crop_box, crops, cut, mask_columns, required, transform_columns
from dpedtool.pipeline.geometry.homographies import Box, Homography, Points, local_scale
from dpedtool.pipeline.geometry.node_files import columns_of, write_nodes
from dpedtool.pipeline.geometry.transform import NODE_PX, Transform
from dpedtool.pipeline.geometry.warping import Usable, common_box, scale_at
from dpedtool.pipeline.measure.certainty import misplaced, shift_errors
from dpedtool.pipeline.measure.common_range import common_range
from dpedtool.pipeline.measure.consensus import Consensus
from dpedtool.pipeline.measure.exposure import clipped_share
from dpedtool.pipeline.measure.keypoint_homography import Registration, register
from dpedtool.pipeline.measure.noise import PairNoise, sensor_noise
from dpedtool.pipeline.measure.residuals import Flags, Residual, Search, search
from dpedtool.pipeline.measure.small_photos import why_too_small
from dpedtool.pipeline.memory import ALIGN, ALIGN_WITHOUT_DEPTH, Need, memory_of, pair_need
from dpedtool.pipeline.resume import Finished, save_aside, work_off
from dpedtool.pipeline.runner import Lost

Files = tuple[PhotoFile, PhotoFile]
"""The phone's photo and the DSLR's."""
Values = npt.NDArray[np.float64]
Size = tuple[int, int]
"""(width, height) in px."""

FACTORS: tuple[Factor, ...] = (1, 2, 4, 8)
COARSEST = 1.12
"""The DSLR's grey may be a little coarser than the phone's: both are smoothed before anything is measured."""


def align(
    pairs: Sequence[Pair],
    out: Path,
    params: AlignParams,
    *,
    images: bool = True,
    workers: int = 1,
    scheduler: str | None = None,
    reuse: Path | None = None,
    max_memory: int | None = None,
) -> list[Alignment]:
    """Align all pairs, and write the tables `out/alignments.parquet` and `out/timings.parquet`.

    The nodes of pairs with the model local become `out/nodes/<pair_id>.npy`. With `images`, the aligned images become
    `out/{phone,dslr}/<pair_id>.png`. The two images of a pair have the same size and agree pixel for pixel; the phone's
    pixels are those of its photo, the DSLR's are resampled once. A pair that fails has a row with the reason. What an
    earlier run finished is kept, under whatever names the same photos had then. With `reuse`, so is what stands in the
    tables of other runs, `reuse/*/alignments.parquet`; their aligned images are not looked at. With `max_memory`, in
    bytes, only so many processes work as fit into it.

    Returns
    -------
    list of Alignment
        One row for each pair that has both photos, in the order of pair_id.

    Raises
    ------
    DpedtoolError
        Another run is writing to `out`, the images would be written among the photos, or a pair needs more memory.

    """
    check_own_methods(params)
    whole = sorted((pair for pair in pairs if pair.status == "paired"), key=lambda pair: pair.pair_id)
    keyed = [(_key(pair, params), pair) for pair in whole]
    items: dict[str, Pair] = {}
    for key, pair in keyed:
        # Pairs of the same two photos share their work.
        items.setdefault(key, pair)
    if images:
        check_image_folders(whole, out)
    table, today = Alignment.table_in(out), {pair.pair_id for pair in whole}
    others = sorted(reuse.glob(f"*/{table.name}")) if reuse else ()
    with Finished(table, Alignment, others) as finished:
        # The folder is a result, even if no pair has nodes.
        (out / NODES).mkdir(exist_ok=True)
        work_off(
            items,
            partial(align_pair, params=params, out=out, images=images, parts=finished.parts),
            partial(_lost, params=params),
            finished,
            usable=lambda rows: is_at_hand(rows[0], items[rows[0].key], out, images=images, today=today),
            reads=[required(path) for pair in whole for path in (pair.phone_path, pair.dslr_path)],
            workers=workers,
            scheduler=scheduler,
            memory=memory_of(max_memory, partial(_need, params=params)),
            label="align",
        )
        rows: list[Alignment] = []
        for key, pair in keyed:
            row = named_today(finished.get(key)[0], items[key], out)
            if pair is not items[key]:
                bring_files(row, pair, out, images=images, today=today)
            rows.append(named_today(row, pair, out))
        rows = with_shake(rows)
        write_rows(table, Alignment, rows)
        # Pairs that were lost have no times.
        times = finished.aside(items, Timing)
        told = [dataclasses.replace(times[row.key], pair_id=row.pair_id) for row in rows if row.key in times]
        write_rows(Timing.table_in(out), Timing, told)
        finished.clear()
        remove_nodes_of_others(rows, out)
        remove_images_of_others(rows, out)
    return rows


def _need(pair: Pair, params: AlignParams) -> Need:
    """Return the memory that a pair takes."""
    return pair_need(ALIGN if params.local else ALIGN_WITHOUT_DEPTH, pair.pair_id, pair.phone_path, pair.dslr_path)


def align_pair(pair: Pair, params: AlignParams, out: Path, images: bool, parts: Path) -> list[Alignment]:
    """Align one pair and return its only row. Nodes and images are written below `out`, the times into `parts`."""
    watch, nodes = _Watch(), nodes_file(out, pair.pair_id)

    def write(files: Files, row: Alignment, to: Transform) -> None:
        if to.nodes:
            write_nodes(nodes, to.nodes)
        if images:
            _write_images(files, row, to, out)

    row, _ = align_files(pair, partial(open_pair, pair), params, write, nodes_file=nodes, lap=watch.lap)
    watch.lap("images_s")
    save_aside(parts, row.key, Timing(pair_id=row.pair_id, key=row.key, **watch.laps))
    return [row]


def align_files(
    pair: Pair,
    opened: Callable[[], Files],
    params: AlignParams,
    write: Callable[[Files, Alignment, Transform], None] | None = None,
    *,
    nodes_file: Path | None = None,
    lap: Callable[[str], None] = lambda _: None,
) -> tuple[Alignment, Transform | None]:
    """Align one pair, and return its row and its transform; None if it is not aligned.

    Parameters
    ----------
    pair
        Names the pair in the row.
    opened
        Returns the phone's photo and the DSLR's.
    params
        Limits and settings.
    write
        Called with both photos, the row and the transform of a pair that is aligned. A Rejection that it raises becomes
        the row's reason.
    nodes_file
        The file that the row names for the nodes, if the transform has any; `write` writes it.
    lap
        Called after each step with the name of its column in `Timing`.

    """
    known = _Known(nodes_file=nodes_file)
    try:
        files = opened()
        lap("read_s")
        try:
            to = _align(*files, params, known, lap)
        finally:
            # Behind the decoding, which finds damage.
            notes = [_same_file(pair), *map(_note, files)]
            known.note = " ".join(note for note in notes if note)
        row = _row(pair, params, status="aligned", **known.columns())
        if write:
            # If it fails, nothing of an alignment is left.
            known = _Known(note=known.note, sizes=known.sizes)
            write(files, row, to)
    except Rejection as rejection:
        # What was measured before the failure stays in the row, since it shows the cause.
        status = "failed" if rejection.reason in Alignment.RETRIED else "rejected"
        reason, detail = rejection.reason, rejection.detail
        if small := why_too_small(reason, known.sizes or ()):
            reason, detail = "low_texture", small
        row = _row(pair, params, status=status, reason=reason, detail=detail, **known.columns())
        return row, None
    return row, to


def _same_file(pair: Pair) -> str:
    """Return a sentence if both photos of a pair are the same file, else an empty text."""
    if not pair.phone_sha256 or pair.phone_sha256 != pair.dslr_sha256:
        return ""
    return f"{pair.phone_path} and {pair.dslr_path} are the same file, so that their patches teach nothing."


def _note(file: PhotoFile) -> str:
    """Return what is to be told about a photo; nothing about one that cannot be decoded, as its rejection says it."""
    try:
        return file.note
    except Rejection:
        return ""


@dataclass
class _Known:
    """What is known about a pair so far; None for steps that were not reached."""

    note: str = ""
    sizes: tuple[Size, Size] | None = None
    """Of the phone's photo and of the DSLR's."""
    clipped: float | None = None
    registration: Registration | None = None
    noise: PairNoise | None = None
    refined: Refined | None = None
    coverage: float | None = None
    box: Box | None = None
    scale: float | None = None
    blur_evenness: float | None = None
    residual: Residual | None = None
    at_place: float | None = None
    misplaced: float | None = None
    followed: Followed | None = None
    """The transform with nodes, if it is the one that was chosen."""
    flow_shares: Mapping[str, float] = field(default_factory=dict)
    verdict: PairVerdict | None = None
    nodes_file: Path | None = None

    def columns(self) -> dict[str, Any]:
        """All that is known, by column of `Alignment`."""
        plain = ("note", "clipped", "coverage", "scale", "blur_evenness", "at_place", "misplaced")
        return {
            **{name: getattr(self, name) for name in plain},
            **(_size_columns(*self.sizes) if self.sizes else {}),
            **(_noise_columns(self.noise) if self.noise else {}),
            **(_registration_columns(self.registration) if self.registration else {}),
            # After those of the registration, whose homography it replaces.
            **(_refinement_columns(self.refined) if self.refined else {}),
            **(_node_columns(self.followed, self.nodes_file) if self.followed else {}),
            **self.flow_shares,
            **(_box_columns(self.box) if self.box else {}),
            **(_residual_columns(self.residual) if self.residual else {}),
            **(mask_columns(self.verdict.mask, self.verdict.cell) if self.verdict else {}),
        }


class _Watch:
    """Processor time, lap by lap, in s."""

    def __init__(self) -> None:
        self._start = time.process_time()
        self.laps: dict[str, float] = {"total_s": 0.0}

    def lap(self, name: str) -> None:
        """Record the time since the last lap under a column of `Timing`."""
        passed = time.process_time() - self._start - self.laps["total_s"]
        self.laps[name] = passed
        self.laps["total_s"] += passed


def open_pair(pair: Pair) -> Files:
    """Read both photos of a pair, and prove that they are those that were paired.

    Raises
    ------
    Rejection
        `unreadable_photo` or `photo_changed`.

    """
    phone = open_unchanged(required(pair.phone_path), required(pair.phone_sha256))
    return phone, open_unchanged(required(pair.dslr_path), required(pair.dslr_sha256))


def _align(
    phone_file: PhotoFile, dslr_file: PhotoFile, params: AlignParams, known: _Known, lap: Callable[[str], None]
) -> Transform:
    """Find, check and return the transform; all results go into `known`."""
    phone = phone_file.grey()
    dslr = dslr_file.grey(_factor(max(dslr_file.size) / max(phone.size)))
    lap("decode_s")
    known.sizes = phone.size, dslr.size
    known.clipped = max(clipped_share(photo.image) for photo in (phone, dslr))
    known.registration = found = register(phone, dslr, params, own_matcher(params))
    _check_exposure(known.clipped, params)
    lap("register_s")
    scale = _scale(found, phone)
    if scale * COARSEST < dslr.full_from_reduced[0, 0]:
        # The DSLR sees more than the phone, so that its photo must be reduced less than the sizes suggested.
        dslr = dslr_file.grey(_factor(scale))
        lap("decode_s")
    known.noise = PairNoise(
        phone=sensor_noise(phone.image), dslr=sensor_noise(dslr.image) * dslr.full_from_reduced[0, 0] / scale
    )
    phone, dslr = _in_common_range(phone, dslr, found.dslr_from_phone)
    known.refined = refined = refine(phone, dslr, found.dslr_from_phone, bend=params.refine, noise=known.noise)
    lap("refine_s")
    box = _overlap(refined.transform, phone, dslr, params, known)
    to = _check((phone, dslr), refined.transform, box, found, params, known)
    lap("check_s")
    return to


def _in_common_range(
    phone: ReducedGrey, dslr: ReducedGrey, dslr_from_phone: Homography
) -> tuple[ReducedGrey, ReducedGrey]:
    """Return both photos with the ranges of brightness that both show."""
    rough = Transform(dslr_from_phone)
    box = common_box(phone.size, dslr.size, rough, (phone.usable, dslr.usable))
    if box is None:
        return phone, dslr
    step = max(1, round(max(phone.size) / COARSE_SIDE))
    pair = WarpedPair.of(phone, dslr, dslr_from_phone, step, tones=GREY_LEVELS)
    small = Box(box.x // step, box.y // step, max(1, box.width // step), max(1, box.height // step))
    shown = (np.asarray(np.rint(cut(image, small)), np.uint8) for image in (pair.phone, pair.warped(rough)))
    limits, dslr_limits = common_range(*shown)
    return dataclasses.replace(phone, shown=limits), dataclasses.replace(dslr, shown=dslr_limits)


def _factor(scale: float) -> Factor:
    """Return the factor to reduce the DSLR's grey by while decoding, so that it stays about as fine as the phone's."""
    fine_enough: list[Factor] = [factor for factor in FACTORS if factor <= COARSEST * scale]
    return max(fine_enough, default=1)


def _scale(found: Registration, phone: ReducedGrey) -> float:
    return local_scale(found.dslr_from_phone, (np.array(phone.size) - 1) / 2)


def _size_columns(phone: Size, dslr: Size) -> dict[str, Any]:
    return {"phone_width": phone[0], "phone_height": phone[1], "dslr_width": dslr[0], "dslr_height": dslr[1]}


def _noise_columns(noise: PairNoise) -> dict[str, Any]:
    return {f"{camera}_noise": value for camera, value in dataclasses.asdict(noise).items()}


def _registration_columns(found: Registration) -> dict[str, Any]:
    return dataclasses.asdict(found) | transform_columns(Transform(found.dslr_from_phone))


def _refinement_columns(refined: Refined) -> dict[str, Any]:
    columns: dict[str, Any] = transform_columns(refined.transform)
    if refined.fit:
        columns |= {"fit_windows": refined.fit.windows, "held_out_px": refined.fit.held_out_px}
    return columns | {"model": refined.fit.model if refined.fit else "homography"}


def _node_columns(followed: Followed, path: Path | None) -> dict[str, Any]:
    return columns_of(required(followed.transform.nodes), path) | {"model": "local"}


def _box_columns(box: Box) -> dict[str, Any]:
    return {f"crop_{side}": value for side, value in dataclasses.asdict(box).items()}


def _residual_columns(residual: Residual) -> dict[str, Any]:
    return {
        "residual_textured": residual.textured,
        "residual_windows": residual.windows,
        "residual_edge": residual.edge,
        "residual_px": residual.median_px,
        "residual_p95_px": residual.p95_px,
    }


def _check_exposure(clipped: float, params: AlignParams) -> None:
    if clipped > params.max_clipped:
        raise Rejection(
            "clipped_exposure",
            f"{clipped:.0%} of a photo is burnt out or black; at most {params.max_clipped:.0%} is allowed.",
        )


def _overlap(transform: Transform, phone: ReducedGrey, dslr: ReducedGrey, params: AlignParams, known: _Known) -> Box:
    box = common_box(phone.size, dslr.size, transform, (phone.usable, dslr.usable))
    known.coverage = coverage = box.width * box.height / (phone.size[0] * phone.size[1]) if box else 0.0
    if box is None or coverage < params.min_coverage:
        less = " without what is damaged" if phone.usable or dslr.usable else ""
        raise Rejection(
            "poor_coverage",
            f"The DSLR photo covers {coverage:.0%} of the phone photo{less}; at least {params.min_coverage:.0%} is "
            "needed.",
        )
    known.box, known.scale = box, scale_at(transform, box)
    return box


def _check(
    greys: tuple[ReducedGrey, ReducedGrey],
    mapping: Transform,
    box: Box,
    first: Registration,
    params: AlignParams,
    known: _Known,
) -> Transform:
    """Search the transformed images for shifts that are left; return the transform to use, with nodes or without."""
    noise = required(known.noise)
    # Grey levels are used, since people see the written images in them.
    pair = WarpedPair.of(*greys, first.dslr_from_phone, tones=GREY_LEVELS, smoothing=noise.smoothing)
    phone, dslr = cut(pair.phone, box), cut(pair.warped(mapping), box)
    known.blur_evenness = blur_evenness(phone, dslr)
    check_blur(known.blur_evenness, params)
    found = search(phone, dslr)
    errors = shift_errors(phone, dslr, found, noise)
    followed, before = None, (found, ~np.isnan(errors))
    _note_windows(*before, known)
    has_depth = may_have_depth(*before, first)
    if params.local and has_depth:
        needed = nodes_needed(found, errors, box, greys[0].size)
        is_doubtful = not windows_show_depth(*before)
        rough = first.dslr_from_phone
        followed = follow(*greys, rough, mapping, needed, own_flow(params), noise, is_doubtful=is_doubtful)
        known.flow_shares = followed.shares(box)
        if followed.told.depth and _take_nodes(
            followed, pair, (greys[0].usable, greys[1].usable), before, first, params, known
        ):
            return followed.transform

    def agreed(points: Points) -> tuple[Points, Values]:
        # Consensus weighs noise, so that it needs no more smoothing.
        fine = WarpedPair.of(*greys, first.dslr_from_phone, tones=GREY_LEVELS)
        consensus = Consensus.of(cut(fine.phone, box), cut(fine.warped(mapping), box), noise)
        return consensus.at(points) if consensus else (np.zeros_like(points), np.full(len(points), np.inf))

    motion = followed.motion if followed else None
    verdict = judge(found, first, phone.shape, params, before[1], motion, None if has_depth else agreed)
    mask = verdict.mask | shifted_cells(*before, phone.shape)
    if followed:
        mask = mask | moved_cells(followed.told.whole, box, found.step)
    known.verdict = widened(verdict, found, grown(mask, phone, dslr, found.step, noise))
    known.residual = known.verdict.residual
    return mapping


def _take_nodes(
    followed: Followed,
    pair: WarpedPair,
    usable: Usable,
    before: tuple[Search, Flags],
    first: Registration,
    params: AlignParams,
    known: _Known,
) -> bool:
    """Judge the pair as the nodes align it, and take them if it passes and is better aligned than before."""
    sides = pair.phone.shape[1], pair.phone.shape[0]
    box = common_box(sides, pair.dslr_size, followed.transform, usable)
    inner = _from_node_to_node(box) if box else None
    coverage = inner.width * inner.height / (sides[0] * sides[1]) if inner else 0.0
    if inner is None or coverage < params.min_coverage:
        return False
    phone, dslr = cut(pair.phone, inner), cut(pair.warped(followed.transform), inner)
    found, noise = search(phone, dslr), required(known.noise)
    after = found, ~np.isnan(shift_errors(phone, dslr, found, noise))
    if not is_better(after, before):
        return False
    try:
        verdict = judge(found, first, phone.shape, params, after[1], followed.motion)
    except Rejection:
        # The verdict on the transform without nodes says why the pair fails, if it does.
        return False
    mask = verdict.mask | moved_cells(followed.told.whole, inner, found.step)
    if mask.sum() > verdict.mask.sum():
        verdict = widened(verdict, found, mask)
    _note_windows(*after, known)
    known.followed, known.verdict, known.residual = followed, verdict, verdict.residual
    known.box, known.coverage, known.scale = inner, coverage, scale_at(followed.transform, inner)
    known.flow_shares = followed.shares(inner)
    return True


def _note_windows(found: Search, certain: Flags, known: _Known) -> None:
    known.residual, known.misplaced = found.residual(), misplaced(found, certain)
    if len(found.places):
        known.at_place = float(found.right.mean())


def _from_node_to_node(box: Box) -> Box | None:
    """Return the part of a box that begins at whole squares of nodes, where maps and nodes coincide; None if empty."""
    x, y = (-(-start // NODE_PX) * NODE_PX for start in (box.x, box.y))
    width, height = box.x + box.width - x, box.y + box.height - y
    return Box(x, y, width, height) if min(width, height) > 0 else None


def _write_images(files: Files, row: Alignment, to: Transform, out: Path) -> None:
    for file, image in zip(image_files(out, row.pair_id), crops(files, to, crop_box(row)), strict=True):
        save_image(file, image, key=row.key)


def _row(pair: Pair, params: AlignParams, **facts: Any) -> Alignment:
    return Alignment(
        pair_id=pair.pair_id,
        phone=pair.phone,
        session=pair.session,
        reference=pair.reference,
        role=pair.role or "base",
        frame=pair.frame or 0,
        scene_id=required(pair.scene_id),
        phone_path=required(pair.phone_path),
        dslr_path=required(pair.dslr_path),
        phone_sha256=required(pair.phone_sha256),
        dslr_sha256=required(pair.dslr_sha256),
        key=_key(pair, params),
        **facts,
    )


def _lost(pair: Pair, lost: Lost, params: AlignParams) -> list[Alignment]:
    return [_row(pair, params, status="failed", reason=lost.reason, detail=lost.detail)]


def _key(pair: Pair, params: AlignParams) -> str:
    return digest([_CODE, cv2.__version__, _telling(params), pair.phone_sha256, pair.dslr_sha256])


def _telling(params: AlignParams) -> dict[str, Any]:
    """Return the parameters with the content of the user's own functions in place of their names."""
    own = {name: value for name in ("matcher", "flow") if (value := getattr(params, name)) is not None}
    return describe(params) | {name: digest_in_use(PluginName.parse(value)) for name, value in own.items()}


_CODE = code_digest(__name__)
