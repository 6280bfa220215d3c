"""The patches that the report shows: a random sample and the worst ones, with escaped texts."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_rig import render_part
from split_rig import frame, write_patches

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.names import drawn
from dpedtool.dataset.params import CapturesParams, Params
from dpedtool.dataset.photos.decoding import decode_image
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.schema import Pair, Patch
from dpedtool.dataset.shards import ShardWriter
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.patches.shelf import store
from dpedtool.pipeline.report.patch_strips import ALSO_SHOWN, SHOWN, PatchGroup, PhonePatches, patch_samples
from dpedtool.pipeline.report.results import RunResults

HOSTILE = "<img src=x onerror=alert(1)>"
SIZE_PX = 20


def images(name: str) -> tuple[bytes, bytes]:
    """Return a grey PNG of the phone and a JPEG of the DSLR, by the number at the end of the name."""
    phone = np.full((SIZE_PX, SIZE_PX, 3), 10 + int(name.rsplit("-", 1)[1]), np.uint8)
    return encode_image(phone, ".png"), encode_image(phone[:, ::-1] + 100, ".jpg")


def run_of(results: Path) -> RunResults:
    return RunResults(results, Params(captures=CapturesParams(phones=("a",))))


def cut(results: Path, changes: Sequence[dict[str, Any]]) -> RunResults:
    """A phone with as many kept patches as there are changes of their rows, and a rejected one."""
    table = write_patches(results / "patches", "a", [frame("s", accepted=len(changes))], images)
    rows = read_rows(table, Patch)
    kept = [replace(row, **{"mode": "strict", **change}) for row, change in zip(rows, changes, strict=False)]
    write_rows(table, Patch, [*kept, *rows[len(changes) :]])
    return run_of(results)


def groups(run: RunResults) -> tuple[PatchGroup, ...]:
    (phone,) = patch_samples(run)
    assert phone.note == ""
    return phone.groups


def numbers(group: PatchGroup) -> list[int]:
    """Return the numbers of the patches that a group shows."""
    return [int(patch.patch_id.rsplit("-", 1)[1]) for patch in group.patches]


def page(phones: Sequence[PhonePatches]) -> str:
    return render_part("patches.html", patches=phones)


def test_the_worst_are_those_most_shifted_then_those_least_alike(tmp_path: Path) -> None:
    """In 20 patches the shift grows with the number, except for a tie, and the NCC falls, except for one patch."""
    changes = [{"ncc": 0.99 - 0.001 * index, "residual_px": 0.01 * index} for index in range(20)]
    changes[18]["residual_px"] = changes[17]["residual_px"]
    changes[2]["ncc"] = 0.5
    changes[3]["residual_px"] = changes[4]["ncc"] = None
    sample, shifted, unlike = groups(cut(tmp_path, changes))
    assert numbers(shifted) == [19, 17, 18, *range(16, 7, -1)]
    assert numbers(unlike) == [2, 7, 6, 5, 3, 1]
    assert (len(shifted.patches), len(unlike.patches)) == (SHOWN, ALSO_SHOWN)
    assert shifted.title == "Worst kept: still shifted"
    assert "The patches not shown above" in unlike.words
    assert [patch.patch_id for patch in sample.patches] == drawn((f"a-s-{index}" for index in range(20)), SHOWN)
    assert "12 of the 20 patches" in sample.words


def test_where_patches_move_to_the_best_ncc_that_ncc_counts_first(tmp_path: Path) -> None:
    changes = [
        {"mode": "dped", "ncc": 0.1 * index, "best_ncc": 0.99 - 0.01 * index, "residual_px": 0.3} for index in range(4)
    ]
    _, unlike = groups(cut(tmp_path, changes))
    assert numbers(unlike) == [3, 2, 1, 0]
    assert unlike.title == "Worst kept: least alike"
    assert unlike.words.endswith("lowest first.")
    assert [patch.ncc for patch in unlike.patches] == pytest.approx([0.96, 0.97, 0.98, 0.99])


def test_the_images_are_the_bytes_of_the_shard(tmp_path: Path) -> None:
    (sample,) = groups(cut(tmp_path, [{}, {}]))
    for patch in sample.patches:
        for picture, content, kind in zip(
            (patch.phone, patch.dslr), images(patch.patch_id), ("png", "jpeg"), strict=True
        ):
            assert picture.src == f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
            assert (picture.width, picture.height) == (SIZE_PX, SIZE_PX)
            assert decode_image(content, Path()).shape == (SIZE_PX, SIZE_PX, 3)
            assert patch.patch_id in picture.alt


def test_figures_have_their_unit_and_say_what_is_not_known(tmp_path: Path) -> None:
    known = {"ncc": 0.98765, "residual_px": 0.126, "residual_error_px": 0.031}
    (sample, *_) = groups(cut(tmp_path, [known, {"ncc": 0.9, "residual_px": 0.2}, {}]))
    assert [patch.figures for patch in sample.patches] == [
        "NCC 0.988, shifted by 0.13 ± 0.03 px",
        "NCC 0.900, shifted by 0.20 px",
        "NCC not measured, shift not measured",
    ]


def test_the_order_of_the_table_changes_nothing(tmp_path: Path) -> None:
    changes = [{"ncc": 0.9 + 0.001 * (index % 7), "residual_px": 0.1 * (index % 3)} for index in range(30)]
    first = groups(cut(tmp_path, changes))
    table = tmp_path / "patches" / "a" / "patches.parquet"
    write_rows(table, Patch, read_rows(table, Patch)[::-1])
    assert groups(run_of(tmp_path)) == first


def test_a_patch_leads_to_its_pair_where_pairs_are_known(tmp_path: Path) -> None:
    run = cut(tmp_path, [{}])
    assert "#pair=" not in page(patch_samples(run))
    write_rows(Pair.table_in(tmp_path / "pairs" / "a"), Pair, [])
    text = page(patch_samples(run_of(tmp_path)))
    assert '<a href="#pair=a-s">a-s</a>' in text


def test_patches_are_shown_at_three_times_their_size(tmp_path: Path) -> None:
    found = re.findall(r"<img [^>]*>", page(patch_samples(cut(tmp_path, [{}]))))
    assert len(found) == 2
    for image in found:
        assert 'width="60" height="60"' in image
        assert 'class="sharp"' in image
        assert re.search(r'alt="Patch a-s-0 as [^"]+ took it"', image)


def test_a_larger_target_is_shown_at_the_size_of_the_phones_image(tmp_path: Path) -> None:
    """It is not shown as squares, since its px are no multiples of those of the screen."""
    run = cut(tmp_path, [{}])
    table = tmp_path / "patches" / "a" / "patches.parquet"
    small, _ = images("a-0")
    large = encode_image(np.full((2 * SIZE_PX, 2 * SIZE_PX, 3), 90, np.uint8), ".png")
    row, *others = read_rows(table, Patch)
    with ShardWriter(row.shard) as shard:
        write_rows(table, Patch, [replace(store(row, small, large, shard, row.shard), target_scale=2), *others])
    phone, dslr = re.findall(r"<img [^>]*>", page(patch_samples(run)))
    assert all('width="60" height="60"' in image for image in (phone, dslr))
    assert ["sharp" in image for image in (phone, dslr)] == [True, False]


def test_names_are_only_text(tmp_path: Path) -> None:
    (phone,) = patch_samples(cut(tmp_path, [{}]))
    patch = phone.groups[0].patches[0]
    spoilt = replace(patch, pair_id=f'"{HOSTILE}', phone=replace(patch.phone, alt=f'"{HOSTILE}'))
    group = PatchGroup(HOSTILE, HOSTILE, (spoilt,))
    text = page([PhonePatches(HOSTILE, HOSTILE, has_pairs, (group,)) for has_pairs in (True, False)])
    assert HOSTILE not in text
    assert text.count("<img ") == 4
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "pair=%22%3Cimg" in text


def test_a_stage_that_has_not_run_and_one_that_kept_nothing_are_said_in_words(tmp_path: Path) -> None:
    (phone,) = patch_samples(run_of(tmp_path))
    assert phone.note == "No patches were cut: the stage patches has not run."
    (phone,) = patch_samples(cut(tmp_path, []))
    assert phone.note == "No patches were kept, so there are none to show."
    assert '<p class="note">No patches were kept' in page([phone])
    assert "There is no phone" in page([])


@pytest.mark.parametrize("content", [b"", b"x" * 10_000])
def test_a_damaged_shard_names_itself(tmp_path: Path, content: bytes) -> None:
    run = cut(tmp_path, [{}])
    shard = tmp_path / "patches" / "a" / "patches-00000.tar"
    shard.write_bytes(content)
    with pytest.raises(
        DpedtoolError,
        match=f"a-s-0 cannot be read from .*{shard.name}.*remove this file",
    ):
        patch_samples(run)


def test_a_shard_that_lies_elsewhere_is_not_embedded(tmp_path: Path) -> None:
    run = cut(tmp_path, [{}])
    shard = next((tmp_path / "patches/a").glob("*.tar"))
    shard.rename(tmp_path / "b.tar")
    shard.symlink_to(tmp_path / "b.tar")
    with pytest.raises(DpedtoolError, match="it leads out of"):
        patch_samples(run)
