"""All figures of the overview: the format of report.json, and everything the page says about a run as a whole.

Values that a stage has written are not computed again: scores are those of metrics.json, curves those of history.csv,
windows those of selection.json, and clocks those of synchronisation.json, to the last digit.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from dpedtool.pipeline.report.overview.distributions import Distributions, distributions
from dpedtool.pipeline.report.overview.kept_windows import Windows, windows
from dpedtool.pipeline.report.overview.parts import Parts, parts
from dpedtool.pipeline.report.overview.photos_and_pairs import Session, session
from dpedtool.pipeline.report.overview.process import Process, process
from dpedtool.pipeline.report.overview.sentences import Found, Sentence, sentences
from dpedtool.pipeline.report.overview.session_colours import SessionColours, session_colours
from dpedtool.pipeline.report.overview.sides import Sides, sides
from dpedtool.pipeline.report.overview.training import Network, network
from dpedtool.pipeline.report.results import RunResults

FORMAT = "dpedtool report 1"


@dataclass(frozen=True)
class Figures:
    """All figures. Names end in the unit if there is one, shares are 0..1, and null means not measured."""

    format: str
    said: list[Sentence]
    """Sentences on whether the data set is good, with problems first."""
    is_simulated: bool
    """Whether the photos were rendered."""
    phones: list[str]
    missing: dict[str, list[str]]
    """Stages without results, by phone."""
    imported: list[str]
    """Phones whose patches were imported. Their pairs, photos and scenes are not known."""
    session: Session
    windows: Windows
    parts: Parts
    distributions: Distributions
    colours: dict[str, SessionColours]
    """By phone, or where there are several sessions by phone and session; only where colours were measured."""
    sides: Sides | None
    """The split; None if it has not run."""
    network: Network
    process: Process


def figures(run: RunResults) -> dict[str, Any]:
    """Return the figures of a run as plain data, ready for JSON: the fields of `Figures` by name.

    Raises
    ------
    DpedtoolError
        A result of a stage is damaged, or from another version.

    """
    of_stages: dict[str, Any] = {
        "session": session(run),
        "windows": windows(run),
        "distributions": distributions(run),
        "colours": session_colours(run),
        "sides": sides(run),
        "network": network(run),
        "process": process(run),
    }
    found = Figures(
        format=FORMAT,
        said=sentences(Found(run, **of_stages)),
        is_simulated=run.is_simulated,
        phones=[phone.name for phone in run.phones],
        missing={phone.name: list(phone.missing) for phone in run.phones},
        imported=[phone.name for phone in run.phones if phone.imported],
        parts=parts(run),
        **of_stages,
    )
    # Converting to JSON and back makes the page show exactly what report.json holds.
    plain = json.loads(json.dumps(dataclasses.asdict(found), allow_nan=False))
    published: dict[str, Any] = run.paths.shorten_all(plain)
    # File names in the parameters have been shortened already; other values may contain a slash.
    published["process"]["params"] = plain["process"]["params"]
    return published
