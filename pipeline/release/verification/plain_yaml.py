"""Reads YAML from unknown authors: only texts, lists and tables of them, and nothing that grows when it is read."""

from __future__ import annotations

from typing import Any

import yaml

from dpedtool.dataset.bounded_yaml import MOST_CHARACTERS


def load_yaml(text: str) -> Any:
    """Return what a YAML document says as dicts, lists and texts. Numbers stay texts, and tags have no effect.

    Raises
    ------
    ValueError
        It is longer than `MOST_CHARACTERS`.
    yaml.YAMLError, ArithmeticError, RecursionError
        It is not YAML, is nested too deeply, or has aliases. A few aliases can expand to any amount of data.

    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has more than {MOST_CHARACTERS} characters")
    return yaml.load(text, _Loader)  # noqa: S506, since it makes texts of everything


class _Loader(yaml.BaseLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "it has an alias, but a release has no aliases")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node
