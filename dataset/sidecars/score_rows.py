"""The scores of a metrics.json as rows of a table, for the terminal, the card of a model and the report alike.

All of them leave out the pairs with a constant target, so that they are over the same pairs for every network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dpedtool.dataset.sidecars.metrics import (
    NOT_SCORED,
    Better,
    Difference,
    FolderMetrics,
    Metrics,
)

VERSIONS: Mapping[str, str] = {
    "before": "phone",
    "colour": "colour",
    "oracle": "colour of the same photo",
    "after": "network",
}
"""What is scored, as a metrics.json calls it, and the head of its column."""
GAIN_OF_NETWORK = "network - phone (interval of 95 %)"
"""The head of the column of gains."""
COLOUR_MATCH = (
    "Colour match: one affine map of the colours of each image, fitted to the DSLR's, so that only what colour cannot "
    "explain counts. ↑ and ↓: higher or lower is better; → 1: the nearer to 1."
)
_NAMED: Mapping[str, tuple[str, int]] = {
    "sharpness": ("Sharpness", 2),
    "psnr_shifted": ("PSNR, best of ±1 px, dB", 2),
    "ciede2000": ("CIEDE2000", 2),
    "vif": ("VIFp", 3),
    "gmsd": ("GMSD", 4),
    "haarpsi": ("HaarPSI", 4),
    "fsim": ("FSIMc", 4),
    "lpips": ("LPIPS", 4),
}
_BASIC = (("psnr", "_db", "PSNR", ", dB", 2), ("ms_ssim", "", "MS-SSIM", "", 4), ("ssim", "", "SSIM", "", 4))
_ARROWS: Mapping[Better, str] = {"higher": "↑", "lower": "↓", "one": "→ 1"}


@dataclass(frozen=True)
class ScoreRow:
    """One score of all versions."""

    name: str
    title: str
    decimals: int
    better: Better
    values: Mapping[str, float | None]
    """By the names of `VERSIONS`; versions that do not exist are left out."""
    gains: Mapping[str, Difference] = field(default_factory=dict)
    """How much the network exceeds each other version, where it is known."""

    @property
    def head(self) -> str:
        """The title with an arrow that says which values are better."""
        return f"{self.title} {_ARROWS[self.better]}"

    def shown(self, version: str) -> str:
        """Return a value as text; "none" where there is none."""
        value = self.values.get(version)
        return "none" if value is None else f"{value:.{self.decimals}f}"

    def gain(self, version: str = "before") -> str:
        """Return how much the network exceeds a version, with the interval; empty where it is not known."""
        return "" if version not in self.gains else shown_difference(self.gains[version], self.decimals)


def shown_difference(of: Difference, decimals: int) -> str:
    """Return a difference with its interval, such as +1.25 (+1.02 to +1.49)."""
    interval = "" if of.low is None or of.high is None else f" ({of.low:+.{decimals}f} to {of.high:+.{decimals}f})"
    return f"{of.difference:+.{decimals}f}{interval}"


def titled(name: str) -> tuple[str, int]:
    """Return the title and the decimals of a named metric; a function of the user's own is called by its name."""
    return _NAMED.get(name, (name, 4))


def versions_in(scores: Metrics | FolderMetrics) -> list[str]:
    """Return the names of the versions that a file has scores of, in the order of `VERSIONS`."""
    return [name for name in VERSIONS if getattr(scores.image, name, NOT_SCORED) != NOT_SCORED]


def score_rows(scores: Metrics | FolderMetrics) -> list[ScoreRow]:
    """Return the rows of a file of scores; an older file has none."""
    versions = versions_in(scores)
    gains = {name: {of: by[name] for of, by in scores.differences.items() if name in by} for name in _all_names(scores)}
    rows = [
        ScoreRow(
            name,
            title,
            decimals,
            "higher",
            {version: _read(scores, version, *place) for version in versions},
            gains.get(name, {}),
        )
        for name, title, decimals, place in _basic()
    ]
    # In the order of the default, since a file has its keys sorted; functions of the user's own come last.
    order = {name: place for place, name in enumerate(_NAMED)}
    for name, of in sorted(scores.metrics.items(), key=lambda item: order.get(item[0], len(order))):
        title, decimals = titled(name)
        values = {version: getattr(of, version) for version in versions}
        rows.append(ScoreRow(name, title, decimals, of.better, values, gains.get(name, {})))
    return [row for row in rows if any(value is not None for value in row.values.values())]


def table_lines(scores: Metrics | FolderMetrics) -> list[str]:
    """Return the rows as lines of text with aligned columns, below a line that says what they are over."""
    rows, versions = score_rows(scores), versions_in(scores)
    if not rows:
        return []
    cells = [["", *(VERSIONS[version] for version in versions)]]
    cells += [[row.head, *(row.shown(version) for version in versions)] for row in rows]
    if any(row.gains for row in rows):
        cells[0].append(GAIN_OF_NETWORK)
        for line, row in zip(cells[1:], rows, strict=True):
            line.append(row.gain())
    return [said_pairs(scores), *aligned(cells)]


def said_pairs(scores: Metrics | FolderMetrics) -> str:
    """Return which pairs the rows are over, as a sentence."""
    left_out = scores.image.constant_targets
    over = scores.image.pairs - left_out
    pairs = f"Over {'the same pair' if over == 1 else f'the same {over} pairs'} for all"
    if not left_out:
        return f"{pairs}; every target has details:"
    constant = "1 pair with a constant target is" if left_out == 1 else f"{left_out} pairs with constant targets are"
    return f"{pairs}; {constant} left out:"


def aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Return the cells of a table as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            [line[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()
        for line in cells
    ]


def _basic() -> Iterator[tuple[str, str, int, tuple[str, str]]]:
    """Yield name, title, decimals and place, the protocol and the field, of PSNR, MS-SSIM and SSIM."""
    for kind, said in (("varied", ""), ("matched", " after the colour match")):
        for protocol, of in (("image", ""), ("batch", " of batches")):
            for score, unit, title, shown_unit, decimals in _BASIC:
                # SSIM of batches differs from that of images by clipping alone.
                if (score, protocol) != ("ssim", "batch"):
                    name = f"{score}{'_matched' if kind == 'matched' else ''}{unit}"
                    own = name if protocol == "image" else f"{name}_batch"
                    yield own, f"{title}{of}{said}{shown_unit}", decimals, (protocol, f"{score}_{kind}{unit}")


def _read(scores: Metrics | FolderMetrics, version: str, protocol: str, score: str) -> float | None:
    value: float | None = getattr(getattr(getattr(scores, protocol), version), score)
    return value


def _all_names(scores: Metrics | FolderMetrics) -> set[str]:
    return {name for of in scores.differences.values() for name in of}
