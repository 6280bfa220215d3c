"""The notebook of the documentation: its cells run in their order, show something, and are stored without outputs."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[dict[str, Any]]:
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    return document["cells"]


def code_of(cells: list[dict[str, Any]]) -> list[str]:
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run(source: str, names: dict[str, Any]) -> Any:
    """Run a cell, and return the value of its last expression, which a notebook shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)  # noqa: S102 - our own notebook
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None  # noqa: S307


def test_it_is_stored_without_outputs(cells: list[dict[str, Any]]) -> None:
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    # A notebook explains each step.
    assert len(code_of(cells)) <= 2 * sum(cell["cell_type"] == "markdown" for cell in cells)


def test_its_links_lead_somewhere(cells: list[dict[str, Any]]) -> None:
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    links = re.findall(r"\]\(([^)#]+)", text)
    assert links
    for link in links:
        assert (NOTEBOOK.parent / link).is_file(), link


def test_its_cells_run_and_show_something(
    cells: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed: install the extra `demo`")
    monkeypatch.chdir(tmp_path)
    # The notebook's folder is a temporary one, which pytest removes.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict[str, Any] = {}
    for source in code_of(cells):
        shown = run(source, names)
        if shown is not None:
            assert repr(shown)
            if hasattr(shown, "_repr_html_"):
                assert shown._repr_html_()
    # Of the cell that catches a rejection.
    assert "wrong_pair" in capfd.readouterr().out
    means = names["scores"].means.set_index(["protocol", "version"])["psnr_db"]
    assert means["image", "network"] > means["image", "phone"]
