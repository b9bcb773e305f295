"""Python's exceptions from inside trnlab, said as what they are: arguments that make no sense."""

import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from trnlab.errors import BadArguments, Place
from trnlab.isa.tile import Tile
from trnlab.sim.core import ERRORS, PACKAGE


def called(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Calls a kernel's function; what goes wrong inside trnlab becomes BadArguments.

    It names the function of NKI, its arguments and the user's line. Exceptions of the user's own
    code pass, and so does a name that a module of NKI lacks.
    """
    try:
        return function(*args, **kwargs)
    except (*ERRORS, MemoryError) as error:
        found = _explained(error)
        if found is None:
            raise
        raise found from error


def _explained(error: Exception) -> BadArguments | None:
    frames = _frames(error.__traceback__)
    while frames and _is_library(frames[-1][0]):
        frames.pop()
    if not frames or not _is_ours(frames[-1][0]) or frames[-1][0].f_code.co_name == "__getattr__":
        return None
    first = len(frames)
    while first and _is_ours(frames[first - 1][0]):
        first -= 1
    if not first:
        return None
    (user, line), (entered, _) = frames[first - 1], frames[first]
    why = str(error) or type(error).__name__
    return BadArguments(
        f"{entered.f_code.co_name}: these arguments make no sense ({why})",
        _given(entered),
        place=Place(user.f_code.co_filename, line),
    )


def _frames(traceback: TracebackType | None) -> list[tuple[FrameType, int]]:
    found = []
    while traceback is not None:
        found.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    return found


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(PACKAGE)


def _is_library(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return module in ("numpy", "ml_dtypes") or module in sys.stdlib_module_names - {"__main__"}


def _given(frame: FrameType) -> dict[str, str]:
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return {n: _shown(frame.f_locals[n]) for n in names if n in frame.f_locals}


def _shown(value: Any) -> str:
    try:
        return value.describe() if isinstance(value, Tile) else repr(value)[:60]
    except Exception:  # what cannot even be shown is named
        return type(value).__name__
