"""Names that others wrote cannot control the terminal."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dpedtool.dataset.printing import Visible, as_it_is, printing_visibly, visible
from dpedtool.dataset.progress import showing
from dpedtool.pipeline.cli import main

EVIL = "a\x1b]0;title\x07\x1b[2K\rb\x9b2J\u202ec"
WRITTEN_OUT = r"a\x1b]0;title\x07\x1b[2K\x0db\x9b2J\u202ec"


def test_control_characters_are_written_out() -> None:
    assert visible(EVIL) == WRITTEN_OUT
    assert visible("Zürich\t→ 3 µm\n") == "Zürich\t→ 3 µm\n"
    assert visible("\x1b[1mbold\x1b[0m \x1b[31mred") == "\x1b[1mbold\x1b[0m \\x1b[31mred"
    assert visible(os.fsdecode(b"\xff\x80.jpg")) == r"\xff\x80.jpg"


@pytest.mark.parametrize("words", [("params", "--params"), ("pair",), ("report", "-o", "out"), ("no such command",)])
def test_every_error_shows_the_control_characters_of_names(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(
        main, [*words, str(tmp_path / EVIL), *([EVIL, "-o", "out"] if words == ("pair",) else [])]
    )
    assert result.exit_code
    assert not {"\x1b", "\x07", "\r", "\x9b", "\u202e"} & {*result.output}
    assert r"\x1b" in result.output or words == ("no such command",)


def test_files_in_a_folder_are_named_visibly(tmp_path: Path, captures: Path) -> None:
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / f"{EVIL}.jpg").symlink_to(next((captures / "phone").glob("*.jpg")))
    result = CliRunner().invoke(
        main, ["pair", str(tmp_path / "phone"), str(captures / "dslr"), "-o", str(tmp_path / "out")]
    )
    assert not {"\x1b", "\x07", "\x9b"} & {*result.output}


def test_lines_above_a_bar_are_visible_and_the_bar_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with printing_visibly(), showing("Enhanced", 2) as reach:
        print(EVIL, file=sys.stderr)
        reach(1)
    shown = terminal.getvalue()
    assert WRITTEN_OUT.partition("2K")[0].replace("[", "") in shown.replace("[", "")
    assert "\x1b[2K" in shown
    assert not {"\x07", "\x9b", "\u202e"} & {*shown}


def test_the_stream_itself_is_at_hand() -> None:
    stream = io.StringIO()
    assert as_it_is(Visible(stream)) is stream  # type: ignore[arg-type]
    assert as_it_is(stream) is stream
    with pytest.raises(AttributeError):
        _ = Visible(stream).buffer
