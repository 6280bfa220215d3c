"""Private texts: a release's own documents contain none, for any name of the machine."""

from __future__ import annotations

import json
import re
import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from release_rig import PARAMS, describe_release, write_release

from dpedtool.dataset import markdown
from dpedtool.dataset.params import LayoutName
from dpedtool.pipeline.release.documents.card import card
from dpedtool.pipeline.release.privacy.private_texts import Login, private_texts
from dpedtool.pipeline.release.privacy.scan import scan, scan_file

names = st.text(string.ascii_lowercase, min_size=3, max_size=12)
roots = st.sampled_from(
    ["/home/", "/cluster/home/", "/net/home/", "/data/users/", "/scratch/", "/nas4/lab/", "/mnt/x/"]
)
others = st.sampled_from(["~{}/", "D:\\{}\\x", "D:/Photos/{} Doe/x.jpg", "\\\\nas\\{}\\", "file:///a/{}", "/Users/{}"])
befores = st.sampled_from(["", "in ", "'", "(", "host:", '"', "a=", "<"])


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(tmp_path_factory.mktemp("paths") / "release")


def test_our_own_documents_tell_nothing_whatever_the_user_is_called(release: Path) -> None:
    files = [path for path in release.rglob("*") if path.is_file()]
    assert [finding for path in files for finding in scan_file(path, path.relative_to(release).as_posix())] == []
    texts = [path.read_text() for path in files if path.suffix in {".md", ".json", ".cff", ""}]
    layouts: tuple[LayoutName, ...] = ("dped", "webdataset", "parquet")
    texts += [card(describe_release(release, replace(PARAMS, layouts=(layout,)))) for layout in layouts]
    parts = {part for text in texts for part in re.findall(r"[^\s\"]*[/\\~][^\s\"]*", text)}
    logins = {Login(word) for part in parts for word in re.findall(r"[A-Za-z]\w{2,}", part)}
    assert len(logins) > 50
    assert [finding for text in texts for finding in private_texts(text, logins)] == []


@given(befores, names, st.one_of(roots.map("{}{{}}/".format), others))
def test_absolute_paths_are_found_however_they_are_written(before: str, name: str, shape: str) -> None:
    said = before + shape.format(name)
    assert name in private_texts(said)[0]
    assert name in scan("a", json.dumps({"a": said}).encode())[0]
    assert private_texts(markdown.text(said)) != []


@given(st.lists(names, min_size=1, max_size=6), st.sampled_from(["{}", "https://a.org/{}", "./{}", "a/{}", "../{}"]))
def test_other_paths_are_no_findings(parts: list[str], shape: str) -> None:
    said = shape.format("/".join(parts))
    for text in (said, json.dumps({"a": said}), markdown.text(said)):
        assert scan("a", text.encode()) == []
