"""CITATION.cff, BibTeX and LICENSE of a release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from release_rig import PARAMS

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import ReleaseParams
from dpedtool.pipeline.release.description import Description
from dpedtool.pipeline.release.documents.citation import bibtex, citation
from dpedtool.pipeline.release.documents.licence_text import licence_text


def description(**changes: Any) -> Description:
    return Description(params=replace(PARAMS, **changes), counts={}, figures={}, files=[], encoded=0, photos=[])


def cff(**changes: Any) -> dict[str, Any]:
    found = yaml.safe_load(citation(description(**changes)))
    assert isinstance(found, dict)
    return found


def test_people_and_groups_are_told_apart() -> None:
    found = cff(authors=("Doe, Jane", "The Group", "Doe, Jane", "Ends,"))
    assert found["authors"] == [
        {"family-names": "Doe", "given-names": "Jane"},
        {"name": "The Group"},
        {"name": "Ends,"},
    ]
    assert cff(authors=())["authors"] == [{"name": "The authors of tripod-pairs"}]


def test_the_fields_are_those_of_the_format() -> None:
    found = cff(doi="10.5281/zenodo.1", url="https://example.org/x", date="2026-03-31", version="2.0.0")
    assert (found["cff-version"], found["type"], found["title"]) == ("1.2.0", "dataset", "tripod-pairs")
    assert (found["doi"], found["url"], found["version"]) == ("10.5281/zenodo.1", "https://example.org/x", "2.0.0")
    # Validators need a text here, but YAML would read a date.
    assert found["date-released"] == "2026-03-31"
    assert not {"doi", "url", "date-released"} & set(cff())


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("CC-BY-4.0", {"license": "CC-BY-4.0"}),
        ("CDLA-Permissive-2.0", {"license-url": "https://spdx.org/licenses/CDLA-Permissive-2.0.html"}),
        ("LicenseRef-Mine", {}),
    ],
)
def test_a_licence_that_the_schema_does_not_know_is_no_identifier(licence: str, said: dict[str, str]) -> None:
    assert {key: value for key, value in cff(licence=licence).items() if key.startswith("license")} == said


def test_text_of_the_publisher_is_text() -> None:
    assert cff(description="a: b\n- c #d {")["abstract"] == "a: b - c #d {"
    assert cff(doi="10.5281/a<b>")["identifiers"] == [{"type": "other", "value": "doi:10.5281/a<b>"}]


def test_bibtex_names_groups_in_braces_and_leaves_no_command() -> None:
    found = bibtex(description(authors=("Doe, Jane", r"A & B} \input{x}"), date="2026-03-31", doi="10.5281/a_b"))
    assert found.startswith("@misc{tripod-pairs-2026,\n")
    assert r"author = {Doe, Jane and {A \& B\textbraceright{} \textbackslash{}input" in found
    assert r"doi = {10.5281/a\_b}" in found
    assert "year = {2026}" in found
    assert found.count("{") == found.count("}")
    assert "year" not in bibtex(description())


def test_the_notice_says_where_the_text_stands() -> None:
    text = licence_text(PARAMS)
    assert "SPDX-License-Identifier: CC-BY-4.0\n" in text
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in text
    assert "By Doe, Jane; The Tripod Group" in text


def test_the_text_of_a_file_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("\ufeffMy terms.\n\n", encoding="utf-8")
    params = replace(PARAMS, licence="LicenseRef-Mine", licence_file=str(tmp_path / "mine.txt"))
    assert licence_text(params) == "My terms.\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"licence": None}, "needs a licence"),
        ({"licence": "CC-BY"}, "is not the SPDX identifier"),
        ({"licence": "LicenseRef-Mine"}, "release.licence_file"),
        ({"licence_file": "missing.txt"}, "cannot be read"),
    ],
)
def test_without_a_text_there_is_no_licence(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DpedtoolError, match=said):
        licence_text(replace(PARAMS, **changes))


def test_a_file_that_is_empty_or_no_text_is_refused(tmp_path: Path) -> None:
    for content in (b" \n", b"\xff\xfe\x00"):
        (tmp_path / "odd.txt").write_bytes(content)
        with pytest.raises(DpedtoolError, match="name "):
            licence_text(ReleaseParams(licence="MIT", licence_file=str(tmp_path / "odd.txt")))
