"""The frames of each moment: which photos of the phone they are, their order, and which one is the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoding import open_photo
from dpedtool.pipeline.pair.clock_pairing import clock_error
from dpedtool.pipeline.pair.frames import base_candidates, find_frames, in_order
from dpedtool.pipeline.pair.likeness import Pictures
from dpedtool.pipeline.pair.notes import many, named
from dpedtool.pipeline.pair.sharpness import sharpness_of_all
from dpedtool.pipeline.pair.shots import FramePlace, Matching, Shot

RAW_MATCHED = "beside"
"""The value of the column `matched_by` for raw files beside a photo."""


def with_frames(
    matching: Matching,
    phones: Sequence[Shot],
    raws: Sequence[Shot],
    dslrs: Sequence[Shot],
    most_s: float,
    pictures: Pictures,
) -> tuple[list[Shot], Matching]:
    """Find the further frames of the moments of a matching, and the place of each photo among them.

    Parameters
    ----------
    matching
        The phone's photos with a mate of their own.
    phones
        The phone's photos, one for each exposure.
    raws
        Raw files that lie beside them. Each is a further frame of the moment of its photo, and never the base.
    dslrs
        The DSLR's photos.
    most_s
        Largest time between two frames that follow each other, in seconds; 0: no photo is a frame.
    pictures
        Compares the photos, of which it may have compared some already.

    Returns
    -------
    The phone's photos, followed by the raw files of those that have a mate, and the matching of all of them.

    """
    # A list of the user's own says which photos are frames.
    found = find_frames(
        phones,
        matching.dslr_of_phone,
        0 if matching.method == "csv" else most_s,
        lambda phone, dslr: pictures.likeness(phones[phone].path, dslrs[dslr].path),
    )
    bases = _bases(found.frames(), matching, phones, dslrs, found.further, pictures)
    mates = {phones[index].path: dslr for index, dslr in found.dslr_of.items()}
    frames_beside = [raw for raw in raws if raw.beside and raw.beside.path in mates]
    every = [*phones, *frames_beside]
    of_raws = (mates[raw.beside.path] for raw in frames_beside if raw.beside)
    dslr_of = dict(found.dslr_of) | dict(enumerate(of_raws, start=len(phones)))
    sizes = _other_sizes(found.frames(), bases, phones)
    places, how = dict[int, FramePlace](), dict(matching.how)
    for dslr, frames in replace(found, dslr_of=dslr_of).frames().items():
        base, why = bases[dslr]
        ordered = in_order(frames, every)
        if len(ordered) > 1:
            # The frames of one moment are no rivals, so that no tie was left to settle; the base has the mate's way.
            others = "csv" if matching.method == "csv" else "frame"
            how |= {index: RAW_MATCHED if index >= len(phones) else others for index in ordered}
            how[base] = matching.method
        for number, index in enumerate(ordered):
            says = []
            if index == base and len(ordered) > 1:
                says.append(f"The base of {len(ordered)} frames: {why or 'the others are its raw files'}.")
            if photo := every[index].beside:
                says.append(f"It is the raw file of {photo.path.name}.")
            # A burst at night may hold a photo of something else, which the user has to know.
            if index in found.unjudged:
                says.append("Its time alone makes it a frame: the pictures show too little to be compared.")
            if index in sizes:
                says.append(sizes[index].sentence)
            role = "base" if index == base else "frame"
            places[index] = FramePlace(role, number, len(ordered), " ".join(says))
    notes = [*matching.notes, *_note_of(sizes)]
    between = found.between
    return every, replace(matching, dslr_of_phone=dslr_of, how=how, places=places, between=between, notes=notes)


def _bases(
    moments: Mapping[int, Sequence[int]],
    matching: Matching,
    phones: Sequence[Shot],
    dslrs: Sequence[Shot],
    further: frozenset[int],
    pictures: Pictures,
) -> dict[int, tuple[int, str]]:
    """Return the base frame of each moment, by the DSLR's photo, and why it is the base."""
    candidates = {}
    for dslr, frames in moments.items():
        ordered = in_order(frames, phones)
        own = (index for index in ordered if index not in further)
        namesake = next(own, None) if matching.method == "name" else None
        away = {
            index: abs(clock_error(phones[index], dslrs[dslr], matching.offsets))
            for index in frames
            if matching.offsets and phones[index].path in matching.offsets and dslrs[dslr].time
        }
        candidates[dslr] = base_candidates(ordered, phones, namesake, away)
    rivals = [phones[index].path for near, _ in candidates.values() if len(near) > 1 for index in near]
    sharpness = sharpness_of_all(rivals, pictures.damaged)
    return {
        dslr: (max(near, key=lambda index: sharpness.get(phones[index].path, 0.0)), why)
        for dslr, (near, why) in candidates.items()
    }


@dataclass(frozen=True)
class _OtherSize:
    """A frame whose size, (width, height) in px as seen, differs from that of its base frame."""

    name: str
    size: tuple[int, int]
    base: str
    base_size: tuple[int, int]

    @property
    def sentence(self) -> str:
        return f"It has {_px(self.size)}, and the base frame {self.base} has {_px(self.base_size)}."


def _other_sizes(
    moments: Mapping[int, Sequence[int]], bases: Mapping[int, tuple[int, str]], phones: Sequence[Shot]
) -> dict[int, _OtherSize]:
    """Return the frames with another size or orientation than their base frame; raw files may have another one."""
    found = {}
    for dslr, frames in moments.items():
        if len(frames) < 2:
            continue
        base = bases[dslr][0]
        sizes = {index: _size(phones[index]) for index in frames}
        for index, size in sizes.items():
            if size and (base_size := sizes[base]) and size != base_size:
                found[index] = _OtherSize(phones[index].path.name, size, phones[base].path.name, base_size)
    return found


def _note_of(sizes: Mapping[int, _OtherSize]) -> list[str]:
    if not sizes:
        return []
    items = [f"{each.name} ({_px(each.size)}; {each.base} has {_px(each.base_size)})" for each in sizes.values()]
    have = "frame has" if len(sizes) == 1 else "frames have"
    return [
        f"{len(sizes)} {have} another size or orientation than the base frame of the moment: {named(items)}; remove "
        f"{many(len(sizes), 'it', 'them')} from the folder if that was not intended."
    ]


def _size(shot: Shot) -> tuple[int, int] | None:
    """Return (width, height) in px; None for a photo that cannot be read, which its row reports."""
    try:
        return open_photo(shot.path).size
    except Rejection:
        return None


def _px(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} px"
