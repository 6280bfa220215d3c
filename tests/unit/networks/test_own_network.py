"""Networks of the user's own: what they are given, what they must return, and which sizes they take."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from own_code import write_folder
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.training.enhance.whole_photo import Settings, enhance_photo
from dpedtool.training.networks.generators import Architecture, OwnGenerator
from dpedtool.training.weights.checkpoint import load_card, load_model, save_model, save_tensors

pytestmark = pytest.mark.usefixtures("one_thread", "clean_modules")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path)


def own(folder: Path, name: str, **args: object) -> Architecture:
    return Architecture(f"{folder}:own_net:{name}", args=args)


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (7, 30), (33, 61)])
def test_images_of_any_size_keep_it(folder: Path, size: tuple[int, int]) -> None:
    model = own(folder, "UNet").build().eval()
    assert isinstance(model, OwnGenerator)
    assert model.multiple == 4
    assert model(noise(2, 3, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("times", [1, 2, 4])
def test_how_many_times_it_enlarges_is_measured(folder: Path, times: int) -> None:
    model = own(folder, "Enlarging", times=times).build().eval()
    assert model.scale == model.architecture.scale == times
    assert model(noise(2, 3, 7, 30)).shape == (2, 3, 7 * times, 30 * times)
    assert Architecture().scale == Architecture().build().scale == 1


def test_a_network_must_enlarge_all_images_alike(folder: Path) -> None:
    model = own(folder, "Moody").build().eval()
    with pytest.raises(DpedtoolError, match="Moody enlarges images 1 times and others 2 times"):
        model(noise(1, 3, 20, 20))


def test_whole_photos_are_not_enlarged(folder: Path) -> None:
    settings = Settings(torch.device("cpu"), "float32")
    with pytest.raises(Rejection, match="Enlarging enlarges images 2 times, which is possible for patches") as refused:
        enhance_photo(own(folder, "Enlarging").build().eval(), np.zeros((20, 20, 3), np.uint8), settings)
    assert refused.value.reason == "enlarges"


def test_images_are_continued_by_their_reflection(folder: Path) -> None:
    model, phone = own(folder, "UNet").build().eval(), noise(1, 3, 10, 12)
    continued = torch.cat([phone, phone[:, :, [8, 7]]], dim=2)
    assert model(phone).equal(model.network(continued)[:, :, :10])


def test_first_weights_are_those_of_the_class_and_depend_on_the_seed_alone(folder: Path) -> None:
    before = torch.random.get_rng_state()
    one, same, other = (own(folder, "UNet", width=6).build(seed) for seed in (1, 1, 2))
    assert torch.random.get_rng_state().equal(before)
    assert one.network.first.weight.shape == (6, 3, 3, 3)
    weights, again, others = (model.network.last.weight for model in (one, same, other))
    assert weights.equal(again)
    assert not weights.equal(others)
    assert weights.std().item() == pytest.approx(0.05, rel=0.2)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Nothing", "own_net:Nothing: the module own_net has no class Nothing"),
        ("made", "own_net:made is not a class of torch.nn.Module: name the class of a network"),
        ("Pair", "The network own_net:Pair returned a tuple of 2, but one tensor .N, 3, H, W. is needed: return the"),
        (
            "Triple",
            r"own_net:Triple returned a tensor \(1, 3, \d+, \d+\) for images .*: it must return",
        ),
        ("Grey", r"own_net:Grey returned a tensor \(1, 1, \d+, \d+\) for images .* in three colours"),
        ("Failing", r"own_net:Failing raised KeyError: 'no such thing' \(own_net.py, line \d+\)"),
        ("Odd", r"own_net:Odd raised IndexError: pop from empty list \(own_net.py, line \d+\)"),
        ("Empty", "own_net:Empty has no weights that could be trained"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(folder: Path, name: str, said: str) -> None:
    with pytest.raises(DpedtoolError, match=said) as refused:
        own(folder, name).build()
    assert "\n" not in str(refused.value)


def test_arguments_that_the_class_does_not_take_are_one_sentence(folder: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"UNet does not take these arguments \(.*widht.*train.network_args"):
        own(folder, "UNet", widht=3).build()


def test_nan_is_refused_outside_of_training(folder: Path) -> None:
    model = own(folder, "NotANumber").build()
    assert model.train()(noise(1, 3, 8, 8)).isnan().all()
    with pytest.raises(DpedtoolError, match="own_net:NotANumber returned NaN or infinite values"):
        model.eval()(noise(1, 3, 8, 8))


def test_memory_that_runs_out_is_left_to_the_caller(folder: Path) -> None:
    model = own(folder, "UNet").build()
    model.network.forward = lambda _: torch.empty(2**60)
    with pytest.raises(RuntimeError, match="allocate memory"):
        model(noise(1, 3, 8, 8))


def test_its_memory_is_measured(folder: Path) -> None:
    small, wide = (own(folder, "UNet", width=width).description.measured().bytes_px for width in (4, 40))
    # The maps of the first and last layers: 3 * width + 3 channels at least, in float32.
    assert 4 * 15 <= small <= 4 * 40
    assert 4 * 123 <= wide <= 4 * 300


def test_a_copy_has_the_weights_and_nothing_in_common(folder: Path) -> None:
    model = own(folder, "Tied").build(3).train()
    copied = copy.deepcopy(model)
    assert copied.training
    assert all(value.equal(model.state_dict()[name]) for name, value in copied.state_dict().items())
    with torch.no_grad():
        model.network.one.weight.add_(1)
    assert not copied.network.one.weight.equal(model.network.one.weight)


def test_weights_without_effect_are_found(folder: Path) -> None:
    assert own(folder, "Tied").build().leaves_unused()
    assert not own(folder, "UNet").build().leaves_unused()


# Files


@pytest.mark.parametrize("name", ["UNet", "Tied"])
def test_weights_come_back_where_the_user_names_the_class(folder: Path, name: str) -> None:
    architecture = own(folder, name)
    model, file = architecture.build(5).eval(), folder / "net.safetensors"
    save_model(file, model, {})
    loaded = load_model(file, architecture.network)
    assert loaded.architecture == architecture
    assert loaded(noise(1, 3, 8, 8)).equal(model(noise(1, 3, 8, 8)))
    assert load_card(file).network == {"network": f"own_net:{name}", "args": {}}
    assert str(folder).encode() not in file.read_bytes() + file.with_suffix(".json").read_bytes()


def test_arguments_come_back_from_the_file(folder: Path) -> None:
    save_model(folder / "net.safetensors", own(folder, "UNet", width=6).build(), {})
    loaded = load_model(folder / "net.safetensors", f"{folder}:own_net:UNet")
    assert loaded.architecture.args == {"width": 6}


@pytest.mark.parametrize("named", [None, "own_net:Tied", "other:UNet"])
def test_what_only_a_file_names_is_not_imported(folder: Path, named: str | None, monkeypatch) -> None:
    save_model(folder / "net.safetensors", own(folder, "UNet").build(), {})
    for name in ("own_net", "own_parts"):
        del sys.modules[name]
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(DpedtoolError, match=r"weights of the network own_net:UNet.* name it by --network own_net:UNet"):
        load_model(folder / "net.safetensors", named)
    assert "own_net" not in sys.modules


EVIL = "import pathlib\npathlib.Path(__file__).with_name('done').touch()\nclass Net: pass\n"


@pytest.mark.parametrize("own_name", [None, "own_net:UNet"])
@pytest.mark.parametrize(
    "fields",
    [
        {"network": "evil:Net", "args": {}},
        {"network": "os:system", "args": {"command": "touch done"}},
        {"network": "{folder}:evil:Net", "args": {}},
        {"network": "evil:Net", "channels": 4, "blocks": 1, "norm": "instance"},
        {"network": "evil:Net", "channels": 4, "blocks": 1, "norm": "instance", "args": {}},
        {"network": ["evil:Net"], "args": {}},
        {"network": "own_net:UNet", "args": ["evil:Net"]},
        {"network": "own_net:UNet\nevil:Net", "args": {}},
        {"network": "evil:Net"},
        ["evil:Net"],
        "evil:Net",
    ],
)
def test_a_file_of_an_attacker_imports_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fields: object, own_name: str | None
) -> None:
    (folder / "evil.py").write_text(EVIL)
    weights = own(folder, "UNet").build().state_dict()
    said = json.dumps(fields).replace("{folder}", str(folder))
    save_tensors(folder / "net.safetensors", weights, {"network": said})
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(DpedtoolError) as refused:
        load_model(folder / "net.safetensors", own_name and f"{folder}:{own_name}")
    assert "\n" not in str(refused.value)
    assert "evil" not in sys.modules
    assert not (folder / "done").exists()


def test_weights_that_do_not_fit_the_class_are_one_sentence(folder: Path) -> None:
    weights = own(folder, "UNet").build().state_dict()
    fields = {"network": "own_net:UNet", "args": {"width": 5}}
    save_tensors(folder / "net.safetensors", weights, {"network": json.dumps(fields)})
    with pytest.raises(DpedtoolError, match=r"do not fit their network \(network\.first\.weight is .*own_net:UNet has"):
        load_model(folder / "net.safetensors", f"{folder}:own_net:UNet")
