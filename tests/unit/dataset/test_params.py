"""Params files: what is accepted, what is refused, and what the refusal says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from dpedtool.dataset.errors import ParamsError
from dpedtool.dataset.params import AlignParams, CapturesParams, Params, SplitParams, describe
from dpedtool.dataset.params_files import as_yaml, load_params
from dpedtool.dataset.train_params import LOSS_ARGS, TrainParams, load_preset, preset_names


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_defaults_hold() -> None:
    assert load_params(None) == Params()


def test_an_empty_file_and_an_empty_section_are_the_defaults(tmp_path: Path) -> None:
    for text in ("", "align:\n", "captures: {}\n"):
        params = load_params(write(tmp_path, text))
        assert replace(params, captures=CapturesParams()) == Params()


def test_the_folder_of_captures_is_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path.parent)
    near = load_params(write(tmp_path, "captures: {root: photos}"))
    assert Path(near.captures.root).resolve() == tmp_path / "photos"
    assert load_params(write(tmp_path, "captures: {root: /photos}")).captures.root == "/photos"


def test_an_override_of_that_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, "captures: {root: photos}")
    assert load_params(path, ("captures.root=here",)).captures.root == "here"
    assert load_params(path, ("captures.reference=canon",)).captures.root == str(tmp_path / "photos")


def test_a_file_changes_only_what_it_names(tmp_path: Path) -> None:
    params = load_params(write(tmp_path, "align:\n  ratio: 0.7\ncaptures:\n  phones: [a, b]\n"))
    assert params.align == AlignParams(ratio=0.7)
    assert params.captures.phones == ("a", "b")
    assert params.train == TrainParams()


def test_a_whole_number_is_taken_for_a_float_and_an_exponent_without_a_point_too(tmp_path: Path) -> None:
    params = load_params(write(tmp_path, "train:\n  learning_rate: 5e-4\n  losses: [{loss: tv, weight: 2}]\n"))
    assert params.train.learning_rate == 0.0005
    (term,) = params.train.losses
    assert (term.loss, term.weight) == ("tv", 2.0)
    assert isinstance(term.weight, float)


def test_a_parameter_that_may_be_left_open_is_null_or_a_number() -> None:
    assert load_params(None).pair.offset_s is None
    assert load_params(None, ("pair.offset_s=-37",)).pair.offset_s == -37.0
    assert load_params(None, ("pair.offset_s=5", "pair.offset_s=null")).pair.offset_s is None
    for wrong in ("soon", "true", "[1]"):
        with pytest.raises(ParamsError, match=r"pair\.offset_s must be a number"):
            load_params(None, (f"pair.offset_s={wrong}",))
    with pytest.raises(ParamsError, match="finite"):
        load_params(None, ("pair.offset_s=.inf",))


def test_overrides_win_over_the_file_and_the_last_one_over_the_others(tmp_path: Path) -> None:
    path = write(tmp_path, "align: {ratio: 0.7, features: 99}")
    params = load_params(path, ("align.ratio=0.6", "align.ratio=0.5", "captures.phones=[x, y]"))
    assert params.align == AlignParams(ratio=0.5, features=99)
    assert params.captures.phones == ("x", "y")


@pytest.mark.parametrize("last", ["places", "place_px"])
def test_overrides_that_are_right_only_together_may_stand_in_any_order(last: str) -> None:
    values = {"places": "shared", "place_px": 90}
    names = sorted(values, key=lambda name: name == last)
    patches = load_params(None, tuple(f"patches.{name}={values[name]}" for name in names)).patches
    assert (patches.places, patches.place_px) == ("shared", 90)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "losses: [{loss: pixle, weight: 1}]",
            "losses: each item: loss must be one of pixel, .*",
        ),
        ("losses: [pixel]", "losses: each item must be {loss: ..., weight: ..., args: ...}, not 'pixel'"),
        ("losses: [{weight: 1}]", "losses: each item must be {loss: ..., weight: ..., args: ...}"),
        ("losses: [{loss: pixel, wait: 1}]", "losses: each item must be {loss: ..., weight: ..., args: ...}"),
        ("losses: [{loss: pixel, weight: -1}]", "losses: each item: weight must be at least 0"),
        ("losses: [{loss: pixel}, {loss: pixel}]", "losses has two terms called pixel"),
        ("losses: [{loss: psnr}, {loss: 'own:psnr'}]", "losses has two terms called psnr"),
        ("losses: [{loss: pixel, args: {tile_px: 9}}]", "losses: each item: pixel takes no args: leave them out."),
        (
            "losses: [{loss: shifted_psnr, args: {shift_px: 2}}]",
            "losses: each item: shifted_psnr has no argument 'shift_px': its args are max_shift_px, steps_per_px, .*",
        ),
        (
            "losses: [{loss: shifted_psnr, args: {max_shift_px: 9}}]",
            "losses: each item: args of shifted_psnr: max_shift_px must be at most 4, not 9.",
        ),
        (
            "losses: [{loss: cobi, args: {spatial_weight: far}}]",
            "args of cobi: spatial_weight must be a number, not 'far'",
        ),
        ("losses: [{loss: cobi, args: [2]}]", "losses: each item: args must hold values by name"),
        ("losses: []", "losses has no term with a weight above 0"),
        ("network: vit", "network must be one of resnet, srcnn, mobile, package.module:Class, not 'vit'"),
        ("network_args: {width: 3}", "network_args are for a network of your own, and network is resnet"),
        ("{network: 'own:Net', network_args: {day: 2020-01-02}}", "network_args must hold numbers, texts"),
        ("{network: 'own:Net', network_args: {width: .nan}}", "network_args must hold numbers, texts"),
        ("{network: 'own:Net', network_args: [1]}", "network_args must hold values by name"),
    ],
)
def test_a_mistake_in_losses_and_networks_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ParamsError, match=re.escape(words).replace(r"\.\*", ".*")):
        load_params(write(tmp_path, f"train: {text}" if text.startswith("{") else f"train: {{{text}}}"))


@pytest.mark.parametrize(
    ("text", "losses"),
    [
        ("tv_weight: 2", "{loss: psnr, weight: 1.0}, {loss: ms_ssim, weight: 1.0}, {loss: tv, weight: 2}"),
        (
            "preset: paper, content_weight: 0, texture_weight: 0",
            "{loss: colour, weight: 0.1}, {loss: tv, weight: 400.0}",
        ),
    ],
)
def test_a_weight_of_an_earlier_version_is_refused_with_the_list_to_write(
    tmp_path: Path, text: str, losses: str
) -> None:
    with pytest.raises(ParamsError, match=r"_weight' is now a part of 'losses': write losses: \[") as refused:
        load_params(write(tmp_path, f"train: {{{text}}}"))
    assert str(refused.value).endswith(f"write losses: [{losses}]")
    given = text.split(",")[0] if "preset" in text else "preset: fidelity"
    load_params(write(tmp_path, f"train: {{{given}, losses: [{losses}]}}"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("aligm: {}", ["'aligm'", "did you mean 'align'?"]),
        ("align: {ration: 0.7}", ["'align.ration'", "did you mean 'align.ratio'?"]),
        ("align: {zzzzzz: 1}", ["'align.zzzzzz'", "align.ratio"]),
        ("1: 2", ["'1'"]),
        ("align: 3", ["'align'", "section"]),
        ("- align", ["list"]),
        ("align: {ratio: [", ["not readable as YAML"]),
        ("align: {features: true}", ["align.features", "whole number", "True"]),
        ("align: {features: 400.5}", ["align.features", "whole number", "400.5"]),
        ("align: {ratio: many}", ["align.ratio", "a number", "'many'"]),
        ("align: {ratio: .nan}", ["align.ratio", "finite"]),
        ("align: {ratio: .inf}", ["align.ratio", "finite"]),
        ("align: {ratio: 0}", ["align.ratio", "above 0"]),
        ("align: {ratio: 1.01}", ["align.ratio", "at most 1"]),
        ("align: {min_inliers: 3}", ["align.min_inliers", "at least 4"]),
        ("align: {ratio: }", ["align.ratio", "a number", "None"]),
        ("patches: {format: gif}", ["patches.format", "png, jpg", "'gif'"]),
        ("demo: {parallax: 1}", ["demo.parallax", "true or false"]),
        ("captures: {phones: phone-a}", ["captures.phones", "a list"]),
        ("captures: {phones: [7]}", ["captures.phones", "text", "7"]),
        ("captures: {reference: ../dslr}", ["captures.reference", "'../dslr'"]),
        ("captures: {phones: ['<b>']}", ["captures.phones", "'<b>'"]),
        ("split: {test: 0.6, validation: 0.4}", ["split", "below 1"]),
        ("patches: {angle_step_deg: 1e-9}", ["max_angle_deg", "angle_step_deg", "larger step"]),
        ("patches: {max_angle_deg: 0.3}", ["angle_step_deg 0.5", "max_angle_deg 0.3", "no turn"]),
        ("patches: {mode: fast}", ["patches.mode", "strict, dped", "'fast'"]),
    ],
)
def test_what_a_file_may_not_say(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ParamsError) as refused:
        load_params(path)
    message = str(refused.value)
    assert all(word in message for word in [str(path), *words]), message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("ratio=1", ["section.key=value"]),
        ("align.ratio", ["section.key=value"]),
        ("align.ratio=[", ["not readable as YAML"]),
        ("aling.ratio=1", ["did you mean 'align'?"]),
        ("align.ratios=1", ["did you mean 'align.ratio'?"]),
        ("align.ratio=2", ["align.ratio", "at most 1"]),
        ("train.learning_rate=1e9", ["train.learning_rate", "at most 1"]),
    ],
)
def test_what_an_override_may_not_say(override: str, words: list[str]) -> None:
    with pytest.raises(ParamsError) as refused:
        load_params(None, (override,))
    assert all(word in str(refused.value) for word in words), str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"no params file .*nowhere\.yaml"):
        load_params(tmp_path / "nowhere.yaml")


def test_a_binary_file_and_a_folder_are_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    for path in (tmp_path / "binary.yaml", tmp_path):
        with pytest.raises(ParamsError, match=r"not readable as YAML|it is not a file"):
            load_params(path)


def test_a_section_built_in_code_is_checked_too() -> None:
    with pytest.raises(ParamsError, match="ratio must be above 0"):
        AlignParams(ratio=-1)
    with pytest.raises(ParamsError, match="below 1"):
        SplitParams(test=0.5, validation=0.5)


def test_a_description_is_plain_data_in_the_order_of_the_fields() -> None:
    described = describe(CapturesParams(phones=("a", "b")))
    assert described == {
        "root": "demo/captures",
        "reference": "dslr",
        "references": [],
        "phones": ["a", "b"],
        "sessions": [],
        "recursive": False,
        "scenes": None,
    }
    assert list(described) == ["root", "reference", "references", "phones", "sessions", "recursive", "scenes"]


def test_the_printed_params_load_as_what_was_printed(tmp_path: Path) -> None:
    changed = load_params(None, ("align.ratio=0.7", "captures.root=/photos", "captures.phones=[a]", "train.batch=3"))
    text = as_yaml(changed)
    assert load_params(write(tmp_path, text)) == changed
    assert (
        "  # sigma of the Gaussian that smooths both grey photos before the NCC, in px; at least 0; at most 50\n"
        in text
    )
    assert "; at least -1; at most 1\n  min_ncc: 0.9\n" in text


def test_a_number_beyond_a_float_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="tolerance_s"):
        load_params(write(tmp_path, f"pair: {{tolerance_s: 1{'0' * 400}}}"))


def test_a_preset_gives_what_is_not_given(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train: {preset: paper, batch: 8}\n", encoding="utf-8")
    train = load_params(path).train
    assert (train.batch, train.norm, train.weight_of("colour")) == (8, "batch", 0.1)
    released = load_params(path, ("train.preset=released-code",)).train
    assert (released.batch, released.norm, released.weight_of("colour")) == (8, "instance", 0.5)


def test_the_network_for_phones_has_its_own_usual_channels(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    for text, network, channels in (
        ("{network: mobile}", "mobile", 24),
        ("{preset: paper, network: mobile}", "mobile", 24),
        ("{network: mobile, channels: 64}", "mobile", 64),
        ("{preset: fidelity}", "resnet", 64),
        ("{channels: 24}", "resnet", 24),
    ):
        path.write_text(f"train: {text}\n", encoding="utf-8")
        train = load_params(path).train
        assert (train.network, train.channels) == (network, channels)
    path.write_text("train: {network: [mobile]}\n", encoding="utf-8")
    with pytest.raises(ParamsError, match=r"network must be text, not \['mobile'\]"):
        load_params(path)


def test_the_defaults_are_the_preset_fidelity() -> None:
    assert TrainParams(**TrainParams.completed({"preset": "fidelity"})) == TrainParams() == Params().train


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_says_where_it_comes_from_and_builds(name: str) -> None:
    preset = load_preset(name)
    assert preset.source
    assert preset.expected
    train = describe(TrainParams(**TrainParams.completed({"preset": name})))
    assert all(train[key] == value for key, value in preset.values.items())


def test_arguments_of_losses_are_told_where_there_are_some() -> None:
    params = load_params(None, ("train.losses=[{loss: psnr}, {loss: shifted_psnr, args: {max_shift_px: 2}}]",))
    assert describe(params.train)["losses"] == [
        {"loss": "psnr", "weight": 1.0},
        {"loss": "shifted_psnr", "weight": 1.0, "args": {"max_shift_px": 2}},
    ]


@pytest.mark.parametrize("loss", LOSS_ARGS)
def test_the_page_on_training_has_the_arguments_of_every_loss_with_their_defaults(loss: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith("| `") and f"`{loss}`" in line]
    defaults = describe(LOSS_ARGS[loss]())
    assert all(f"`{name}: {str(value).lower()}`" in row for name, value in defaults.items())


def test_a_preset_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"train\.preset must be one of fidelity, paper, released-code, not 'papre'"):
        load_params(None, ("train.preset=papre",))


@pytest.mark.parametrize(
    ("key", "value", "form"),
    [
        ("name", "my data", "letters, digits"),
        ("version", "1.0", "three numbers, as in 1.0.0"),
        ("date", "31.3.2026", "a day, as in 2026-03-31"),
        ("date", "2026-02-31", "not a day of the calendar"),
        ("doi", "https://doi.org/10.5281/zenodo.1", "without an address before it"),
        ("url", "example.org", "begins with https://"),
        ("dslr_folder", "../canon", "since it becomes a folder"),
        ("layouts", [], "name at least one"),
        ("layouts", ["dped", "dped"], "names a layout twice"),
        ("layouts", ["zip"], "must be one of dped, webdataset, parquet"),
    ],
)
def test_what_a_release_says_has_a_form(tmp_path: Path, key: str, value: object, form: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"release": {key: value}}))
    with pytest.raises(ParamsError, match=re.escape(form)):
        load_params(file)


def test_a_day_without_quotes_is_text(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("release: {date: 2026-03-31, licence_file: terms.txt}")
    release = load_params(tmp_path / "params.yaml").release
    assert (release.date, release.licence_file) == ("2026-03-31", str(tmp_path / "terms.txt"))


# Files made to do harm

LAUGHS = "\n".join([*(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}' if n else 'x'] * 9)}]" for n in range(10)), "align: *l9"])
"""Half a kilobyte that expands to gigabytes when it is printed, and so in the sentence on a wrong section."""
MERGED = "l0: &l0 {x: 1}\n" + "\n".join(f"l{n}: &l{n} {{<<: [{', '.join([f'*l{n - 1}'] * 9)}]}}" for n in range(1, 10))
HARMFUL = {
    "aliases of aliases": (LAUGHS, "its aliases stand for too much"),
    "merged aliases": (MERGED, "its aliases stand for too much"),
    "an alias of a long text": (f"a: &a {'x' * 100_000}\nalign: [*a, *a, *a]", "its aliases stand for too much"),
    "an alias of itself": ("align: &a [*a]", "an alias stands inside of what it names"),
    "a deep list": ("align: " + "[" * 20_000, "it is nested too deeply"),
    "a deep mapping": ("align: " + "{a: " * 20_000, "it is nested too deeply"),
    "many characters": ("a" * 300_000, "it has more than 262144 characters"),
    "no date": ("align: 2020-99-99", "month must be in 1..12"),
    "no truth": ("align: !!bool x", "'x'"),
    "no number": ("align: !!float x", "could not convert string to float: 'x'"),
    "a long number": ("align: " + "9" * 5000, "Exceeds the limit"),
    "a list as a mapping": ("align: !!map [a]", "cannot unpack"),
}


@pytest.mark.parametrize("harm", HARMFUL)
def test_yaml_made_to_do_harm_is_one_sentence(tmp_path: Path, harm: str) -> None:
    text, reason = HARMFUL[harm]
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=re.escape(f"is not readable as YAML ({reason}")) as caught:
        load_params(tmp_path / "params.yaml")
    assert len(str(caught.value)) < 1000
    with pytest.raises(ParamsError) as caught:
        load_params(None, (f"align.ratio={text.removeprefix('align: ')}",))
    assert len(str(caught.value)) < 1000


def test_a_few_aliases_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("captures:\n  phones: &phones [a, b]\n  sessions: *phones\n")
    assert load_params(tmp_path / "params.yaml").captures.sessions == ("a", "b")


def test_thirty_thousand_keys_are_refused_at_once(tmp_path: Path) -> None:
    # Comparing each key with each other takes minutes.
    (tmp_path / "params.yaml").write_text("\n".join(f"k{number}:" for number in range(30_000)))
    with pytest.raises(ParamsError, match="unknown key 'k0'"):
        load_params(tmp_path / "params.yaml")
