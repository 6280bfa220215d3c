"""The page: templates filled, its own script and style inside, and a policy that lets nothing else run."""

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
"""Folder beside the page, of what is loaded as it is looked at."""
SCRIPTS = ("compare.js", "overlays.js", "rows.js", "list.js", "opened.js", "pairs.js")
STYLES = ("style.css", "overview.css", "compare.css", "pairs.css", "patches.css")


def render(context: Mapping[str, Any], leave_out: Collection[str] = ()) -> str:
    """Return the whole page.

    Parameters
    ----------
    context
        What report.html and the templates that it includes name.
    leave_out
        Templates to take for empty, such as overview.html: a page of the others, for tests and benchmarks.

    """
    templates = environment(leave_out)
    script = _source(templates, SCRIPTS)
    return templates.get_template(PAGE).render(
        context, policy=_policy(script), script=script, style=_source(templates, STYLES)
    )


def _policy(script: str) -> str:
    """Return the Content-Security-Policy: the page's own script, files beside the page, and nothing from elsewhere.

    'self' is the folder of a page behind http; that of a file:// page has no name but file:.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}' 'self' file:; style-src 'unsafe-inline'; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )


def _source(templates: Environment, names: tuple[str, ...]) -> Markup:
    """Return files of ours beside the templates, as they are."""
    assert templates.loader  # noqa: S101
    return Markup("\n".join(templates.loader.get_source(templates, name)[0] for name in names))  # noqa: S704


def environment(leave_out: Collection[str] = ()) -> Environment:
    """Return what fills the templates, those of `leave_out` taken for empty."""
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
