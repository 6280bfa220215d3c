"""verdict.json: what a check of a split found, beside the tables of the split."""

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
    """What `dvc repro` keeps of the verdict on a split, in its folder; a new split removes it."""

    faults: list[str]
    """Leaks and what else is amiss, a line each."""
    said: list[str]
    """What was looked at and found right, a line each; where it is no proof, why not."""
    is_proof: bool
    """Whether nothing leaks where there are no faults."""
    tables: dict[str, str] = field(default_factory=dict)
    """SHA-256, hex, of the tables that were looked at, by their names in the folder; the shards are not among them."""

    def seen_from(self, folder: Path) -> Verdict:
        """Return the verdict with lines that name files as seen from `folder`, the one that was checked."""
        # Names begin a word: what merely ends like the folder is another.
        prefix = re.compile(rf"(?<!\S){re.escape(str(folder))}/")
        return replace(
            self,
            said=[prefix.sub("", line) for line in self.said],
            faults=[prefix.sub("", line) for line in self.faults],
        )
