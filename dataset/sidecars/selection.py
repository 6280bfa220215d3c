"""selection.json: what became of the pairs and windows of one phone, next to its table of patches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from dpedtool.dataset.sidecars.json_objects import WHERE_KNOWN, JsonObject, Sidecar, keyed


@dataclass(frozen=True)
class Bin(JsonObject):
    """Windows whose measure lies from `low` to below `high`, and the share 0..1 of them that was kept."""

    low: float = field(metadata=keyed("from"))
    high: float = field(metadata=keyed("to"))
    windows: int
    accepted: int
    share: float | None
    """None without windows."""


@dataclass(frozen=True)
class PhotoSize(JsonObject):
    """How many photos have one size."""

    width: int
    """In px."""
    height: int
    photos: int


@dataclass(frozen=True)
class FrameCounts(JsonObject):
    """How the further frames of the moments fared in stage align: frames of bursts and brackets beside the base."""

    all: int
    aligned: int
    rejected: int
    failed: int
    reasons: dict[str, int]
    """Further frames that are not aligned, by reasons of `dpedtool.dataset.schema.Alignment`."""
    stand_ins: int
    """Moments whose base frame is not aligned, and for which an aligned further frame stands in."""


@dataclass(frozen=True)
class AlignedPairs(JsonObject):
    """How the moments fared in the stage before, align. Where each has one frame, these are the pairs of photos."""

    all: int
    aligned: int
    """Moments whose base frame is aligned, or a frame that stands in for it."""
    rejected: int
    failed: int
    reasons: dict[str, int]
    """Moments that are not aligned, by the reason of their base frame, of `dpedtool.dataset.schema.Alignment`."""
    dslr_sizes: list[PhotoSize]
    """Of the DSLR's photos of the aligned moments, the most frequent first."""
    frames: FrameCounts | None = field(default=None, metadata=WHERE_KNOWN)
    """The further frames; None if an earlier version has left it out, which counted them as pairs."""


@dataclass(frozen=True)
class StackCounts(JsonObject):
    """How the further frames fared in the stacks of the accepted patches, and of those with too few frames."""

    all: int
    accepted: int
    reasons: dict[str, int]
    """Rejected ones, by reasons of `dpedtool.dataset.schema.StackFrame`."""
    targets: dict[str, dict[str, int]] | None = field(default=None, metadata=WHERE_KNOWN)
    """Further targets of these patches, by reference: the number of `accepted` ones, and of the others by the same
    reasons. None without further references."""


@dataclass(frozen=True, kw_only=True)
class Selection(Sidecar):
    """How many windows there were, what share of them was kept, and by which parameters."""

    FILE: ClassVar[str] = "selection.json"

    windows: int
    accepted: int
    rejected: dict[str, int]
    """Windows by reasons of `dpedtool.dataset.schema.Patch`."""
    by: dict[str, list[Bin]]
    """By brightness, texture, noise and place: bins as in `dpedtool.pipeline.patches.selection_figures.EDGES`."""
    params: dict[str, Any]
    """The parameters that decide on windows and images, by name, with the limits that held."""
    params_sha256: str
    """SHA-256 of `params`, hex, as the table of patches has it."""
    proved_by: dict[str, int] | None = field(default=None, metadata=WHERE_KNOWN)
    """Accepted windows by what proves them, as in the table of patches; None if an earlier version has left it out."""
    shard_patches: int | None = field(default=None, metadata=WHERE_KNOWN)
    """Most patches in a shard, by which the shards were filled; None if an earlier version has left it out."""
    stacks: StackCounts | None = field(default=None, metadata=WHERE_KNOWN)
    """None if patches have one frame and one target each."""
    pairs: AlignedPairs | None = field(default=None, metadata=WHERE_KNOWN)
    """None if an earlier version has left it out."""
