"""Fills the templates of the page with its script and style, and a policy that allows no other scripts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from jinja2 import ChoiceLoader, DictLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dpedtool.pipeline.report.overview.words import FILTERS
from dpedtool.pipeline.report.script_data import as_script_data

PAGE = "report.html"
FILES = "files"
"""Folder next to the page with files that it loads on demand."""
SCRIPTS = ("compare.js", "overlays.js", "depth.js", "rows.js", "list.js", "opened.js", "pairs.js")
STYLES = ("style.css", "overview.css", "compare.css", "pairs.css", "patches.css")


def render(context: Mapping[str, Any], leave_out: Collection[str] = ()) -> str:
    """Return the whole page.

    Parameters
    ----------
    context
        The variables of report.html and of the templates that it includes.
    leave_out
        Templates to replace by empty ones, such as overview.html, for tests and benchmarks of the others.

    """
    templates = environment(leave_out)
    script = _source(templates, SCRIPTS)
    return templates.get_template(PAGE).render(
        context, policy=_policy(script), script=script, style=_source(templates, STYLES)
    )


def _policy(script: str) -> str:
    """Return the Content-Security-Policy: only the page's own script and the files next to the page are allowed.

    'self' covers a page that is served over http. The folder of a page opened as a file is covered by file: only.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}' 'self' file:; style-src 'unsafe-inline'; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )


def _source(templates: Environment, names: tuple[str, ...]) -> Markup:
    """Return the text of our own files next to the templates, without escaping."""
    assert templates.loader  # noqa: S101
    return Markup("\n".join(templates.loader.get_source(templates, name)[0] for name in names))  # noqa: S704


def environment(leave_out: Collection[str] = ()) -> Environment:
    """Return the environment of the templates, with those of `leave_out` replaced by empty ones."""
    made = Environment(
        loader=ChoiceLoader(
            [DictLoader(dict.fromkeys(leave_out, "")), PackageLoader("dpedtool.pipeline.report", "templates")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS, script_data=as_script_data)
    return made
