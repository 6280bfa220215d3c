"""Which shots of two cameras meet, by times that are on one clock."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def meeting_shots(phone_s: Seconds, dslr_s: Seconds, tolerance_s: float) -> Indices:
    """Return the index pairs (N, 2) of shots that are each other's nearest and within the tolerance, by phone time."""
    if not len(phone_s) or not len(dslr_s):
        return np.empty((0, 2), np.int64)
    nearest_dslr, nearest_phone = nearest_of(phone_s, dslr_s), nearest_of(dslr_s, phone_s)
    phones = np.argsort(phone_s, kind="stable")
    mates = nearest_dslr[phones]
    mutual = (nearest_phone[mates] == phones) & (np.abs(phone_s[phones] - dslr_s[mates]) <= tolerance_s)
    return np.stack([phones[mutual], mates[mutual]], axis=1)


def all_differences(phone: Seconds, dslr: Seconds, centre: float, reach: float) -> Seconds:
    """All differences DSLR minus phone within `reach` of `centre`, sorted; both inputs are sorted."""
    starts = np.searchsorted(dslr, phone + centre - reach, side="left")
    ends = np.searchsorted(dslr, phone + centre + reach, side="right")
    rows = [dslr[a:b] - moment for moment, a, b in zip(phone, starts, ends, strict=True)]
    return np.sort(np.concatenate(rows)) if rows else np.empty(0)


def counts_within(differences: Seconds, tolerance: float) -> Indices:
    """Return for each of sorted differences how many are within the tolerance of it, itself included."""
    low = np.searchsorted(differences, differences - tolerance, side="left")
    high = np.searchsorted(differences, differences + tolerance, side="right")
    return high - low


def nearest_of(times: Seconds, others: Seconds) -> Indices:
    """Index of the nearest of `others` for each of `times`; the earlier one where two are equally near."""
    order = np.argsort(others, kind="stable")
    ordered = others[order]
    right = np.clip(np.searchsorted(ordered, times), 1, max(len(others) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(others) - 1)
    closer = np.where(np.abs(times - ordered[left]) <= np.abs(ordered[right] - times), left, right)
    return order[closer]
