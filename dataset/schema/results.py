"""The tables of what comes last: scores of test patches, and what the report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dpedtool.dataset.rows import FolderName, Identifier, Row, column


@dataclass(frozen=True, kw_only=True)
class Score(Row):
    """How one test patch compares with the DSLR's, untouched, with other colours, and after the network."""

    TABLE: ClassVar[str] = "scores"
    MADE_BY: ClassVar[str] = "evaluate"

    patch_id: Identifier = column("the patch")
    scene_id: Identifier = column("its scene: differences of networks are judged scene by scene")
    constant_target: int = column("1 if the DSLR's patch is of one colour, and left out by means that compare; else 0")
    psnr_before: float = column("PSNR of the untouched phone patch; infinite when equal", "dB")
    psnr_colour: float | None = column(
        "PSNR after one quadratic colour transform, fitted to the training patches; null without such patches", "dB"
    )
    psnr_oracle: float = column(
        "PSNR after such a transform fitted to all test patches of the same photos: the most that colours can do", "dB"
    )
    psnr_after: float = column("PSNR of the network's output, clipped to 0..1", "dB")
    ms_ssim_before: float = column("MS-SSIM of the untouched phone patch", "0..1")
    ms_ssim_colour: float | None = column("MS-SSIM after the colour transform of the training patches", "0..1")
    ms_ssim_oracle: float = column("MS-SSIM after the colour transform of the same photos", "0..1")
    ms_ssim_after: float = column("MS-SSIM of the network's output, clipped to 0..1", "0..1")
    ssim_before: float = column("SSIM of the untouched phone patch", "-1..1")
    ssim_colour: float | None = column("SSIM after the colour transform of the training patches", "-1..1")
    ssim_oracle: float = column("SSIM after the colour transform of the same photos", "-1..1")
    ssim_after: float = column("SSIM of the network's output, clipped to 0..1", "-1..1")
    psnr_matched_before: float = column(
        "PSNR of the phone patch after one affine map of its colours, fitted to it", "dB"
    )
    psnr_matched_colour: float | None = column("the same of the colour transform of the training patches", "dB")
    psnr_matched_oracle: float = column("the same of the colour transform of the same photos", "dB")
    psnr_matched_after: float = column("the same of the network's output", "dB")
    ms_ssim_matched_before: float = column("MS-SSIM of the phone patch after such a map", "0..1")
    ms_ssim_matched_colour: float | None = column("the same of the colour transform of the training patches", "0..1")
    ms_ssim_matched_oracle: float = column("the same of the colour transform of the same photos", "0..1")
    ms_ssim_matched_after: float = column("the same of the network's output", "0..1")
    ssim_matched_before: float = column("SSIM of the phone patch after such a map", "-1..1")
    ssim_matched_colour: float | None = column("the same of the colour transform of the training patches", "-1..1")
    ssim_matched_oracle: float = column("the same of the colour transform of the same photos", "-1..1")
    ssim_matched_after: float = column("the same of the network's output", "-1..1")
    metrics: tuple[str, ...] = column("the names of `evaluate.metrics`, for the lists that follow")
    metrics_before: tuple[float, ...] = column(
        "their values of the phone patch; NaN where a metric has none, as for small patches"
    )
    metrics_colour: tuple[float, ...] = column("the same of the colour transform of the training patches; may be empty")
    metrics_oracle: tuple[float, ...] = column("the same of the colour transform of the same photos")
    metrics_after: tuple[float, ...] = column("the same of the network's output, clipped to 0..1")


@dataclass(frozen=True, kw_only=True)
class Shown(Row):
    """What the report shows of one pair or single photo: the files of its folder next to the table."""

    TABLE: ClassVar[str] = "shown"
    MADE_BY: ClassVar[str] = "report"
    STATUSES: ClassVar[tuple[str, ...]] = ("shown", "failed")
    REASONS: ClassVar[Mapping[str, str]] = {
        "unreadable_photo": "a photo cannot be read or decoded any more; the other one is shown, if it can be",
        "photo_changed": "a photo is not the one that was paired; the other one is shown, if it can be",
        "worker_lost": "the process that worked on the pair was killed twice",
        "internal_error": "a fault of the program",
    }

    pair_id: Identifier = column("the pair, as in the table of pairs: the folder's name")
    phone: FolderName = column("phone that took the photo")
    status: str = column("shown; or failed, so that another run tries again")
    reason: str = column("why it failed; else empty", default="")
    detail: str = column("the reason as a sentence, with figures", default="")
    pictures: int = column("pictures in the folder, including the thumbnail; 0: nothing could be read")
    certain: int | None = column(
        "windows outside the mask whose shift is known to a quarter of a px or better; empty if the photos are not "
        "laid over each other",
        default=None,
    )
    amiss: int | None = column(
        "windows outside the mask whose content appears clearly elsewhere in the other photo, or not at all",
        default=None,
    )
    certain_p95_px: float | None = column(
        "95th percentile of the shifts of the certain windows; empty if there are fewer than five",
        "phone px",
        default=None,
    )
    bytes: int = column("length of all files in the folder together", "byte")
    key: str = column("digest of the inputs and code that made the folder; the first line of its details.js has it too")
