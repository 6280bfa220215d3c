"""Every example in a docstring of the API runs, and gives what it shows."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import dpedtool

MODULES = [f"dpedtool.api.{path.stem}" for path in sorted(Path(dpedtool.__file__).parent.glob("api/[!_]*.py"))]
FUNCTIONS = [name for name in dpedtool.__all__ if name[0].islower()]
# The type of an exception is compared, and not its message.
FLAGS = doctest.IGNORE_EXCEPTION_DETAIL | doctest.NORMALIZE_WHITESPACE


def examples() -> dict[str, doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for module in MODULES for test in finder.find(import_module(module))]
    return {test.name.rpartition(".")[2]: test for test in found if test.examples}


EXAMPLES = examples()


def test_every_function_has_an_example() -> None:
    assert set(FUNCTIONS) <= EXAMPLES.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_what_it_shows(name: str) -> None:
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(EXAMPLES[name], out=said.append)
    assert not result.failed, "".join(said)
