"""How a run was made: time and memory of each command, versions, and parameters."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpedtool.dataset.params import STRICT, Params, describe
from dpedtool.dataset.params_files import FILES, with_files
from dpedtool.dataset.places import as_place, is_url
from dpedtool.dataset.schema import Timing
from dpedtool.dataset.sidecars.command_record import CommandRecord
from dpedtool.pipeline.report.results import STAGES, PhoneResults, RunResults

SECTIONS = ("captures", *STAGES)
"""Sections of the parameters that affect the report. dvc.yaml has the same, so that changes make a new report."""
STEPS = tuple(field.name for field in dataclasses.fields(Timing) if field.name.endswith("_s"))


@dataclass(frozen=True)
class Record:
    """What `dpedtool --record` wrote about one command."""

    stage: str
    phone: str
    """Empty if the command runs for all phones at once."""
    command: str
    wall_s: float | None
    cpu_s: float | None
    memory_mb: float | None
    """Largest memory in use."""
    processors: int | None
    finished: str
    platform: str


@dataclass(frozen=True)
class SoftwareVersion:
    """One version of a program or package, and the commands that ran with it."""

    name: str
    version: str
    used_by: list[str]


@dataclass(frozen=True)
class PairTimes:
    """Processor seconds of aligning, for all pairs together."""

    pairs: int
    cpu_s: dict[str, float]
    """Seconds by step: the columns of the table of timings, without their unit."""


@dataclass(frozen=True)
class Difference:
    """A parameter whose value in the params file has changed since a stage ran."""

    section: str
    key: str
    phone: str
    recorded: Any
    now: Any


@dataclass(frozen=True)
class Process:
    """How the run was made."""

    records: list[Record]
    wall_s: float | None
    """Sum of all recorded times; None if nothing was recorded."""
    cpu_s: float | None
    align_times: dict[str, PairTimes | None]
    versions: list[SoftwareVersion]
    is_of_one_version: bool
    """Whether all commands ran with the same versions."""
    params: dict[str, dict[str, Any]]
    """Current values of the params file, by section of `SECTIONS`. Files are relative to its folder, or only a name."""
    changed: list[str]
    """Parameters that differ from their default, as section.name."""
    differences: list[Difference]
    """Parameters of the stages patches and train that have changed since they ran. Other stages do not record them."""


def process(run: RunResults) -> Process:
    """Return how a run was made.

    Raises
    ------
    DpedtoolError
        A file is damaged, or from another version.

    """
    records = [_record(name, record) for name, record in sorted(run.records.items(), key=_in_order)]
    versions = _versions(run)
    return Process(
        records=records,
        wall_s=_sum([record.wall_s for record in records]),
        cpu_s=_sum([record.cpu_s for record in records]),
        align_times={phone.name: _times(phone) for phone in run.phones},
        versions=versions,
        is_of_one_version=len({version.name for version in versions}) == len(versions),
        params=_published(run),
        changed=_changed(run),
        differences=[
            *(each for phone in run.phones for each in _of_patches(phone, run.params)),
            *(each for phone in run.phones for each in _of_training(phone, run.params)),
        ],
    )


_ORDER = ("simulate", "pair", "align", "patches", "split", "verify", "train", "evaluate", "report", "release")


def _in_order(item: tuple[str, Any]) -> tuple[int, str]:
    stage = item[0].partition(".")[0]
    return (_ORDER.index(stage) if stage in _ORDER else len(_ORDER), item[0])


def _record(name: str, record: CommandRecord) -> Record:
    stage, _, phone = name.partition(".")
    return Record(
        stage=stage,
        phone=phone,
        command=record.command,
        wall_s=record.wall_s,
        cpu_s=record.cpu_s,
        memory_mb=record.memory_mb,
        processors=record.processors,
        finished=record.finished,
        platform=record.platform,
    )


def _versions(run: RunResults) -> list[SoftwareVersion]:
    found: dict[tuple[str, str], list[str]] = {}
    for name, record in sorted(run.records.items(), key=_in_order):
        for package, version in record.versions.items():
            found.setdefault((package, version), []).append(name)
    return [SoftwareVersion(*key, used_by) for key, used_by in sorted(found.items())]


def _times(phone: PhoneResults) -> PairTimes | None:
    rows = phone.timings
    if rows is None:
        return None
    sums = {step.removesuffix("_s"): float(sum(getattr(row, step) for row in rows)) for step in STEPS}
    return PairTimes(len(rows), sums)


def _sections(params: Params) -> dict[str, dict[str, Any]]:
    return {name: describe(getattr(params, name)) for name in SECTIONS}


def _published(run: RunResults) -> dict[str, dict[str, Any]]:
    """Return the parameters of `SECTIONS`, without the folders of this machine."""
    sections = _sections(run.params)
    for section, key in FILES:
        if section in sections:
            files = sections[section][key]
            sections[section][key] = with_files(files, lambda file: _file_name(file, run.params_folder))
    return sections


def _file_name(file: str, folder: Path | None) -> str:
    path = Path(os.path.normpath(file))
    if is_url(file) or (folder is None and not path.is_absolute()):
        return file
    within = Path(os.path.relpath(path, folder or "."))
    return path.name if ".." in within.parts else str(within)


def _changed(run: RunResults) -> list[str]:
    usual, own = _sections(Params()), _sections(run.params)
    return [
        f"{section}.{key}"
        for section in own
        for key, value in own[section].items()
        if value != usual[section][key] and not _is_usual_file(section, key, value, run.params_folder)
    ]


def _is_usual_file(section: str, key: str, value: Any, folder: Path | None) -> bool:
    """Return whether a file is the default one, made relative to the params file."""
    usual = getattr(getattr(Params(), section), key)
    return (section, key) in FILES and bool(usual and folder) and value == str(as_place(usual, folder))


def _of_patches(phone: PhoneResults, params: Params) -> Iterator[Difference]:
    if phone.selection is not None:
        # The stage records the limits of the mode in place of null.
        now = describe(params.patches) | {name: params.patches.limit(name) for name in STRICT}
        yield from _differing("patches", phone.name, phone.selection.params, now)


def _of_training(phone: PhoneResults, params: Params) -> Iterator[Difference]:
    if phone.card and phone.card.training:
        yield from _differing("train", phone.name, phone.card.training.params, describe(params.train))


def _differing(section: str, phone: str, recorded: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    for key, value in now.items():
        # A file name says where the file was, not what it contained.
        if key in recorded and recorded[key] != value and (section, key) not in FILES:
            yield Difference(section, key, phone, recorded[key], value)


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
