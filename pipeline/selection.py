"""Which windows become patches, and what that choice does to the data: kept against all by brightness, texture, place.

A filter that keeps what correlates prefers textured, well-lit parts of the frame's middle. What it removed is not seen
in the data set any more, so it is said in figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dataset.params import PatchesParams

BRIGHTNESS_BINS = {
    "black to dark": (0, 50),
    "dark": (50, 100),
    "middle": (100, 150),
    "bright": (150, 200),
    "light": (200, 256),
}
"""Mean grey levels of the DSLR's window."""
TEXTURE_BINS = {"plain": (0, 5), "weak": (5, 15), "middle": (15, 30), "strong": (30, 50), "hard": (50, 256)}
"""Standard deviation of the DSLR's window in grey levels."""
PLACE_BINS = {"middle": (0, 1 / 3), "between": (1 / 3, 2 / 3), "rim": (2 / 3, 1.001)}
"""Distance of the window's middle from the photo's, in halves of its sides, the larger of both directions."""


def rejection(facts: Mapping[str, Any], masked: bool, params: PatchesParams) -> tuple[str, str]:
    """Return reason and detail of what speaks against a window first; empty where nothing does.

    Parameters
    ----------
    facts
        Columns of `dataset.schema.Patch`; None where there is nothing to say.
    masked
        Whether the alignment masks the place.
    params
        Mode and limits.

    """
    return next(_objections(facts, masked, params), ("", ""))


def _objections(facts: Mapping[str, Any], masked: bool, params: PatchesParams) -> Iterator[tuple[str, str]]:
    """What speaks against a window, the cause before its effects."""
    if masked and params.limit("reject_masked"):
        yield "masked", "Parallax or motion: the alignment masks it."
    yield from _dullness(facts, params)
    score = facts["best_ncc"] if params.mode == "dped" else facts["ncc"]
    left, error = facts["residual_px"], facts["residual_error_px"]
    most, most_error = params.limit("max_residual_px"), params.limit("max_residual_error_px")
    if most is not None and left is not None and left > most and facts["best_ncc"] >= params.min_ncc:
        yield "shifted", f"The photos are {left:.2f} px apart here; at most {most:g} px are allowed."
    if score is None or score < params.min_ncc:
        yield "low_ncc", f"NCC {_shown(score)} is below {params.min_ncc:g}."
    if most is not None and left is None:
        yield "uncertain", "No sub-pixel shift can be measured."
    if most_error is not None and error is not None and error > most_error:
        yield "uncertain", f"The shift left is known to {error:.2f} px only; {most_error:g} px are asked for."
    yield from _differences(facts, params)


def _dullness(facts: Mapping[str, Any], params: PatchesParams) -> Iterator[tuple[str, str]]:
    contrast = min(facts["phone_contrast"], facts["dslr_contrast"])
    least = params.limit("min_contrast")
    if least is not None and contrast < least:
        yield "flat", f"A window's contrast is {contrast:.1f} grey levels; at least {least:g} are asked for."
    if facts["ncc"] is None and facts["best_ncc"] is None:
        yield "flat", "One of the windows has a single grey value."
    if facts["flatness"] > params.max_flatness:
        yield "flat", f"{facts['flatness']:.0%} of the window show no detail."
    most = params.limit("max_clipped")
    if most is not None and facts["clipped"] > most:
        yield "clipped", f"{facts['clipped']:.0%} of a window are burnt out or black; at most {most:.0%} are allowed."


def _differences(facts: Mapping[str, Any], params: PatchesParams) -> Iterator[tuple[str, str]]:
    motion, most = facts["motion"], params.limit("max_motion")
    if most is not None and motion is not None and motion > most:
        yield "motion", f"The NCC of a part falls {motion:.2f} below its surroundings; at most {most:g} is allowed."
    second, best, most = facts["second_ncc"], facts["best_ncc"], params.limit("max_repetition")
    if most is not None and second is not None and second > most * best:
        yield "repetitive", f"Another shift has NCC {second:.3f}, the best {best:.3f}: the window repeats itself."
    sharpness, least = facts["dslr_sharpness"], params.min_sharpness
    if sharpness is not None and sharpness < least:
        yield "unsharp", f"The DSLR's sharpness {sharpness:.2f} is below {least:g}."
    ratio = params.limit("min_sharpness_ratio")
    if ratio is not None and sharpness is not None and sharpness < ratio * (facts["phone_sharpness"] or 0):
        yield "unsharp", f"The DSLR's sharpness {sharpness:.2f} is below {ratio:g} times the phone's."


def _shown(score: float | None) -> str:
    return "unknown" if score is None else f"{score:.3f}"
