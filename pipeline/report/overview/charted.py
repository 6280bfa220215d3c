"""The variables of the templates overview.html and run.html: the figures of report.json, and charts of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dpedtool.dataset.params import Params
from dpedtool.dataset.sidecars.score_rows import COLOUR_MATCH, GAIN_OF_NETWORK
from dpedtool.pipeline.report.overview.charts import Chart, colour, curves, histogram, offsets
from dpedtool.pipeline.report.overview.published_scores import ARXIV, SOURCE
from dpedtool.pipeline.report.overview.training import CURVES

SCORED = {
    "before": "untouched",
    "colour": "colour transform",
    "oracle": "colour transform of the same photo",
    "after": "network",
}
"""Versions of the test patches: their names in metrics.json, and on the page."""
CURVE_NAMES = {
    "validation_psnr_db": ("PSNR on the validation patches", "PSNR, dB"),
    "validation_ms_ssim": ("MS-SSIM on the validation patches", "MS-SSIM, no unit"),
    "train_loss": ("Loss on the training patches", "loss, no unit"),
}
STEPS = {
    "read": "read files, check sums",
    "decode": "decode in grey",
    "register": "keypoints, matches, homography",
    "refine": "windows, fit",
    "check": "checks",
    "images": "warp and write images",
}
BIN_NAMES = {
    "brightness": ("Brightness", "mean of the DSLR's window, grey levels 0..255"),
    "texture": ("Texture", "standard deviation of the DSLR's window, grey levels"),
    "noise": ("Noise", "standard deviation of that of both photos, grey levels"),
    "place": ("Place", "from 0 in the middle of the photo to 1 at its edge"),
}


@dataclasses.dataclass(frozen=True)
class Charts:
    """All charts of the overview. For each distribution the session comes first, then one chart for each phone."""

    offsets: list[Chart]
    pair_residual_px: list[Chart]
    pair_residual_p95_px: list[Chart]
    window_residual_px: list[Chart]
    window_ncc: list[Chart]
    curves: list[Chart]


def overview_content(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variable `overview` of overview.html: figures, charts, and their words.

    Parameters
    ----------
    figures
        What `dpedtool.pipeline.report.overview.figures.figures` returned.

    """
    return {
        "figures": figures,
        "charts": _charts(figures),
        "colours": {phone: colour(index) for index, phone in enumerate(figures["phones"])},
        "scored": SCORED,
        "gain_of_network": GAIN_OF_NETWORK,
        "colour_match": COLOUR_MATCH,
        "bins": BIN_NAMES,
        "source": {"title": SOURCE, "arxiv": ARXIV},
    }


def run_content(figures: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """Return the variable `run` of run.html.

    Parameters
    ----------
    figures
        As in `overview_content`.
    params
        The parameters. Their meanings are shown next to the values.

    """
    process = figures["process"]
    meanings = {
        section: {key: getattr(params, section).meaning(key) for key in values}
        for section, values in process["params"].items()
    }
    changed = {
        section: [key for key in values if f"{section}.{key}" in process["changed"]]
        for section, values in process["params"].items()
    }
    differences: dict[str, dict[str, list[Any]]] = {}
    for each in process["differences"]:
        differences.setdefault(each["section"], {}).setdefault(each["key"], []).append(each)
    return {
        "figures": figures,
        "process": process,
        "steps": STEPS,
        "meanings": meanings,
        "changed": changed,
        "differences": differences,
    }


def _charts(figures: Mapping[str, Any]) -> Charts:
    told, clocks = figures["distributions"], figures["session"]["clocks"]
    histories = {
        phone: training["history"] if training else None for phone, training in figures["network"]["training"].items()
    }
    return Charts(
        offsets=[
            offsets(phone, clock, colour(index))
            for index, (phone, clock) in enumerate(clocks.items())
            if clock and clock["pair_hours"]
        ],
        pair_residual_px=_histograms(told["pair_residual_px"], ["aligned"], "median residual"),
        pair_residual_p95_px=_histograms(told["pair_residual_p95_px"], ["aligned"], "95th percentile of the residual"),
        window_residual_px=_histograms(told["window_residual_px"], ["accepted", "shifted"], "residual"),
        window_ncc=_histograms(told["window_ncc"], ["accepted", "rejected"], "NCC"),
        curves=[
            curves(CURVE_NAMES[column][0], column, CURVE_NAMES[column][1], histories)
            for column in CURVES
            if any(histories.values())
        ],
    )


def _histograms(told: Mapping[str, Any], parts: list[str], name: str) -> list[Chart]:
    """Return the chart of the session and, if there are several phones, one for each of them."""
    phones = told["phones"] if len(told["phones"]) > 1 else {}
    whole = histogram("Session", told, told["session"], parts, name)
    return [whole, *(histogram(phone, told, counts, parts, name) for phone, counts in phones.items())]
