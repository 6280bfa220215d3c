"""Layout parquet: tables with embedded images, and the metadata from which Hugging Face's `datasets` reads features.

parquet/<phone>/<split>-NNNNN.parquet

In a release with stacks, the column `frame_images` has the other frames of a patch, `target_images` its further
targets, and `frames` the facts of all of them as a text in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.shards import suffix_of
from dpedtool.pipeline.release.chunks import Chunk, Images
from dpedtool.pipeline.release.columns import FACTS, PATCHES_SCHEMA
from dpedtool.pipeline.release.layouts.webdataset import member_of

ROOT = "parquet"
ROWS_A_GROUP = 100
"""A small number, so that one patch can be read without reading a whole file."""
_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
_IMAGES = ("phone_image", "dslr_image")
FRAME_IMAGES, TARGET_IMAGES, FRAMES = "frame_images", "target_images", "frames"


def _schema(*, has_stacks: bool) -> pa.Schema:
    facts = [PATCHES_SCHEMA.field(name).remove_metadata() for name in ("patch_id", *FACTS)]
    facts += [pa.field(FRAMES, pa.string(), nullable=False)] if has_stacks else []
    features: dict[str, Any] = {name: {"_type": "Image"} for name in _IMAGES}
    lists = (FRAME_IMAGES, TARGET_IMAGES) if has_stacks else ()
    features |= {name: [{"_type": "Image"}] for name in lists}
    features |= {
        fact.name: {"dtype": {"double": "float64"}.get(str(fact.type), str(fact.type)), "_type": "Value"}
        for fact in facts
    }
    images = [pa.field(name, _IMAGE) for name in _IMAGES]
    images += [pa.field(name, pa.list_(_IMAGE)) for name in lists]
    return pa.schema([*images, *facts], metadata={"huggingface": json.dumps({"info": {"features": features}})})


SCHEMA, STACKS_SCHEMA = _schema(has_stacks=False), _schema(has_stacks=True)
"""The columns of a file, and those in a release with stacks."""


def frames_text(stack: Sequence[Mapping[str, Any]]) -> str:
    """Return the facts of the frames of a patch as a text."""
    return json.dumps([dict(frame) for frame in stack], sort_keys=True)


class Embedded:
    """The layout. Images are stored byte for byte as they were cut."""

    def files(self, chunk: Chunk) -> list[str]:
        """Return the name of the file of a chunk."""
        return [f"{ROOT}/{chunk.phone}/{chunk.split}-{chunk.index:05d}.parquet"]

    def write(self, chunk: Chunk, rows: pa.Table, images: Sequence[Images], root: Path) -> None:
        """Write a file with both images and the facts of each patch."""
        path = root / self.files(chunk)[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = [
            pa.array([_stored(f"{image.name}.{side}", getattr(image, side)) for image in images], _IMAGE)
            for side in ("phone", "dslr")
        ]
        facts = rows.select(["patch_id", *FACTS])
        schema = SCHEMA
        if any(image.stack for image in images):
            schema = STACKS_SCHEMA
            for is_target in (False, True):
                further = [_further(image, is_target=is_target) for image in images]
                columns.append(pa.array(further, pa.list_(_IMAGE)))
            facts = facts.append_column(FRAMES, pa.array([frames_text(image.stack) for image in images]))
        table = pa.Table.from_arrays([*columns, *facts.columns], schema=schema)
        # Image files are already compressed.
        zstd = dict.fromkeys(facts.column_names, "zstd")
        plain = {f"{name}.{part}": "none" for name in _IMAGES for part in ("bytes", "path")}
        lists = (FRAME_IMAGES, TARGET_IMAGES)
        plain |= {f"{name}.list.element.{part}": "none" for name in lists for part in ("bytes", "path")}
        pq.write_table(table, path, row_group_size=ROWS_A_GROUP, compression=zstd | plain, use_dictionary=False)

    def read(self, chunk: Chunk, root: Path) -> Iterator[Images]:
        """Yield the patches of a file, a row group at a time."""
        name = self.files(chunk)[0]
        try:
            with pq.ParquetFile(root / name) as file:
                others = [name for name in (FRAME_IMAGES, TARGET_IMAGES) if name in file.schema_arrow.names]
                for batch in file.iter_batches(ROWS_A_GROUP, columns=["patch_id", *_IMAGES, *others]):
                    for row in batch.to_pylist():
                        phone, dslr = (_content(row[image]) for image in _IMAGES)
                        frames = tuple(_content(image) for name in others for image in row[name] or ())
                        yield Images(row["patch_id"], phone, dslr, frames)
        except (pa.ArrowException, ValueError, KeyError) as error:
            raise DpedtoolError(f"{name} is damaged: {' '.join(str(error).split())}.") from None


def _stored(name: str, content: bytes) -> dict[str, Any]:
    return {"bytes": content, "path": f"{name}.{suffix_of(content)}"}


def _further(image: Images, *, is_target: bool) -> list[dict[str, Any]]:
    """Return the frames of a patch other than the base, or its further targets."""
    return [
        _stored(f"{image.name}.{member_of(frame)}", content)
        for frame, content in zip(image.further, image.frames, strict=True)
        if (frame["role"] == "target") == is_target
    ]


def _content(image: Mapping[str, Any] | None) -> bytes:
    return (image or {}).get("bytes") or b""
