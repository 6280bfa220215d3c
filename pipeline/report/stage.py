"""Stage report: the page about a whole run, its figures for machines, and the pictures of the pairs next to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import write_json, write_text
from dpedtool.dataset.params import Params
from dpedtool.dataset.places import printable
from dpedtool.dataset.schema import Shown
from dpedtool.pipeline.report.before_after import network_examples
from dpedtool.pipeline.report.overview.charted import overview_content, run_content
from dpedtool.pipeline.report.overview.figures import figures
from dpedtool.pipeline.report.page import FILES, PAGE, render
from dpedtool.pipeline.report.pairs.details import remove_pairs, show_pairs
from dpedtool.pipeline.report.pairs.inline_pairs import embedded
from dpedtool.pipeline.report.pairs.rows import pair_rows, reason_words
from dpedtool.pipeline.report.patch_strips import patch_samples
from dpedtool.pipeline.report.places import RECORDS
from dpedtool.pipeline.report.results import RunResults

FIGURES = "report.json"
MOST_NAMED = 6


@dataclass(frozen=True)
class Report:
    """What was written."""

    page: Path
    reasons: list[str]
    """For each pair why it could not be shown properly, or an empty text; an empty list without pictures."""
    lack: str = ""
    """That there are no results at all, as a sentence; empty if there are some."""


def write_report(
    results: Path,
    out: Path,
    params: Params,
    *,
    pictures: bool = True,
    single_file: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    max_memory: int | None = None,
    params_folder: Path | None = None,
) -> Report:
    """Write `out/report.html`, `out/report.json` and, next to them, the pictures that the page loads.

    Parameters
    ----------
    results
        Folder with the results of the stages, named as in dvc.yaml: pairs/, aligned/, patches/, splits/, models/,
        evaluations/, records/. The page says which of them are missing. If there are none of these, the tables are
        searched for.
    out
        Folder of the report. Pictures of an earlier report that are still valid are kept.
    params
        Parameters of the run, which the page shows.
    pictures
        Whether the page shows pictures of the pairs. Without them, pictures of an earlier report are kept.
    single_file
        Whether all pictures are put into the page instead of the folder next to it.
    workers, scheduler
        As for `dpedtool.pipeline.runner.run`.
    max_memory
        Most memory that all processes here may take, in bytes: fewer of them may work then. None: there is no limit.
    params_folder
        Folder of the params file; paths in it are relative to this. None if there is no params file.

    Raises
    ------
    DpedtoolError
        The folder `results` does not exist, a file is damaged, or the pictures are too large for one page.

    """
    if not results.is_dir():
        raise DpedtoolError(f"There is no folder {results}: name the one that holds pairs/, aligned/ and the others.")
    run = RunResults(results, params, params_folder)
    told = figures(run)
    folder = out / FILES / "pairs"
    shown: Mapping[str, Shown] = {}
    if pictures:
        shown = show_pairs(run, folder, workers=workers, scheduler=scheduler, max_memory=max_memory)
    rows = [asdict(row) for row in pair_rows(run, shown)]
    context = {
        "title": _title(params, run),
        "overview": overview_content(told),
        "run": run_content(told, params),
        "pairs": {
            "rows": rows,
            "empty": _without_pairs(run),
            "reasons": reason_words(),
            "has_pictures": pictures,
            "embedded": embedded(folder, shown) if single_file else None,
        },
        "patches": patch_samples(run),
        "network": network_examples(run),
    }
    text = render(context)
    write_json(out / FIGURES, {**told, "pairs": rows})
    write_text(out / PAGE, text)
    if single_file:
        remove_pairs(folder)
    return Report(out / PAGE, [row.reason for row in shown.values()], _lack(run))


def _lack(run: RunResults) -> str:
    if any(phone.has_results for phone in run.phones) or (run.results / RECORDS).is_dir() or run.splits.is_dir():
        return ""
    there = sorted(printable(Path(path.name)) for path in run.results.iterdir())
    more = f" and {len(there) - MOST_NAMED} more" if len(there) > MOST_NAMED else ""
    found = f" (it holds {', '.join(there[:MOST_NAMED])}{more})" if there else ""
    return (
        f"{run.results} holds no results of any stage{found}: name the folder that `dpedtool run` writes, or one that "
        "holds what `pair`, `align` and `patches` wrote."
    )


def _without_pairs(run: RunResults) -> str:
    """Return why the list of pairs may be empty."""
    if any(phone.imported for phone in run.phones):
        return "There are no pairs: imported patches have no photos."
    return "There are no pairs: no photo of this run was found, or the stage pair has not run."


def _title(params: Params, run: RunResults) -> str:
    phones = ", ".join(phone.name for phone in run.phones)
    return f"{phones} and {params.captures.reference}" if phones else "No phone"
