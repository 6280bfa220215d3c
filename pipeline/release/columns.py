"""The tables of a release: every patch, pair and scene, and where they come from. They contain no paths.

Their columns are those of `dpedtool.dataset.schema`, with the same meanings, so that one documentation serves both.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from dpedtool.dataset.rows import Row, arrow_schema
from dpedtool.dataset.schema import Frame, Patch, Photo, Scene, StackFrame

PATCHES, PAIRS, SCENES, STACKS = "patches.parquet", "pairs.parquet", "scenes.parquet", "stacks.parquet"
CUT_SUMS, LOOSE_SUMS = ({side: f"{side}_{kind}_sha256" for side in ("phone", "dslr")} for kind in ("image", "jpeg"))
"""Columns with the SHA-256, hex, by side: of the images as they were cut, and of the files of layout dped."""

_OF_PATCH = (
    *(
        "pair_id",
        "scene_id",
        "mode",
        "size",
        "target_scale",
        "x",
        "y",
        "ncc",
        "best_ncc",
        "dx",
        "dy",
        "angle_deg",
        "second_ncc",
    ),
    *("residual_x", "residual_y", "residual_px", "residual_error_px", "phone_contrast", "dslr_contrast"),
    *(
        "noise",
        "difference",
        "difference_peak",
        "harm",
        "pair_noise",
        "ncc_without_noise",
        "pair_shift_px",
        "pair_error_px",
        "pair_distance",
        "proved_by",
    ),
    *("phone_brightness", "dslr_brightness", "flatness", "clipped", "phone_sharpness", "dslr_sharpness", "motion"),
    *("hidden", "jump", "unfollowed", "squeezed", "stretched", "colour"),
    *("phone_x", "phone_y", "dslr_x", "dslr_y", "dslr_width", "dslr_height"),
    *("place_x", "place_y", "dslr_from_patch", "bend_px", "bends"),
    *("phone_sha256", "dslr_sha256", "params_sha256"),
)
"""Columns of `dpedtool.dataset.schema.Patch` that a release takes over unchanged."""
_OF_STACK = (
    *("frame", "role", "reference", "x", "y", "frame_from_patch", "bend_px"),
    *("ncc", "residual_px", "residual_error_px", "proved_by", "exposure_s", "f_number", "iso", "ev", "sha256"),
)
"""Columns of `dpedtool.dataset.schema.StackFrame` that a release takes over unchanged."""
_OF_PHOTO = ("phone_sha256", "dslr_sha256", "near_duplicate_of", "evidence", "near_minutes", "near_keypoints")
_OF_FRAME = (
    *("phone_width", "phone_height", "windows", "accepted"),
    *("exposure_difference", "exposure_from_median", "red_gain", "red_from_median", "blue_gain", "blue_from_median"),
    *("colour_transform", "colour_residual"),
)

FACTS = ("pair_id", "scene_id", "x", "y", "ncc", "residual_px")
"""Columns that layouts with room for them store with the images, together with `patch_id`."""
FRAME_FACTS = ("frame", "role", "reference", "x", "y", "frame_from_patch", "exposure_s", "f_number", "iso", "ev")
"""Columns of the table of stacks that such layouts store with the images of a release that has stacks."""


def _field(name: str, kind: pa.DataType, meaning: str, unit: str = "", *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"unit": unit, "meaning": meaning})


def _taken(row_type: type[Row], names: tuple[str, ...]) -> list[pa.Field]:
    schema = arrow_schema(row_type)
    return [_of_release(schema.field(name)) for name in names]


def _of_release(field: pa.Field) -> pa.Field:
    """Leave out what the meaning says about imported data sets, as they are not released."""
    meaning = field.metadata[b"meaning"].partition(b"; imported: ")[0]
    return field.with_metadata({**field.metadata, b"meaning": meaning})


PATCHES_SCHEMA = pa.schema(
    [
        _field("patch_id", pa.string(), "the patch; unique"),
        _field("phone", pa.string(), "phone that took the photo"),
        _field("split", pa.string(), "train, validation or test; all patches of a scene are in one"),
        _field(
            "number",
            pa.int64(),
            "place among the patches of its phone and split, from 0; also the file's name in layout dped",
        ),
        _field("file", pa.int64(), "number, from 0, of the tar shard or parquet file that it is in"),
        _field("frames", pa.int64(), "frames of its stack, the base frame included; 1: the patch has no others"),
        _field(
            "targets",
            pa.string(),
            "numbers of the further references that it has a target of, in order and joined by commas, as in "
            "stacks.parquet; empty: it has no further targets",
        ),
        *_taken(Patch, _OF_PATCH),
        _field("phone_photo", pa.string(), "name of the phone's photo, without its folder"),
        _field("dslr_photo", pa.string(), "name of the DSLR's photo, without its folder"),
        _field("phone_image_sha256", pa.string(), "SHA-256, hex, of the phone's image file in webdataset and parquet"),
        _field("dslr_image_sha256", pa.string(), "SHA-256, hex, of the DSLR's image file in webdataset and parquet"),
        *(
            _field(
                f"{side}_jpeg_sha256", pa.string(), f"SHA-256, hex, of the {whose} file in layout dped", nullable=True
            )
            for side, whose in (("phone", "phone's"), ("dslr", "DSLR's"))
        ),
    ],
    metadata={"dpedtool.table": "released_patches"},
)
"""Schema of `patches.parquet`: rows by phone, split and number, with one row group for each file of a layout."""

PAIRS_SCHEMA = pa.schema(
    [
        _field("pair_id", pa.string(), "one moment: the phone's photo and the DSLR's; unique"),
        _field("phone", pa.string(), "phone that took the photo"),
        _field("scene_id", pa.string(), "the moment: the same for all phones' photos of it"),
        _field("group", pa.string(), "scenes that stay in one split, named after the earliest of them"),
        _field("split", pa.string(), "train, validation or test"),
        _field("phone_photo", pa.string(), "name of the phone's photo, without its folder"),
        _field("dslr_photo", pa.string(), "name of the DSLR's photo, without its folder"),
        *_taken(Photo, _OF_PHOTO),
        *_taken(Frame, _OF_FRAME),
        _field(
            "minute",
            pa.float64(),
            "when the DSLR took it, counted from the earliest photo of the release; empty if not known",
            "min",
            nullable=True,
        ),
        _field(
            "thumbnail",
            pa.binary(),
            "a small grey copy of the upright DSLR photo, a JPEG file; empty if left out",
            nullable=True,
        ),
    ],
    metadata={"dpedtool.table": "released_pairs"},
)
"""Schema of `pairs.parquet`: one row for each pair that has patches, by phone, split and name."""

SCENES_SCHEMA = pa.schema(
    [
        _field("scene_id", pa.string(), "the moment; unique"),
        *_taken(Scene, ("session", "group")),
        _field("split", pa.string(), "train, validation or test"),
        *_taken(Scene, ("tags", "licence", "consent")),
    ],
    metadata={"dpedtool.table": "released_scenes"},
)
"""Schema of `scenes.parquet`: one row for each scene that has patches, by name. It never has the notes."""

STACKS_SCHEMA = pa.schema(
    [
        _field("patch_id", pa.string(), "the patch"),
        *_taken(StackFrame, _OF_STACK),
        _field("photo", pa.string(), "name of the photo, without its folder"),
        _field("image_sha256", pa.string(), "SHA-256, hex, of the image file; the base has the patch's own"),
    ],
    metadata={"dpedtool.table": "released_stacks"},
)
"""Schema of `stacks.parquet`: one row for each accepted frame and further target of each patch, in the order of the
patches, then frames before targets, each by number, with row groups that match those of `patches.parquet`. Only
releases with stacks have it."""

SCHEMAS: Mapping[str, pa.Schema] = {
    PATCHES: PATCHES_SCHEMA,
    PAIRS: PAIRS_SCHEMA,
    SCENES: SCENES_SCHEMA,
    STACKS: STACKS_SCHEMA,
}
"""The schemas of the tables, by file."""
KEYS: Mapping[str, tuple[str, ...]] = {
    PATCHES: ("patch_id",),
    PAIRS: ("pair_id",),
    SCENES: ("scene_id",),
    STACKS: ("patch_id", "reference", "frame"),
}
"""The columns that together identify the rows of each table."""


def meanings(schema: pa.Schema) -> Mapping[str, tuple[str, str]]:
    """Return unit and meaning of each column."""
    return {field.name: (field.metadata[b"unit"].decode(), field.metadata[b"meaning"].decode()) for field in schema}
