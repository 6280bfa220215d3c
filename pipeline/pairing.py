"""Stage pair: which phone photo and which DSLR photo show the same moment."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from dataset.errors import DpedtoolError
from dataset.io import file_sha256
from dataset.params import PairParams
from dataset.photos import capture_time, list_photos
from dataset.places import Place, answering, printable
from dataset.progress import track
from dataset.schema import Pair
from pipeline.clocks import FEWEST_SHOTS, NEARLY, ClockFit, fit_clocks

FEW_SHARE = 0.8
"""Smallest share of the shots that must find a mate where fewer than ten do."""
SAME_NAMES = "give the two photos of each pair the same name (001.jpg in both folders)"


@dataclass(frozen=True)
class Pairing:
    """The pairs of two cameras, and how they were found, in one sentence."""

    rows: list[Pair]
    note: str


@dataclass(frozen=True)
class _Photo:
    path: Place
    name: str
    """The file's name as an identifier, unique in its folder."""
    time: datetime | None

    @property
    def seconds(self) -> float:
        """Capture time in seconds on the camera's own clock; only photos with a time are asked."""
        if self.time is None:
            raise ValueError(f"{self.path} has no capture time")
        return (self.time - datetime(1970, 1, 1)).total_seconds()

    @property
    def is_usable(self) -> bool:
        """Whether tables can hold the photo's path: text in them is Unicode."""
        return _is_unicode(self.path)


@dataclass(frozen=True)
class _Matching:
    dslr_of_phone: dict[int, int]
    note: str
    offsets: dict[Place, float] | None = None
    """What to add to the phone's clock, in seconds, for each of its photos with a time; None when matched by name."""

    def couples(self, phones: Sequence[_Photo], dslrs: Sequence[_Photo]) -> list[tuple[_Photo | None, _Photo | None]]:
        """Every photo once: with its mate, or alone."""
        mates = {index: dslrs[mate] for index, mate in self.dslr_of_phone.items()}
        alone = sorted(set(range(len(dslrs))) - set(self.dslr_of_phone.values()))
        return [(phone, mates.get(index)) for index, phone in enumerate(phones)] + [
            (None, dslrs[index]) for index in alone
        ]


def pair_folders(phone_dir: Place, dslr_dir: Place, params: PairParams) -> Pairing:
    """Pair the photos of two folders, by file name or by capture time.

    Returns
    -------
    Pairing
        One row for each pair and one for each photo without a mate, sorted by pair_id.

    Raises
    ------
    DpedtoolError
        A folder is missing, empty or of an unusable name, or neither names nor capture times tell which photos belong
        together.

    """
    for folder in (phone_dir, dslr_dir):
        _check_name(folder)
    if phone_dir.resolve() == dslr_dir.resolve():
        raise DpedtoolError(f"{phone_dir} is given as the phone's folder and as the DSLR's: name two folders.")
    photos = [_photos(folder) for folder in (phone_dir, dslr_dir)]
    phones, dslrs = ([photo for photo in camera if photo.is_usable] for camera in photos)
    for folder, usable in ((phone_dir, phones), (dslr_dir, dslrs)):
        if not usable:
            raise DpedtoolError(f"No photo in {folder} has a name in valid UTF-8: rename them.")
    matching = _match(phones, dslrs, params, f"The photos of {phone_dir} and {dslr_dir} cannot be paired")
    # Not resolved: a linked folder is known by the name that the user gave it.
    camera = phone_dir.absolute().name or phone_dir.resolve().name
    rows = _rows(camera, phones, dslrs, matching)
    rows += [_unusable_row(camera, photo, is_phone=True) for photo in photos[0] if not photo.is_usable]
    rows += [_unusable_row(camera, photo, is_phone=False) for photo in photos[1] if not photo.is_usable]
    return Pairing(sorted(rows, key=lambda row: row.pair_id), matching.note)


