"""README.md of a release: plain sentences with figures, nothing untrue for any parameters, and escaped data."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard
from markdown_it import MarkdownIt
from release_rig import PARAMS, describe_release, write_release

from dpedtool.dataset.params import ReleaseParams
from dpedtool.pipeline.release.description import Description
from dpedtool.pipeline.release.documents.card import card

HOSTILE = "<img src=x onerror=alert(1)>.jpg | `x` [y](z)\n# head"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(tmp_path_factory.mktemp("card") / "release")


def told(release: Path, *, figures: dict[str, Any] | None = None, known: Any = None, **changes: Any) -> str:
    """The card of a release that lies there, of other parameters, figures or what else is known."""
    params: ReleaseParams = replace(PARAMS, **changes)
    return card(describe_release(release, params, figures, **(known or {})))


def test_hubs_read_the_head(release: Path) -> None:
    data = DatasetCard.load(release / "README.md").data.to_dict()
    assert (data["license"], data["pretty_name"]) == ("cc-by-4.0", "tripod-pairs")
    assert (data["task_categories"], data["size_categories"]) == (["image-to-image"], ["n<1K"])
    iphone = data["configs"][0]
    assert iphone["config_name"] == "iphone"
    assert iphone["data_files"][0] == {"split": "train", "path": "parquet/iphone/train-*.parquet"}
    info = data["dataset_info"][0]
    assert {"name": "phone_image", "dtype": "image"} in info["features"]
    assert {"name": "ncc", "dtype": "float64"} in info["features"]
    assert [split["num_examples"] for split in info["splits"]] == [5, 2, 3]
    size = sum(path.stat().st_size for path in (release / "parquet/iphone").glob("train-*"))
    assert info["splits"][0]["num_bytes"] == size


@pytest.mark.parametrize(
    ("layouts", "path"), [(("webdataset",), "webdataset/iphone/train-*.tar"), (("dped",), None), (("parquet",), None)]
)
def test_hubs_are_led_to_the_layout_that_is_there(release: Path, layouts: Any, path: str | None) -> None:
    head = yaml.safe_load(told(release, layouts=layouts).split("---\n")[1])
    assert ("dataset_info" in head) == (layouts == ("parquet",))
    assert ("viewer" in head) == ("configs" not in head) == (layouts == ("dped",))
    if path:
        assert head["configs"][0]["data_files"][0]["path"] == path


def test_a_licence_of_ones_own_is_linked(release: Path) -> None:
    text = told(release, licence="LicenseRef-Mine")
    head = yaml.safe_load(text.split("---\n")[1])
    assert (head["license"], head["license_name"], head["license_link"]) == ("other", "LicenseRef-Mine", "LICENSE")
    assert "LicenseRef-Mine, a licence of its own" in text
    assert "No licence is stated, so only" in told(release, licence=None)


@pytest.mark.parametrize(("count", "category"), [(999, "n<1K"), (1000, "1K<n<10K"), (160_000, "100K<n<1M")])
def test_the_size_is_a_category_of_hubs(release: Path, count: int, category: str) -> None:
    text = told(release, known={"counts": {"iphone": {"train": count, "validation": 0, "test": 0}}})
    assert yaml.safe_load(text.split("---\n")[1])["size_categories"] == [category]
    assert f"{count:,} pairs of image patches".replace(",", " ") in text


def test_the_figures_stand_in_tables(release: Path) -> None:
    text = told(release)
    for row in (
        "| iphone | Apple iPhone X | 5 | 2 | 3 | 10 |",
        "| iphone | train | 3 | 3 | 5 |",
        "| iphone | the DSLR | 900 x 600 | 6 |",
        "| iphone | 9 | 7 | 30 | 14 | 46.7 % | 1.56 |",
        "| low\\_ncc | 10 | the two windows differ: correlation below patches.min\\_ncc |",
        "| parallax | 1 | the scene has depth, which the lenses see from different places, and following it was not "
        "enough |",
        "| brightness | 0 to 50 | 8 | 2 | 25.0 % |",
        "| 0.2 to 0.3 | 9 | ████████████████████████ |",
        "| two\\_sides | 1 | it links scenes that an earlier run put on two sides, so that it would leak on "
        "either side |",
        "| dslr\\_contrast | double | grey levels | standard deviation of the DSLR's grey window |",
    ):
        assert row in text.splitlines()
    assert "DPED has 23 (BlackBerry), 28 (iPhone), 36 (Sony) patches a pair" in text
    assert "Two photos count as such if 12 keypoints agree" in text


def test_further_targets_are_told_by_reference(release: Path) -> None:
    figures = describe_release(release).figures
    figures["phones"]["iphone"]["targets"] = {"sony_wide": {"all": 12, "accepted": 9}}
    lines = told(release, figures=figures).splitlines()
    assert (
        "Besides the DSLR's photo, 9 of 12 patches of iphone have a further target, by the further reference "
        "sony\\_wide." in lines
    )
    assert "further target, by" not in told(release)


def test_further_frames_are_told_apart_from_the_moments(release: Path) -> None:
    figures = describe_release(release).figures
    frames = {"all": 6, "aligned": 5, "rejected": 1, "failed": 0, "reasons": {"motion_blur": 1}, "stand_ins": 1}
    figures["phones"]["iphone"]["alignment"]["frames"] = frames
    text = told(release, figures=figures)
    for line in (
        "| phone | moments | aligned | windows | kept | share kept | patches a moment |",
        "Of some moments iphone took several frames, such as bursts and brackets. Besides the moments, 5 of 6 further "
        "frames were aligned. Patches are cut from one frame of each moment; in 1 moment a further frame stands in for "
        "the base frame, which was not aligned.",
        "Moments of iphone that were not aligned:",
        "Further frames of iphone that were not aligned:",
        "| motion\\_blur | 1 | one photo is blurred along a line: its camera moved |",
        "Pairs of sony that were not aligned:",
    ):
        assert line in text.splitlines()
    assert "urther frame" not in told(release)


def test_every_table_has_as_many_cells_in_each_row(release: Path) -> None:
    tables = re.findall(r"(?:^\|.*\|$\n?)+", told(release), re.MULTILINE)
    assert len(tables) > 15
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_every_local_file_that_it_names_is_there(release: Path) -> None:
    text = (release / "README.md").read_text()
    names = [name for name in re.findall(r"\]\(([^)]+)\)", text) if not name.startswith("http")]
    assert sorted(set(names)) == ["LICENSE", "examples/iphone.png", "examples/sony.png"]
    assert all((release / name).is_file() for name in names)


def test_it_is_the_same_each_time_and_names_no_day_but_the_publisher_s(release: Path) -> None:
    text = told(release)
    assert text == told(release)
    assert "Released on" not in text
    assert "Released on 2026-03-31" in told(release, date="2026-03-31")


def test_what_does_not_hold_is_not_said(release: Path) -> None:
    text = told(release, layouts=("parquet",), contact="", authors=(), known={"encoded": 0})
    for phrase in ("encoded again", "Full-size photos", "webdataset/", "dped/", "Write to"):
        assert phrase not in text
    assert "No contact is stated." in text
    assert "encoded again as JPEG of quality 98, and so differ" in told(release)
    assert "and so differ" not in told(release, layouts=("dped",))
    assert "simulate" not in text
    assert "small grey picture" not in told(release, thumbnails=False)


def test_simulated_photos_are_called_so(release: Path) -> None:
    text = told(release, figures={**describe_release(release).figures, "simulated": True})
    assert "**The photos are simulated: no camera took them.**" in text
    assert "paired as shots of one moment; that" not in text
    assert "paired as shots of one moment. The program assumes that they are" in told(release)


def test_it_says_what_names_of_photos_may_tell(release: Path) -> None:
    figures = describe_release(release).figures
    assert "they may hold dates or names" in told(release)
    assert "seem to contain a date" not in told(release, figures={**figures, "dated_names": 0})
    assert "seem to contain a date: 1 200." in told(release, figures={**figures, "dated_names": 1200})


def test_phones_of_other_limits_are_told_apart(release: Path) -> None:
    figures = describe_release(release).figures
    figures["phones"]["sony"]["limits"] = {**figures["phones"]["sony"]["limits"], "mode": "dped"}
    assert "| mode | strict (iphone); dped (sony) |" in told(release, figures=figures)


def test_without_figures_or_patches_there_is_a_card(release: Path) -> None:
    empty = Description(params=PARAMS, counts={"a": {"train": 0}}, figures={}, files=[], encoded=0, photos=[])
    text = card(empty)
    assert "0 pairs of image patches" in text
    assert "## Load it" not in text
    assert "Is it a sample of something larger" not in told(release, figures={"phones": {}})


def test_what_comes_from_data_is_text(release: Path) -> None:
    photo = {"file": HOSTILE, "phone": "iphone", "pair_id": HOSTILE, "lossless": False, "note": HOSTILE}
    figures = describe_release(release).figures | {"cameras": {"iphone": HOSTILE, "dslr": HOSTILE}}
    known = {"photos": [photo], "counts": {HOSTILE: {"train": 1, "validation": 0, "test": 0}}}
    texts = {"description": HOSTILE, "contact": HOSTILE, "authors": (HOSTILE,)}
    text = told(release, figures=figures, known=known, **texts)
    head, body = text.split("---\n", 2)[1:]
    assert yaml.safe_load(head)["configs"][0]["config_name"] != HOSTILE
    assert "<img" not in re.sub(r"^```.*?^```$", "", body, flags=re.DOTALL | re.MULTILINE).replace(r"\<", "")
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)
    inline = [child for token in tokens for child in token.children or []]
    assert not [token for token in [*tokens, *inline] if token.type.startswith("html")]
    links = {str(token.attrs["href"]) for token in inline if token.type == "link_open"}
    assert {link for link in links if not link.startswith("https://arxiv.org/")} == {
        "http://mlcommons.org/croissant/1.1",
        "LICENSE",
    }
    shown = ["".join(child.content for child in token.children or []) for token in tokens if token.type == "inline"]
    assert shown.count("<img src=x onerror=alert(1)>.jpg | `x` [y](z) # head") >= 4
    for code in re.findall(r"^```python\n(.*?)^```$", body, re.DOTALL | re.MULTILINE):
        compile(code, "card", "exec")


# Scenes


def counted(scenes: int, pairs: int, patches: int) -> dict[str, int]:
    return {"scenes": scenes, "pairs": pairs, "patches": patches}


def test_sessions_and_tags_are_counted_where_there_are_any(release: Path) -> None:
    figures = describe_release(release).figures
    assert "Sessions and tags" not in told(release)
    text = told(
        release,
        figures={
            **figures,
            "sessions": {"may": counted(3, 5, 1200), "june": counted(1, 1, 2)},
            "tags": {"light=dim": counted(2, 3, 9)},
            "consent": {"yes": 3, "not stated": 1},
        },
    )
    section = text.partition("## Sessions and tags")[2].partition("\n## ")[0].splitlines()
    assert "| session | scenes | pairs of photos | patches |" in section
    assert "| may | 3 | 5 | 1 200 |" in section
    assert "| june | 1 | 1 | 2 |" in section
    assert "| tag | scenes | pairs of photos | patches |" in section
    assert "| light=dim | 2 | 3 | 9 |" in section
    assert "Consent, as the authors state it for the scenes: yes (3), not stated (1). The rest is not stated." in text
    only_tags = told(release, figures={**figures, "tags": {"night=yes": counted(1, 1, 1)}})
    assert "| session | scenes" not in only_tags


def test_of_many_tags_the_first_are_counted(release: Path) -> None:
    tags = {f"t={number:02}": counted(1, 1, 1) for number in range(53)}
    text = told(release, figures={**describe_release(release).figures, "tags": tags})
    assert "| t=49 | 1 | 1 | 1 |" in text
    assert "t=50" not in text
    assert "There are 3 more: see scenes.parquet." in text


def test_scenes_with_another_licence_are_listed(release: Path) -> None:
    assert "another licence" not in told(release)
    scenes = [f"s{number}" for number in range(21)]
    text = told(release, known={"licences": {"CC0-1.0": ["train-0"], "ask Jane": scenes}})
    section = text.partition("## Licence")[2].partition("\n## ")[0].splitlines()
    assert "| CC0-1.0 | 1 | train-0 |" in section
    assert f"| ask Jane | 21 | {', '.join(scenes[:20])} and 1 more |" in section


def test_what_changed_is_a_list_after_the_version(release: Path) -> None:
    assert "Changes since" not in told(release)
    lines = ["1 scene added: s_4.", "Patches: 2 added with their pairs."]
    text = told(release, version="1.1.0", known={"previous": "1.0.0", "changes": lines})
    assert "\n# tripod-pairs 1.1.0\n" in text
    section = text.partition("## Changes since version 1.0.0\n\n")[2].partition("\n\n## Known limits")[0]
    assert section == "- 1 scene added: s\\_4.\n- Patches: 2 added with their pairs."


def test_what_users_say_about_scenes_breaks_no_table(release: Path) -> None:
    figures = describe_release(release).figures | {"sessions": {HOSTILE: counted(1, 1, 1)}, "consent": {HOSTILE: 1}}
    known = {"licences": {HOSTILE: [HOSTILE]}, "previous": "1.0.0", "changes": [HOSTILE]}
    text = told(release, figures={**figures, "tags": {f"a={HOSTILE}": counted(1, 1, 1)}}, known=known)
    tokens = MarkdownIt("commonmark").enable("table").parse(text.split("---\n\n", 1)[1])
    inline = [child for token in tokens for child in token.children or []]
    assert not [token for token in [*tokens, *inline] if token.type.startswith("html")]
    for table in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
