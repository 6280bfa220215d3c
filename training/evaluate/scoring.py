"""Shared by evaluations of patches and of folders: all scores of every pair, and means over the same pairs."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeVar

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from dpedtool.dataset.sidecars.metrics import Difference, MetricScores, VersionScores
from dpedtool.training.evaluate.colour_match import match_colours
from dpedtool.training.evaluate.differences import difference
from dpedtool.training.evaluate.named_metrics import Metric, summary
from dpedtool.training.metrics import (
    PROTOCOLS,
    SCALE_WEIGHTS,
    Measures,
    Protocol,
    are_constant,
    measure_protocols,
    recorded,
)

PX_AT_ONCE = 20_000
"""Small images are measured together up to this many px, which bounds the memory."""
PX_SIDE_BY_SIDE = 2_000_000
"""The versions of larger images are measured one after the other, which bounds the memory too."""

VariantT = TypeVar("VariantT", bound=str)
"""A version that is scored, such as the untouched phone images or a network's output."""


class Sheet(Generic[VariantT]):
    """All scores of every pair, by variant, in memory allocated at the start; NaN until `put`.

    Small tensors kept from each batch would lie scattered between its large ones in the C library's heap. The next
    large tensors would not fit into the gaps, and a long evaluation would waste gigabytes.

    Attributes
    ----------
    measures, matched
        The measures by variant and protocol: of the images as they are, and after the match of their colours.
    named
        The values (N,) of the named metrics by variant and name, of the images clipped to 0..1.
    constant
        Which targets are constant: bool (N,). They are kept apart from every mean that compares.
    metrics
        The named metrics.

    """

    def __init__(self, count: int, variants: Iterable[VariantT], metrics: Sequence[Metric] = ()) -> None:
        names = list(variants)
        self.metrics = tuple(metrics)
        self.measures = {variant: {protocol: _room(count) for protocol in PROTOCOLS} for variant in names}
        self.matched = {variant: {protocol: _room(count) for protocol in PROTOCOLS} for variant in names}
        self.named = {variant: {metric.name: _empty(count) for metric in metrics} for variant in names}
        self.constant = torch.zeros(count, dtype=torch.bool)

    def put(self, start: int, images: Mapping[VariantT, Tensor], targets: Tensor, usable: Tensor | None = None) -> None:
        """Measure the pairs from `start` on: every variant (N, 3, H, W) of the images, not clipped, and the targets.

        `usable` (N, 1, H, W), bool, says which px can be compared, at least one of each pair; None: all of them. PSNR
        and the match of colours leave out the others, and for all other scores these are as in the target.

        The variants are measured side by side, each on one processor, so that the result does not depend on their
        number.
        """
        span = slice(start, start + len(targets))
        self.constant[span] = are_constant(targets)
        with _one_thread_each(len(images) if targets[0, 0].numel() <= PX_SIDE_BY_SIDE else 1) as pool:
            measure = partial(self._measure, start=start, targets=targets, usable=usable)
            for task in [pool.submit(measure, variant, images=of) for variant, of in images.items()]:
                task.result()

    def scores(self, variant: VariantT, protocol: Protocol) -> VersionScores:
        """Return the mean scores of a variant as a file holds them.

        Means of all pairs have the definitions of their protocol. All others are over the pairs whose targets are not
        constant, in which PSNR counts at most `MOST_PSNR_DB`: so they are over the same pairs for every network.
        """
        all_pairs = self.measures[variant][protocol].scores(protocol)
        varied, matched = (
            of[variant][protocol].some(~self.constant).scores(protocol, limited=True)
            for of in (self.measures, self.matched)
        )
        return recorded(all_pairs, varied, matched)

    def named_scores(self) -> dict[str, MetricScores]:
        """Return the summaries of the named metrics, by name, over the pairs whose targets are not constant."""
        return {
            metric.name: MetricScores(
                better=metric.better,
                **{
                    variant: _known(summary(of[metric.name][~self.constant], is_median=metric.is_median))
                    for variant, of in self.named.items()
                },
            )
            for metric in self.metrics
        }

    def differences(self, ours: VariantT, scenes: Sequence[str]) -> dict[str, dict[str, Difference]]:
        """Return by how much a variant exceeds each other one: by the other's name, then by the name of the score.

        The pairs are those whose targets are not constant, and the protocol is `image`. A score without a value for
        one of these pairs is left out.

        Parameters
        ----------
        ours
            The variant.
        scenes
            The scene of every pair.

        """
        kept = ~self.constant
        witnesses = [scene for scene, keep in zip(scenes, kept.tolist(), strict=True) if keep]
        found: dict[str, dict[str, Difference]] = {}
        for other in self.measures:
            pairs = zip(self._columns(ours), self._columns(other), strict=True) if other != ours else ()
            for (name, values, is_median), (_, others, _) in pairs:
                of = difference(values[kept].numpy(), others[kept].numpy(), witnesses, is_median=is_median)
                if of:
                    found.setdefault(other, {})[name] = of
        return found

    def count(self, scenes: Sequence[str]) -> int:
        """Return how many scenes the pairs that are compared are of, from the scene of every pair."""
        return len({scene for scene, left_out in zip(scenes, self.constant.tolist(), strict=True) if not left_out})

    def _columns(self, variant: VariantT) -> Iterator[tuple[str, Tensor, bool]]:
        """Yield the scores of single pairs: name, values (N,), and whether a set has their median."""
        for kind, measures in (("", self.measures), ("_matched", self.matched)):
            of = measures[variant]["image"]
            yield f"psnr{kind}_db", of.limited_psnr_db(), False
            yield f"ms_ssim{kind}", of.ms_ssim(), False
            yield f"ssim{kind}", of.ssim, False
        for metric in self.metrics:
            yield metric.name, self.named[variant][metric.name], metric.is_median

    def _measure(self, variant: VariantT, start: int, images: Tensor, targets: Tensor, usable: Tensor | None) -> None:
        at_once = max(1, PX_AT_ONCE // targets[0, 0].numel())
        for first in range(0, len(images), at_once):
            some = slice(first, first + at_once)
            span = slice(start + first, start + first + len(targets[some]))
            self._measure_some(variant, span, images[some], targets[some], None if usable is None else usable[some])

    def _measure_some(
        self, variant: VariantT, span: slice, images: Tensor, targets: Tensor, usable: Tensor | None
    ) -> None:
        matched, share = match_colours(images, targets, usable), None
        if usable is not None:
            share = usable.double().mean(dim=(1, 2, 3))
            images, matched = (torch.where(usable, made, targets.to(made)) for made in (images, matched))
        for protocol, part in measure_protocols(images, targets).items():
            _copy(part, self.measures[variant][protocol], span, share)
        for protocol, part in measure_protocols(matched, targets.double()).items():
            _copy(part, self.matched[variant][protocol], span, share)
        clipped = images.clamp(0, 1)
        for metric in self.metrics:
            self.named[variant][metric.name][span] = metric.of(clipped, targets)


@contextmanager
def _one_thread_each(tasks: int) -> Iterator[ThreadPoolExecutor]:
    """Return a pool in which every task has one processor; threads of a library within them would only wait.

    The metrics are many small steps: with two threads in each, they were measured at three times the processor time.
    """
    with (
        threadpool_limits(1),
        ThreadPoolExecutor(
            max(1, min(tasks, os.cpu_count() or 1)), initializer=lambda: threadpool_limits(1, user_api="openmp")
        ) as pool,
    ):
        yield pool


def _copy(part: Measures, whole: Measures, span: slice, share: Tensor | None) -> None:
    # The px that cannot be compared have no error here, so the mean is that of the others.
    whole.squared_error[span] = part.squared_error if share is None else part.squared_error / share
    whole.ssim_terms[:, span] = part.ssim_terms
    whole.ssim[span] = part.ssim


def _room(count: int) -> Measures:
    values = torch.full((2 + len(SCALE_WEIGHTS), count), torch.nan, dtype=torch.float64)
    return Measures(squared_error=values[0], ssim=values[1], ssim_terms=values[2:])


def _empty(count: int) -> Tensor:
    return torch.full((count,), torch.nan, dtype=torch.float64)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def shortfall(network: VersionScores, colour: VersionScores, fitted_to: str) -> str:
    """Return the scores in which a network is worse than a colour transform, as a sentence; empty if there are none."""
    compared = (
        ("PSNR", network.psnr_varied_db, colour.psnr_varied_db),
        ("MS-SSIM", network.ms_ssim_varied, colour.ms_ssim_varied),
    )
    worse = " and ".join(
        name for name, reached, rival in compared if reached is not None and rival is not None and reached < rival
    )
    return (
        f"In {worse} the network is worse than the colour transform fitted to {fitted_to}: train it longer."
        if worse
        else ""
    )
