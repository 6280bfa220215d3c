"""Stage report: one HTML page on a whole run, which needs no other file and no network."""

from __future__ import annotations

import base64
import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from dataset.errors import DpedtoolError, Rejection
from dataset.io import read_json, write_text
from dataset.params import Params
from dataset.photos import encode_image
from dataset.schema import SPLITS, Alignment, Pair, Patch, Row, Sample
from dataset.tables import read_frame, read_rows
from pipeline.aligned import aligned_images
from pipeline.overlay import checkerboard, shrunk

PAGE = "report.html"
PICTURE_WIDTH = 720
CURVE_WIDTH, CURVE_HEIGHT = 320, 90
SCORED = {"before": "untouched", "colour": "colour transform", "after": "network"}
"""Versions of the test patches, as `training.evaluate` names them, and the page."""


@dataclass(frozen=True)
class Reason:
    """How many rows of a table have a reason, and what it means."""

    name: str
    meaning: str
    count: int


@dataclass(frozen=True)
class Failure:
    """One photo or pair that came to nothing."""

    name: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Picture:
    """An image inside the page, with what it shows."""

    uri: str
    caption: str


@dataclass(frozen=True)
class PhoneReport:
    """Everything the page says of one phone."""

    name: str
    pairs: int
    unpaired: int
    clock_offset_s: float | None
    is_listed: bool
    """Whether the user's list says which photos belong together."""
    aligned: int
    residual_px: float | None
    residual_p95_px: float | None
    coverage: float | None
    windows: int
    accepted: int
    patch_reasons: list[Reason]
    splits: dict[str, int]
    failures: list[Failure]
    scores: list[str]
    """As `_scores` words them; empty without test patches."""
    training: str
    curve: str
    overlays: list[Picture] = field(default_factory=list)
    before_after: Picture | None = None


def write_report(results: Path, out: Path, params: Params) -> Path:
    """Write `out/report.html` on the phones of the params file, from the tables below `results`.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    DpedtoolError
        A table is missing: its stage has not run.

    """
    phones = [_phone_report(results, phone) for phone in params.captures.phones]
    page = (
        _environment()
        .get_template(PAGE)
        .render(
            phones=phones,
            split_names=SPLITS,
            scored=list(SCORED.values()),
            simulated=_is_simulated(params),
            curve_size=(CURVE_WIDTH, CURVE_HEIGHT),
        )
    )
    write_text(out / PAGE, page)
    return out / PAGE


def _phone_report(results: Path, phone: str) -> PhoneReport:
    pairs = read_rows(Pair.table_in(results / "pairs" / phone), Pair)
    alignments = read_rows(Alignment.table_in(results / "aligned" / phone), Alignment)
    patches = read_frame(Patch.table_in(results / "patches" / phone), Patch, ["status", "reason"])
    samples = read_frame(results / "splits" / f"{phone}.parquet", Sample, ["split"])
    model, evaluation = results / "models" / phone, results / "evaluations" / phone
    card = read_json(model / "model.json")
    trained = card.get("trained", True)
    with _as_written(model / "model.json"):
        training = _training(card)
    with _as_written(evaluation / "metrics.json"):
        scores = _scores(read_json(evaluation / "metrics.json")["image"], trained)
    aligned = [row for row in alignments if row.status == "aligned"]
    offsets = [row.clock_offset_s for row in pairs if row.clock_offset_s is not None]
    return PhoneReport(
        name=phone,
        pairs=len(alignments),
        unpaired=sum(row.status == "unpaired" for row in pairs),
        clock_offset_s=float(np.median(offsets)) if offsets else None,
        is_listed=any(row.matched_by == "csv" for row in pairs),
        aligned=len(aligned),
        residual_px=_median([row.residual_px for row in aligned]),
        residual_p95_px=_median([row.residual_p95_px for row in aligned]),
        coverage=_median([row.coverage for row in aligned]),
        windows=len(patches),
        accepted=int((patches["status"] == "accepted").sum()),
        patch_reasons=_reasons(patches["reason"].tolist(), Patch),
        splits={name: int((samples["split"] == name).sum()) for name in SPLITS},
        failures=_failures(pairs, alignments),
        scores=scores,
        training=training,
        # What somebody else trained brings no history.
        curve=_curve(model / "history.csv") if "training" in card else "",
        overlays=_overlays(aligned),
        before_after=_before_after(evaluation / "before_after.png", trained) if scores else None,
    )


