"""What is installed and what is wrong, said so that following it works."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from dpedtool.pipeline.session import doctor
from dpedtool.pipeline.session.doctor import EXTRAS, diagnose
from dpedtool.pipeline.session.init import DEMO, set_up

ROOT = Path(__file__).parents[3]


def test_every_extra_for_users_is_looked_at() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"dev", "docs"}


def test_a_missing_extra_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_is_installed", lambda module: module != "onnxruntime")
    missing = [extra for extra in diagnose(tmp_path).extras if not extra.installed]
    assert [extra.install for extra in missing] == ["pip install onnx onnxruntime"]


def test_the_machine_is_described(tmp_path: Path) -> None:
    found = diagnose(tmp_path)
    assert {"JPEG", "PNG", "TIFF"} <= set(found.formats)
    assert found.processors >= 1
    assert found.memory_gb > 0
    assert found.session == ""
    assert found.problems == ()


def test_what_is_wrong_with_a_session_is_said_once(tmp_path: Path) -> None:
    set_up(tmp_path, DEMO, is_demo=True, with_dvc=False, with_git=False)
    assert diagnose(tmp_path).problems == ()
    (tmp_path / "params.yaml").write_text("align: {ratoi: 0.8}")
    (problem,) = diagnose(tmp_path).problems
    assert "ratoi" in problem
    assert "ratio" in problem
