"""Errors as the command line prints them: whose fault it was, and where in the user's code."""

import os
import traceback
from dataclasses import replace
from pathlib import Path
from sysconfig import get_paths

from trnlab.errors import Place, ProgramError, TrnlabError, Violations

OURS = str(Path(__file__).parents[1]) + os.sep
LIBRARIES = tuple({str(Path(p)) + os.sep for n, p in get_paths().items() if n != "data"})


def placed(error: TrnlabError) -> str:
    """An error's text with the user's line, which errors from deep inside do not know."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _owner(f) == "user"]
    if not frames or getattr(error, "place", None) or isinstance(error, Violations):
        return str(error)
    place = Place(frames[-1].filename, frames[-1].lineno or 0)
    if isinstance(error, ProgramError):
        return str(replace(error, place=place))
    return f"{error}\n  at  {place}"


def _owner(frame: traceback.FrameSummary) -> str:
    """Whose code a frame is: ours, a library's (Python's own included) or the user's."""
    if frame.filename.startswith((OURS, "<trnlab")):
        return "ours"
    return "library" if frame.filename.startswith(("<", *LIBRARIES)) else "user"


def users_fault(error: BaseException) -> bool:
    """Whether the user's code caused this: it, or a library that it called, raised it."""
    if isinstance(error, SyntaxError):
        return not (error.filename or "").startswith(OURS)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        owner = _owner(frame)
        if owner == "user":
            return True
        if owner == "ours" and frame.name != "__getattr__":  # a misspelled name is not our fault
            return False
    return False


def user_lines(error: BaseException) -> list[str]:
    """The user's own traceback: from their first line on, without what lies between in trnlab."""
    frames = list(traceback.extract_tb(error.__traceback__))
    while frames and _owner(frames[0]) != "user":
        del frames[0]
    shown = traceback.format_list([f for f in frames if _owner(f) != "ours"])
    return ["the script raised an exception of its own\n", *shown,
            *traceback.format_exception_only(error)]  # fmt: skip
