"""Layout webdataset: tar shards. The members `<patch_id>.phone.png`, `.dslr.png` and `.json` belong together.

    webdataset/<phone>/<split>-NNNNN.tar

In a release with stacks, the other frames of a patch are `<patch_id>.frameNN.png` with their numbers, its further
targets are `<patch_id>.dslrNN.png` with the numbers of the further references, and the list `frames` in its `.json` has
the facts of all of them.

The name of a patch has no dot, so WebDataset takes everything after the first dot as the key of a member.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.shards import ShardWriter, suffix_of
from dpedtool.pipeline.release.chunks import Chunk, Images
from dpedtool.pipeline.release.columns import FACTS

ROOT = "webdataset"


class WebDataset:
    """The layout. Images are stored byte for byte as they were cut."""

    def files(self, chunk: Chunk) -> list[str]:
        """Return the name of the shard of a chunk."""
        return [f"{ROOT}/{chunk.phone}/{chunk.split}-{chunk.index:05d}.tar"]

    def write(self, chunk: Chunk, rows: pa.Table, images: Sequence[Images], root: Path) -> None:
        """Write a shard with both images and the facts of each patch."""
        path = root / self.files(chunk)[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = rows.select(["patch_id", *FACTS]).to_pylist()
        with ShardWriter(path) as shard:
            for image, known in zip(images, facts, strict=True):
                for side, content in (("dslr", image.dslr), ("phone", image.phone)):
                    shard.add(f"{image.name}.{side}.{suffix_of(content)}", content)
                for frame, content in zip(image.further, image.frames, strict=True):
                    shard.add(f"{image.name}.{member_of(frame)}.{suffix_of(content)}", content)
                told = json.dumps(known_of(known, image.stack), sort_keys=True)
                shard.add(f"{image.name}.json", told.encode())

    def read(self, chunk: Chunk, root: Path) -> Iterator[Images]:
        """Yield the patches of a shard. Its members are read one after the other and never unpacked to the disk."""
        path = root / self.files(chunk)[0]
        try:
            with tarfile.open(path, "r:") as shard:
                for name, members in groupby(shard, lambda member: member.name.partition(".")[0]):
                    yield _images(name, shard, list(members))
        except tarfile.TarError as error:
            raise DpedtoolError(f"{self.files(chunk)[0]} is damaged: {error}.") from None


def member_of(frame: Mapping[str, Any]) -> str:
    """Return what stands in the middle of the name of the member of a frame or further target."""
    return f"{'dslr' if frame['role'] == 'target' else 'frame'}{frame['frame']:02d}"


def known_of(facts: Mapping[str, Any], stack: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the `.json` of a patch says: its facts, and those of its frames in a release with stacks."""
    return {**facts, **({"frames": [dict(frame) for frame in stack]} if stack else {})}


def _images(name: str, shard: tarfile.TarFile, members: Sequence[tarfile.TarInfo]) -> Images:
    found: dict[str, bytes] = {}
    for member in members:
        side = member.name.partition(".")[2].partition(".")[0]
        if member.isreg() and (file := shard.extractfile(member)):
            found[side] = file.read()
    others = sorted(found.keys() - {"phone", "dslr", "json"}, key=lambda side: (side[:1] != "f", len(side), side))
    return Images(name, found.get("phone", b""), found.get("dslr", b""), tuple(found[side] for side in others))
