"""Stage report: the page on a whole run, its figures for machines, and the pictures of the pairs beside it."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from dataset.errors import DpedtoolError
from dataset.io import write_json, write_text
from dataset.params import Params
from pipeline.report.network import network_examples
from pipeline.report.overview.content import overview_content, run_content
from pipeline.report.overview.figures import figures
from pipeline.report.page import FILES, PAGE, render
from pipeline.report.pairs.details import show_pairs
from pipeline.report.pairs.embedding import embedded
from pipeline.report.pairs.rows import pair_rows, reason_words
from pipeline.report.patches import patch_samples
from pipeline.report.run import Run

FIGURES = "report.json"


@dataclass(frozen=True)
class Report:
    """What was written."""

    page: Path
    reasons: list[str]
    """Why pairs could not be shown as they should, empty for the others; none where no pictures were asked for."""


def write_report(
    results: Path,
    out: Path,
    params: Params,
    *,
    pictures: bool = True,
    single_file: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
) -> Report:
    """Write `out/report.html`, `out/report.json` and, beside them, the pictures that the page loads.

    Parameters
    ----------
    results
        Folder that holds what the stages wrote, as dvc.yaml names it: pairs/, aligned/, patches/, splits/, models/,
        evaluations/, records/. What is not there is said to be so on the page.
    out
        Folder of the report. Pictures of an earlier report that are still right are kept.
    params
        Parameters of the run, of which the page tells.
    pictures
        Whether pairs can be looked at; without, the page has the figures alone.
    single_file
        Whether all is put into the page, in place of the folder beside it.
    workers, scheduler
        As `pipeline.runner.run` takes them.

    Raises
    ------
    DpedtoolError
        There is nothing at `results`; a file is damaged; or the pictures are too large for one page.

    """
    if not results.is_dir():
        raise DpedtoolError(f"There is no folder {results}: name the one that holds pairs/, aligned/ and the others.")
    run = Run(results, params)
    told = figures(run)
    folder = out / FILES / "pairs"
    shown = show_pairs(run, folder, workers=workers, scheduler=scheduler) if pictures else {}
    rows = [asdict(row) for row in pair_rows(run, shown)]
    context = {
        "title": _title(params, run),
        "overview": overview_content(told),
        "run": run_content(told, params),
        "pairs": {
            "rows": rows,
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
    if single_file or not pictures:
        # The page that needed them is gone.
        shutil.rmtree(out / FILES, ignore_errors=True)
    return Report(out / PAGE, [row.reason for row in shown.values()])


def _title(params: Params, run: Run) -> str:
    phones = ", ".join(phone.name for phone in run.phones)
    return f"{phones} beside {params.captures.reference}" if phones else "No phone"
