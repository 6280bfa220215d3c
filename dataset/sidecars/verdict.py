"""verdict.json: what a check of a split found, next to the tables of the split."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from dpedtool.dataset.sidecars.json_objects import Sidecar


@dataclass(frozen=True)
class Verdict(Sidecar):
    """What a check of a split found."""

    FILE: ClassVar[str] = "verdict.json"
    """The verdict on a split that `dvc repro` keeps in its folder; a new split removes it."""

    faults: list[str]
    """Leaks and other faults, one line each."""
    said: list[str]
    """What was checked and found right, one line each; if it is not a proof, why not."""
    is_proof: bool
    """Whether the absence of faults proves that nothing leaks."""
    tables: dict[str, str] = field(default_factory=dict)
    """SHA-256, hex, of the tables that were checked, by their names in the folder; the shards are not included."""

    def seen_from(self, folder: Path) -> Verdict:
        """Return the verdict with the names of files relative to `folder`, the one that was checked."""
        # A name begins a word: a longer path that merely ends like the folder is another one.
        prefix = re.compile(rf"(?<!\S){re.escape(str(folder))}/")
        return replace(
            self,
            said=[prefix.sub("", line) for line in self.said],
            faults=[prefix.sub("", line) for line in self.faults],
        )
