"""The pairs for training and validation: from a table of samples, or from two folders of images with equal names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dpedtool.dataset.io import digest
from dpedtool.dataset.names import choose_held_out
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.data import FolderPairs, Pairs, PatchPairs, read_names


@dataclass(frozen=True)
class Source:
    """The pairs that the network learns from, and the pairs that its weights are ranked by; either may be empty."""

    training: Pairs
    validation: Pairs
    held_out: tuple[str, ...] = ()
    """Names of the validation pairs if they were chosen here; empty if a table lists them."""

    def digest(self) -> str:
        """Return a SHA-256, hex, that changes when any of the pairs, their order or their split changes."""
        return digest([self.training.digest(), self.validation.digest()])


def from_table(table: Path) -> Source:
    """Take the patches of a table of samples, with the table's split.

    Raises
    ------
    DpedtoolError
        The table is missing or is not a table of samples.

    """
    return Source(PatchPairs(table, "train"), PatchPairs(table, "validation"))


def from_folders(phone: Path, dslr: Path, names_file: Path | None, params: TrainParams) -> Source:
    """Take two folders of images with equal names, and hold out some pairs for validation.

    Parameters
    ----------
    phone, dslr
        The folders.
    names_file
        A text file of the wanted names, one per line, with suffix or without; None: all names that both folders have.
    params
        `held_out` and `seed` decide which pairs are for validation.

    Raises
    ------
    DpedtoolError
        A folder or the file is missing or empty, or a name is not in both folders or is listed twice.

    """
    names = FolderPairs(phone, dslr, read_names(names_file) if names_file else None).names()
    held_out = choose_held_out(names, params.held_out, params.seed)
    validation = [name for name in names if name in held_out]
    return Source(
        FolderPairs(phone, dslr, [name for name in names if name not in held_out]),
        FolderPairs(phone, dslr, validation),
        tuple(validation),
    )
