"""The parameters of the simulated captures, section `demo`."""

from __future__ import annotations

from dataclasses import dataclass

from dpedtool.dataset.sections import Section, param


@dataclass(frozen=True, kw_only=True)
class DemoParams(Section):
    """The simulated captures that the demo runs on."""

    scenes: int = param(14, "moments at which all cameras are triggered", at_least=1)
    sessions: int = param(
        1,
        "days on which they were shot, in folders day-1, day-2 ... of their own, where file names begin again; 1: no "
        "such folders",
        at_least=1,
        at_most=9,
    )
    seed: int = param(0, "another seed draws other scenes and other errors of the cameras", at_least=0)
    missing: float = param(0.08, "share of a phone's shots that are missing", at_least=0, at_most=0.9)
    parallax: bool = param(False, "boards stand in front of the wall in every second scene, so that it has depth")
    depth: bool = param(True, "the ninth scene has much depth: a ramp, boards and a tangle of leaves")
    moving_object: bool = param(True, "an object moves between the cameras' exposures in some scenes")
    burst: int = param(
        0,
        "frames that phone-a takes from the hand, 0.2 s apart, in every fourth scene from the second on; 0 or 1: no "
        "bursts; with bursts or brackets, EXIF has exposures and milliseconds",
        at_least=0,
        at_most=20,
    )
    references: int = param(
        1, "2: a second DSLR with another lens and aperture, in the folder dslr-wide", at_least=1, at_most=2
    )
    bracket: bool = param(
        False,
        "phone-a takes three frames of -2, 0 and +2 EV, 0.4 s apart, in every fourth scene from the fourth on",
    )
