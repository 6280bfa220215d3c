"""The network of each phone: how it was trained, and its scores, as model.json, history.csv and metrics.json say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.report.overview.published import SCORES, PublishedScore
from dpedtool.pipeline.report.overview.words import counted
from dpedtool.pipeline.report.overview.written import as_written, finite
from dpedtool.pipeline.report.results import CARD, HISTORY, METRICS, PhoneRun, Run

PROTOCOLS = ("image", "batch")
VERSIONS = ("before", "colour", "oracle", "after")
"""What is scored, as `dpedtool.training.evaluate.stage` names it."""
CURVES = ("validation_psnr_db", "validation_ms_ssim", "train_loss")
"""Columns of history.csv that are drawn."""


@dataclass(frozen=True)
class Training:
    """How one phone's network came to be."""

    said: str
    """In a sentence or two."""
    is_trained: bool
    best_iteration: int | None
    """Where the weights that were kept come from."""
    history: dict[str, list[float | None]] | None
    """All columns of history.csv, a value a validation; what is no number is None; None: not trained here."""


@dataclass(frozen=True)
class Network:
    """By phone; None where the stage has not run."""

    training: dict[str, Training | None]
    scores: dict[str, dict[str, Any] | None]
    """metrics.json as it is: by protocol (image, batch) the mean PSNR in dB, MS-SSIM and SSIM of before (the untouched
    phone patch), colour (one colour transform of the training patches), oracle (one of the very photo) and after (the
    network), each null where it is no number, `pairs` (test patches), and how many had an infinite PSNR."""
    published_scores: list[PublishedScore]
    """On other photos, so that they cannot be compared as such."""


def network(run: Run) -> Network:
    """Return training and scores of a run.

    Raises
    ------
    DpedtoolError
        A file is damaged, or of another version.

    """
    return Network(
        training={phone.name: _training(phone) for phone in run.phones},
        scores={phone.name: _scores(phone) for phone in run.phones},
        published_scores=list(SCORES),
    )


def _training(phone: PhoneRun) -> Training | None:
    card = phone.card
    if card is None:
        return None
    with as_written(phone.file(CARD)):
        is_trained = bool(card.get("trained", True))
        best = card["training"]["best_validation"]["iteration"] if is_trained and "training" in card else None
        return Training(_in_words(card), is_trained, best, _history(phone) if "training" in card else None)


def _in_words(card: Mapping[str, Any]) -> str:
    if not card.get("trained", True):
        return f"Not trained, since {card['reason']}."
    network = f"{card['name']} with {counted(card['parameters'], 'parameter')}"
    if "training" not in card:
        return f"{network}; its card says nothing of its training."
    training = card["training"]
    params, best = training["params"], training["best_validation"]
    score = "" if best["psnr_db"] is None else f", {best['psnr_db']:.2f} dB on the validation patches"
    steps, patches = counted(params["iterations"], "iteration"), counted(training["patches"], "patch")
    return (
        f"{network}, preset {params['preset']}: {steps} of {counted(params['batch'], 'patch')} each on {patches}; kept "
        f"the weights of iteration {best['iteration']}{score}."
    )


def _history(phone: PhoneRun) -> dict[str, list[float | None]]:
    table = phone.history
    path = phone.file(HISTORY)
    if table is None:
        # What somebody else trained brings none, but this was trained here.
        raise DpedtoolError(f"{path} is missing: train again.")
    with as_written(path):
        missing = [name for name in ("iteration", *CURVES[:2]) if name not in table]
        if missing:
            raise ValueError(f"without {', '.join(missing)}")
        return {str(name): [finite(value) for value in table[name]] for name in table.columns}


def _scores(phone: PhoneRun) -> dict[str, Any] | None:
    scores = phone.metrics
    if scores is None:
        return None
    with as_written(phone.file(METRICS)):
        for protocol in PROTOCOLS:
            _check(scores[protocol])
    return scores


def _check(figures: Mapping[str, Any]) -> None:
    """Raise KeyError or TypeError where a figure is missing, or is none."""
    figures["pairs"] + 0
    for version in VERSIONS:
        for name in ("psnr_{}_db", "ms_ssim_{}", "ssim_{}", "infinite_psnr_{}"):
            value = figures[name.format(version)]
            if value is not None:
                value + 0
