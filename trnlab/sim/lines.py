"""Whose line is running: the user's, never one of ours."""

import os
import sys
from pathlib import Path
from types import FrameType

# Whose lines are nobody's kernel; those of `trnlab.kernels` are.
PACKAGE = tuple(str(Path(__file__).parents[1] / room) + os.sep for room in ("nki", "sim", "isa"))


def user_frame(above: int = 1) -> FrameType:
    """The frame of the user's code that is running, so many calls up at least."""
    frame = sys._getframe(above)
    while frame.f_code.co_filename.startswith(PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    return frame
