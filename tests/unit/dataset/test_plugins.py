"""Functions of the user's own: where they are looked for, what a mistake says, and when their digest changes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpedtool.dataset.errors import ParamsError
from dpedtool.dataset.params import describe, functions_of
from dpedtool.dataset.params_files import as_yaml, load_params
from dpedtool.dataset.plugins import PluginName, digest_in_use, located


@pytest.fixture(autouse=True)
def clean_modules() -> Iterator[None]:
    """Forget what a test has imported, and where it looked."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder: a module, one that it imports, a package, and a dataset.py that has nothing to do with them."""
    (tmp_path / "own_flow.py").write_text("from own_sizes import SIZE\n\ndef flow(a, b):\n    return SIZE\n")
    (tmp_path / "own_sizes.py").write_text("SIZE = 7\n")
    (tmp_path / "dataset.py").write_text("raise RuntimeError('nobody asked for this')\n")
    package = tmp_path / "own_package" / "deep"
    package.mkdir(parents=True)
    (tmp_path / "own_package" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "match.py").write_text(
        "from . import parts\nfrom ..top import TOP\n\ndef match(a, b):\n    return TOP\n"
    )
    (package / "parts.py").write_text("")
    (tmp_path / "own_package" / "top.py").write_text("TOP = 3\n")
    return tmp_path


def plugin(text: str, folder: Path) -> PluginName:
    return PluginName.parse(located(text, folder))


def test_a_module_beside_the_params_file_is_found_with_what_it_imports(folder: Path) -> None:
    assert plugin("own_flow:flow", folder).load()(0, 0) == 7
    assert plugin("own_package.deep.match:match", folder).load()(0, 0) == 3


def test_other_modules_are_looked_for_where_python_looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert located("own_flow:flow", folder / "own_package") == "own_flow:flow"
    monkeypatch.syspath_prepend(str(folder))
    assert PluginName.parse("own_flow:flow").load()(0, 0) == 7
    assert PluginName.parse("math:hypot").load()(3, 4) == 5


def test_the_params_file_and_overrides_name_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "params.yaml").write_text("align: {flow: own_flow:flow}\n")
    params = load_params(folder / "params.yaml", ("align.matcher=own_package.deep.match:match",)).align
    assert params.flow == f"{folder}:own_flow:flow"
    assert params.matcher == f"{folder}:own_package.deep.match:match"
    monkeypatch.chdir(folder)
    assert load_params(None, ("align.flow=own_flow:flow",)).align.flow == f"{folder}:own_flow:flow"
    # An override is the last word, and null takes a function back.
    assert load_params(folder / "params.yaml", ("align.flow=null",)).align.flow is None


def test_networks_and_losses_are_found_there_too(folder: Path) -> None:
    losses = "[{loss: own_flow:flow, weight: 2}, {loss: pixel}, {loss: other:loss}]"
    (folder / "params.yaml").write_text(f"train: {{network: own_sizes:Net, losses: {losses}}}\n")
    params = load_params(folder / "params.yaml")
    assert functions_of(params.train) == [
        ("network", f"{folder}:own_sizes:Net"),
        ("losses", f"{folder}:own_flow:flow"),
        ("losses", "other:loss"),
    ]
    told = describe(params.train)
    assert told["network"] == "own_sizes:Net"
    assert [term["loss"] for term in told["losses"]] == ["own_flow:flow", "pixel", "other:loss"]
    # What is printed is read again, and names no folder.
    (folder / "printed.yaml").write_text(as_yaml(params))
    assert load_params(folder / "printed.yaml").train == params.train
    assert f"{folder}:" not in as_yaml(params)


def test_a_folder_may_have_any_name(folder: Path) -> None:
    odd = folder / "2024-05-04T10:12 a:b"
    odd.mkdir()
    (odd / "own_flow.py").write_text("def flow(a, b):\n    return 5\n")
    (odd / "params.yaml").write_text("align: {flow: own_flow:flow}\n")
    name = PluginName.parse(load_params(odd / "params.yaml").align.flow)
    assert (name.folder, str(name)) == (odd, "own_flow:flow")
    assert name.load()(0, 0) == 5


