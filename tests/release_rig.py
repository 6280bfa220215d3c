"""A small release made by hand, in the form of `dpedtool release build`, for tests of code that reads releases."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from split_rig import picture, sha

from dpedtool.dataset.io import file_sha256, write_json, write_text
from dpedtool.dataset.params import ReleaseParams, describe
from dpedtool.dataset.photos.decoding import decode_image
from dpedtool.dataset.photos.encoding import encode_image, save_image
from dpedtool.dataset.photos.thumbnails import thumbnail
from dpedtool.dataset.sides import SPLITS
from dpedtool.pipeline.release.chunks import Images, chunks_of, read_rows_of
from dpedtool.pipeline.release.columns import PAIRS, PAIRS_SCHEMA, PATCHES, PATCHES_SCHEMA, SCENES, SCENES_SCHEMA
from dpedtool.pipeline.release.description import (
    CARD,
    CITATION,
    CROISSANT,
    EXAMPLES,
    LICENCE,
    RELEASE,
    SUMS,
    DataFile,
    Description,
)
from dpedtool.pipeline.release.documents.card import card
from dpedtool.pipeline.release.documents.citation import citation
from dpedtool.pipeline.release.documents.croissant import croissant
from dpedtool.pipeline.release.documents.example_sheet import example_picture
from dpedtool.pipeline.release.documents.licence_text import licence_text
from dpedtool.pipeline.release.documents.statistics import QUANTILES
from dpedtool.pipeline.release.layouts import layouts_of
from dpedtool.pipeline.release.layouts.dped import full_size_folder

STATISTICS = "statistics.json"
COUNTS: Mapping[str, int] = {"train": 5, "validation": 2, "test": 3}
"""Patches of a phone; two a scene."""
PARAMS = ReleaseParams(
    name="tripod-pairs",
    licence="CC-BY-4.0",
    authors=("Doe, Jane", "The Tripod Group"),
    description="Pairs of patches of phones and a DSLR.",
    contact="pairs@example.org",
    patches_a_file=3,
)
_LIKE_OTHERS = {"double": 0.5, "int64": 1, "string": "x" * 8, "list<item: double>": [1.0, 0, 0, 0, 1, 0, 0, 0, 1]}
"""Values of columns that no test checks."""


def write_release(
    folder: Path,
    phones: Sequence[str] = ("iphone", "sony"),
    patches: Mapping[str, int] = COUNTS,
    size: int = 32,
    params: ReleaseParams = PARAMS,
    target_scale: int = 1,
) -> Path:
    """Write a release with `patches` patches of `size` px by split for each phone; layout dped gets a full-size photo.

    The DSLR's images are `target_scale` times as large.

    Scenes are `train-0`, `train-1`, `validation-0`...; pairs `<phone>-<scene>`; patches `<pair>-<n>`. The scenes for
    training have tags.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ordered = [
        row
        for phone in sorted(phones)
        for split in SPLITS
        for row in _ordered(phone, split, patches, (size, target_scale), params)
    ]
    write_patches(folder / PATCHES, ordered, params.patches_a_file)
    pq.write_table(pa.Table.from_pylist(list(_pairs(ordered)), PAIRS_SCHEMA), folder / PAIRS, compression="zstd")
    write_scenes(folder, ordered)
    for layout in layouts_of(params).values():
        for chunk in chunks_of(folder / PATCHES):
            rows = read_rows_of(folder / PATCHES, chunk)
            layout.write(chunk, rows, _images(rows, size, target_scale), folder)
    has_photos = patches["test"] and "dped" in params.layouts
    photos = [_photo(folder, phone, size) for phone in sorted(phones)] if has_photos else []
    _write_documents(folder, ordered, photos, params, (size, target_scale))
    write_sums(folder)
    return folder


def write_patches(path: Path, rows: Sequence[Mapping[str, Any]], patches_a_file: int) -> None:
    """Write a table of patches whose rows are in order; `number` and `file` are computed again."""
    with pq.ParquetWriter(path, PATCHES_SCHEMA, compression="zstd") as table:
        for phone in dict.fromkeys(row["phone"] for row in rows):
            for split in SPLITS:
                mine = [row for row in rows if (row["phone"], row["split"]) == (phone, split)]
                for file, start in enumerate(range(0, len(mine), patches_a_file)):
                    chunk = mine[start : start + patches_a_file]
                    numbered = [{**row, "number": start + i, "file": file} for i, row in enumerate(chunk)]
                    table.write_table(pa.Table.from_pylist(numbered, PATCHES_SCHEMA))


def write_scenes(folder: Path, rows: Sequence[Mapping[str, Any]], **values: Any) -> None:
    """Write the table of the scenes of some patches or pairs; `values` are those of all scenes."""
    sides = {row["scene_id"]: row["split"] for row in rows}
    scenes = [
        {"scene_id": name, "session": "", "group": "", "split": split, "licence": "", "consent": ""}
        | {"tags": ["light=dim", "night=yes"] if split == "train" else []}
        | values
        for name, split in sorted(sides.items())
    ]
    pq.write_table(
        pa.Table.from_pylist(scenes, SCENES_SCHEMA), folder / SCENES, compression="zstd", use_dictionary=False
    )


