"""Licences by their SPDX identifiers: which ones exist, and what hubs of models and data sets call them."""

from __future__ import annotations

import difflib
import re

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from dpedtool.dataset.errors import DpedtoolError

OWN = "LicenseRef-"
"""Beginning of an identifier that is not on SPDX's list."""
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*\+?")
_CREATIVE_COMMONS = (
    *("CC0-1.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-ND-4.0"),
    *("CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0"),
    *("CC-BY-NC-SA-2.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0"),
)
_AS_IN_SPDX = (
    *_CREATIVE_COMMONS,
    *("Apache-2.0", "MIT", "AFL-3.0", "Artistic-2.0", "BSL-1.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear"),
    *("CDLA-Sharing-1.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "WTFPL", "ECL-2.0", "EPL-1.0", "EPL-2.0"),
    *("etalab-2.0", "EUPL-1.1", "ISC", "LPPL-1.3c", "MS-PL", "MPL-2.0", "OSL-3.0", "PostgreSQL", "OFL-1.1", "NCSA"),
    *("Unlicense", "Zlib"),
)
_HUBS = {identifier: identifier.lower() for identifier in _AS_IN_SPDX} | {
    "C-UDA-1.0": "c-uda",
    "ODbL-1.0": "odbl",
    "ODC-By-1.0": "odc-by",
    "PDDL-1.0": "pddl",
    "AGPL-3.0-only": "agpl-3.0",
    "AGPL-3.0-or-later": "agpl-3.0",
    "GPL-2.0-only": "gpl-2.0",
    "GPL-2.0-or-later": "gpl-2.0",
    "GPL-3.0-only": "gpl-3.0",
    "GPL-3.0-or-later": "gpl-3.0",
    "LGPL-2.1-only": "lgpl-2.1",
    "LGPL-2.1-or-later": "lgpl-2.1",
    "LGPL-3.0-only": "lgpl-3.0",
    "LGPL-3.0-or-later": "lgpl-3.0",
}
"""What Hugging Face calls a licence (huggingface.co/docs/hub/repositories-licenses), by SPDX's identifier."""
COMMON = tuple(_HUBS)
"""Identifiers of licences that data and models are often published under."""


def check_licence(identifier: str) -> str:
    """Return the identifier of one licence on SPDX's list, spelled as there; or LicenseRef-NAME.

    Raises
    ------
    DpedtoolError
        It is not on the list, or is an expression of several licences.

    """
    try:
        if not _IDENTIFIER.fullmatch(identifier):
            raise InvalidLicenseExpression(identifier)
        return str(canonicalize_license_expression(identifier))
    except InvalidLicenseExpression:
        raise DpedtoolError(
            f"{identifier!r} is not the SPDX identifier of a licence: {_advice(identifier)}, or LicenseRef-NAME for a "
            "licence of your own."
        ) from None


def is_own(identifier: str) -> bool:
    """Whether an identifier that `check_licence` accepted names a licence that is not on SPDX's list."""
    return identifier.startswith(OWN)


def front_matter(identifier: str) -> dict[str, str]:
    """Return the licence fields of a card for hubs: a name that they know, or `other` and the identifier.

    Parameters
    ----------
    identifier
        One that `check_licence` accepts.

    """
    if known := _HUBS.get(identifier):
        return {"license": known}
    return {"license": "other", "license_name": identifier}


def text_address(identifier: str) -> str:
    """Return the address of the text of a licence on SPDX's list."""
    if found := re.fullmatch(r"CC-(BY(?:-NC)?(?:-SA|-ND)?)-(\d\.\d)", identifier):
        return f"https://creativecommons.org/licenses/{found[1].lower()}/{found[2]}/legalcode"
    if identifier == "CC0-1.0":
        return "https://creativecommons.org/publicdomain/zero/1.0/legalcode"
    return f"https://spdx.org/licenses/{identifier.removesuffix('+')}.html"


def _advice(identifier: str) -> str:
    by_small = {known.lower(): known for known in COMMON}
    near = difflib.get_close_matches("-".join(identifier.lower().split()), by_small, 1)
    return f"write {by_small[near[0]]}, the nearest one" if near else "write one such as Apache-2.0 or CC-BY-NC-4.0"
