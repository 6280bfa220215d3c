"""Stage pair: which phone photo and which DSLR photo show the same moment."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from dataset.errors import DpedtoolError
from dataset.io import file_sha256
from dataset.params import PairParams
from dataset.photos import capture_time, list_photos
from dataset.progress import track
from dataset.schema import Pair
from pipeline.clocks import ClockFit, fit_clocks


@dataclass(frozen=True)
class Pairing:
    """The pairs of two cameras, and how they were found, in one sentence."""

    rows: list[Pair]
    note: str


@dataclass(frozen=True)
class _Photo:
    path: Path
    name: str
    """The file's name as an identifier, unique in its folder."""
    time: datetime | None

    @property
    def seconds(self) -> float:
        """Capture time in seconds on the camera's own clock; only photos with a time are asked."""
        if self.time is None:
            raise ValueError(f"{self.path} has no capture time")
        return (self.time - datetime(1970, 1, 1)).total_seconds()


@dataclass(frozen=True)
class _Matching:
    dslr_of_phone: dict[int, int]
    fit: ClockFit | None
    """The clocks' relation when matched by time; None when matched by name."""

    def couples(self, phones: Sequence[_Photo], dslrs: Sequence[_Photo]) -> list[tuple[_Photo | None, _Photo | None]]:
        """Every photo once: with its mate, or alone."""
        mates = {index: dslrs[mate] for index, mate in self.dslr_of_phone.items()}
        alone = sorted(set(range(len(dslrs))) - set(self.dslr_of_phone.values()))
        return [(phone, mates.get(index)) for index, phone in enumerate(phones)] + [
            (None, dslrs[index]) for index in alone
        ]


def pair_folders(phone_dir: Path, dslr_dir: Path, params: PairParams) -> Pairing:
    """Pair the photos of two folders, by file name or by capture time.

    Returns
    -------
    Pairing
        One row for each pair and one for each photo without a mate, sorted by pair_id.

    Raises
    ------
    DpedtoolError
        A folder is missing or empty, or neither names nor capture times tell which photos belong together.

    """
    if phone_dir.resolve() == dslr_dir.resolve():
        raise DpedtoolError(f"{phone_dir} is given as the phone's folder and as the DSLR's: name two folders.")
    phones, dslrs = _photos(phone_dir), _photos(dslr_dir)
    matching = _match(phones, dslrs, params)
    if not matching.dslr_of_phone:
        raise _no_clue(phone_dir, dslr_dir, params.by, len(_match_names(phones, dslrs)))
    # Not resolved: a linked folder is known by the name that the user gave it.
    rows = _rows(phone_dir.absolute().name or phone_dir.resolve().name, phones, dslrs, matching)
    return Pairing(rows, _clock_note(matching.fit) if matching.fit else "paired by equal file names")


def pair_files(phone: Path, dslr: Path) -> Pairing:
    """Make the one pair of two photos.

    Raises
    ------
    DpedtoolError
        One of the files is missing.

    """
    for path in (phone, dslr):
        if not path.is_file():
            raise DpedtoolError(f"There is no photo {path}: name an existing file.")
    photos = [_Photo(path, identifier(path.stem), capture_time(path)) for path in (phone, dslr)]
    return Pairing(_rows("phone", photos[:1], photos[1:], _Matching({0: 0}, None)), "one pair of photos")


