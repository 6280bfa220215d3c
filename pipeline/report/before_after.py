"""What the page shows about each phone's network: the examples of stage evaluate, before and after the network."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.regular_files import check_inside, read_regular
from dpedtool.dataset.sidecars import examples as listed
from dpedtool.dataset.sidecars.examples import Examples
from dpedtool.dataset.sidecars.metrics import Metrics, PatchScores
from dpedtool.pipeline.report.inline_pictures import PagePicture, data_uri
from dpedtool.pipeline.report.overview.written import as_written
from dpedtool.pipeline.report.results import PhoneResults, RunResults

_AGAIN = "run `dpedtool evaluate` again"


@dataclass(frozen=True)
class PatchBeforeAfter:
    """A test patch before and after."""

    patch_id: str
    pair_id: str
    phone: PagePicture
    network: PagePicture
    dslr: PagePicture
    psnr_before_db: float
    """Compared with the DSLR's patch; infinite if equal."""
    psnr_after_db: float
    is_worst: bool
    """Whether it is one of the patches that the network improves least, or harms most."""

    @property
    def gain_db(self) -> float:
        """The gain of the network; 0 if both are perfect."""
        gain = self.psnr_after_db - self.psnr_before_db
        return 0.0 if math.isnan(gain) else gain

    @property
    def before(self) -> str:
        """PSNR of the untouched patch, in dB."""
        return f"PSNR {_decibels(self.psnr_before_db)}"

    @property
    def after(self) -> str:
        """PSNR after the network, in dB, with the gain."""
        gain = f" ({self.gain_db:+.2f})" if math.isfinite(self.gain_db) else ""
        return f"PSNR {_decibels(self.psnr_after_db)}{gain}"


@dataclass(frozen=True)
class Comparison:
    """Two pictures of the same thing and size, with a line about what they show."""

    words: str
    phone: PagePicture
    network: PagePicture


@dataclass(frozen=True)
class PhotoBeforeAfter:
    """A whole test photo before and after."""

    pair_id: str
    note: str
    """Why it is not shown, or what is wrong with it, as a sentence; else empty."""
    comparisons: tuple[Comparison, ...]
    """The whole photo and the detail, or nothing."""


@dataclass(frozen=True)
class PhoneNetwork:
    """What is shown about one phone's network."""

    name: str
    note: str
    """Why nothing is shown, as a sentence; else empty."""
    summary: str = ""
    """Its gain over all test patches, as a sentence."""
    network: str = "network"
    """Its name below its pictures."""
    has_pairs: bool = False
    """Whether the page lists pairs; imported patches have none."""
    spread: tuple[PatchBeforeAfter, ...] = ()
    """In the order of their names."""
    worst: tuple[PatchBeforeAfter, ...] = ()
    """The worst first."""
    photos: tuple[PhotoBeforeAfter, ...] = ()


def network_examples(run: RunResults) -> tuple[PhoneNetwork, ...]:
    """Read the examples of every phone.

    Raises
    ------
    DpedtoolError
        Scores or examples are damaged, or a file that the list names is missing.

    """
    return tuple(_of_phone(phone) for phone in run.phones)


def _of_phone(phone: PhoneResults) -> PhoneNetwork:
    if phone.metrics is None:
        return PhoneNetwork(phone.name, "The network has no scores: the stage evaluate has not run.")
    if phone.examples is None:
        return PhoneNetwork(phone.name, f"There are no examples, since an earlier version wrote the scores: {_AGAIN}.")
    trained = phone.card is None or phone.card.is_trained
    with as_written(phone.file(Metrics.FILE)):
        summary = _summary(phone.metrics.image, trained)
    if not summary:
        return PhoneNetwork(phone.name, "There are no test patches, so the network has no examples.")
    examples = _Examples(phone, "network" if trained else "untrained network")
    with as_written(phone.file(Examples.FILE)):
        patches = [examples.patch(entry) for entry in phone.examples.patches]
        photos = tuple(examples.photo(entry) for entry in phone.examples.photos)
    return PhoneNetwork(
        phone.name,
        "",
        summary,
        examples.network,
        phone.pairs is not None,
        spread=tuple(patch for patch in patches if not patch.is_worst),
        worst=tuple(sorted((patch for patch in patches if patch.is_worst), key=lambda patch: patch.gain_db)),
        photos=photos,
    )


