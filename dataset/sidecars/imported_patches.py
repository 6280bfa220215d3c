"""imported.json: how an import was made and what it left out, next to the table of patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from dpedtool.dataset.sidecars.json_objects import JsonObject, Sidecar


@dataclass(frozen=True, kw_only=True)
class MeasuredShifts(JsonObject):
    """The shift between the two images of a pair, in px, where it could be measured; None if it was never measured."""

    measured: int
    """Pairs whose shift was measured."""
    median: float | None
    p90: float | None
    p95: float | None


@dataclass(frozen=True, kw_only=True)
class ImportedPatches(Sidecar):
    """The patches of one phone that `dpedtool release import` took over. Their photos are not known."""

    FILE: ClassVar[str] = "imported.json"

    patches: dict[str, int]
    """Patches by side: train, validation, test."""
    held_out: int
    """Training patches that are kept for validation."""
    rejected: dict[str, int]
    """Pairs that are left out, by reasons of `dpedtool.dataset.schema.Patch`."""
    first_rejected: str
    """Why the first of them was left out, as a sentence; empty if nothing was."""
    stored_as_png: int
    """Pairs with a file that could not be taken over byte for byte."""
    residual_px: MeasuredShifts
    params: dict[str, Any]
    """The parameters that decide on what is measured, by name."""
    params_sha256: str
    """SHA-256 of `params`, hex, as the table of patches has it."""
