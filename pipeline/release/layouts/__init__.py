"""The layouts of a release: each one writes a chunk of patches, and reads it back for checking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from dpedtool.dataset.params import LayoutName, ReleaseParams
from dpedtool.pipeline.release.chunks import Chunk, Images


class Layout(Protocol):
    """A way to store images in files below the folder of a release."""

    def files(self, chunk: Chunk) -> list[str]:
        """Return the names of the files that hold a chunk, relative to the release, with forward slashes."""
        ...

    def write(self, chunk: Chunk, rows: pa.Table, images: Sequence[Images], root: Path) -> None:
        """Write a chunk.

        Parameters
        ----------
        chunk
            The chunk.
        rows
            Its rows in the table of patches.
        images
            The image files of its patches as they were cut, in the order of the rows.
        root
            Folder of the release.

        """
        ...

    def read(self, chunk: Chunk, root: Path) -> Iterator[Images]:
        """Yield the images of a chunk that are there, in the order of the files. Missing ones are empty or left out.

        Raises
        ------
        DpedtoolError
            A file is damaged, so the rest of it cannot be read.
        OSError
            A file that holds many patches is missing.

        """
        ...


def layouts_of(params: ReleaseParams) -> Mapping[LayoutName, Layout]:
    """Return the requested layouts by name."""
    from dpedtool.pipeline.release.layouts.burst import Burst
    from dpedtool.pipeline.release.layouts.dped import Dped
    from dpedtool.pipeline.release.layouts.embedded import Embedded
    from dpedtool.pipeline.release.layouts.webdataset import WebDataset

    every: Mapping[LayoutName, Layout] = {
        "dped": Dped(params.dslr_folder, params.jpeg_quality),
        "webdataset": WebDataset(),
        "parquet": Embedded(),
        "burst": Burst(params.dslr_folder),
    }
    return {name: layout for name, layout in every.items() if name in params.layouts}


def is_loose(name: str) -> bool:
    """Whether a file of a release is one of the many single files of layouts dped and burst, or of whole pairs."""
    return name.startswith(("dped/", "burst/", "pairs/"))
