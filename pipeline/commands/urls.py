"""URLs in tables: photos are read from them only where the user has named them, or has asked for all."""

from __future__ import annotations

from pathlib import Path

import click

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import Params
from dpedtool.dataset.places import is_below, is_url
from dpedtool.dataset.rows import Row, columns

urls_option = click.option(
    "--allow-urls",
    is_flag=True,
    help="Read photos from all URLs that the table names. Without it, only those below a URL in captures.root are "
    "read, since a table of somebody else could name any address.",
)


def check_urls(table: Path, row_type: type[Row], params: Params, *, allowed: bool) -> None:
    """Refuse a table that names URLs which the user has not named; a table that is missing is left to the stage.

    Parameters
    ----------
    table
        A table of photos that a command is about to read.
    row_type
        The type of its rows.
    params
        Their `captures.root` may be a URL, which the user has named with all that lies below.
    allowed
        Whether the user has asked for all URLs.

    Raises
    ------
    DpedtoolError
        It names other URLs, is damaged, or is another table.

    """
    if allowed or not table.is_file():
        return
    # Only now, since pandas and Arrow take a second to import.
    from dpedtool.dataset.tables import read_frame

    names = [spec.name for spec in columns(row_type) if spec.is_path]
    frame = read_frame(table, row_type, names)
    for name in names:
        for place in frame[name].dropna().unique():
            if is_url(place) and not is_below(place, params.captures.root):
                raise DpedtoolError(
                    f"{table} names the URL {place!s:.200}, which you have not named: add --allow-urls if you trust "
                    "the author of the table."
                )
