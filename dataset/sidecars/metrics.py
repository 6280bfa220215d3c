"""metrics.json: mean scores of a network and of what it is compared with, by protocol, as `dvc metrics` shows them.

The protocol `image` has one value for each pair, `batch` one for every 50 pairs, as in DPED's tables. Scores whose
names contain `varied` or `matched`, the named metrics, the differences and the scores by tag leave out the pairs whose
target is constant, and PSNR counts at most 58.92 dB in them. So they are over the same pairs for every network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import read_json
from dpedtool.dataset.sidecars.json_objects import WHERE_KNOWN, JsonObject, Sidecar

Better = Literal["higher", "lower", "one"]
"""Which values of a score are better; "one": those near 1."""


@dataclass(frozen=True)
class VersionScores(JsonObject):
    """Mean scores of one version of the images; None for a score that is NaN or infinite, or if nothing was scored."""

    psnr_db: float | None
    ms_ssim: float | None
    """0..1; 1 for identical images."""
    ssim: float | None
    """-1..1; 1 for identical images."""
    infinite_psnr: int | None
    """Pairs, or batches, without any difference, left out of `psnr_db`."""
    lpips: float | None = field(default=None, metadata=WHERE_KNOWN)
    """None if it was not asked for."""
    psnr_varied_db: float | None = field(default=None, metadata=WHERE_KNOWN)
    """PSNR, MS-SSIM and SSIM over the pairs whose target is not constant."""
    ms_ssim_varied: float | None = field(default=None, metadata=WHERE_KNOWN)
    ssim_varied: float | None = field(default=None, metadata=WHERE_KNOWN)
    psnr_matched_db: float | None = field(default=None, metadata=WHERE_KNOWN)
    """The same after one affine map of the colours of each pair, fitted to its target."""
    ms_ssim_matched: float | None = field(default=None, metadata=WHERE_KNOWN)
    ssim_matched: float | None = field(default=None, metadata=WHERE_KNOWN)


NOT_SCORED = VersionScores(None, None, None, None)
_VERSIONS = ("before", "colour", "oracle", "after")
_KEYS = {
    "psnr_db": "psnr_{}_db",
    "ms_ssim": "ms_ssim_{}",
    "ssim": "ssim_{}",
    "infinite_psnr": "infinite_psnr_{}",
    "lpips": "lpips_{}",
    "psnr_varied_db": "psnr_{}_varied_db",
    "ms_ssim_varied": "ms_ssim_{}_varied",
    "ssim_varied": "ssim_{}_varied",
    "psnr_matched_db": "psnr_{}_matched_db",
    "ms_ssim_matched": "ms_ssim_{}_matched",
    "ssim_matched": "ssim_{}_matched",
}


@dataclass(frozen=True, kw_only=True)
class ProtocolScores(JsonObject):
    """Mean scores under one protocol. The file's keys for a version's scores contain its name: `psnr_before_db`."""

    pairs: int
    """How many were scored."""
    constant_targets: int = 0
    """How many of them have a constant target."""
    before: VersionScores
    """Of the untouched phone images."""
    colour: VersionScores
    """Of the phone images after one colour transform, which was fitted to other pairs."""
    after: VersionScores
    """Of the network."""

    def as_json(self) -> dict[str, Any]:
        """Return all scores, ready for JSON: the pairs, the versions one after the other, the reason, LPIPS."""
        nested = super().as_json()
        versions = {name: nested.pop(name) for name in _VERSIONS if name in nested}
        pairs = {name: nested.pop(name) for name in ("pairs", "constant_targets")}
        lpips = {_KEYS["lpips"].format(name): of.pop("lpips") for name, of in versions.items() if "lpips" in of}
        flat = {_KEYS[score].format(name): value for name, of in versions.items() for score, value in of.items()}
        return pairs | flat | nested | lpips

    @classmethod
    def from_json(cls, data: Any, place: str = "") -> Self:
        """Return the scores that `as_json` gave; ValueError if one is missing or is not a number."""
        if not isinstance(data, Mapping):
            return super().from_json(data, place)
        versions = {
            name: {score: data[key.format(name)] for score, key in _KEYS.items() if key.format(name) in data}
            for name in _VERSIONS
        }
        return super().from_json({**data, **versions}, place)


@dataclass(frozen=True, kw_only=True)
class PatchScores(ProtocolScores):
    """Scores of test patches under one protocol."""

    oracle: VersionScores
    """Of the untouched phone patches after a colour transform that was fitted to the same photo."""


@dataclass(frozen=True, kw_only=True)
class FolderScores(ProtocolScores):
    """Scores of the images of two folders under one protocol."""

    reason: str | None = field(default=None, metadata=WHERE_KNOWN)
    """Why the protocol does not apply to them, as a sentence; None if it does."""


@dataclass(frozen=True, kw_only=True)
class MetricScores(JsonObject):
    """What a named metric gives for each version; None if a pair has no value or the version was not scored."""

    better: Better
    before: float | None = None
    colour: float | None = field(default=None, metadata=WHERE_KNOWN)
    oracle: float | None = field(default=None, metadata=WHERE_KNOWN)
    after: float | None = field(default=None, metadata=WHERE_KNOWN)


@dataclass(frozen=True, kw_only=True)
class Difference(JsonObject):
    """How much larger a score of one version is than that of another, over the same pairs."""

    difference: float
    low: float | None
    """2.5th percentile of the difference over resampled scenes; None with a single scene."""
    high: float | None
    """97.5th percentile."""


@dataclass(frozen=True, kw_only=True)
class NetworkSize(JsonObject):
    """What a network costs on any machine."""

    parameters: int
    multiply_adds_per_px: float
    """Multiplications with an addition each, for one px of the output."""


@dataclass(frozen=True)
class NetworkCost(Sidecar):
    """What the network took on the machine that scored it; it differs from run to run."""

    FILE: ClassVar[str] = "cost.json"

    ms_per_megapixel: float
    """Wall-clock time for a million px of the output."""
    memory_gb: float
    """The most memory that the whole process took."""
    device: str
    """The kind of device: cpu or cuda."""
    threads: int
    """Processors of this machine that torch used."""


@dataclass(frozen=True, kw_only=True)
class TagScores(JsonObject):
    """Scores of the test patches whose scenes have one tag, under the protocol `image`."""

    patches: int
    """Without those whose target is constant."""
    scenes: int
    psnr_db_before: float | None
    """Mean of the untouched phone patches, which count at most 58.92 dB each."""
    psnr_db_after: float | None
    """The same of the network."""
    ms_ssim_before: float
    """0..1; 1 for identical images."""
    ms_ssim_after: float


@dataclass(frozen=True, kw_only=True)
class Metrics(Sidecar):
    """Scores of the test patches of one phone."""

    FILE: ClassVar[str] = "metrics.json"

    image: PatchScores
    batch: PatchScores
    by_tag: dict[str, TagScores] = field(default_factory=dict)
    """By "key=value" as in `Scene.tags`, and by "session=NAME" where there are several sessions."""
    metrics: dict[str, MetricScores] = field(default_factory=dict)
    """By name, as in `evaluate.metrics`, of the images clipped to 0..1."""
    differences: dict[str, dict[str, Difference]] = field(default_factory=dict)
    """How much the network exceeds another version: by the version, then by the score, of protocol `image`."""
    scenes: int = 0
    """How many scenes the compared pairs are of."""
    network: NetworkSize | None = field(default=None, metadata=WHERE_KNOWN)


@dataclass(frozen=True)
class ScoredWeights(JsonObject):
    """Which network was scored."""

    file: str
    sha256: str
    """Hex."""
    network: str
    """Name of its architecture."""


@dataclass(frozen=True)
class FittedPairs(JsonObject):
    """What the colour transform was fitted to."""

    pairs: int
    reason: str | None = field(default=None, metadata=WHERE_KNOWN)
    """Why there is no transform, a subordinate clause; None if there is one."""


@dataclass(frozen=True, kw_only=True)
class FolderMetrics(Sidecar):
    """Scores of two folders of images with equal names."""

    FILE: ClassVar[str] = Metrics.FILE

    phone: str
    """Folder."""
    dslr: str
    pairs: int
    weights: ScoredWeights | None
    """None: no network was scored."""
    colour_transform: FittedPairs
    image: FolderScores
    batch: FolderScores
    metrics: dict[str, MetricScores] = field(default_factory=dict)
    """By name, as in `evaluate.metrics`, of the images clipped to 0..1."""
    differences: dict[str, dict[str, Difference]] = field(default_factory=dict)
    """How much the network exceeds another version: by the version, then by the score, of protocol `image`."""
    scenes: int = 0
    """How many scenes the compared pairs are of."""
    network: NetworkSize | None = field(default=None, metadata=WHERE_KNOWN)


def read_metrics(path: Path) -> Metrics | FolderMetrics:
    """Read scores of test patches or of two folders, by what the file holds.

    Raises
    ------
    DpedtoolError
        The file is missing, damaged, or holds no scores.

    """
    data = read_json(path)
    of_folders = {spec.name for spec in fields(FolderMetrics) if spec.default is MISSING is spec.default_factory}
    kind = FolderMetrics if of_folders <= data.keys() else Metrics
    try:
        return kind.from_json(data)
    except ValueError:
        raise DpedtoolError(f"{path} holds no scores: name the metrics.json that `dpedtool evaluate` wrote.") from None
