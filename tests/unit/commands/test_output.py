"""What all commands share: --quiet, --verbose, --json, and options that stand in a params file."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.progress import OUTPUT
from dpedtool.dataset.shards import Extent, read_extent
from dpedtool.pipeline.cli import COMMANDS, main
from dpedtool.pipeline.commands.options import Command, give_results, out_option, params_options


@click.command(cls=Command, gives="the answer")
@click.option("--count", type=int, default=1)
@click.option("--fast/--slow", default=False)
@click.option("--fail", is_flag=True)
@params_options
def answer(count: int, fast: bool, fail: bool, params: object) -> None:
    """Answer."""
    del params
    click.echo(f"said {count} {fast}")
    click.echo("warned", err=True)
    give_results({"count": count, "quiet": OUTPUT.quiet, "every_item": OUTPUT.every_item})
    if fail:
        raise DpedtoolError("It failed.")


def ask(*words: str) -> Result:
    return CliRunner().invoke(answer, words)


def test_plain_words_go_to_the_output() -> None:
    done = ask()
    assert (done.stdout, done.stderr) == ("said 1 False\n", "warned\n")


def test_quiet_leaves_warnings() -> None:
    done = ask("--quiet")
    assert (done.stdout, done.stderr) == ("", "warned\n")


@pytest.mark.parametrize("words", [(), ("--fail",)])
def test_json_is_alone_on_the_output(words: tuple[str, ...]) -> None:
    done = ask("--json", *words)
    assert json.loads(done.stdout) == {"count": 1, "quiet": False, "every_item": False}
    assert done.stderr.startswith("said 1 False\nwarned\n")
    assert isinstance(done.exception, DpedtoolError) == bool(words)


def test_json_and_quiet_go_together() -> None:
    done = ask("--json", "--quiet")
    assert json.loads(done.stdout)["quiet"]
    assert done.stderr == "warned\n"


def test_verbose_says_versions_and_time() -> None:
    done = ask("--verbose", "--json")
    assert json.loads(done.stdout)["every_item"]
    first, *_, last = done.stderr.splitlines()
    assert first.startswith("python ")
    assert last.endswith(" s.")


def params_file(tmp_path: Path, text: str) -> str:
    (tmp_path / "params.yaml").write_text(text)
    return str(tmp_path / "params.yaml")


def run_main(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def test_a_params_file_gives_options_and_the_command_line_overrides_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(main.commands, "answer", answer)
    file = params_file(tmp_path, "flags: {answer: {count: 7, fast: true}}")
    assert run_main("answer", "--params", file).stdout == "said 7 True\n"
    assert run_main("answer", "--count", "2", "--slow", "--params", file).stdout == "said 2 False\n"
    assert (
        run_main(
            "answer", "--params", params_file(tmp_path, "flags: {align: {workers: 7}, answer: {count: null}}")
        ).stdout
        == "said 1 False\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flags: {answer: {cuont: 7}}", "unknown key 'flags.answer.cuont': did you mean 'flags.answer.count'?"),
        ("flags: {answre: {count: 7}}", "unknown command 'flags.answre': did you mean 'flags.answer'?"),
        ("flags: {answer: {5: 1}}", "'flags' must hold commands with their flags"),
        ("flags: {answer: 3}", "'flags' must hold commands with their flags"),
        ("flags: {answer: {count: many}}", "'many' is not a valid integer"),
    ],
)
def test_wrong_options_of_a_params_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setitem(main.commands, "answer", answer)
    done = run_main("answer", "--params", params_file(tmp_path, text))
    assert done.exit_code == ParamsError.exit_code
    assert said in done.stderr


def test_an_interrupt_that_comes_while_an_object_is_deleted_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    @click.command(cls=Command)
    def work() -> None:
        Interrupted()
        time.sleep(20)
        click.echo("It went on.")

    monkeypatch.setitem(main.commands, "work", work)
    hook, handler = sys.unraisablehook, signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = run_main("work")
    finally:
        signal.signal(signal.SIGINT, handler)
    assert done.exit_code == 130
    assert "Interrupted. What was finished is kept" in done.stderr
    assert done.stdout == ""
    assert sys.unraisablehook is hook


def all_commands() -> list[tuple[str, click.Command]]:
    groups = [command for command in COMMANDS if isinstance(command, click.Group)]
    single = [(command.name or "", command) for command in COMMANDS if not isinstance(command, click.Group)]
    return single + [(f"{group.name} {name}", command) for group in groups for name, command in group.commands.items()]


@pytest.mark.parametrize(("name", "command"), all_commands())
def test_every_command_is_helpful(name: str, command: click.Command) -> None:
    said = run_main(*name.split(), "--help").stdout
    assert "--quiet" in said
    assert "--verbose" in said
    if not command.hidden:
        assert f"  dpedtool {name}" in said or f"| dpedtool {name}" in said


def test_every_command_that_gives_results_gives_them_as_json() -> None:
    without = {name for name, command in all_commands() if not any("--json" in param.opts for param in command.params)}
    # These print text for a file or a pipe, write what they were asked for, or are called by the recipe.
    assert without == {"params", "map", "simulate", "import-weights", "export", "init", "code-digests"}


def test_a_command_removes_what_a_killed_one_left_of_its_results(tmp_path: Path) -> None:
    @click.command(cls=Command)
    @out_option
    def write(out: Path) -> None:
        click.echo([path.name for path in out.iterdir()])

    (tmp_path / ".pairs.parquet.abc.dpedtool-part").touch()
    assert CliRunner().invoke(write, ["-o", str(tmp_path)]).stdout == "[]\n"


def test_an_error_of_a_file_in_words_of_our_own_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a shard that ends too early."""

    @click.command(cls=Command)
    def work() -> None:
        read_extent(Path(__file__), Extent(10**9, 1))

    monkeypatch.setitem(main.commands, "work", work)
    done = run_main("work")
    assert (done.exit_code, done.stderr) == (
        1,
        f"Error: {__file__} ends before byte 1000000001. What was finished is kept: fix this and run again.\n",
    )
