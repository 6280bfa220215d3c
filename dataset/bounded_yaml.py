"""Reads YAML whose author may mean harm: within a bounded time, and in a bounded amount of memory.

A few aliases that name each other stand for any amount of data, which fills the memory once it is copied or printed. So
what an alias stands for counts each time.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

MOST_CHARACTERS = 2**18
"""Most characters of a document, with all that its aliases stand for; a params file with all comments has a tenth."""
UNUSABLE = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError),
    *(RecursionError, MemoryError, yaml.YAMLError),
)
"""What PyYAML raises for documents that are damaged, or made to do harm."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses a key given twice instead of taking the last."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._read = 0
        self._sizes: dict[int, int] = {}
        """How much each finished node stands for, by its identity; all nodes stay in memory while this is in use."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._read
        node: yaml.Node | None = super().compose_node(parent, index)
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self._sizes:
                raise yaml.YAMLError("an alias stands inside of what it names")
            self._read += self._sizes[id(node)]
        else:
            self._read += 1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
            self._sizes[id(node)] = self._read - before
        if self._read > MOST_CHARACTERS:
            raise yaml.YAMLError("its aliases stand for too much")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        # YAML itself refuses keys that are lists or mappings.
        known, twice = set[Hashable](), set[str]()
        for key in keys:
            if isinstance(key, Hashable):
                twice |= {str(key)} if key in known else set()
                known.add(key)
        if twice:
            shown = ", ".join(sorted(twice))
            raise yaml.MarkedYAMLError(problem=f"key given twice: {shown:.200}", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep=deep)


def load_yaml(text: str) -> Any:
    """Return what a YAML document says, with PyYAML's plain types.

    Raises
    ------
    ValueError, yaml.YAMLError and the others of UNUSABLE
        It is not YAML, is longer than `MOST_CHARACTERS`, is nested too deeply, or gives a key twice.

    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has more than {MOST_CHARACTERS} characters")
    return yaml.load(text, _Loader)  # noqa: S506 - a safe loader


def reason(error: BaseException) -> str:
    """Return one of the errors of `UNUSABLE` as a clause."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    # Nobody gave the text this name.
    words = str(error).replace('in "<unicode string>", line', "in line")
    return " ".join(words.split())[:300] or type(error).__name__