def write_sums(folder: Path) -> None:
    """Write `SHA256SUMS` again."""
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != SUMS
    )
    write_text(folder / SUMS, "".join(f"{file_sha256(folder / name)}  {name}\n" for name in names))


def patch_images(patch_id: str, size: int, target_scale: int = 1) -> Images:
    """Two PNG files of one texture, the phone's darker and blurred; no two patches are alike."""
    seed, side = int(sha(patch_id)[:8], 16), size * target_scale
    dslr = np.dstack([picture(seed, side, side), picture(seed, side, side), picture(seed + 1, side, side)])
    phone = cv2.resize(cv2.GaussianBlur(dslr, (0, 0), 0.7), (size, size), interpolation=cv2.INTER_AREA) // 2 + 20
    return Images(patch_id, encode_image(phone, ".png"), encode_image(dslr, ".png"))


def _images(rows: pa.Table, size: int, target_scale: int) -> list[Images]:
    return [patch_images(name, size, target_scale) for name in rows["patch_id"].to_pylist()]


def _ordered(
    phone: str, split: str, patches: Mapping[str, int], sizes: tuple[int, int], params: ReleaseParams
) -> list[dict[str, Any]]:
    rows = [_patch(phone, split, index, sizes, params) for index in range(patches[split])]
    return sorted(rows, key=lambda row: sha(row["patch_id"]))


def _patch(phone: str, split: str, index: int, sizes: tuple[int, int], params: ReleaseParams) -> dict[str, Any]:
    size, target_scale = sizes
    scene = f"{split}-{index // 2}"
    pair = f"{phone}-{scene}"
    images = patch_images(f"{pair}-{index % 2}", size, target_scale)
    known = {"patch_id": images.name, "pair_id": pair, "phone": phone, "scene_id": scene, "split": split}
    known |= {"target_scale": target_scale}
    known |= {"size": size, "x": size * (index % 2), "y": 0, "mode": "strict", "ncc": 0.95, "residual_px": 0.25}
    known |= {"phone_photo": f"{scene}.jpg", "dslr_photo": f"{scene}.jpg", "targets": ""}
    known |= {"phone_sha256": sha(f"{phone}/{scene}"), "dslr_sha256": sha(f"dslr/{scene}")}
    for side, content in (("phone", images.phone), ("dslr", images.dslr)):
        known |= {f"{side}_image_sha256": hashlib.sha256(content).hexdigest()}
        known |= {f"{side}_jpeg_sha256": _jpeg_sha256(content, params) if "dped" in params.layouts else None}
    return {field.name: known.get(field.name, _LIKE_OTHERS[str(field.type)]) for field in PATCHES_SCHEMA}


def _jpeg_sha256(content: bytes, params: ReleaseParams) -> str:
    jpeg = encode_image(decode_image(content, Path("patch")), ".jpg", params.jpeg_quality)
    return hashlib.sha256(jpeg).hexdigest()


def _pairs(patches: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    pairs = {row["pair_id"]: row for row in patches}
    for pair_id, row in sorted(pairs.items(), key=lambda item: _place(item[1])):
        accepted = sum(other["pair_id"] == pair_id for other in patches)
        same = ("phone", "scene_id", "split", "phone_photo", "dslr_photo", "phone_sha256", "dslr_sha256")
        yield {
            **{name: row[name] for name in same},
            "pair_id": pair_id,
            "group": row["scene_id"],
            "near_duplicate_of": None,
            "evidence": "",
            "near_minutes": 2.0,
            "near_keypoints": 40,
            "phone_width": 2 * row["size"],
            "phone_height": 3 * row["size"] // 2,
            "windows": accepted + 1,
            "accepted": accepted,
            "minute": None,
            "thumbnail": thumbnail(cv2.cvtColor(picture(int(sha(row["scene_id"])[:8], 16)), cv2.COLOR_GRAY2BGR)),
        }


def _place(row: Mapping[str, Any]) -> tuple[str, int, str]:
    return row["phone"], SPLITS.index(row["split"]), row["pair_id"]


def _photo(folder: Path, phone: str, size: int) -> dict[str, Any]:
    path = folder / full_size_folder(phone) / "0.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(np.dstack([picture(7, 3 * size // 2, 2 * size)] * 3), ".jpg"))
    name = path.relative_to(folder).as_posix()
    return {"file": name, "phone": phone, "pair_id": f"{phone}-test-0", "lossless": True, "note": ""}


def _counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    return {
        phone: {split: sum((row["phone"], row["split"]) == (phone, split) for row in rows) for split in SPLITS}
        for phone in dict.fromkeys(row["phone"] for row in rows)
    }


def describe_release(
    folder: Path, params: ReleaseParams = PARAMS, figures: Mapping[str, Any] | None = None, **known: Any
) -> Description:
    """Return what the documents of an existing release say; values in `known` replace those found."""
    rows = pq.read_table(folder / PATCHES, columns=["phone", "split", "pair_id"]).to_pylist()
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in {".tar", ".parquet"}
    )
    return Description(
        **{
            "params": params,
            "counts": _counts(rows),
            "figures": figures or figures_of(rows),
            "files": [DataFile(name, file_sha256(folder / name), (folder / name).stat().st_size) for name in names],
            "encoded": len(rows) if "dped" in params.layouts else 0,
            "photos": [],
            **known,
        }
    )


