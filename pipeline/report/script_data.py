"""Data for the page's script, escaped so that no name in it can become part of the page."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup


def as_script_data(data: Any) -> Markup:
    """Return JSON that is safe inside a <script> element or file: no name in it can end the element."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    # HTML, 13.3: a script ends at "</script", and changes its state at "<!--"; JSON may write any character as \\uXXXX.
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704
