"""Errors of numpy, OpenCV and torch that mean that memory ran out."""

from __future__ import annotations

import cv2


def what_ran_out(error: Exception) -> str:
    """Return `GPU memory` or `memory` if numpy, OpenCV or torch had not enough of it; empty for other errors."""
    said = str(error)
    # Torch's own error is known by its name, since importing torch takes a second.
    if type(error).__name__ == "OutOfMemoryError" or "CUDA error: out of memory" in said or "_ALLOC_FAILED" in said:
        return "GPU memory"
    is_opencv = isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem
    return "memory" if is_opencv or isinstance(error, MemoryError) or "can't allocate memory" in said else ""