def pair_files(phone: Place, dslr: Place) -> Pairing:
    """Make the one pair of two photos.

    Raises
    ------
    DpedtoolError
        One of the files is missing or of an unusable name.

    """
    for path in (phone, dslr):
        _check_name(path)
        with answering(path):
            there = path.is_file()
        if not there:
            raise DpedtoolError(f"There is no photo {path}: name an existing file.")
    photos = [_Photo(path, identifier(path.stem), capture_time(path)) for path in (phone, dslr)]
    return Pairing(_rows("phone", photos[:1], photos[1:], _Matching({0: 0}, "")), "one pair of photos")


def identifier(name: str, most: int = 40) -> str:
    """Return a name of letters, digits, '_' and '-' for files, tables and tar members; what is altered gets a digest.

    With `most` characters for a photo and fewer for a camera, the file name of a patch fits the 100 bytes of a tar
    header. It neither holds '--' nor begins or ends with '-', so that '--' joins two of them without doubt.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+|--+|^-|-$", "_", name)
    if plain == name and 0 < len(plain) <= most:
        return plain
    return f"{plain[: most - 9]}_{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _photos(folder: Place) -> list[_Photo]:
    paths = list_photos(folder)
    # IMG_1.jpg beside IMG_1.png: then the suffix tells them apart.
    uses = Counter(identifier(path.stem).lower() for path in paths)
    # The slash, which no file name holds, keeps these names apart from a stem that ends alike.
    names = [path.stem if uses[identifier(path.stem).lower()] == 1 else f"{path.stem}/{path.suffix}" for path in paths]
    return [_Photo(path, identifier(name), capture_time(path)) for path, name in zip(paths, names, strict=True)]


def _is_unicode(path: Place) -> bool:
    """Whether a name is valid UTF-8, which names from old archives may not be."""
    return printable(path) == str(path)


def _check_name(path: Place) -> None:
    for known_as in (path.absolute(), path.resolve()):
        if not _is_unicode(known_as):
            raise DpedtoolError(f"The name of {printable(known_as)} is not valid UTF-8: rename it.")


def _match(phones: Sequence[_Photo], dslrs: Sequence[_Photo], params: PairParams, refusal: str) -> _Matching:
    """Match by names or by clocks, whichever the parameters and the photos call for; `refusal` begins each error."""
    names = _match_names(phones, dslrs)
    by_name = _Matching(names, "paired by equal file names")
    if params.by == "name" and names:
        return by_name
    clocks = _read_clocks(phones, dslrs, params) if params.by != "name" else None
    # Two cameras that both count IMG_0001 upwards share some names by chance, so a few equal ones prove nothing.
    if params.by == "auto" and names and 2 * len(names) >= min(len(phones), len(dslrs)):
        return (clocks.against(names, phones, dslrs) if clocks else None) or by_name
    if clocks is None:
        if params.by == "auto" and names:
            return by_name
        raise _no_clue(refusal, params.by)
    if doubt := clocks.doubt():
        raise DpedtoolError(f"{refusal} by their capture times: {doubt}.")
    return clocks.matching()


def _match_names(phones: Sequence[_Photo], dslrs: Sequence[_Photo]) -> dict[int, int]:
    """Phone index to DSLR index of photos with one stem, capitals apart; stems used twice in a folder do not count."""
    places = [_unique_stems(phones), _unique_stems(dslrs)]
    return {places[0][stem]: places[1][stem] for stem in sorted(places[0].keys() & places[1].keys())}


def _unique_stems(photos: Sequence[_Photo]) -> dict[str, int]:
    uses = Counter(photo.path.stem.lower() for photo in photos)
    return {photo.path.stem.lower(): index for index, photo in enumerate(photos) if uses[photo.path.stem.lower()] == 1}


@dataclass(frozen=True)
class _Clocks:
    """What the capture times say, and whether it is to be believed."""

    fit: ClockFit
    params: PairParams
    phones: Sequence[int]
    """Which photos of the phone have a time; the fit counts only these."""
    dslrs: Sequence[int]
    offsets: dict[Place, float]
    """Seconds to add to the phone's clock, for each of these photos."""

    def matching(self, why: str = "") -> _Matching:
        """The pairs by clock; `why` goes into the note."""
        mates = {self.phones[phone]: self.dslrs[dslr] for phone, dslr in self.fit.matches.tolist()}
        return _Matching(mates, f"paired by capture time{why}: {self._offset_in_words()}", self.offsets)

    def doubt(self) -> str:
        """Why the fit is not to be believed and what to do about it; empty where it is."""
        found, shots = len(self.fit.matches), min(len(self.phones), len(self.dslrs))
        # Of a few shots, half meet under some offset by chance.
        share = self.params.min_share if found >= FEWEST_SHOTS else max(self.params.min_share, FEW_SHARE)
        if found < share * shots:
            best = (
                f"the best offset, {self.fit.offset_s:+.1f} s, explains {found}" if found else "no offset explains any"
            )
            return f"{best} of {shots} shots, and at least {share:.0%} are asked for; {self._remedy()}"
        if self.fit.rival_offset_s is not None:
            return (
                f"the DSLR's clock may be {self.fit.offset_s:+.1f} s or {self.fit.rival_offset_s:+.1f} s from the "
                f"phone's, which explain {found} and {self.fit.rival_matches} of {shots} shots; {SAME_NAMES}, or state "
                "the offset by pair.offset_s"
            )
        return ""

    def _remedy(self) -> str:
        if self.params.offset_s is not None:
            return f"{SAME_NAMES}, or correct pair.offset_s (now {self.params.offset_s:g} s)"
        return (
            f"{SAME_NAMES}, or set pair.max_offset_s (now {self.params.max_offset_s:g} s) above what the clocks differ "
            f"by, or pair.min_share (now {self.params.min_share:g}) below the share of shots that both cameras took"
        )

    def against(self, names: dict[int, int], phones: Sequence[_Photo], dslrs: Sequence[_Photo]) -> _Matching | None:
        """The pairs by clock where they are about as many as those by name and contradict most of these; else None."""
        if len(self.fit.matches) < max(NEARLY * len(names), FEWEST_SHOTS) or self.doubt():
            return None
        couples = [(phones[phone], dslrs[dslr]) for phone, dslr in names.items()]
        errors = [_clock_error(phone, dslr, self.offsets) for phone, dslr in couples if phone.time and dslr.time]
        wrong = sum(abs(error) > self.params.tolerance_s for error in errors)
        if 2 * wrong <= len(errors):
            return None
        return self.matching(
            f" (equal file names contradict the capture times in {wrong} of {len(errors)} cases; pair.by=name goes by "
            "them nevertheless)"
        )

    def _offset_in_words(self) -> str:
        least, most = self.fit.range_s
        if most - least <= self.params.tolerance_s:
            return f"the DSLR's clock is {self.fit.offset_s:+.1f} s from the phone's"
        return f"the DSLR's clock goes from {least:+.1f} to {most:+.1f} s from the phone's"


