"""The history of a run: every digit of its numbers is kept, and TensorBoard gets the same figures."""

from __future__ import annotations

import csv
import io
import math
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.sidecars.history import HISTORY, history_csv
from dpedtool.training.train.history import Log


def read(text: str) -> list[dict[str, float]]:
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(io.StringIO(text))]


def test_a_history_is_a_table() -> None:
    rows = [{"iteration": 2, "train_loss": 0.1}, {"iteration": 4, "train_loss": math.nan}]
    assert history_csv(rows) == "iteration,train_loss\n2,0.1\n4,nan\n"


def test_a_history_without_rows_names_its_columns() -> None:
    assert history_csv([]) == "iteration,validation_psnr_db,validation_ms_ssim,train_loss\n"


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
def test_numbers_are_read_back_as_they_were(values: list[float]) -> None:
    rows = [{"iteration": index, "value": value} for index, value in enumerate(values)]
    assert read(history_csv(rows)) == rows


class Writer:
    """A replacement for TensorBoard's writer, which is an optional dependency."""

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.purge_step, self.open = folder, purge_step, True
        self.points: list[tuple[str, float, int]] = []

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.points.append((name, value, step))

    def flush(self) -> None:
        assert self.open

    def close(self) -> None:
        self.open = False


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[Writer]:
    made: list[Writer] = []

    def make(folder: str, purge_step: int) -> Writer:
        made.append(Writer(folder, purge_step))
        return made[-1]

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = make  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return made


def test_tensorboard_gets_each_row_once_and_forgets_what_comes_again(tmp_path: Path, writers: list[Writer]) -> None:
    rows = [{"iteration": 2, "loss": 0.5}]
    log = Log(tmp_path, [], tmp_path / "board")
    log.write(rows)
    log.write([*rows, {"iteration": 4, "loss": 0.25}])
    log.close()
    Log(tmp_path, rows, tmp_path / "board")
    one, other = writers
    assert one.points == [("loss", 0.5, 2), ("loss", 0.25, 4)]
    assert (one.folder, one.purge_step, one.open) == (str(tmp_path / "board"), 0, False)
    assert other.purge_step == 3
    assert (tmp_path / HISTORY).read_text() == "iteration,loss\n2,0.5\n4,0.25\n"


def test_without_tensorboard_the_option_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(DpedtoolError, match="pip install tensorboard, or leave out the option"):
        Log(tmp_path, [], tmp_path / "board")
    Log(tmp_path, []).write([])
    assert (tmp_path / HISTORY).exists()