def identifier(name: str, most: int = 40) -> str:
    """Return a name of letters, digits, '_' and '-' for files, tables and tar members; what is altered gets a digest.

    With `most` characters for a photo and fewer for a camera, the file name of a patch fits the 100 bytes of a tar
    header. It neither holds '--' nor begins or ends with '-', so that '--' joins two of them without doubt.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+|--+|^-|-$", "_", name)
    if plain == name and 0 < len(plain) <= most:
        return plain
    return f"{plain[: most - 9]}_{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _photos(folder: Path) -> list[_Photo]:
    paths = list_photos(folder)
    # IMG_1.jpg beside IMG_1.png: then the suffix tells them apart.
    uses = Counter(identifier(path.stem).lower() for path in paths)
    # The slash, which no file name holds, keeps these names apart from a stem that ends alike.
    names = [path.stem if uses[identifier(path.stem).lower()] == 1 else f"{path.stem}/{path.suffix}" for path in paths]
    return [_Photo(path, identifier(name), capture_time(path)) for path, name in zip(paths, names, strict=True)]


def _match(phones: Sequence[_Photo], dslrs: Sequence[_Photo], params: PairParams) -> _Matching:
    names = _Matching(_match_names(phones, dslrs), None)
    # Two cameras that both count IMG_0001 upwards share some names by chance, so a few equal ones prove nothing.
    if params.by == "name" or (params.by == "auto" and 2 * len(names.dslr_of_phone) >= min(len(phones), len(dslrs))):
        return names
    clocks = _match_clocks(phones, dslrs, params)
    return clocks if clocks.dslr_of_phone or params.by == "clock" else names


def _match_names(phones: Sequence[_Photo], dslrs: Sequence[_Photo]) -> dict[int, int]:
    """Phone index to DSLR index of photos with one stem, capitals apart; stems used twice in a folder do not count."""
    places = [_unique_stems(phones), _unique_stems(dslrs)]
    return {places[0][stem]: places[1][stem] for stem in sorted(places[0].keys() & places[1].keys())}


def _unique_stems(photos: Sequence[_Photo]) -> dict[str, int]:
    uses = Counter(photo.path.stem.lower() for photo in photos)
    return {photo.path.stem.lower(): index for index, photo in enumerate(photos) if uses[photo.path.stem.lower()] == 1}


def _match_clocks(phones: Sequence[_Photo], dslrs: Sequence[_Photo], params: PairParams) -> _Matching:
    timed_phones = [index for index, photo in enumerate(phones) if photo.time]
    timed_dslrs = [index for index, photo in enumerate(dslrs) if photo.time]
    phone_s = np.array([phones[index].seconds for index in timed_phones])
    dslr_s = np.array([dslrs[index].seconds for index in timed_dslrs])
    if not len(phone_s) or not len(dslr_s):
        return _Matching({}, None)
    fit = fit_clocks(phone_s, dslr_s, params.tolerance_s, params.max_offset_s)
    return _Matching({timed_phones[p]: timed_dslrs[d] for p, d in fit.matches.tolist()}, fit)


def _rows(camera: str, phones: Sequence[_Photo], dslrs: Sequence[_Photo], matching: _Matching) -> list[Pair]:
    sums: dict[Path, str] = {}
    rows = []
    couples = matching.couples(phones, dslrs)
    for phone, dslr in track(couples, "pair", len(couples)):
        for photo in (phone, dslr):
            if photo and photo.path not in sums:
                sums[photo.path] = file_sha256(photo.path)
        rows.append(_row(camera, phone, dslr, sums, matching.fit))
    return sorted(rows, key=lambda row: row.pair_id)


def _row(camera: str, phone: _Photo | None, dslr: _Photo | None, sums: dict[Path, str], fit: ClockFit | None) -> Pair:
    reason, detail = _why_unpaired(phone, dslr, fit)
    offset, error = _clock_columns(phone, dslr, fit)
    return Pair(
        pair_id=f"{identifier(camera, most=28)}--{_moment_name(phone, dslr)}",
        phone=camera,
        scene_id=dslr.name if dslr else None,
        status="unpaired" if reason else "paired",
        reason=reason,
        detail=detail,
        phone_path=phone.path if phone else None,
        dslr_path=dslr.path if dslr else None,
        phone_sha256=sums[phone.path] if phone else None,
        dslr_sha256=sums[dslr.path] if dslr else None,
        phone_time=phone.time.isoformat() if phone and phone.time else None,
        dslr_time=dslr.time.isoformat() if dslr and dslr.time else None,
        clock_offset_s=offset,
        clock_error_s=error,
    )


def _moment_name(phone: _Photo | None, dslr: _Photo | None) -> str:
    if phone:
        return phone.name
    return f"missing--{dslr.name}" if dslr else "missing"


def _why_unpaired(phone: _Photo | None, dslr: _Photo | None, fit: ClockFit | None) -> tuple[str, str]:
    if phone and dslr:
        return "", ""
    there = phone or dslr
    if there is None:
        raise ValueError("a row needs a photo")
    if fit and there.time is None:
        return "no_capture_time", f"{there.path} carries no EXIF capture time, and the file names do not match."
    how = f"within the tolerance of its capture time {there.time}" if fit else f"named {there.path.stem}"
    if phone:
        return "no_dslr_photo", f"{phone.path} has no mate: the DSLR has no photo {how}."
    return "no_phone_photo", f"{there.path} has no mate: the phone has no photo {how}."


def _clock_columns(
    phone: _Photo | None, dslr: _Photo | None, fit: ClockFit | None
) -> tuple[float | None, float | None]:
    if not (fit and phone and dslr and phone.time and dslr.time):
        return None, None
    offset = float(fit.offset_at(np.array([phone.seconds]))[0])
    return offset, dslr.seconds - phone.seconds - offset


def _no_clue(phone_dir: Path, dslr_dir: Path, by: str, shared: int) -> DpedtoolError:
    wanted = {"name": "no file names in common", "clock": "no capture times (EXIF) that fit together"}
    lacking = wanted.get(by, f"{shared or 'no'} file names in common, and no capture times (EXIF) that fit together")
    return DpedtoolError(
        f"The photos of {phone_dir} and {dslr_dir} cannot be paired: they have {lacking}. "
        "Give the two photos of each pair the same name (001.jpg in both folders)."
    )


def _clock_note(fit: ClockFit) -> str:
    note = f"paired by capture time: the DSLR's clock is {fit.offset_s:+.1f} s from the phone's"
    if fit.drift:
        note += f", drifting {fit.drift * 86_400:+.2f} s a day"
    if fit.rival_offset_s is not None:
        note += (
            f"; beware: {fit.rival_offset_s:+.1f} s would explain nearly as many pairs, "
            "so look at a few, or give the photos equal names"
        )
    return note
