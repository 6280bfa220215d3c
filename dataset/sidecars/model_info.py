"""model.json: which network the weights next to it belong to, and how they were made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, TypedDict

from dpedtool.dataset.sidecars.json_objects import WHERE_KNOWN, JsonObject, Sidecar


@dataclass(frozen=True, kw_only=True)
class BestValidation(JsonObject):
    """The validation whose weights were kept; scores are None without validation patches."""

    iteration: int
    psnr_db: float | None
    ms_ssim: float | None


@dataclass(frozen=True, kw_only=True)
class TrainingInfo(JsonObject):
    """How `dpedtool train` made the weights."""

    key: str
    """Digest of everything that they depend on."""
    params: dict[str, Any]
    """The section train of the parameters, by name."""
    patches: int
    """Training patches."""
    validation_patches: int
    data_sha256: str
    """Of the patches, hex."""
    start_sha256: str | None
    """Of the first weights; None: they were drawn at random."""
    vgg_sha256: str | None
    """Of VGG-19; None: not used."""
    best_validation: BestValidation
    precision: str
    """Number format of the computation, such as "float32"."""
    torch: str
    """Version of PyTorch."""
    continued_from: list[int] | None = field(default=None, metadata=WHERE_KNOWN)
    """The iterations that earlier trainings ended with, from which this one went on; None: it was a single training."""
    teacher_sha256: str | None = field(default=None, metadata=WHERE_KNOWN)
    """Of the weights of the teacher; None: there was none."""
    unpaired_sha256: str | None = field(default=None, metadata=WHERE_KNOWN)
    """Of the photos without mates; None: there were none."""


@dataclass(frozen=True)
class SourceFile(JsonObject):
    """A file that weights were read from."""

    name: str
    sha256: str
    """Hex."""


@dataclass(frozen=True, kw_only=True)
class ImportedWeights(JsonObject):
    """What `dpedtool import-weights` made the weights from."""

    format: str
    files: list[SourceFile]
    tensors: list[str]
    """Names of those in the files."""


class Origin(TypedDict, total=False):
    """What is known about weights: fields of `ModelInfo`; empty for weights that somebody else trained."""

    trained: bool
    reason: str
    training: TrainingInfo
    imported: ImportedWeights


@dataclass(frozen=True, kw_only=True)
class ModelInfo(Sidecar):
    """A network, and what is known about its weights."""

    FILE: ClassVar[str] = "model.json"

    name: str
    """Of its architecture."""
    parameters: int
    """Number of its parameters."""
    input: str
    """Colour space, range and shape of the images that it takes."""
    network: dict[str, Any]
    """The fields of `dpedtool.training.networks.generators.Architecture`."""
    trained: bool | None = field(default=None, metadata=WHERE_KNOWN)
    """None: not known."""
    reason: str | None = field(default=None, metadata=WHERE_KNOWN)
    """Why it was never trained, a subordinate clause."""
    training: TrainingInfo | None = field(default=None, metadata=WHERE_KNOWN)
    imported: ImportedWeights | None = field(default=None, metadata=WHERE_KNOWN)

    @property
    def is_trained(self) -> bool:
        """Whether the weights were ever trained, as far as is known."""
        return self.trained is not False