def _read_clocks(phones: Sequence[_Photo], dslrs: Sequence[_Photo], params: PairParams) -> _Clocks | None:
    """Fit the capture times of the photos that have one; None where a camera has none at all."""
    timed = [[index for index, photo in enumerate(photos) if photo.time] for photos in (phones, dslrs)]
    if not all(timed):
        return None
    phone_s = np.array([phones[index].seconds for index in timed[0]])
    dslr_s = np.array([dslrs[index].seconds for index in timed[1]])
    fit = fit_clocks(phone_s, dslr_s, params.tolerance_s, params.max_offset_s, params.offset_s)
    offsets = {phones[index].path: offset for index, offset in zip(timed[0], fit.offsets_s.tolist(), strict=True)}
    return _Clocks(fit, params, timed[0], timed[1], offsets)


def _clock_error(phone: _Photo, dslr: _Photo, offsets: Mapping[Place, float]) -> float:
    return dslr.seconds - phone.seconds - offsets[phone.path]


def _rows(camera: str, phones: Sequence[_Photo], dslrs: Sequence[_Photo], matching: _Matching) -> list[Pair]:
    couples = matching.couples(phones, dslrs)
    return [_row(camera, phone, dslr, matching) for phone, dslr in track(couples, "pair", len(couples))]