def _summary(image: PatchScores, trained: bool) -> str:
    """Return the mean gain of the network as a sentence; empty if there are no test patches."""
    if not image.pairs:
        return ""
    untrained = "" if trained else "The network is untrained and does not change the photo. "
    before, after = image.before, image.after
    psnr = " to ".join(_decibels(_psnr(scores.psnr_db)) for scores in (before, after))
    ms_ssim = f"{before.ms_ssim:.4f} to {after.ms_ssim:.4f}"
    mean = "1 test patch" if image.pairs == 1 else f"The mean of {image.pairs:,} test patches"
    return f"{untrained}{mean}, before and after: PSNR {psnr}, MS-SSIM {ms_ssim} (protocol image)."


def _decibels(psnr_db: float) -> str:
    return f"{psnr_db:.2f} dB" if math.isfinite(psnr_db) else "infinite"


def _psnr(psnr_db: float | None) -> float:
    """Return the PSNR; null in JSON means infinite, as JSON has no infinity."""
    return math.inf if psnr_db is None else float(psnr_db)


class _Examples:
    """Turns the entries of one phone's list into what the page shows, and reads their files."""

    def __init__(self, phone: PhoneResults, network: str) -> None:
        self.network = network
        self._folder = phone.evaluation / listed.FOLDER
        self._paths = phone.paths

    def patch(self, entry: listed.PatchExample) -> PatchBeforeAfter:
        name, size = entry.patch_id, (entry.width, entry.height)
        return PatchBeforeAfter(
            name,
            entry.pair_id,
            self._picture(entry.phone, size, f"Test patch {name}: the phone's"),
            self._picture(entry.network, size, f"Test patch {name}: after the {self.network}"),
            self._picture(entry.dslr, size, f"Test patch {name}: the DSLR's"),
            _psnr(entry.psnr_before_db),
            _psnr(entry.psnr_after_db),
            entry.why == "worst",
        )

    def photo(self, entry: listed.PhotoExample) -> PhotoBeforeAfter:
        name, comparisons = entry.pair_id, []
        if entry.whole and entry.detail:
            whole, detail = entry.whole, entry.detail
            size, shown = (f"{part.width}x{part.height} px" for part in (entry, whole))
            reduced = f", shown at {shown}" if shown != size else ""
            words = f"The whole photo, {size}{reduced}."
            comparisons.append(self._comparison(whole, words, f"Phone photo of {name}"))
            words = f"Part of it at x {detail.x}, y {detail.y}, {detail.width}x{detail.height} px, lossless."
            comparisons.append(self._comparison(detail, words, f"Part of the phone photo of {name}"))
        return PhotoBeforeAfter(name, self._paths.shorten(entry.note), tuple(comparisons))

    def _comparison(self, part: listed.PhotoPart, words: str, alt: str) -> Comparison:
        size = part.width, part.height
        phone = self._picture(part.phone, size, f"{alt}, untouched")
        return Comparison(words, phone, self._picture(part.network, size, f"{alt}, after the {self.network}"))

    def _picture(self, file: str, size: tuple[int, int], alt: str) -> PagePicture:
        path = self._folder / file
        if path.name != file:
            raise ValueError(f"{file!r} is not the name of a file")
        try:
            check_inside(path, self._folder.parent)
            content = read_regular(path)
        except OSError as error:
            raise DpedtoolError(
                f"{path} cannot be read ({error.strerror}), though {Examples.FILE} names it: {_AGAIN}."
            ) from None
        return PagePicture(data_uri(content), *size, alt)
