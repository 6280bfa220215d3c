"""Lines of CSV files that users write by hand, with errors in words."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.regular_files import read_regular


def csv_lines(path: Path, named_by: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line that is not blank; cells have no spaces around them.

    Parameters
    ----------
    path
        A file in UTF-8 or UTF-16, with or without a byte order mark, as an editor or a spreadsheet saves it: its cells
        are separated by commas, semicolons or tabs, whatever the first line has most of.
    named_by
        The parameter or option that names the file, for errors.

    Raises
    ------
    DpedtoolError
        The file is missing, is in another encoding, or is not valid CSV.

    """
    try:
        text = _decoded(read_regular(path))
    except OSError as error:
        raise DpedtoolError(f"{path} cannot be read ({error.strerror}): {named_by} must name a file.") from None
    except UnicodeDecodeError:
        raise DpedtoolError(f"{path} is not in UTF-8 or UTF-16: save it again in one of these encodings.") from None
    lines = io.StringIO(text, newline="")
    separator = _separator(text)
    reader = csv.reader(lines, strict=True, delimiter=separator)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            # Spreadsheets may say in the first line what separates the cells.
            is_hint = reader.line_num == 1 and _HINT.fullmatch(text.splitlines()[0].strip())
            if any(cells) and not is_hint:
                yield reader.line_num, cells
    except csv.Error as error:
        raise DpedtoolError(f"Line {reader.line_num} of {path} is not valid CSV ({error}): correct it.") from None


def _decoded(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    # A table begins with ASCII letters. In UTF-16, a NUL byte stands beside each letter.
    for place, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(content) >= 4 and content[place:4:2] == b"\0\0":
            return content.decode(encoding)
    return content.decode("utf-8-sig")


def _separator(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    if hint := _HINT.fullmatch(first.strip(" \r\n")):
        return hint[1]
    outside = re.sub(r'"[^"]*"', "", first)
    return max(_SEPARATORS, key=outside.count)


_SEPARATORS = ",;\t"
_HINT = re.compile(r'"?sep=([,;\t])"?', re.IGNORECASE)