def figures_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures as `dpedtool.pipeline.release.documents.statistics` gives them, of rows with phone, split and pair_id."""
    phones = dict.fromkeys(row["phone"] for row in rows)
    return {
        "phones": {phone: _figures_of_phone([row for row in rows if row["phone"] == phone]) for phone in phones},
        "splits": _extents(rows),
        "excluded": {"scenes": 1, "groups": 0, "pairs": 1, "patches": 4, "reasons": {"two_sides": 1}},
        "groups": {"groups": 5, "of_several_scenes": 1, "most_scenes": 2},
        "drawn_by": "seed 0, test 0.15, validation 0.1",
        "near_minutes": 30,
        "near_keypoints": 12,
        "cameras": {"iphone": "Apple iPhone X", "dslr": "Nikon D5500"},
        "simulated": False,
    }


def _figures_of_phone(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    count = len(rows)
    quantiles = dict.fromkeys((*QUANTILES, "largest"), 0.25)
    bins = [{"from": low, "to": round(low + 0.1, 1), "patches": n} for low, n in ((0.0, 1), (0.1, 0), (0.2, count - 1))]
    kept = [{"from": 0, "to": 50, "windows": 8, "accepted": 2, "share": 0.25}]
    kept += [{"from": 50, "to": 100, "windows": 0, "accepted": 0, "share": None}]
    return {
        "alignment": {"pairs": 9, "aligned": 7, "rejected": 1, "failed": 1}
        | {"reasons": {"parallax": 1, "worker_lost": 1}},
        "photos": {
            "phone": [{"width": 64, "height": 48, "photos": 6}],
            "dslr": [{"width": 900, "height": 600, "photos": 6}],
        },
        "pairs": 7,
        "windows": 3 * count,
        "accepted": count + 4,
        "released": count,
        "patches_a_pair": 1.56,
        "rejected": {"low_ncc": count, "shifted": 1},
        "residual_px": {"measured": count, "not_measured": 0, "quantiles": quantiles, "histogram": bins},
        "ncc": dict.fromkeys(quantiles, 0.95),
        "dslr_px_per_phone_px": dict.fromkeys(quantiles, 1.5),
        "selection": dict.fromkeys(("brightness", "texture", "place"), kept),
        "limits": {"mode": "strict", "size_px": 32, "min_ncc": 0.9, "max_residual_px": 0.5, "format": "png"},
        "splits": _extents(rows),
    }


def _extents(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    found = {}
    for split in SPLITS:
        mine = [row for row in rows if row["split"] == split]
        pairs = {row["pair_id"] for row in mine}
        scenes = {pair.partition("-")[2] for pair in pairs}
        found[split] = {"scenes": len(scenes), "groups": len(scenes), "pairs": len(pairs), "patches": len(mine)}
    return found


def _write_documents(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    photos: Sequence[Any],
    params: ReleaseParams,
    sizes: tuple[int, int],
) -> None:
    size, target_scale = sizes
    encoded = len(rows) if "dped" in params.layouts else 0
    told = {key: value for key, value in describe(params).items() if key != "licence_file"}
    facts = {"format": 2, "release": told, "counts": _counts(rows), "pairs": len({row["pair_id"] for row in rows})}
    facts |= {"size_px": size, "encoded": encoded, "photos": photos, "previous": None, "made_by": "dpedtool 0.1.0"}
    # Earlier versions wrote no scale.
    facts |= {"target_scale": target_scale} if target_scale > 1 else {}
    write_json(folder / RELEASE, facts)
    description = describe_release(folder, params, photos=photos)
    write_json(folder / STATISTICS, description.figures)
    write_text(folder / LICENCE, licence_text(params))
    write_text(folder / CITATION, citation(description))
    write_json(folder / CROISSANT, croissant(description))
    write_text(folder / CARD, card(description))
    (folder / EXAMPLES).mkdir(exist_ok=True)
    for phone in dict.fromkeys(row["phone"] for row in rows):
        first = next(row["patch_id"] for row in rows if row["phone"] == phone)
        images = patch_images(first, size, target_scale)
        pair = [decode_image(content or b"", folder) for content in (images.phone, images.dslr)]
        save_image(folder / EXAMPLES / f"{phone}.png", example_picture([(pair[0], pair[1])]))