def test_a_params_file_that_is_printed_names_no_folder(folder: Path) -> None:
    (folder / "params.yaml").write_text("align: {flow: own_flow:flow}\n")
    text = as_yaml(load_params(folder / "params.yaml"))
    assert '  flow: "own_flow:flow"' in text.splitlines()
    assert f"{folder}:" not in text


@pytest.mark.parametrize("text", ["os.system", "os:", ":system", "a b:c", "os:system()", "os:path.join", "../x:y"])
def test_what_names_no_function_is_refused(text: str) -> None:
    with pytest.raises(ParamsError, match=r"does not name a function; write package\.module:function"):
        load_params(None, (f"align.flow='{text}'",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("own_flow:nothing", "the module own_flow has no function nothing"),
        ("own_sizes:SIZE", "the module own_sizes has no function SIZE"),
        ("own_nowhere:flow", "cannot be imported from PYTHONPATH .ModuleNotFoundError"),
        ("own_broken:flow", "cannot be imported from .* or PYTHONPATH .SyntaxError"),
        ("own_failing:flow", "cannot be imported from .* or PYTHONPATH .ZeroDivisionError: division by zero"),
        ("json:flow", "another module is called json: give the one in .* another name"),
    ],
)
def test_a_mistake_is_one_sentence(text: str, said: str, folder: Path) -> None:
    (folder / "own_broken.py").write_text("def flow(:\n")
    (folder / "own_failing.py").write_text("1 / 0\n")
    (folder / "json.py").write_text("def flow(a, b): pass\n")
    with pytest.raises(ParamsError, match=said):
        plugin(text, folder).load()


def test_the_digest_changes_with_the_module_and_what_it_imports_and_with_nothing_else(folder: Path) -> None:
    flow, match = plugin("own_flow:flow", folder), plugin("own_package.deep.match:match", folder)
    before = flow.digest(), match.digest()
    (folder / "dataset.py").write_text("")
    (folder / "new.py").write_text("")
    assert (flow.digest(), match.digest()) == before
    (folder / "own_sizes.py").write_text("SIZE = 8\n")
    assert flow.digest() != before[0]
    assert match.digest() == before[1]
    (folder / "own_package" / "top.py").write_text("TOP = 4\n")
    assert match.digest() != before[1]


def test_the_digest_does_not_depend_on_where_the_folder_is(folder: Path) -> None:
    other = folder / "moved"
    other.mkdir()
    for name in ("own_flow.py", "own_sizes.py"):
        (other / name).write_text((folder / name).read_text())
    assert plugin("own_flow:flow", folder).digest() == plugin("own_flow:flow", other).digest()
    assert plugin("own_flow:flow", folder).digest() != plugin("own_flow:other", folder).digest()


def test_installed_modules_have_a_digest_too() -> None:
    assert PluginName.parse("json.tool:main").digest() != PluginName.parse("json.decoder:main").digest()
    assert len(PluginName.parse("math:hypot").digest()) == 64


def test_modules_on_pythonpath_are_followed_as_those_beside_the_params_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    flow, match = (PluginName.parse(text) for text in ("own_flow:flow", "own_package.deep.match:match"))
    before = flow.digest(), match.digest()
    (folder / "own_sizes.py").write_text("SIZE = 8\n")
    (folder / "own_package" / "top.py").write_text("TOP = 4\n")
    assert flow.digest() != before[0]
    assert match.digest() != before[1]


def test_what_is_in_memory_keeps_its_digest_when_its_file_changes(folder: Path) -> None:
    flow = plugin("own_flow:flow", folder)
    function, before = flow.load(), flow.digest()
    (folder / "own_sizes.py").write_text("SIZE = 8\n")
    assert flow.digest() != before
    assert digest_in_use(flow) == before
    assert flow.load()(0, 0) == function(0, 0) == 7


def test_nothing_is_imported_to_know_where_a_module_lies(folder: Path) -> None:
    located("dataset:x", folder)
    plugin("own_flow:flow", folder).digest()
    assert not {"dataset", "own_flow", "own_sizes"} & set(sys.modules)
