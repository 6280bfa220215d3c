"""Models on disk: saved models can be loaded, and anything else is refused in one sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.sidecars.model_info import ImportedWeights, ModelInfo
from dpedtool.training.networks.generators import Architecture, Generator
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.weights.checkpoint import (
    WEIGHTS,
    load_card,
    load_model,
    load_tensors,
    optimizer_tensors,
    read_notes,
    restore_optimizer,
    save_model,
    save_tensors,
)


def generator(seed: int = 0) -> Generator:
    model = Architecture(channels=4, blocks=1).build()
    initialise(model, torch.Generator().manual_seed(seed))
    return model


def refused(folder: Path) -> str:
    with pytest.raises(DpedtoolError) as error:
        load_model(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_model_comes_back_ready_to_evaluate(tmp_path: Path) -> None:
    model = generator()
    save_model(tmp_path, model, {})
    loaded = load_model(tmp_path)
    assert not loaded.training
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert torch.equal(loaded(images), model.eval()(images))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([WEIGHTS, ModelInfo.FILE])


def test_the_card_names_the_network_and_holds_what_else_is_known(tmp_path: Path) -> None:
    save_model(
        tmp_path, generator(), {"trained": True, "imported": ImportedWeights(format="odd", files=[], tensors=[])}
    )
    card = load_card(tmp_path)
    assert card.network == {"network": "resnet", "channels": 4, "blocks": 1, "norm": "instance"}
    assert card.name == "dped_resnet_6_4"
    assert card.parameters == sum(value.numel() for value in load_tensors(tmp_path / WEIGHTS).values())
    assert card.imported == ImportedWeights(format="odd", files=[], tensors=[])
    assert card.is_trained
    assert json.loads((tmp_path / ModelInfo.FILE).read_text()).keys() == {
        *("name", "parameters", "input", "network", "trained", "imported")
    }


@pytest.mark.parametrize("architecture", [Architecture("srcnn"), Architecture(channels=4, blocks=2, norm="batch")])
def test_the_file_of_weights_is_enough_to_load(tmp_path: Path, architecture: Architecture) -> None:
    save_model(tmp_path / "weights.safetensors", architecture.build(), {})
    (tmp_path / "weights.json").unlink()
    assert load_model(tmp_path / "weights.safetensors").architecture == architecture


def test_tensors_and_notes_come_back(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(3.0)}
    save_tensors(tmp_path / "t.safetensors", tensors, {"key": "k"})
    loaded = load_tensors(tmp_path / "t.safetensors")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert read_notes(tmp_path / "t.safetensors") == {"key": "k"}


def test_several_notes_stand_in_one_order(tmp_path: Path) -> None:
    """The library has an order of its own for each file that it writes."""
    notes = {f"note{number}": str(number) for number in range(8)}
    contents = set()
    for order in (notes, dict(reversed(notes.items())), notes):
        save_tensors(tmp_path / "a.safetensors", {"one": torch.ones(1)}, order)
        assert read_notes(tmp_path / "a.safetensors") == notes
        contents.add((tmp_path / "a.safetensors").read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize("text", ["[]", "{", "3", "[" * 9999])
def test_notes_that_are_none_are_empty(tmp_path: Path, text: str) -> None:
    save_file({"one": torch.ones(1)}, tmp_path / "a.safetensors", {"notes": text})
    assert read_notes(tmp_path / "a.safetensors") == {}


def test_notes_of_what_is_no_checkpoint_are_empty(tmp_path: Path) -> None:
    assert read_notes(tmp_path / "none") == {}
    (tmp_path / "text").write_text("no tensors")
    assert read_notes(tmp_path / "text") == {}
    save_tensors(tmp_path / "plain", {"a": torch.zeros(1)})
    assert read_notes(tmp_path / "plain") == {}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("none", "There is no {}: "),
        ("none.safetensors", "There is no {}: "),
        ("README.md", "{} is not a model: "),
        ("net.index", "{} is not a model: "),
        ("folder", f"{{}} contains no {WEIGHTS}: "),
        ("folder.safetensors", f"{{}} contains no {WEIGHTS}: "),
    ],
)
def test_what_is_no_model_is_refused_with_what_to_name(tmp_path: Path, name: str, what: str) -> None:
    for file in ("README.md", "net.index"):
        (tmp_path / file).write_text("any")
    for folder in ("folder", "folder.safetensors"):
        (tmp_path / folder).mkdir()
    sentence = refused(tmp_path / name)
    assert sentence.startswith(what.format(tmp_path / name))
    assert "name a folder that `dpedtool train` wrote, or a file X.safetensors (`dpedtool import-weights`" in sentence


def test_missing_and_damaged_weights_are_refused(tmp_path: Path) -> None:
    save_model(tmp_path, generator(), {})
    whole = (tmp_path / WEIGHTS).read_bytes()
    for length in (0, 4, 100, len(whole) - 1):
        (tmp_path / WEIGHTS).write_bytes(whole[:length])
        assert "not a readable safetensors file" in refused(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    assert f"{tmp_path} contains no {WEIGHTS}" in refused(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [{"channels": 8}, {"blocks": 2}, {"channels": "4"}, {"channels": 10**9}, {"network": "vit"}, {"more": 1}],
)
def test_a_network_that_does_not_fit_its_weights_is_refused(tmp_path: Path, changed: dict[str, object]) -> None:
    network = {**generator().architecture.as_json(), **changed}
    save_tensors(tmp_path / WEIGHTS, generator().state_dict(), {"network": json.dumps(network)})
    assert "do not fit" in refused(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "1" * 5000])
def test_a_network_that_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    save_tensors(tmp_path / WEIGHTS, generator().state_dict(), {"network": text})
    assert "do not fit" in refused(tmp_path)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, bad: float) -> None:
    model = generator()
    model.get_parameter("body1.bias").data[0] = bad
    save_model(tmp_path, model, {})
    assert "holds NaN or infinite weights" in refused(tmp_path)


def test_weights_that_do_not_say_of_what_are_refused(tmp_path: Path) -> None:
    save_tensors(tmp_path / WEIGHTS, generator().state_dict())
    assert "does not say which network" in refused(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\udcff", "{}", '{"name": 3}'])
def test_what_is_no_card_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / ModelInfo.FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DpedtoolError, match=r"model\.json"):
        load_card(tmp_path)


def test_an_optimiser_goes_on_where_it_stopped() -> None:
    def steps(model: Generator, adam: torch.optim.Adam, first: int, last: int) -> None:
        for step in range(first, last):
            images = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(step))
            adam.zero_grad()
            model(images).square().sum().backward()
            adam.step()

    whole, half = generator(), generator()
    adam = torch.optim.Adam(whole.parameters())
    steps(whole, adam, 0, 4)
    first = torch.optim.Adam(half.parameters())
    steps(half, first, 0, 2)
    second = torch.optim.Adam(half.parameters())
    restore_optimizer(second, {name: value.clone() for name, value in optimizer_tensors(first).items()})
    steps(half, second, 2, 4)
    for name, value in whole.state_dict().items():
        assert torch.equal(half.state_dict()[name], value), name
