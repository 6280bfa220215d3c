"""Every parameter survives a file, and a typing error is refused with the nearest name."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from dpedtool.dataset.errors import ParamsError
from dpedtool.dataset.params import Params, describe
from dpedtool.dataset.params_files import load_params

KEYS = [
    (section.name, declared.name)
    for section in dataclasses.fields(Params)
    for declared in dataclasses.fields(section.default)
]


def load_text(text: str) -> Params:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(text, encoding="utf-8")
        params = load_params(path)
    # The folder of captures is relative to the file; here to be compared, it is not.
    root = Path(params.captures.root)
    if root.is_relative_to(folder):
        root = root.relative_to(folder)
    return dataclasses.replace(params, captures=dataclasses.replace(params.captures, root=str(root)))


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_field_has_a_meaning_and_its_default_survives_a_file(section: str, key: str) -> None:
    default = getattr(Params(), section)
    field = next(field for field in dataclasses.fields(default) if field.name == key)
    assert field.metadata["meaning"]
    assert load_text(yaml.safe_dump({section: {key: describe(default)[key]}})) == Params()


@given(
    st.floats(0.01, 1, exclude_min=True),
    st.integers(4, 10**6),
    st.lists(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,8}\Z"), max_size=4, unique=True).filter(
        lambda names: "dslr" not in names
    ),
    st.booleans(),
    st.sampled_from(["png", "jpg"]),
)
def test_a_description_loads_as_what_it_describes(
    ratio: float, inliers: int, phones: list[str], parallax: bool, image_format: str
) -> None:
    changed = {
        "align": {"ratio": ratio, "min_inliers": inliers},
        "captures": {"phones": phones, "root": "/photos"},
        "demo": {"parallax": parallax},
        "patches": {"format": image_format},
    }
    first = load_text(yaml.safe_dump(changed))
    whole = {section.name: describe(getattr(first, section.name)) for section in dataclasses.fields(Params)}
    assert load_text(yaml.safe_dump(whole)) == first
    assert first.align.ratio == ratio
    assert first.captures.phones == tuple(phones)


@given(st.sampled_from(KEYS), st.data())
def test_a_mistyped_key_is_refused_with_the_nearest_name(place: tuple[str, str], data: st.DataObject) -> None:
    section, key = place
    index = data.draw(st.integers(0, len(key)))
    slip = key[:index] + data.draw(st.sampled_from("xz_")) + key[index:]
    assume((section, slip) not in KEYS)
    with pytest.raises(ParamsError) as refused:
        load_text(yaml.safe_dump({section: {slip: 1}}))
    assert f"'{section}.{slip}'" in str(refused.value)
    assert f"did you mean '{section}.{key}'?" in str(refused.value)


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=4) | st.none(), min_size=1, max_size=3))
def test_any_other_file_is_refused_in_one_sentence(document: dict[str, object]) -> None:
    assume(not set(document) <= {section.name for section in dataclasses.fields(Params)})
    with pytest.raises(ParamsError) as refused:
        load_text(yaml.safe_dump(document))
    assert "unknown key" in str(refused.value)
