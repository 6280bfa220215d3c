"""Align phone and DSLR photos of the same moment, cut patches, and enhance photos with a network trained on them.

`dpedtool --help` lists the commands. In Python and in notebooks, the functions below do the same for one pair of photos
at a time, in this process::

    import dpedtool

    alignment = dpedtool.align("phone.jpg", "dslr.jpg")
    patches = dpedtool.patches(alignment)
    enhanced = dpedtool.enhance(dpedtool.load_model("model"), "phone.jpg")

Images are arrays (H, W, 3), RGB, uint8. Points are arrays (N, 2), x before y, in px of the upright photo, with pixel
centres at integers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpedtool.api.alignment import Alignment, align, map_points
    from dpedtool.api.example import example_model, example_photos
    from dpedtool.api.network import Model, Scores, enhance, evaluate, load_model
    from dpedtool.api.patches import Patches, patches
    from dpedtool.api.residuals import Residuals, residuals
    from dpedtool.dataset.errors import DpedtoolError, ParamsError, Rejection

    __version__: str

__all__ = [
    "Alignment",
    "DpedtoolError",
    "Model",
    "ParamsError",
    "Patches",
    "Rejection",
    "Residuals",
    "Scores",
    "__version__",
    "align",
    "enhance",
    "evaluate",
    "example_model",
    "example_photos",
    "load_model",
    "map_points",
    "patches",
    "residuals",
]

_MODULES = {
    "dpedtool.api.alignment": ("Alignment", "align", "map_points"),
    "dpedtool.api.example": ("example_model", "example_photos"),
    "dpedtool.api.network": ("Model", "Scores", "enhance", "evaluate", "load_model"),
    "dpedtool.api.patches": ("Patches", "patches"),
    "dpedtool.api.residuals": ("Residuals", "residuals"),
    "dpedtool.dataset.errors": ("DpedtoolError", "ParamsError", "Rejection"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

# OpenCV, pandas and torch take seconds to import, so a name is imported when it is used. Type checkers read the imports
# above instead.
if not TYPE_CHECKING:

    def __getattr__(name):
        if name == "__version__":
            value = import_module("importlib.metadata").version("dpedtool")
        elif name in _HOMES:
            value = getattr(import_module(_HOMES[name]), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
