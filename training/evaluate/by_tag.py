"""Scores of the test patches by what the table of scenes says about their scenes: the tags, and the sessions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from dpedtool.dataset.schema import Sample, Scene
from dpedtool.dataset.sidecars.metrics import TagScores
from dpedtool.dataset.tables import read_frame, read_rows
from dpedtool.training.metrics import Measures, recorded


def score_tags(table: Path, before: Measures, after: Measures, constant: Tensor) -> dict[str, TagScores]:
    """Return the scores of the test patches of each tag, by "key=value"; and of each session, by "session=NAME".

    Tags are those of `scenes.parquet` in the folder of the table; without this file there are none. Sessions are only
    told apart where there are several. A tag that no test patch has is left out, and so are patches with a constant
    target.

    Parameters
    ----------
    table
        The table of samples.
    before, after
        The measures of its test patches in their order, under the protocol `image`: of the phone, and of the network.
    constant
        Which of them have a constant target, bool (N,).

    Raises
    ------
    DpedtoolError
        A table is damaged.

    """
    path = Scene.table_in(table.parent)
    if not path.is_file():
        return {}
    tags = _tags_of_scenes(read_rows(path, Scene))
    scenes = read_frame(table, Sample, ["scene_id"], where={"split": "test"})["scene_id"].tolist()
    patches: dict[str, list[int]] = defaultdict(list)
    varied = (index for index, is_constant in enumerate(constant.tolist()) if not is_constant)
    for index, scene in ((index, scenes[index]) for index in varied):
        for tag in tags.get(scene, ()):
            patches[tag].append(index)
    return {
        tag: _scores(before.some(indices), after.some(indices), len({scenes[index] for index in indices}))
        for tag, indices in sorted(patches.items())
    }


def say_tags(by_tag: dict[str, TagScores]) -> list[str]:
    """Return a line for each tag."""
    return [
        f"{tag}: {_counted(of.patches, 'patch', 'patches')} of {_counted(of.scenes, 'scene', 'scenes')}, "
        f"PSNR {_decibels(of.psnr_db_before)} to {_decibels(of.psnr_db_after)} dB, "
        f"MS-SSIM {of.ms_ssim_before:.4f} to {of.ms_ssim_after:.4f}."
        for tag, of in by_tag.items()
    ]


def _tags_of_scenes(scenes: Iterable[Scene]) -> dict[str, list[str]]:
    rows = list(scenes)
    several = len({row.session for row in rows}) > 1
    return {row.scene_id: [*([f"session={row.session}"] if several else []), *row.tags] for row in rows}


def _scores(before: Measures, after: Measures, scenes: int) -> TagScores:
    own = before.scores("image", limited=True), after.scores("image", limited=True)
    psnr = [recorded(scores).psnr_db for scores in own]
    return TagScores(
        patches=len(before),
        scenes=scenes,
        psnr_db_before=psnr[0],
        psnr_db_after=psnr[1],
        ms_ssim_before=own[0].ms_ssim,
        ms_ssim_after=own[1].ms_ssim,
    )


def _decibels(psnr_db: float | None) -> str:
    """Return a PSNR as the overall sentence shows it; an older file has none where all patches were equal."""
    return "inf" if psnr_db is None else f"{psnr_db:.2f}"


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"
