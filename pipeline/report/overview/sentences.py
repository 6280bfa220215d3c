"""Sentences on whether a data set is good, with problems first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from dpedtool.pipeline.report.overview.distributions import Distributions
from dpedtool.pipeline.report.overview.kept_windows import WindowCounts, Windows
from dpedtool.pipeline.report.overview.photos_and_pairs import Clock, PairCounts, Reason, Session
from dpedtool.pipeline.report.overview.process import Difference, Process
from dpedtool.pipeline.report.overview.session_colours import SessionColours
from dpedtool.pipeline.report.overview.sides import Sides
from dpedtool.pipeline.report.overview.training import Network
from dpedtool.pipeline.report.overview.words import SPACE, counted, number, plainly, share, signed, value
from dpedtool.pipeline.report.results import STAGES, RunResults

Tone = Literal["bad", "warn", "good", "plain"]
TONES: tuple[Tone, ...] = ("bad", "warn", "good", "plain")

FEW_ALIGNED, MOST_ALIGNED = 0.5, 0.9
"""Shares of the pairs: below the first a session has failed; from the second on it is good."""
FEW_KEPT = 0.3
"""Below this share of kept windows, the patches no longer represent the scenes."""
MANY_UNPAIRED = 0.1
NAMED = 3
"""Largest number of parameters that a sentence names."""


@dataclass(frozen=True)
class Sentence:
    """One thing to know about a run."""

    tone: Tone
    """bad: a problem; warn: should be checked; good; plain: neither."""
    text: str


@dataclass(frozen=True)
class Found:
    """What the sentences are made from."""

    run: RunResults
    session: Session
    windows: Windows
    distributions: Distributions
    colours: dict[str, SessionColours]
    sides: Sides | None
    network: Network
    process: Process


def sentences(found: Found) -> list[Sentence]:
    """Return all sentences by tone, and within a tone in the order of the stages."""
    if not any(len(phone.missing) < len(STAGES) for phone in found.run.phones):
        return [Sentence("bad", f"There are no results in {found.run.results}: run the stages with `dvc repro`.")]
    said = [
        *_missing(found.run),
        *_imported(found.run),
        *_older(found.run),
        *_differences(found.process.differences),
        *_photos(found.session),
        *_clocks(found.session),
        *_pairs(found),
        *_windows(found),
        *_colours(found.colours),
        *_sides(found.sides),
        *_scores(found),
    ]
    plain = [Sentence(sentence.tone, sentence.text.replace(SPACE, " ")) for sentence in said]
    return sorted(plain, key=lambda sentence: TONES.index(sentence.tone))


def _missing(run: RunResults) -> Iterator[Sentence]:
    """Yield one sentence for all phones with the same missing stages."""
    names: dict[tuple[str, ...], list[str]] = {}
    for phone in run.phones:
        if phone.missing:
            names.setdefault(phone.missing, []).append(phone.name)
    for stages, phones in names.items():
        have = f"stage {stages[0]} has" if len(stages) == 1 else f"stages {_listed(stages)} have"
        yield Sentence("warn", f"The {have} not run yet for {_listed(phones)}.")


def _imported(run: RunResults) -> Iterator[Sentence]:
    names = [phone.name for phone in run.phones if phone.imported]
    if names:
        yield Sentence(
            "warn",
            f"The patches of {_listed(names)} were imported. Their scenes and photos are not known, so it cannot be "
            "checked whether the split leaks.",
        )


def _older(run: RunResults) -> Iterator[Sentence]:
    """Report phones whose photos were paired again after stage align ran."""
    for phone in run.phones:
        gone = [f"{counted(phone.gone, 'pair')} no longer exist{_s(phone.gone)}"] if phone.gone else []
        waiting = [f"{counted(phone.waiting, 'new pair')} {_were(phone.waiting)} not aligned"] if phone.waiting else []
        if gone or waiting:
            yield Sentence(
                "warn",
                f"The pairs of {phone.name} have changed since stage align ran: {_listed([*gone, *waiting])}. Run it "
                "and the later stages again.",
            )


def _differences(differences: list[Difference]) -> Iterator[Sentence]:
    """Yield one sentence for all phones with the same changes of parameters."""
    by_phone: dict[tuple[str, str], list[str]] = {}
    for each in differences:
        said = f"{each.section}.{each.key} {value(each.recorded)} (now {value(each.now)})"
        by_phone.setdefault((each.section, each.phone), []).append(said)
    phones: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (section, phone), changes in by_phone.items():
        phones.setdefault((section, tuple(changes)), []).append(phone)
    for (section, all_changes), names in phones.items():
        made = {"patches": "The patches of {} were cut", "train": "The network of {} was trained"}[section]
        more = [f"{len(all_changes) - NAMED} more"] if len(all_changes) > NAMED else []
        yield Sentence(
            "warn",
            f"{made.format(_listed(names))} with parameters that have changed since: "
            f"{_listed([*all_changes[:NAMED], *more])}.",
        )


def _photos(session: Session) -> Iterator[Sentence]:
    for name, photos in session.photos.items():
        if photos is None:
            continue
        if not photos.pairs:
            yield Sentence(
                "bad", f"No photo of {name} was paired: {_listed(_by_reason(session.unpaired_reasons, name))}."
            )
        elif photos.unpaired > MANY_UNPAIRED * (photos.pairs + photos.unpaired):
            lone = _listed(_by_reason(session.unpaired_reasons, name))
            photo = counted(photos.unpaired, "photo")
            yield Sentence(
                "warn", f"{photo} of {name} or the DSLR {_were(photos.unpaired)} not paired with each other: {lone}."
            )


def _clocks(session: Session) -> Iterator[Sentence]:
    for name, clock in session.clocks.items():
        if clock:
            yield from _clock(name, clock)


def _clock(name: str, clock: Clock) -> Iterator[Sentence]:
    if clock.pieces > 1:
        times = "once" if clock.pieces == 2 else f"{clock.pieces - 1} times"
        yield Sentence("warn", f"The clock of {name} or of the DSLR was changed {times} during the session.")
    if stray := clock.stray_pairs:
        yield Sentence(
            "warn",
            f"{counted(stray, 'pair')} of {name} {_do(stray)} not fit the clock offset of the rest.",
        )
    if by_order := clock.ties.by_order:
        yield Sentence(
            "plain", f"{counted(by_order, 'pair')} of {name} {_were(by_order)} matched only by the order of the shots."
        )


def _pairs(found: Found) -> Iterator[Sentence]:
    session = found.session
    for name, counts in session.pairs_by_phone.items():
        if counts:
            yield from _of_phone(name, counts, session)
    if failed := _failed(session.pairs):
        yield Sentence("warn", f"{failed} could not be judged: run `dpedtool align` to try again.")
    if session.pairs.aligned:
        yield _aligned(session.pairs, found.distributions)


def _of_phone(name: str, counts: PairCounts, session: Session) -> Iterator[Sentence]:
    why = _listed(_by_reason(session.pair_reasons, name))
    of = f"of {counts.pairs:,} {_noun(counts)}s of {name} were"
    if not counts.aligned:
        yield Sentence("bad", _none_aligned(name, counts, session.pair_reasons))
    elif counts.aligned < FEW_ALIGNED * counts.pairs:
        yield Sentence("bad", f"Only {counts.aligned:,} {of} aligned: {why}.")
    elif counts.aligned < MOST_ALIGNED * counts.pairs:
        yield Sentence("warn", f"{counts.pairs - counts.aligned:,} {of} not aligned: {why}.")
    if coarser := counts.with_coarser_dslr:
        yield Sentence(
            "warn",
            f"In {coarser:,} of {counted(counts.aligned, f'aligned {_noun(counts)}')} of {name} the DSLR's photo is "
            "coarser than the phone's, so that its patches show no more detail.",
        )
    frames = counts.frames
    if frames.stand_ins:
        instead = _listed(_by_reason(session.stand_in_reasons, name))
        moments = counted(frames.stand_ins, "moment")
        yield Sentence("plain", f"In {moments} of {name} another frame stands in for the base frame: {instead}.")
    if lost := frames.all - frames.aligned:
        lost_for = _listed(_by_reason(session.frame_reasons, name))
        further = counted(frames.all, "further frame")
        yield Sentence("plain", f"{lost:,} of {further} of {name} {_were(lost)} not aligned: {lost_for}.")


def _noun(counts: PairCounts) -> str:
    """Return what a reader calls the things that were counted: pairs, unless a moment has several frames."""
    return "moment" if counts.frames.all else "pair"


def _failed(pairs: PairCounts) -> str:
    """Return the moments and further frames that failed, or an empty text."""
    failed = [(pairs.failed, _noun(pairs)), (pairs.frames.failed, "further frame")]
    return " and ".join(counted(count, noun) for count, noun in failed if count)


def _none_aligned(name: str, counts: PairCounts, reasons: list[Reason]) -> str:
    if not counts.pairs:
        return f"There were no pairs of {name} to align."
    return f"No {_noun(counts)} of {name} was aligned: {_listed(_by_reason(reasons, name))}."


def _aligned(pairs: PairCounts, distributions: Distributions) -> Sentence:
    left, own_p95 = (
        measure.session["aligned"] for measure in (distributions.pair_residual_px, distributions.pair_residual_p95_px)
    )
    these = "the moments" if pairs.frames.all else "these"
    quality = (
        f"Half of {these} have a median residual below {number(left.median, 2, 'px')}, and 95 % have one below "
        f"{number(left.p95, 2, 'px')}. The median of the {_noun(pairs)}s' own 95th percentiles is "
        f"{number(own_p95.median, 2, 'px')}"
        if left.measured
        else "Their residuals were not measured"
    )
    tone: Tone = "good" if left.measured and pairs.aligned >= MOST_ALIGNED * pairs.pairs else "plain"
    count = f"{pairs.aligned:,} of {counted(pairs.pairs, _noun(pairs))} {_were(pairs.aligned)} aligned"
    frames = pairs.frames
    further = f", and {frames.aligned:,} of {counted(frames.all, 'further frame')}" if frames.all else ""
    return Sentence(tone, f"{count}{further}. {quality}.")


def _windows(found: Found) -> Iterator[Sentence]:
    for name, counts in found.windows.phones.items():
        pairs = found.session.pairs_by_phone[name]
        # If a phone has no aligned pairs, another sentence says so already.
        if counts and (counts.windows or not pairs or pairs.aligned):
            yield from _kept(name, counts, found.windows)
    if accepted := found.windows.all.accepted:
        left = found.distributions.window_residual_px.session["accepted"]
        all_imported = all(phone.imported for phone in found.run.phones)
        became = ("imported patch", "can be used") if all_imported else ("window", "became patches")
        yield Sentence(
            "good",
            f"{accepted:,} of {counted(found.windows.all.windows, became[0])} {became[1]} "
            f"({share(accepted / found.windows.all.windows)}). The remaining shift is {number(left.median, 2, 'px')} "
            f"(median) and {number(left.p95, 2, 'px')} (95th percentile).",
        )


def _kept(name: str, counts: WindowCounts, windows: Windows) -> Iterator[Sentence]:
    why = _listed(_by_reason(windows.reasons, name)[:3])
    if not counts.windows:
        yield Sentence("bad", f"There were no windows of {name} to cut patches from.")
    elif not counts.accepted:
        yield Sentence("bad", f"None of the {counted(counts.windows, 'window')} of {name} became a patch: {why}.")
    elif counts.accepted < FEW_KEPT * counts.windows:
        kept = share(counts.accepted / counts.windows)
        yield Sentence("warn", f"Only {kept} of {name}'s windows became patches. Most frequent reasons: {why}.")


def _colours(colours: dict[str, SessionColours]) -> Iterator[Sentence]:
    for name, of in colours.items():
        if not of.far:
            continue
        shown = [f"{pair.pair_id} ({signed(pair.from_median_stops, 2, 'stops')})" for pair in of.far[:NAMED]]
        more = [f"{len(of.far) - NAMED} more"] if len(of.far) > NAMED else []
        count = f"{len(of.far):,} of {counted(of.pairs, 'pair')} of {name}"
        far = f"more than {of.far_stops:g} stops from the session's median exposure: {_listed([*shown, *more])}"
        if of.limit_stops is None:
            yield Sentence(
                "warn",
                f"{count} {'is' if len(of.far) == 1 else 'are'} {far}. No network can learn what a camera's automatic "
                "exposure did in single photos; `patches.max_exposure_difference` leaves such pairs out.",
            )
        else:
            yield Sentence("plain", f"{count} {_gave(len(of.far))} no patches, being {far}.")


def _sides(sides: Sides | None) -> Iterator[Sentence]:
    if sides is None:
        return
    if sides.proof or sides.are_scenes_known:
        yield _leakage(sides)
    if excluded := sides.sides["excluded"].pairs:
        yield Sentence("warn", f"{counted(excluded, 'pair')} {_were(excluded)} left out of the split to prevent leaks.")
    for name in ("train", "validation", "test"):
        if not sides.sides[name].patches:
            yield Sentence("bad" if name == "train" else "warn", f"The split has no {name} patches.")


def _leakage(sides: Sides) -> Sentence:
    proof = sides.proof
    if proof is None:
        return Sentence(
            "warn",
            "The split is not verified: run `dpedtool split --verify DIR --verdict DIR/verdict.json` on the split's "
            "folder.",
        )
    if proof.faults:
        faults = len(proof.faults)
        return Sentence("bad", f"The split leaks or is damaged: {counted(faults, 'fault')} {_were(faults)} found.")
    if not proof.is_current:
        return Sentence("warn", "The split has changed since it was verified: verify it again.")
    if not proof.is_proof:
        return Sentence("warn", "No leak was found, but this is not a proof.")
    return Sentence("good", "The split is proven not to leak: no scene, photo or near-duplicate is on two sides.")


def _scores(found: Found) -> Iterator[Sentence]:
    for name, scores in found.network.scores.items():
        training = found.network.training[name]
        if training and not training.is_trained:
            yield Sentence("bad", f"{name}: {training.said}")
        elif scores and not scores["image"]["pairs"]:
            yield Sentence("bad", f"{name}: nothing was scored, since there are no test patches.")
        elif scores:
            yield _score(name, scores["image"])


def _score(name: str, scores: dict[str, Any]) -> Sentence:
    before, colour, after = (scores[f"psnr_{version}_db"] for version in ("before", "colour", "after"))
    if before is None or after is None:
        return Sentence("plain", f"{name}: the gain of the network is not known, as a PSNR is infinite or missing.")
    said = f"{name}: the network changes the PSNR of the test patches from {before:.2f} to {number(after, 2, 'dB')}"
    if after <= before:
        return Sentence("bad", f"{said}, so it does harm (protocol image).")
    if colour is not None and after <= colour:
        return Sentence(
            "warn", f"{said}, but a colour transform alone does better: {number(colour, 2, 'dB')} (protocol image)."
        )
    more = "" if colour is None else f", {number(after - colour, 2, 'dB')} more than a colour transform alone"
    return Sentence("good", f"{said}{more} (protocol image).")


def _by_reason(reasons: list[Reason], phone: str) -> list[str]:
    """Return the reasons of a phone with their counts, the most frequent first."""
    found = [(reason.phones[phone], reason.reason) for reason in reasons if reason.phones[phone]]
    return [f"{plainly(word)} ({many:,})" for many, word in sorted(found, key=lambda item: (-item[0], item[1]))]


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _gave(count: int) -> str:
    return "gives" if count == 1 else "give"


def _do(count: int) -> str:
    return "does" if count == 1 else "do"


def _s(count: int) -> str:
    """Return the ending of a verb."""
    return "s" if count == 1 else ""


def _listed(words: list[str] | tuple[str, ...]) -> str:
    """Return words as a list in a sentence: a, b and c."""
    if not words:
        return "no reason is recorded"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
