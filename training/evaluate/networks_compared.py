"""Several networks side by side, from what `evaluate` wrote about each: always over the same pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.markdown import Table, table, text
from dpedtool.dataset.schema import Score
from dpedtool.dataset.sidecars.metrics import Difference, FolderMetrics, Metrics, NetworkCost, read_metrics
from dpedtool.dataset.sidecars.score_rows import (
    VERSIONS,
    ScoreRow,
    aligned,
    said_pairs,
    score_rows,
    shown_difference,
    versions_in,
)
from dpedtool.dataset.tables import read_frame
from dpedtool.training.evaluate.comparison import SCORES
from dpedtool.training.evaluate.differences import difference
from dpedtool.training.evaluate.named_metrics import METRICS
from dpedtool.training.metrics import MOST_PSNR_DB

_SAME_DB = 1e-6
"""The phone's PSNR may differ by this between two evaluations of the same pairs."""


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What `evaluate` wrote about one network."""

    name: str
    scores: Metrics | FolderMetrics
    pairs: pd.DataFrame
    """One row a pair in the order of the evaluation: `name`, `scene`, `constant`, the phone's PSNR before and after the
    colour match, `phone_psnr_db` and `phone_matched_db`, and the scores of the network by the names of `ScoreRow`."""
    cost: NetworkCost | None

    @classmethod
    def read(cls, folder: Path) -> Evaluated:
        """Read a folder that `evaluate` wrote.

        Raises
        ------
        DpedtoolError
            A file is missing or damaged, no network was scored, or an earlier version wrote the folder.

        """
        scores = read_metrics(Metrics.file_in(folder))
        cost = NetworkCost.file_in(folder)
        return cls(
            folder.resolve().name,
            scores,
            _of_folders(folder / SCORES) if isinstance(scores, FolderMetrics) else _of_patches(Score.table_in(folder)),
            NetworkCost.read(cost) if cost.is_file() else None,
        )

    @cached_property
    def rows(self) -> dict[str, ScoreRow]:
        """The rows of the scores by name."""
        return {row.name: row for row in score_rows(self.scores)}


@dataclass(frozen=True, eq=False)
class NetworksCompared:
    """Several networks on the same pairs."""

    networks: Sequence[Evaluated]

    @classmethod
    def read(cls, folders: Sequence[Path]) -> NetworksCompared:
        """Read folders that `evaluate` wrote, and make sure that they are about the same pairs.

        Raises
        ------
        DpedtoolError
            As in `Evaluated.read`, or the pairs differ, or a folder is named twice.

        """
        names = _names(folders)
        networks = [replace(Evaluated.read(folder), name=name) for folder, name in zip(folders, names, strict=True)]
        for other in networks[1:]:
            _check_same(networks[0], other)
        return cls(networks)

    def differences(self) -> dict[str, dict[str, Difference]]:
        """Return how much one network exceeds another, by "one - other", then by the name of the score."""
        found: dict[str, dict[str, Difference]] = {}
        for theirs, ours in combinations(self.networks, 2):
            kept = ours.pairs[ours.pairs["constant"] == 0].index
            mine, other = ours.pairs.loc[kept], theirs.pairs.loc[kept]
            for name in ours.rows:
                if name in mine and name in other:
                    metric = METRICS.get(name)
                    one, two = (frame[name].to_numpy(np.float64) for frame in (mine, other))
                    scenes = mine["scene"].tolist()
                    is_median = metric is not None and metric.is_median
                    if of := difference(one, two, scenes, is_median=is_median):
                        found.setdefault(f"{ours.name} - {theirs.name}", {})[name] = of
        return found

    def score_table(self) -> Table:
        """Return the scores of phone, colour transforms and networks, with what a network costs, as cells of text."""
        names = [name for name in self.networks[0].rows if all(name in network.rows for network in self.networks)]
        versions = self._versions_of_all(names)
        rows = [("", *(VERSIONS[version] for version in versions), *(network.name for network in self.networks))]
        for name in names:
            row = self.networks[0].rows[name]
            shown = (network.rows[name].shown("after") for network in self.networks)
            rows.append((row.head, *map(row.shown, versions), *shown))
        return [*rows, *self._costs(len(versions))]

    def _versions_of_all(self, names: Sequence[str]) -> list[str]:
        """Return the phone and the colour transforms that all evaluations have, fitted to the same pairs."""

        def shown(network: Evaluated, version: str) -> list[str]:
            return [network.rows[name].shown(version) for name in names]

        first = self.networks[0]
        return [
            version
            for version in versions_in(first.scores)
            if version != "after" and all(shown(network, version) == shown(first, version) for network in self.networks)
        ]

    def difference_table(self) -> Table:
        """Return the differences of every two networks, with their intervals; empty for a single network."""
        found = self.differences()
        if not found:
            return []
        rows = [("", *found)]
        for name, row in self.networks[0].rows.items():
            if any(name in of for of in found.values()):
                shown = (shown_difference(of[name], row.decimals) if name in of else "none" for of in found.values())
                rows.append((row.head, *shown))
        return rows

    def as_text(self) -> str:
        """Return both tables with aligned columns."""
        lines = [said_pairs(self.networks[0].scores), *aligned(self.score_table())]
        if rows := self.difference_table():
            lines += ["", self._said_intervals(), *aligned(rows)]
        return "\n".join(lines)

    def as_markdown(self) -> str:
        """Return both tables as Markdown."""
        tables = [said_pairs(self.networks[0].scores), _markdown(self.score_table())]
        if rows := self.difference_table():
            tables += [self._said_intervals(), _markdown(rows)]
        return "\n\n".join(tables) + "\n"

    def _said_intervals(self) -> str:
        pairs = self.networks[0].pairs
        scenes = pairs.loc[pairs["constant"] == 0, "scene"].nunique()
        return (
            f"Differences, with their intervals of 95 % over {scenes} resampled scenes (a pair counts as a scene where "
            "its scene is not known):"
        )

    def _costs(self, others: int) -> Iterator[tuple[str, ...]]:
        """Yield what the networks cost, below as many other columns."""
        none = ("",) * others
        sizes, costs = [of.scores.network for of in self.networks], [of.cost for of in self.networks]
        if all(sizes):
            yield "Parameters", *none, *(f"{size.parameters}" for size in sizes if size)
            yield "Multiply-adds a px", *none, *(f"{size.multiply_adds_per_px:.0f}" for size in sizes if size)
        if any(costs):
            yield "ms a megapixel, here", *none, *(f"{cost.ms_per_megapixel:.0f}" if cost else "none" for cost in costs)
            yield "memory of the process, GB", *none, *(f"{cost.memory_gb:.2f}" if cost else "none" for cost in costs)


def _names(folders: Sequence[Path]) -> list[str]:
    """Return names of the folders that differ: their own, or as much of the path before them as it takes.

    The folders of the whole photos of two networks, for example, are both called whole.
    """
    places = [folder.resolve() for folder in folders]
    for index, place in enumerate(places):
        if place in places[:index]:
            raise DpedtoolError(f"{folders[index]} is named twice: name each folder once.")
    for parts in range(1, max(len(place.parts) for place in places)):
        names = ["/".join(place.parts[-parts:]) for place in places]
        if len(set(names)) == len(names):
            return names
    return [str(place) for place in places]


def _of_folders(path: Path) -> pd.DataFrame:
    """Read the scores.csv of two folders, in which each pair counts as a scene where it names none."""
    try:
        found = pd.read_csv(path, dtype={"name": str, "scene_id": str})
    except FileNotFoundError:
        raise DpedtoolError(f"There is no {path}: run `dpedtool evaluate` with this folder as --out again.") from None
    except ValueError as error:
        raise DpedtoolError(f"{path} is not a readable CSV file ({error}): run `dpedtool evaluate` again.") from None
    _check_columns(
        path, found, {"name", "constant_target", "psnr_before_db", "psnr_before_matched_db", "psnr_after_db"}
    )
    made = {"name": found["name"], "scene": found.get("scene_id", found["name"]), "constant": found["constant_target"]}
    made |= {"phone_psnr_db": found["psnr_before_db"], "phone_matched_db": found["psnr_before_matched_db"]}
    for column in found:
        for ending, unit in (
            ("_after_db", "_db"),
            ("_after_matched_db", "_matched_db"),
            ("_after_matched", "_matched"),
        ):
            if str(column).endswith(ending):
                made[str(column).removesuffix(ending) + unit] = found[column]
        if str(column).endswith("_after"):
            made[str(column).removesuffix("_after")] = found[column]
    return _limited(pd.DataFrame(made))


def _of_patches(path: Path) -> pd.DataFrame:
    found = read_frame(path, Score)
    made = {"name": found["patch_id"], "scene": found["scene_id"], "constant": found["constant_target"]}
    made |= {"phone_psnr_db": found["psnr_before"], "phone_matched_db": found["psnr_matched_before"]}
    for kind in ("", "_matched"):
        made[f"psnr{kind}_db"] = found[f"psnr{kind}_after"]
        made |= {f"{score}{kind}": found[f"{score}{kind}_after"] for score in ("ms_ssim", "ssim")}
    names = found["metrics"].iloc[0] if len(found) else []
    made |= {name: found["metrics_after"].str[place] for place, name in enumerate(names)}
    return _limited(pd.DataFrame(made))


def _limited(pairs: pd.DataFrame) -> pd.DataFrame:
    for name in ("psnr_db", "psnr_matched_db"):
        if name in pairs:
            pairs[name] = pairs[name].clip(upper=MOST_PSNR_DB)
    return pairs


def _check_columns(path: Path, found: pd.DataFrame, needed: set[str]) -> None:
    if lacking := sorted(needed - set(found)):
        raise DpedtoolError(
            f"{path} has no column {lacking[0]}: evaluate a network with this version of dpedtool, and compare then."
        )


def _check_same(one: Evaluated, other: Evaluated) -> None:
    """Refuse two evaluations of different pairs, whose means say nothing about the networks."""
    names, others = one.pairs["name"].tolist(), other.pairs["name"].tolist()
    if names != others:
        lacking = next(iter([name for name in names if name not in set(others)]), None)
        more = next(iter([name for name in others if name not in set(names)]), None)
        said = (
            f"{lacking} is only in {one.name}"
            if lacking
            else f"{more} is only in {other.name}"
            if more
            else "their order differs, on which the scores of batches depend"
        )
        raise DpedtoolError(
            f"{one.name} and {other.name} do not score the same pairs ({said}): evaluate both networks on the same "
            "pairs, and compare then."
        )
    for score in ("phone_psnr_db", "phone_matched_db"):
        ours, theirs = (of.pairs[score].clip(upper=MOST_PSNR_DB) for of in (one, other))
        for name, differ in zip(names, (ours - theirs).abs() > _SAME_DB, strict=True):
            if differ:
                raise DpedtoolError(
                    f"{one.name} and {other.name} do not score the same images: those of {name} differ. Evaluate both "
                    "networks on the same images, and compare then."
                )


def _markdown(rows: Table) -> str:
    return table([tuple(text(cell) for cell in row) for row in rows])
