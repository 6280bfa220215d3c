"""A whole release, and copies of it that tests damage."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from release_damage import COUNTS
from release_rig import write_release

from dpedtool.pipeline.release.documents import card
from dpedtool.pipeline.split import near_duplicates


@pytest.fixture(scope="session", autouse=True)
def _each_view_is_looked_at_once() -> Iterator[None]:
    """Cache what is computed from a thumbnail: it takes most of the time, and depends only on its few bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "look_at", functools.cache(near_duplicates.look_at))
        yield


@pytest.fixture(scope="session", autouse=True)
def _the_template_of_the_card_is_compiled_once() -> Iterator[None]:
    """Cache the template, which takes a third of the time of a release as small as those of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(card, "_environment", functools.cache(card._environment))
        yield


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(tmp_path_factory.mktemp("whole") / "release", ("iphone",), COUNTS)


@pytest.fixture
def release(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "release")
