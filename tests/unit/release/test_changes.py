"""What changed between two releases, by tables written by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.release.changes import Changes, compare

NOTHING = Changes([], [], {}, [], [], [], [], {}, 0)


def patch(scene: str, x: int = 0, image: str = "i", split: str = "train", y: int = 0) -> dict[str, object]:
    """A patch of 100 px of the only pair of a scene; `image` stands for the sums of both images."""
    return {
        "patch_id": f"a--{scene}--x{x:05d}-y{y:05d}",
        "pair_id": f"a--{scene}",
        "phone": "a",
        "scene_id": scene,
        "split": split,
        "size": 100,
        "x": x,
        "y": y,
        "phone_image_sha256": f"phone {image}",
        "dslr_image_sha256": f"dslr {image}",
    }


def release(folder: Path, *patches: dict[str, object]) -> Path:
    folder.mkdir()
    table = pd.DataFrame(patches)
    table.to_parquet(folder / "patches.parquet")
    pairs = table[["pair_id", "phone", "scene_id", "split"]].drop_duplicates()
    pairs.to_parquet(folder / "pairs.parquet")
    return folder


def test_a_release_does_not_differ_from_itself(tmp_path: Path) -> None:
    one = release(tmp_path / "one", patch("s"), patch("s", 100), patch("t", split="test"))
    found = compare(one, one)
    assert found == dataclasses.replace(NOTHING, patches_unchanged=3)
    assert found.is_empty


def test_scenes_come_go_and_move_with_their_patches(tmp_path: Path) -> None:
    old = release(tmp_path / "old", patch("gone"), patch("stays"), patch("moves", split="train"))
    new = release(tmp_path / "new", patch("stays"), patch("moves", split="test"), patch("new"), patch("new", 100))
    found = compare(old, new)
    assert (found.scenes_added, found.scenes_removed) == (["new"], ["gone"])
    assert found.scenes_moved == {"moves": ("train", "test")}
    assert found.patches_added == ["a--new--x00000-y00000", "a--new--x00100-y00000"]
    assert found.patches_removed == ["a--gone--x00000-y00000"]
    # The images of the scene that moved are the same.
    assert (found.patches_unchanged, found.patches_cut_again) == (2, {})
    assert not found.is_empty


def test_other_filters_accept_and_reject_patches_of_pairs_that_both_have(tmp_path: Path) -> None:
    old = release(tmp_path / "old", patch("s"), patch("s", 100))
    new = release(tmp_path / "new", patch("s"), patch("s", 300))
    found = compare(old, new)
    assert found.patches_accepted == ["a--s--x00300-y00000"]
    assert found.patches_rejected == ["a--s--x00100-y00000"]
    assert (found.patches_added, found.patches_removed, found.patches_unchanged) == ([], [], 1)


def test_patches_that_were_aligned_again_are_cut_again(tmp_path: Path) -> None:
    """One at the same place with other images, one whose crop begins 3 px farther right, and one too far away."""
    old = release(tmp_path / "old", patch("s"), patch("s", 100), patch("s", 200))
    new = release(tmp_path / "new", patch("s", image="j"), patch("s", 103), patch("s", 211))
    found = compare(old, new)
    assert found.patches_cut_again == {
        "a--s--x00000-y00000": "a--s--x00000-y00000",
        "a--s--x00100-y00000": "a--s--x00103-y00000",
    }
    assert (found.patches_accepted, found.patches_rejected) == (["a--s--x00211-y00000"], ["a--s--x00200-y00000"])


def test_a_patch_has_one_successor_the_nearest(tmp_path: Path) -> None:
    old = release(tmp_path / "old", patch("s", 100), patch("s", 104))
    new = release(tmp_path / "new", patch("s", 103), patch("s", 109))
    again = {"a--s--x00100-y00000": "a--s--x00109-y00000", "a--s--x00104-y00000": "a--s--x00103-y00000"}
    assert compare(old, new).patches_cut_again == again


def test_what_is_no_release_is_one_sentence(tmp_path: Path) -> None:
    good = release(tmp_path / "good", patch("s"))
    with pytest.raises(DpedtoolError, match=r"is missing: `dpedtool release build` has not written"):
        compare(good, tmp_path)
    broken = release(tmp_path / "broken", patch("s"))
    (broken / "patches.parquet").write_bytes(b"no table")
    with pytest.raises(DpedtoolError, match="cannot be read"):
        compare(broken, good)
    other = release(tmp_path / "other", patch("s"))
    pd.DataFrame({"patch_id": ["x"]}).to_parquet(other / "patches.parquet")
    with pytest.raises(DpedtoolError, match="lacks the column pair_id"):
        compare(good, other)


def described(folder: Path, **scenes: tuple[str, list[str]]) -> None:
    """Write a table of scenes: consent and tags by scene."""
    rows = [
        {"scene_id": name, "session": "", "group": "", "tags": tags, "licence": "", "consent": consent}
        for name, (consent, tags) in scenes.items()
    ]
    pd.DataFrame(rows).to_parquet(folder / "scenes.parquet")


def test_scenes_with_another_description_are_named(tmp_path: Path) -> None:
    old = release(tmp_path / "old", patch("same"), patch("tags"), patch("consent"), patch("gone"))
    new = release(tmp_path / "new", patch("same"), patch("tags"), patch("consent"))
    described(old, same=("yes", ["a=1", "b=2"]), tags=("", ["a=1"]), consent=("", []), gone=("", ["a=1"]))
    described(new, same=("yes", ["a=1", "b=2"]), tags=("", []), consent=("yes", []))
    assert compare(old, new).scenes_redescribed == ["consent", "tags"]
    found = compare(new, new)
    assert found.scenes_redescribed == []
    assert found.is_empty
    assert dataclasses.replace(found, scenes_redescribed=["tags"]).sentences() == [
        "1 scene with another session, group, tags, licence or consent: tags.",
        "Patches: 3 unchanged.",
    ]


def test_a_release_without_a_table_of_scenes_is_compared_by_its_patches(tmp_path: Path) -> None:
    old = release(tmp_path / "old", patch("s"))
    new = release(tmp_path / "new", patch("s"))
    described(new, s=("yes", ["a=1"]))
    for pair in ((old, new), (new, old)):
        assert compare(*pair) == dataclasses.replace(NOTHING, patches_unchanged=1)


def test_a_damaged_table_of_scenes_is_named(tmp_path: Path) -> None:
    old = release(tmp_path / "old", patch("s"))
    described(old, s=("", []))
    broken = release(tmp_path / "broken", patch("s"))
    (broken / "scenes.parquet").write_bytes(b"no table")
    with pytest.raises(DpedtoolError, match=r"scenes\.parquet cannot be read"):
        compare(old, broken)


def test_sentences_have_counts_and_the_first_names(tmp_path: Path) -> None:
    old = release(tmp_path / "old", patch("stays"), patch("stays", 200), patch("moves"), patch("stays", 400))
    names = [f"n{number:02}" for number in range(22)]
    new = release(
        tmp_path / "new",
        *(patch(name) for name in names),
        patch("stays", image="j"),
        patch("stays", 200),
        patch("stays", 300),
        patch("moves", split="test"),
    )
    assert compare(old, new).sentences() == [
        f"22 scenes added: {', '.join(names[:20])} and 2 more.",
        "1 scene moved to another side: moves (from train to test).",
        "Patches: 22 added with their pairs; 1 accepted in pairs that both have; 1 rejected in pairs that both have; "
        "1 cut again, as their images differ; 2 unchanged.",
    ]
    assert compare(new, new).sentences() == ["Both hold the same 26 patches, on the same sides."]
