"""docs/presets.md: up to date, and with every value in which the presets differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpedtool.dataset.preset_table import as_markdown
from dpedtool.dataset.train_params import load_preset, preset_names


def rows() -> dict[str, list[str]]:
    """The cells of every row of a table, by the first."""
    lines = (line.strip("| ").split(" | ") for line in as_markdown().splitlines() if line.startswith("| "))
    return {first: cells for first, *cells in lines}


def test_the_documentation_in_the_repository_is_up_to_date() -> None:
    document = Path(__file__).parents[3] / "docs" / "presets.md"
    assert document.read_text(encoding="utf-8") == as_markdown()


def test_values_stand_side_by_side() -> None:
    assert rows()["parameter"] == [*preset_names(), "meaning"] == ["fidelity", "paper", "released-code", "meaning"]
    assert rows()["`norm`"][:3] == ["instance", "batch", "instance"]
    assert rows()["`losses`"][2] == "content 10, colour 0.5, texture 1, tv 2000"
    assert rows()["`pool`"][1:3] == ["0", "30000"]
    assert "`channels`" not in rows()


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_has_its_source_and_what_to_expect(name: str) -> None:
    assert rows()[name] == [load_preset(name).source, load_preset(name).expected]


def test_the_presets_have_the_published_values() -> None:
    """Content : colour : texture : TV, and the optimiser's figures, which both share."""
    weights = {
        name: {term["loss"]: term["weight"] for term in load_preset(name).values["losses"]}
        for name in ("paper", "released-code")
    }
    assert weights == {
        "paper": {"content": 1, "colour": 0.1, "texture": 0.4, "tv": 400},
        "released-code": {"content": 10, "colour": 0.5, "texture": 1, "tv": 2000},
    }
    for name in weights:
        values = load_preset(name).values
        assert [values[key] for key in ("learning_rate", "batch", "iterations", "crop_px")] == [5e-4, 50, 20_000, 100]
        assert [values[key] for key in ("schedule", "augment", "ema", "clip_norm")] == ["constant", False, 0, 0]
