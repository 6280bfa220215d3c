"""Maps points of one photo to the other, exactly, by the geometry that the photos were rendered with."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.rig.camera import Camera, Files, Look, Points, as_tuples
from dpedtool.pipeline.rig.scene import Panel


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The geometry behind one pair of photos.

    Parameters
    ----------
    phone, dslr
        The two cameras.
    panels
        What was in front of them, from the back to the front.
    phone_file, dslr_file
        Names of the photos in the cameras' folders; empty for a pair that was not written.
    scene
        Running number of the moment, from 0.
    session
        Name of the session's folder; empty where there is only one.
    frame
        Number of the phone's photo among its frames of the moment, from 0.
    ev
        Exposure of the phone's photo in stops against that of the frame in the middle; positive is brighter.

    """

    phone: Camera
    dslr: Camera
    panels: tuple[Panel, ...]
    phone_file: str = ""
    dslr_file: str = ""
    scene: int = 0
    session: str = ""
    frame: int = 0
    ev: float = 0.0

    def dslr_from_phone(self, points: Points) -> Points:
        """Map phone pixels (N, 2) to DSLR pixels (N, 2).

        NaN where a point lies outside either photo or the scene, where something nearer hides it from the DSLR, and
        on an object that moved between the exposures, in either photo.
        """
        return _transfer(self.panels, self.phone, self.dslr, points)

    def phone_from_dslr(self, points: Points) -> Points:
        """Map DSLR pixels (N, 2) to phone pixels (N, 2); inverse of `dslr_from_phone`, NaN in the same cases."""
        return _transfer(self.panels, self.dslr, self.phone, points)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data for a JSON file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Truth:
        """Build the truth from what `to_json` gave, possibly read from a file."""
        cameras = {name: _camera(data[name]) for name in ("phone", "dslr")}
        return cls(**{**data, **cameras, "panels": tuple(_panel(panel) for panel in data["panels"])})


def load_truth(path: Path, part: Literal["pairs", "targets"] = "pairs") -> dict[tuple[str, str], Truth]:
    """Read truth.json of simulated captures: the truth of each pair by phone name and phone file name.

    Where there are several sessions, the file name follows that of the session: day-1/IMG_0041.jpg. The targets are the
    same photos of the phones with those of the further reference.

    Raises
    ------
    DpedtoolError
        The file cannot be read, or is not the truth of a simulated session.

    """
    try:
        pairs = [Truth.from_json(pair) for pair in json.loads(path.read_text(encoding="utf-8"))[part]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DpedtoolError(
            f"{path} is not the truth.json of a simulated session ({error}): simulate it again."
        ) from None
    return {(pair.phone.name, f"{pair.session}/{pair.phone_file}".lstrip("/")): pair for pair in pairs}


def _transfer(panels: tuple[Panel, ...], source: Camera, target: Camera, points: Points) -> Points:
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    front = _front(panels, source, points)
    found = np.full_like(points, np.nan)
    for index, panel in enumerate(panels):
        if panel.moved_m:
            continue
        chosen = front == index
        found[chosen] = panel.project(target, panel.hit(source, points[chosen]))
    hidden = _front(panels, target, found) != front
    found[hidden] = np.nan
    return found


def _front(panels: tuple[Panel, ...], camera: Camera, points: Points) -> NDArray[np.int_]:
    """Return the index of the foremost panel at each pixel (N, 2) of a camera's photo; -1 if no panel is seen there."""
    front = np.full(len(points), -1)
    for index, panel in enumerate(panels):
        front[panel.contains(panel.hit(camera, points))] = index
    front[~camera.inside(points)] = -1
    return front


def _camera(data: dict[str, Any]) -> Camera:
    values = {key: as_tuples(value) for key, value in data.items()}
    look = {key: as_tuples(value) for key, value in data["look"].items()}
    return Camera(**{**values, "look": Look(**look), "files": Files(**data["files"])})


def _panel(data: dict[str, Any]) -> Panel:
    values = {key: as_tuples(value) for key, value in data.items()}
    return Panel(**{**values, "moved_m": {name: as_tuples(shift) for name, shift in data["moved_m"].items()}})
