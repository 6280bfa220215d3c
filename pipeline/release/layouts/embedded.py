"""Layout parquet: tables with embedded images, and the metadata from which Hugging Face's `datasets` reads features.

parquet/<phone>/<split>-NNNNN.parquet
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.shards import suffix_of
from dpedtool.pipeline.release.chunks import Chunk, Images
from dpedtool.pipeline.release.columns import FACTS, PATCHES_SCHEMA

ROOT = "parquet"
ROWS_A_GROUP = 100
"""A small number, so that one patch can be read without reading a whole file."""
_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
_IMAGES = ("phone_image", "dslr_image")


def _schema() -> pa.Schema:
    facts = [PATCHES_SCHEMA.field(name).remove_metadata() for name in ("patch_id", *FACTS)]
    features = {name: {"_type": "Image"} for name in _IMAGES} | {
        fact.name: {"dtype": {"double": "float64"}.get(str(fact.type), str(fact.type)), "_type": "Value"}
        for fact in facts
    }
    fields = [*(pa.field(name, _IMAGE) for name in _IMAGES), *facts]
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


SCHEMA = _schema()


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
            pa.array(
                [
                    {"bytes": content, "path": f"{image.name}.{side}.{suffix_of(content)}"}
                    for image in images
                    for content in [getattr(image, side)]
                ],
                _IMAGE,
            )
            for side in ("phone", "dslr")
        ]
        facts = rows.select(["patch_id", *FACTS])
        table = pa.Table.from_arrays([*columns, *facts.columns], schema=SCHEMA)
        # Image files are already compressed.
        zstd = dict.fromkeys(facts.column_names, "zstd")
        plain = {f"{name}.{part}": "none" for name in _IMAGES for part in ("bytes", "path")}
        pq.write_table(table, path, row_group_size=ROWS_A_GROUP, compression=zstd | plain, use_dictionary=False)

    def read(self, chunk: Chunk, root: Path) -> Iterator[Images]:
        """Yield the patches of a file, a row group at a time."""
        name = self.files(chunk)[0]
        try:
            with pq.ParquetFile(root / name) as file:
                for batch in file.iter_batches(ROWS_A_GROUP, columns=["patch_id", *_IMAGES]):
                    for row in batch.to_pylist():
                        phone, dslr = ((row[image] or {}).get("bytes") or b"" for image in _IMAGES)
                        yield Images(row["patch_id"], phone, dslr)
        except (pa.ArrowException, ValueError, KeyError) as error:
            raise DpedtoolError(f"{name} is damaged: {' '.join(str(error).split())}.") from None
