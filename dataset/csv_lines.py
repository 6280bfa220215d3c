"""Lines of CSV files that users write by hand, with errors in words."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError


def csv_lines(path: Path, named_by: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line that is not blank; cells have no spaces around them.

    Parameters
    ----------
    path
        A file in UTF-8, with or without a byte order mark.
    named_by
        The parameter or option that names the file, for errors.

    Raises
    ------
    DpedtoolError
        The file is missing, is not in UTF-8, or is not valid CSV.

    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if any(cells := [cell.strip() for cell in row]):
                    yield reader.line_num, cells
    except OSError as error:
        raise DpedtoolError(f"{path} cannot be read ({error.strerror}): {named_by} must name a file.") from None
    except UnicodeDecodeError:
        raise DpedtoolError(f"{path} is not in UTF-8: save it again in this encoding.") from None
    except csv.Error as error:
        raise DpedtoolError(f"Line {reader.line_num} of {path} is not valid CSV ({error}): correct it.") from None
