"""YAML of strangers: texts, lists and tables of them, and nothing that grows when it is read."""

from __future__ import annotations

from typing import Any

import yaml

MOST_CHARACTERS = 2**18
"""Of a document: a citation with a thousand authors has less."""
UNUSABLE = (ValueError, ArithmeticError, RecursionError, yaml.YAMLError)
"""What `load_yaml` raises of documents that are damaged, or made so as to do harm."""


def load_yaml(text: str) -> Any:
    """Return what a YAML document says: dicts, lists and texts, into which numbers and tags are not turned.

    Raises
    ------
    ValueError
        It is longer than `MOST_CHARACTERS`.
    yaml.YAMLError, ArithmeticError, RecursionError
        It is no YAML, has aliases, a few of which can stand for any amount of data, or is nested too deeply.

    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has more than {MOST_CHARACTERS} characters")
    return yaml.load(text, _Loader)  # noqa: S506, since it makes texts of everything


class _Loader(yaml.BaseLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "it has an alias, which a release has none of")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node
