"""Identifiers of licences: on SPDX's list or of one's own, and as hubs write them."""

from __future__ import annotations

import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.licence import COMMON, check_licence, front_matter, is_own, text_address


@pytest.mark.parametrize("licence", ["MIT", "CC-BY-NC-4.0", "GPL-2.0+", "LicenseRef-My.Own", "CDLA-Permissive-2.0"])
def test_identifiers_on_the_list_and_names_of_ones_own_pass(licence: str) -> None:
    assert check_licence(licence) == licence
    assert is_own(licence) == (licence == "LicenseRef-My.Own")


@pytest.mark.parametrize(("written", "on_the_list"), [("cc-by-4.0", "CC-BY-4.0"), ("licenseref-X", "LicenseRef-X")])
def test_an_identifier_is_spelled_as_on_the_list(written: str, on_the_list: str) -> None:
    assert check_licence(written) == on_the_list


@pytest.mark.parametrize(
    "licence",
    [
        "",
        "MIT OR Apache-2.0",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        "free for all",
        "-MIT",
        "MIT\n",
        "MIT: x",
        "Ünfrei",
        "(MIT)",
        "LicenseRef-",
        "LicenseRef-a_b",
    ],
)
def test_other_text_is_no_licence(licence: str) -> None:
    with pytest.raises(DpedtoolError, match="is not the SPDX identifier of a licence"):
        check_licence(licence)


@pytest.mark.parametrize(
    ("written", "meant"), [("CC BY 4.0", "CC-BY-4.0"), ("CC-BY-40", "CC-BY-4.0"), ("Apache2", "Apache-2.0")]
)
def test_a_wrong_one_is_told_the_nearest(written: str, meant: str) -> None:
    with pytest.raises(DpedtoolError, match=f"write {meant}, the nearest one"):
        check_licence(written)
    with pytest.raises(DpedtoolError, match="write one such as"):
        check_licence("Wxyz")


def test_all_that_are_proposed_are_on_the_list() -> None:
    assert [check_licence(identifier) for identifier in COMMON] == list(COMMON)


@pytest.mark.parametrize(
    ("licence", "fields"),
    [
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("ODbL-1.0", {"license": "odbl"}),
        ("GPL-3.0-or-later", {"license": "gpl-3.0"}),
        ("ASWF-Digital-Assets-1.1", {"license": "other", "license_name": "ASWF-Digital-Assets-1.1"}),
        ("LicenseRef-Mine", {"license": "other", "license_name": "LicenseRef-Mine"}),
    ],
)
def test_hubs_get_a_name_they_know(licence: str, fields: dict[str, str]) -> None:
    assert front_matter(licence) == fields


@pytest.mark.parametrize(
    ("licence", "address"),
    [
        ("CC-BY-NC-SA-4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode"),
        ("CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/legalcode"),
        ("CC-BY-3.0-DE", "https://spdx.org/licenses/CC-BY-3.0-DE.html"),
        ("GPL-2.0+", "https://spdx.org/licenses/GPL-2.0.html"),
    ],
)
def test_the_text_of_a_licence_stands_somewhere(licence: str, address: str) -> None:
    assert text_address(licence) == address
