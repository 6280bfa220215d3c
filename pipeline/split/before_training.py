"""Looks for what `dpedtool split --verify` refuses, before a network is trained on a table."""

from __future__ import annotations

from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.schema import Photo, Sample
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.dataset.tables import read_frame
from dpedtool.pipeline.split.samples_alone import images_on_two_sides
from dpedtool.pipeline.split.verification import check_near_duplicates, check_table, is_current, present_photos


def check_before_training(table: Path, *, also_images: bool = True) -> list[str]:
    """Return what is wrong with a table of samples, so that no network is trained on it.

    Parameters
    ----------
    table
        As `check_table` takes it.
    also_images
        Whether views are compared, or without a table of photos the files of the patches. Both take minutes in a
        large data set, and nothing if `verdict.json` beside the table says that it was done with the same tables.

    Returns and errors are those of `check_table`.

    """
    if (faults := check_table(table)) or not also_images:
        return faults
    folder = table.parent
    if verdict := _current_verdict(table):
        return verdict.faults
    if Photo.table_in(folder).is_file():
        return check_near_duplicates(present_photos(folder))[0]
    return images_on_two_sides(read_frame(table, Sample))


def _current_verdict(table: Path) -> Verdict | None:
    """Return the verdict beside a table if it is about this table and all others there as they are now."""
    file = Verdict.file_in(table.parent)
    if not file.is_file():
        return None
    try:
        verdict = Verdict.read(file)
    except DpedtoolError:
        return None  # what cannot be read says nothing about the tables, so they are checked
    return verdict if table.name in verdict.tables and is_current(table.parent, verdict) else None
