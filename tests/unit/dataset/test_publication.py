"""Files that replace others together: all of them or none, and nothing outside of their folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.publication import Publication, complete

LIST = ".dpedtool-publishing.json"


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_new_files_replace_earlier_ones_and_are_removed_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("old")
    (tmp_path / "b.tar").write_text("old")
    for fails in (True, False):
        try:
            with Publication(tmp_path) as publication:
                publication.beside(tmp_path / "a.tar").write_text("new")
                publication.beside(tmp_path / "t.parquet").write_text("new")
                publication.remove(tmp_path / "b.tar")
                assert texts(tmp_path)["a.tar"] == "old"
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            assert texts(tmp_path) == {"a.tar": "old", "b.tar": "old"}
    assert texts(tmp_path) == {"a.tar": "new", "t.parquet": "new"}


@pytest.mark.parametrize(
    "told",
    [
        "",
        "[]",
        json.dumps({"new": [], "old": ["../victim"]}),
        json.dumps({"new": ["/victim"], "old": []}),
        json.dumps({"new": [], "old": ".."}),
        json.dumps({"new": [], "old": [1]}),
    ],
)
def test_a_list_of_others_is_refused(tmp_path: Path, told: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "victim").touch()
    (folder / LIST).write_text(told)
    with pytest.raises(DpedtoolError, match=r"dpedtool-publishing\.json .*delete it, and run the same command again"):
        complete(folder)
    assert (tmp_path / "victim").exists()


def test_a_folder_without_a_list_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".a.tar.dpedtool-part").touch()
    complete(tmp_path)
    assert list(texts(tmp_path)) == [".a.tar.dpedtool-part"]