def _reasons(words: Sequence[str], row_type: type[Row]) -> list[Reason]:
    counts = Counter(word for word in words if word)
    return [Reason(name, row_type.REASONS[name], count) for name, count in counts.most_common()]


def _failures(pairs: Sequence[Pair], alignments: Sequence[Alignment]) -> list[Failure]:
    rows: list[Pair | Alignment] = [row for row in pairs if row.status == "unpaired"]
    rows += [row for row in alignments if row.status != "aligned"]
    return [Failure(row.pair_id, row.reason, row.detail) for row in rows]


def _overlays(aligned: Sequence[Alignment]) -> list[Picture]:
    """The pair with the middle residual and the one with the largest: the usual case and the worst."""
    measured = sorted((row for row in aligned if row.residual_px is not None), key=lambda row: row.residual_px or 0)
    if not measured:
        return []
    chosen = {"median": measured[len(measured) // 2], "worst": measured[-1]}
    return [_overlay(name, row) for name, row in chosen.items()]


def _overlay(name: str, row: Alignment) -> Picture:
    caption = f"{name} residual of the measured pairs: {row.pair_id}, {row.residual_px:.2f} px"
    try:
        board = checkerboard(*aligned_images(row))
    except Rejection as rejection:
        return Picture("", f"{caption}; no picture: {rejection.detail}")
    return Picture(_uri(encode_image(shrunk(board, PICTURE_WIDTH), ".jpg", 88), "jpeg"), caption)


def _before_after(path: Path, trained: bool) -> Picture:
    network = "network" if trained else "untrained network"
    try:
        return Picture(_uri(path.read_bytes(), "png"), f"test patches: phone, {network}, DSLR from above")
    except OSError as error:
        raise DpedtoolError(f"{path} cannot be read ({error.strerror}): evaluate again.") from None


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _scores(figures: dict[str, Any], trained: bool) -> list[str]:
    """PSNR of `SCORED`, then MS-SSIM of them, in words; nothing without test patches."""
    if not figures["pairs"]:
        return []
    return [_score(figures, name, version, trained) for name in ("psnr_{}_db", "ms_ssim_{}") for version in SCORED]


def _score(figures: dict[str, Any], name: str, version: str, trained: bool) -> str:
    value = figures[name.format(version)]
    if version == "after" and not trained:
        return "not trained"
    if value is None:
        return "none" if version == "colour" and figures["ms_ssim_colour"] is None else "infinite"
    return f"{value:.2f} dB" if name.endswith("db") else f"{value:.4f}"


def _training(card: dict[str, Any]) -> str:
    """What a model's card says of its training, in a sentence."""
    network = f"{card['name']} with {card['parameters']} parameters"
    if not card.get("trained", True):
        return f"Not trained, since {card['reason']}."
    if "training" not in card:
        return f"{network}; its card says nothing of its training."
    training = card["training"]
    best = training["best_validation"]
    score = "" if best["psnr_db"] is None else f", {best['psnr_db']:.2f} dB on the validation patches"
    steps, patches = counted(training["params"]["iterations"], "iteration"), counted(training["patches"], "patch")
    return f"{network}, {steps} on {patches}; kept the weights of iteration {best['iteration']}{score}."


@contextlib.contextmanager
def _as_written(path: Path) -> Iterator[None]:
    """Name the file in which something is missing or of another kind than this version writes."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise DpedtoolError(f"{path} is not as this version writes it ({error}): run its stage again.") from None


def counted(number: int, noun: str) -> str:
    """Return number and noun, in the plural where there is not one."""
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _curve(path: Path) -> str:
    """The points of an SVG polyline: validation PSNR over the iterations, from corner to corner of the picture."""
    try:
        history = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DpedtoolError(f"{path} cannot be read ({error}): train again.") from None
    values = history["validation_psnr_db"].to_numpy(float)
    steps = history["iteration"].to_numpy(float)
    if len(values) < 2 or not np.isfinite(values).all():
        return ""
    x = np.interp(steps, (steps.min(), steps.max()), (0, CURVE_WIDTH))
    y = CURVE_HEIGHT * (1 - (values - values.min()) / max(float(np.ptp(values)), 1e-9))
    return " ".join(f"{px:.1f},{py:.1f}" for px, py in zip(x, y, strict=True))


def _median(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.median(there)) if there else None


def _is_simulated(params: Params) -> bool:
    # The simulator leaves the truth beside its captures; no camera does.
    return (Path(params.captures.root) / "truth.json").exists()


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = counted
    return environment
