"""What `import dpedtool` gives: names that exist, types, and no heavy packages before they are needed."""

from __future__ import annotations

import subprocess
import sys
import typing
from importlib.metadata import version
from inspect import signature
from pathlib import Path

import pytest

import dpedtool
from dpedtool.dataset import errors

HEAVY = ("torch", "cv2", "numpy", "pandas", "pyarrow", "PIL", "dask", "click")


def loaded_after(code: str) -> set[str]:
    """The modules that a new interpreter has loaded after this code."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_import_loads_no_heavy_packages_and_nothing_of_ours_but_itself() -> None:
    loaded = loaded_after("import dpedtool")
    assert not loaded.intersection(HEAVY)
    assert {name for name in loaded if name.startswith("dpedtool")} == {"dpedtool"}


def test_aligning_loads_what_it_needs_alone() -> None:
    loaded = loaded_after("import dpedtool; dpedtool.align(*dpedtool.example_photos())")
    assert not loaded.intersection({"torch", "pandas", "dask", "distributed"})


def test_the_command_line_does_not_load_the_api() -> None:
    assert not [name for name in loaded_after("import dpedtool.pipeline.cli") if name.startswith("dpedtool.api")]


def test_all_names_exist_and_are_listed() -> None:
    for name in dpedtool.__all__:
        assert getattr(dpedtool, name) is not None
        assert name in dir(dpedtool)
    assert dpedtool.__version__ == version("dpedtool")
    assert dpedtool.Rejection is errors.Rejection
    assert dpedtool.ParamsError is errors.ParamsError
    assert issubclass(dpedtool.ParamsError, dpedtool.DpedtoolError)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'dpedtool' has no attribute 'aling'"):
        _ = dpedtool.aling


@pytest.mark.parametrize("name", [name for name in dpedtool.__all__ if name[0].islower()])
def test_functions_are_typed_and_documented(name: str) -> None:
    function = getattr(dpedtool, name)
    hints = typing.get_type_hints(function, vars(sys.modules[function.__module__]) | {"Model": dpedtool.Model})
    assert hints.keys() == {*signature(function).parameters, "return"}
    for part in (
        "Returns\n",
        "Examples\n",
        *(["Raises\n"] if signature(function).parameters.keys() - {"seed"} else []),
    ):
        assert part in function.__doc__


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(dpedtool.__file__).with_name("py.typed").is_file()