def _row(camera: str, phone: _Photo | None, dslr: _Photo | None, matching: _Matching) -> Pair:
    sums, (reason, detail) = _sums([photo.path for photo in (phone, dslr) if photo])
    if not reason:
        reason, detail = _why_unpaired(phone, dslr, matching)
    offset, error_s = _clock_columns(phone, dslr, matching)
    return Pair(
        pair_id=_pair_id(camera, phone, dslr),
        phone=camera,
        scene_id=dslr.name if dslr else None,
        status="unpaired" if reason else "paired",
        reason=reason,
        detail=detail,
        phone_path=phone.path if phone else None,
        dslr_path=dslr.path if dslr else None,
        phone_sha256=sums.get(phone.path) if phone else None,
        dslr_sha256=sums.get(dslr.path) if dslr else None,
        phone_time=phone.time.isoformat() if phone and phone.time else None,
        dslr_time=dslr.time.isoformat() if dslr and dslr.time else None,
        clock_offset_s=offset,
        clock_error_s=error_s,
    )


def _sums(paths: Sequence[Place]) -> tuple[dict[Place, str], tuple[str, str]]:
    """SHA-256 of the files that can be read, and reason and detail of one that cannot: empty where all can."""
    sums: dict[Place, str] = {}
    failure = ("", "")
    for path in paths:
        try:
            sums[path] = file_sha256(path)
        except OSError as error:
            failure = ("unreadable_photo", f"{path} cannot be read: {error.strerror or error}.")
        except DpedtoolError as error:
            failure = ("unreadable_photo", str(error))
    return sums, failure


def _unusable_row(camera: str, photo: _Photo, is_phone: bool) -> Pair:
    """A photo that the table can name only by what is left of its name."""
    return Pair(
        pair_id=_pair_id(camera, *((photo, None) if is_phone else (None, photo))),
        phone=camera,
        scene_id=None if is_phone else photo.name,
        status="unpaired",
        reason="unusable_name",
        detail=f"{printable(photo.path)}: the name is not valid UTF-8; rename the photo.",
    )


def _pair_id(camera: str, phone: _Photo | None, dslr: _Photo | None) -> str:
    return f"{identifier(camera, most=28)}--{_moment_name(phone, dslr)}"


def _moment_name(phone: _Photo | None, dslr: _Photo | None) -> str:
    if phone:
        return phone.name
    return f"missing--{dslr.name}" if dslr else "missing"


def _why_unpaired(phone: _Photo | None, dslr: _Photo | None, matching: _Matching) -> tuple[str, str]:
    if phone and dslr:
        return "", ""
    there = phone or dslr
    if there is None:
        raise ValueError("a row needs a photo")
    by_clock = matching.offsets is not None
    if by_clock and there.time is None:
        return "no_capture_time", f"{there.path} carries no EXIF capture time, and the file names do not match."
    how = f"that goes with its capture time {there.time}" if by_clock else f"named {there.path.stem}"
    if phone:
        return "no_dslr_photo", f"{phone.path} has no mate: the DSLR has no photo {how}."
    return "no_phone_photo", f"{there.path} has no mate: the phone has no photo {how}."


def _clock_columns(phone: _Photo | None, dslr: _Photo | None, matching: _Matching) -> tuple[float | None, float | None]:
    """Offset and what it leaves, in seconds; empty when matched by name, so that the table tells how it was made."""
    if not (matching.offsets and phone and dslr):
        return None, None
    return matching.offsets[phone.path], _clock_error(phone, dslr, matching.offsets)


def _no_clue(refusal: str, by: str) -> DpedtoolError:
    lacking = {"name": "no file names in common", "clock": "no capture times (EXIF)"}
    both = "no file names in common, and not both have capture times (EXIF)"
    return DpedtoolError(f"{refusal}: they have {lacking.get(by, both)}; {SAME_NAMES}.")
