"""A metrics.json with scores that compare, for tests of what shows them."""

from __future__ import annotations

from dpedtool.dataset.sidecars.metrics import (
    NOT_SCORED,
    Difference,
    Metrics,
    MetricScores,
    NetworkSize,
    PatchScores,
    VersionScores,
)


def compared_metrics(pairs: int = 200, constant_targets: int = 2) -> Metrics:
    """Return scores of the phone and of a network; PSNR has a difference, and a metric of the user's own lacks one."""
    image = {
        "before": VersionScores(20.4, 0.8, 0.7, 0, psnr_varied_db=20.0, ms_ssim_varied=0.79, ssim_varied=0.69),
        "after": VersionScores(
            21.6, 0.9, 0.8, 0, psnr_varied_db=21.5, ms_ssim_varied=0.89, ssim_varied=0.79, psnr_matched_db=28.75
        ),
    }
    batch = {
        "before": VersionScores(18.1, 0.8, 0.7, 0, psnr_varied_db=18.0),
        "after": VersionScores(19.1, 0.9, 0.8, 0, psnr_varied_db=19.0),
    }
    return Metrics(
        **{
            protocol: PatchScores(
                pairs=pairs, constant_targets=constant_targets, colour=NOT_SCORED, oracle=NOT_SCORED, **versions
            )
            for protocol, versions in (("image", image), ("batch", batch))
        },
        metrics={
            "sharpness": MetricScores(better="one", before=0.54, after=0.82),
            "own:worst": MetricScores(better="lower", before=0.25),
        },
        differences={"before": {"psnr_db": Difference(difference=1.5, low=1.0, high=2.0)}},
        scenes=40,
        network=NetworkSize(parameters=401475, multiply_adds_per_px=399744.0),
    )
