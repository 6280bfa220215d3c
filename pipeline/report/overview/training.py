"""The network of each phone: its training and scores, from model.json, history.csv and metrics.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dpedtool.dataset.sidecars.history import HISTORY, SCORE_COLUMNS, read_history
from dpedtool.dataset.sidecars.metrics import Metrics
from dpedtool.dataset.sidecars.model_info import ModelInfo
from dpedtool.dataset.sidecars.score_rows import said_pairs, score_rows
from dpedtool.pipeline.report.overview.published_scores import SCORES, PublishedScore
from dpedtool.pipeline.report.overview.words import counted
from dpedtool.pipeline.report.overview.written import as_written, finite
from dpedtool.pipeline.report.results import PhoneResults, RunResults

CURVES = (*SCORE_COLUMNS, "train_loss")
"""Columns of history.csv that are shown as charts."""


@dataclass(frozen=True)
class Training:
    """How one phone's network was trained."""

    said: str
    """A description in one or two sentences."""
    is_trained: bool
    best_iteration: int | None
    """Iteration whose weights were kept."""
    history: dict[str, list[float | None]] | None
    """All columns of history.csv, with one value for each validation; NaN and infinite values are None. The whole is
    None if the network was not trained here."""


@dataclass(frozen=True)
class ScoreLine:
    """One score of all versions, as text with its decimals."""

    head: str
    values: dict[str, str]
    """By version: before, colour, oracle, after."""
    gain: str
    """How much the network exceeds the phone, with the interval; empty where it is not known."""


@dataclass(frozen=True)
class SamePairs:
    """Scores of the versions over the same patches."""

    said: str
    """Which patches these are."""
    lines: list[ScoreLine]


@dataclass(frozen=True)
class Network:
    """Training and scores by phone; None if the stage has not run."""

    training: dict[str, Training | None]
    scores: dict[str, dict[str, Any] | None]
    """The content of metrics.json: for each protocol (image, batch) the mean PSNR in dB, MS-SSIM and SSIM of before
    (the untouched phone patch), colour (a colour transform fitted to the training patches), oracle (one fitted to the
    same photo) and after (the network), each null if NaN or infinite; `pairs` (test patches); and how many had an
    infinite PSNR."""
    same_pairs: dict[str, SamePairs | None]
    """The same scores and more over the same patches for all versions, ready to show; None if there are none."""
    published_scores: list[PublishedScore]
    """Published scores. They are from other photos, so they cannot be compared directly."""


def network(run: RunResults) -> Network:
    """Return training and scores of a run.

    Raises
    ------
    DpedtoolError
        A file is damaged, or from another version.

    """
    return Network(
        training={phone.name: _training(phone) for phone in run.phones},
        scores={phone.name: phone.metrics.as_json() if phone.metrics else None for phone in run.phones},
        same_pairs={phone.name: _same_pairs(phone.metrics) for phone in run.phones},
        published_scores=list(SCORES),
    )


def _same_pairs(scores: Metrics | None) -> SamePairs | None:
    rows = score_rows(scores) if scores and scores.image.pairs else []
    if not scores or not rows:
        return None
    lines = [ScoreLine(row.head, {version: row.shown(version) for version in row.values}, row.gain()) for row in rows]
    return SamePairs(said_pairs(scores), lines)


def _training(phone: PhoneResults) -> Training | None:
    card = phone.card
    if card is None:
        return None
    best = card.training.best_validation.iteration if card.is_trained and card.training else None
    with as_written(phone.file(ModelInfo.FILE)):
        said = _in_words(card)
    return Training(said, card.is_trained, best, _history(phone) if card.training else None)


def _in_words(card: ModelInfo) -> str:
    if not card.is_trained:
        return f"Not trained{f', since {card.reason}' if card.reason else ''}."
    network = f"{card.name} with {counted(card.parameters, 'parameter')}"
    if card.training is None:
        return f"{network}; its card does not describe its training."
    params, best = card.training.params, card.training.best_validation
    score = "" if best.psnr_db is None else f" ({best.psnr_db:.2f} dB on the validation patches)"
    steps, patches = counted(params["iterations"], "iteration"), counted(card.training.patches, "patch")
    return (
        f"{network}, preset {params['preset']}: {steps} of {counted(params['batch'], 'patch')} each on {patches}. The "
        f"weights of iteration {best.iteration} were kept{score}."
    )


def _history(phone: PhoneResults) -> dict[str, list[float | None]]:
    table = read_history(phone.file(HISTORY))
    return {str(name): [finite(value) for value in table[name]] for name in table.columns}
