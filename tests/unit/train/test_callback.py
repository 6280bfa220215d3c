"""A callback of the user's own: what it is told, and that neither it nor its errors change what is trained."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from interruption import interrupt_at

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.params import functions_of
from dpedtool.dataset.params_files import load_params
from dpedtool.dataset.plugins import digest_in_use
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.train import stage
from dpedtool.training.train.distributed import Processes
from dpedtool.training.train.sources import from_table
from dpedtool.training.train.stage import Outcome
from dpedtool.training.weights.checkpoint import load_card

pytestmark = pytest.mark.usefixtures("one_thread", "clean_modules")

PARAMS = TrainParams(
    channels=4, blocks=1, iterations=4, batch=2, crop_px=32, validate_every=2, precision="float32", device="cpu"
)
CODE = """
import json
from pathlib import Path


class Told:
    '''Writes what it is told into told.txt, a line for each call.'''

    def start(self, folder, parameters, rows):
        self.note("start", str(folder), parameters, rows)

    def validated(self, row):
        self.note("validated", row)

    def end(self, files):
        assert all(file.is_file() for file in files)
        self.note("end", [str(file) for file in files])

    def note(self, *words):
        with (Path(__file__).parent / "told.txt").open("a") as file:
            print(json.dumps(words), file=file)


class FailsAtStart(Told):
    def start(self, folder, parameters, rows):
        raise ConnectionError("nobody is logged in")


class FailsLater(Told):
    def validated(self, row):
        super().validated(row)
        raise ConnectionError("no route to the log")


class Exits(Told):
    def end(self, files):
        raise SystemExit(3)


class OnlyEnd:
    end = Told.end
    note = Told.note


class Silent:
    pass


class Needs(Told):
    def __init__(self, project):
        self.project = project


def function():
    pass
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, make_samples: Callable[..., Path]) -> Path:
    return make_samples(tmp_path_factory.mktemp("samples"), {"train": 4, "validation": 1})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own_logs.py").write_text(CODE)
    return tmp_path


def train(table: Path, folder: Path, name: str | None, out: str = "out") -> Outcome:
    callback = name and f"{folder}:own_logs:{name}"
    return stage.train(from_table(table), folder / out, replace(PARAMS, callback=callback))


def told(folder: Path) -> list[list[Any]]:
    file = folder / "told.txt"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_it_is_told_parameters_validations_and_files_and_changes_no_byte(folder: Path, table: Path) -> None:
    train(table, folder, None, "plain")
    train(table, folder, "Told")
    start, *validated, end = told(folder)
    assert start[:2] == ["start", str(folder / "out")]
    assert start[3] == []
    assert start[2]["iterations"] == 4
    assert start[2]["losses"][0] == {"loss": "psnr", "weight": 1.0}
    assert "callback" not in start[2]
    with (folder / "out" / "history.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert validated == [["validated", row] for row in rows]
    assert [row["iteration"] for row in rows] == [2, 4]
    assert {"validation_psnr_db", "train_loss"} <= set(rows[0])
    names = ("generator.safetensors", "model.json", "history.csv")
    assert end == ["end", [str(folder / "out" / name) for name in names]]
    written = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    assert written == {path.name: path.read_bytes() for path in (folder / "plain").iterdir()}


def test_neither_another_callback_nor_a_change_of_its_code_trains_again(folder: Path, table: Path) -> None:
    train(table, folder, None)
    assert train(table, folder, "Told").is_old
    assert not told(folder)
    (folder / "own_logs.py").write_text(f"{CODE}\nCHANGED = True\n")
    digest_in_use.cache_clear()
    assert train(table, folder, "Told").is_old
    assert "callback" not in load_card(folder / "out").training.params
    assert functions_of(replace(PARAMS, callback="own_logs:Told")) == []


def test_a_continued_training_tells_what_there_was_and_only_then_what_is_new(
    folder: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupt_at(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            train(table, folder, "Told")
    first, row = told(folder)
    assert (first[0], row[0]) == ("start", "validated")
    train(table, folder, "Told")
    again, later, end = told(folder)[2:]
    assert again[3] == [row[1]]
    assert later[1]["iteration"] == 4
    assert end[0] == "end"


def test_an_error_at_the_start_ends_before_anything_is_trained(folder: Path, table: Path) -> None:
    with pytest.raises(DpedtoolError) as caught:
        train(table, folder, "FailsAtStart")
    assert str(caught.value).startswith(
        "The callback own_logs:FailsAtStart, in its method start, raised ConnectionError: nobody is logged in "
        "(own_logs.py, line "
    )
    assert not list((folder / "out").glob("*.safetensors"))


@pytest.mark.parametrize(
    ("name", "method", "said", "calls"),
    [
        ("FailsLater", "validated", "ConnectionError: no route to the log", ["start", "validated"]),
        ("Exits", "end", "SystemExit: 3", ["start", "validated", "validated"]),
    ],
)
def test_a_later_error_is_a_warning_and_costs_no_network(
    folder: Path, table: Path, capsys: pytest.CaptureFixture[str], name: str, method: str, said: str, calls: list[str]
) -> None:
    assert train(table, folder, name).iterations == 4
    assert [call[0] for call in told(folder)] == calls
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Warning")]
    assert warning.startswith(f"Warning: The callback own_logs:{name}, in its method {method}, raised {said} (own_logs")
    assert warning.endswith("This does not affect the training. The callback is not called again in this run.")
    assert load_card(folder / "out").training is not None


def test_it_may_have_some_of_the_methods(folder: Path, table: Path) -> None:
    train(table, folder, "OnlyEnd")
    assert [call[0] for call in told(folder)] == ["end"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Silent", "the class own_logs:Silent has none of the methods start, validated, end: write at least one."),
        ("function", "own_logs:function is not a class: name a class."),
        ("Missing", "the module own_logs has no class Missing."),
        ("Needs", "The callback own_logs:Needs raised TypeError: .*project"),
    ],
)
def test_what_is_no_callback_is_refused_before_anything_is_trained(
    folder: Path, table: Path, name: str, sentence: str
) -> None:
    with pytest.raises(DpedtoolError, match=sentence):
        train(table, folder, name)
    assert not list((folder / "out").glob("*.safetensors"))


def test_only_the_process_that_writes_has_it(folder: Path, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(Processes):
        """A process that does all steps, but is not the one that writes."""

        is_first = False  # type: ignore[assignment]

    @contextmanager
    def second(params: TrainParams) -> Iterator[tuple[Processes, torch.device]]:
        del params
        yield Other(), torch.device("cpu")

    monkeypatch.setattr(stage, "join", second)
    train(table, folder, "Told")
    assert not told(folder)


def test_its_module_is_looked_for_beside_the_params_file(folder: Path) -> None:
    (folder / "params.yaml").write_text("train: {callback: 'own_logs:Told'}\n")
    assert load_params(folder / "params.yaml").train.callback == f"{folder.resolve()}:own_logs:Told"
    with pytest.raises(ParamsError, match=r"callback must be one of package\.module:Class, not 'wandb'"):
        load_params(None, ("train.callback=wandb",))
