"""All figures of the overview: the format of report.json, and all that the page says of a run as a whole.

Nothing is computed here that a stage has written: scores are those of metrics.json, curves those of history.csv,
windows those of selection.json, clocks those of synchronisation.json, to the last digit.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from dpedtool.pipeline.report.overview.distributions import Distributions, distributions
from dpedtool.pipeline.report.overview.kept_windows import Windows, windows
from dpedtool.pipeline.report.overview.photos_and_pairs import Session, session
from dpedtool.pipeline.report.overview.process import Process, process
from dpedtool.pipeline.report.overview.sentences import Found, Sentence, sentences
from dpedtool.pipeline.report.overview.sides import Sides, sides
from dpedtool.pipeline.report.overview.training import Network, network
from dpedtool.pipeline.report.results import RunResults

FORMAT = "dpedtool report 1"


@dataclass(frozen=True)
class Figures:
    """Everything; names end in their unit where there is one, shares are 0..1, and null stands for not measured."""

    format: str
    said: list[Sentence]
    """Whether the data set is good, and where it is not: what is amiss first."""
    is_simulated: bool
    """Whether the photos were rendered."""
    phones: list[str]
    missing: dict[str, list[str]]
    """Stages of which nothing is there, by phone."""
    imported: list[str]
    """Phones whose patches were imported: no pairs, photos or scenes of them are known."""
    session: Session
    windows: Windows
    distributions: Distributions
    sides: Sides | None
    """The split; None where it has not run."""
    network: Network
    process: Process


def figures(run: RunResults) -> dict[str, Any]:
    """Return the figures of a run as plain data, ready for JSON: `Figures` and what is in it, by name.

    Raises
    ------
    DpedtoolError
        A file that a stage has left is damaged, or of another version.

    """
    parts: dict[str, Any] = {
        "session": session(run),
        "windows": windows(run),
        "distributions": distributions(run),
        "sides": sides(run),
        "network": network(run),
        "process": process(run),
    }
    found = Figures(
        format=FORMAT,
        said=sentences(Found(run, **parts)),
        is_simulated=run.is_simulated,
        phones=[phone.name for phone in run.phones],
        missing={phone.name: list(phone.missing) for phone in run.phones},
        imported=[phone.name for phone in run.phones if phone.imported],
        **parts,
    )
    # Through JSON, so that the page is filled with just what report.json holds.
    plain = json.loads(json.dumps(dataclasses.asdict(found), allow_nan=False))
    published: dict[str, Any] = run.paths.shorten_all(plain)
    # Their files are named without folders already; other values may have a slash.
    published["process"]["params"] = plain["process"]["params"]
    return published
