"""The patches that the page shows for each phone: a random sample, and the worst that were kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.names import drawn
from dpedtool.dataset.photos.decoding import decode_image
from dpedtool.dataset.regular_files import check_inside
from dpedtool.dataset.schema import Patch
from dpedtool.dataset.shards import Extent, read_extent
from dpedtool.dataset.tables import read_frame
from dpedtool.pipeline.report.inline_pictures import PagePicture, data_uri
from dpedtool.pipeline.report.results import PhoneResults, RunResults

SHOWN = 12
"""Number of patches in the sample, and of the worst ones by the measure that the mode keeps patches by."""
ALSO_SHOWN = 6
"""Number of the worst patches by the other measure."""
_COLUMNS = ["patch_id", "pair_id", "mode", "target_scale", "ncc", "best_ncc", "residual_px", "residual_error_px"]
_EXTENTS = ["shard", "phone_offset", "phone_bytes", "dslr_offset", "dslr_bytes"]


@dataclass(frozen=True)
class StripPatch:
    """A patch that was kept."""

    patch_id: str
    pair_id: str
    phone: PagePicture
    dslr: PagePicture
    """Its size is that of the phone's picture, also if it has more px (`patches.target_scale`)."""
    ncc: float | None
    """NCC of the two stored images; None if one has only a single grey value."""
    residual_px: float | None
    """The remaining shift between them; None if it cannot be measured."""
    residual_error_px: float | None
    """Its standard error, in the direction in which it is largest."""
    is_finer: bool = False
    """Whether the DSLR's picture has more px than the phone's, which are not shown as squares then."""

    @property
    def figures(self) -> str:
        """NCC and shift in words."""
        ncc = "NCC not measured" if self.ncc is None else f"NCC {self.ncc:.3f}"
        return f"{ncc}, {self._shift}"

    @property
    def _shift(self) -> str:
        if self.residual_px is None:
            return "shift not measured"
        error = "" if self.residual_error_px is None else f" ± {self.residual_error_px:.2f}"
        return f"shifted by {self.residual_px:.2f}{error} px"


@dataclass(frozen=True)
class PatchGroup:
    """Patches that were chosen in the same way."""

    title: str
    words: str
    """How they were chosen, as a sentence."""
    patches: tuple[StripPatch, ...]


@dataclass(frozen=True)
class PhonePatches:
    """What is shown for one phone."""

    name: str
    note: str
    """Why nothing is shown, as a sentence; else empty."""
    has_pairs: bool
    """Whether the page lists pairs; imported patches have none."""
    groups: tuple[PatchGroup, ...]


@dataclass(frozen=True)
class _Criterion:
    """A measure by which patches are the worst."""

    column: str
    ascending: bool
    title: str
    words: str


_SHIFT = _Criterion(
    "residual_px",
    False,
    "Worst kept: still shifted",
    "The patches with the largest remaining shifts between their two images, in px of the phone, largest first.",
)
_NCC = _Criterion(
    "agreement",
    True,
    "Worst kept: least alike",
    "The patches{} with the lowest correlations (NCC) of their two images in grey, lowest first.",
)


def patch_samples(run: RunResults) -> tuple[PhonePatches, ...]:
    """Choose the patches of every phone and read their images.

    The sample depends only on the names of the patches. The worst are those with the largest remaining shift, and, of
    the others, those with the lowest NCC. In mode `dped`, which keeps patches by their NCC, it is the other way round.

    Raises
    ------
    DpedtoolError
        A table or a shard is missing or damaged.

    """
    return tuple(_of_phone(phone) for phone in run.phones)


def _of_phone(phone: PhoneResults) -> PhonePatches:
    if not phone.patch_table.is_file():
        return PhonePatches(phone.name, "No patches were cut: the stage patches has not run.", False, ())
    kept = read_frame(phone.patch_table, Patch, [*_COLUMNS, *_EXTENTS], where={"status": "accepted"})
    if kept.empty:
        return PhonePatches(phone.name, "No patches were kept, so there are none to show.", False, ())
    kept["agreement"] = kept["ncc"].where(kept["mode"] != "dped", kept["best_ncc"])
    groups = [
        PatchGroup(title, words, tuple(_shown(row, phone.name, phone.patch_table.parent) for _, row in rows.iterrows()))
        for title, words, rows in _chosen(kept.sort_values("patch_id"))
        if len(rows)
    ]
    return PhonePatches(phone.name, "", phone.pairs is not None, tuple(groups))


def _chosen(kept: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Return title, words and rows of every group; `kept` is sorted by name."""
    sample = kept[kept["patch_id"].isin(drawn(kept["patch_id"], SHOWN))]
    words = f"{len(sample)} of the {len(kept):,} patches that were kept, chosen by the digests of their names."
    moved = bool((kept["mode"] == "dped").any())
    first, second = (_NCC, _SHIFT) if moved else (_SHIFT, _NCC)
    worst = _worst(kept, first, SHOWN)
    also = _worst(kept.drop(worst.index), second, ALSO_SHOWN)
    without = " not shown above"
    return [
        ("A random sample", words, sample),
        (first.title, first.words.format(""), worst),
        (second.title, second.words.format(without), also),
    ]


def _worst(kept: pd.DataFrame, criterion: _Criterion, most: int) -> pd.DataFrame:
    measured = kept.dropna(subset=[criterion.column])
    return measured.sort_values(criterion.column, ascending=criterion.ascending, kind="stable").head(most)


def _shown(row: pd.Series[Any], phone: str, folder: Path) -> StripPatch:
    name = row["patch_id"]
    measured = [_or_none(row[column]) for column in ("agreement", "residual_px", "residual_error_px")]
    return StripPatch(
        name,
        row["pair_id"],
        _picture(row, folder, "phone", f"Patch {name} as {phone} took it"),
        _picture(row, folder, "dslr", f"Patch {name} as the DSLR took it"),
        ncc=measured[0],
        residual_px=measured[1],
        residual_error_px=measured[2],
        is_finer=int(row["target_scale"]) > 1,
    )


def _or_none(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def _picture(row: pd.Series[Any], folder: Path, side: str, alt: str) -> PagePicture:
    shard, extent = Path(row["shard"]), Extent(int(row[f"{side}_offset"]), int(row[f"{side}_bytes"]))
    try:
        check_inside(shard, folder)
        content = read_extent(shard, extent)
        finer = int(row["target_scale"]) if side == "dslr" else 1
        height, width = (length // finer for length in decode_image(content, shard).shape[:2])
    except (OSError, Rejection) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or error
        raise DpedtoolError(
            f"Patch {row['patch_id']} cannot be read from {shard} ({reason}): remove this file, and run "
            "`dpedtool patches` again."
        ) from None
    return PagePicture(data_uri(content), width, height, alt)
