"""The results of the stages pair, align and patches for one pair, brought together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from dpedtool.dataset.places import Place
from dpedtool.dataset.schema import Alignment, Pair
from dpedtool.pipeline.report.pairs.contract import PairStatus
from dpedtool.pipeline.report.paths import Paths
from dpedtool.pipeline.report.results import PhoneResults

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A pair or a lone photo, and what the stages found."""

    pair_id: str
    phone: str
    scene: str
    """Empty if the DSLR has no photo."""
    session: str
    """Empty where there is only one."""
    status: PairStatus
    reason: str
    detail: str
    phone_path: Place | None
    dslr_path: Place | None
    phone_sha256: str | None
    """None if there is no photo, or it could not be read."""
    dslr_sha256: str | None
    alignment: Alignment | None
    """None for lone photos, and if align has not run."""


@dataclass(frozen=True, eq=False)
class Windows:
    """The candidate windows of a pair, (N,) each, in the order of the table."""

    x: Numbers = field(default_factory=lambda: np.empty(0))
    """Left column of the phone's window, in px of the upright phone photo."""
    y: Numbers = field(default_factory=lambda: np.empty(0))
    ncc: Numbers = field(default_factory=lambda: np.empty(0))
    """NaN if it was not measured."""
    residual_px: Numbers = field(default_factory=lambda: np.empty(0))
    """NaN if it was not measured."""
    reasons: tuple[str, ...] = ()
    """An empty text means accepted."""
    side: int | None = None
    """Side of the windows, in px."""
    none_since: str = ""
    """Reason why the pair has no windows at all; else empty."""

    @property
    def digest(self) -> str:
        """SHA-256, hex, of all fields."""
        words = "\0".join([*self.reasons, str(self.side), self.none_since])
        numbers = (self.x, self.y, self.ncc, self.residual_px)
        return hashlib.sha256(b"".join([*(some.tobytes() for some in numbers), words.encode()])).hexdigest()


NO_WINDOWS = Windows()


def cases_of(phone: PhoneResults) -> list[Case]:
    """Return all pairs and lone photos of a phone in the order of their table; empty if no stage has run."""
    rows = {row.pair_id: row for row in phone.alignments or ()}
    if phone.pairs is None:
        return [_aligned(row, phone.paths) for row in rows.values()]
    return [_case(pair, rows.get(pair.pair_id), phone.paths) for pair in phone.pairs]


def windows_of(phone: PhoneResults) -> dict[str, Windows]:
    """Return the windows of each pair of a phone that stage patches has processed; empty if it has not run."""
    columns = ["pair_id", "reason", "size", "ncc", "residual_px", "phone_x", "phone_y"]
    frame = phone.patches(columns)
    if frame is None or not len(frame):
        return {}
    codes, names = pd.factorize(frame["pair_id"])
    # The sort is stable, so that the windows of a pair keep their order.
    frame = frame.iloc[np.argsort(codes, kind="stable")]
    ends = np.cumsum(np.bincount(codes)).tolist()
    numbers = {name: frame[name].to_numpy(np.float64, na_value=np.nan) for name in columns[2:]}
    reasons = frame["reason"].tolist()
    slices = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    return {
        str(name): _windows({column: values[part] for column, values in numbers.items()}, reasons[part])
        for name, part in zip(names, slices, strict=True)
    }


def _windows(columns: dict[str, Numbers], reasons: list[str]) -> Windows:
    if np.isnan(columns["phone_x"]).any():
        # This is a single row that says why the pair has no windows.
        return Windows(none_since=reasons[0])
    return Windows(
        x=columns["phone_x"],
        y=columns["phone_y"],
        ncc=columns["ncc"],
        residual_px=columns["residual_px"],
        reasons=tuple(reasons),
        side=int(columns["size"][0]),
    )


def _case(pair: Pair, row: Alignment | None, paths: Paths) -> Case:
    if pair.status == "paired" and row is not None:
        return _aligned(row, paths)
    status: PairStatus = "paired" if pair.status == "paired" else "unpaired"
    return Case(
        pair_id=pair.pair_id,
        phone=pair.phone,
        scene=pair.scene_id or "",
        session=pair.session,
        status=status,
        reason=pair.reason,
        detail=paths.shorten(pair.detail),
        phone_path=pair.phone_path,
        dslr_path=pair.dslr_path,
        phone_sha256=pair.phone_sha256,
        dslr_sha256=pair.dslr_sha256,
        alignment=None,
    )


def _aligned(row: Alignment, paths: Paths) -> Case:
    row = replace(row, detail=paths.shorten(row.detail), note=paths.shorten(row.note))
    return Case(
        pair_id=row.pair_id,
        phone=row.phone,
        scene=row.scene_id,
        session=row.session,
        status=cast(PairStatus, row.status),
        reason=row.reason,
        detail=row.detail or row.note,
        phone_path=row.phone_path,
        dslr_path=row.dslr_path,
        phone_sha256=row.phone_sha256,
        dslr_sha256=row.dslr_sha256,
        alignment=row,
    )
