"""Python's exceptions from inside trnlab, said as what they are: arguments that make no sense."""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from types import FrameType, FunctionType, TracebackType
from typing import Any

from trnlab.errors import BadArguments, Place, ProgramError
from trnlab.isa.tile import Tile
from trnlab.nki.lookup import parameter, spelled
from trnlab.sim.core import ERRORS, PACKAGE

MISCALLED = re.compile(
    r"(?P<name>[\w.]+)\(\) (got an unexpected keyword argument '(?P<word>\w+)'"
    r"|got multiple values|got some positional-only|missing \d|takes )"
)


def called(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Calls a kernel's function; what goes wrong inside trnlab becomes BadArguments.

    It names the function of NKI, its arguments and the user's line. Exceptions of the user's own
    code pass, and so does a name that a module of NKI lacks.
    """
    try:
        return function(*args, **kwargs)
    except ProgramError as error:
        error.place = error.place or _place(error)
        raise
    except (*ERRORS, MemoryError) as error:
        found = _explained(error)
        if found is None:
            raise
        raise found from error


def _place(error: Exception) -> Place | None:
    """The user's last line on the way to an error."""
    for frame, line in reversed(_frames(error.__traceback__)):
        if not _is_ours(frame) and not _is_library(frame):
            return Place(frame.f_code.co_filename, line)
    return None


def _explained(error: Exception) -> BadArguments | None:
    frames = _frames(error.__traceback__)
    if isinstance(error, TypeError) and frames:
        found = _miscalled(str(error), *frames[-1])
        if found is not None:
            return found
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


def _miscalled(said: str, frame: FrameType, line: int) -> BadArguments | None:
    """A call of a function of NKI that Python refuses: a misspelled parameter, one too many."""
    match = MISCALLED.match(said)
    function = None if match is None else _called_in(frame, match["name"])
    if match is None or function is None:
        return None
    word = match["word"]
    return BadArguments(
        said if word is None else f"{function.__name__} has no parameter '{word}'",
        {"signature": spelled(function)},
        place=Place(frame.f_code.co_filename, line),
        fix=parameter(function, word) if word else "",
    )


def _called_in(frame: FrameType, name: str) -> FunctionType | None:
    """The function of NKI with this qualified name, if the code in a frame can reach it."""
    short = name.rpartition(".")[2]
    for value in (*frame.f_locals.values(), *frame.f_globals.values()):
        for found in _reached(value, short):
            if (
                isinstance(found, FunctionType)
                and found.__qualname__ == name
                and found.__code__.co_filename.startswith(PACKAGE)
            ):
                return found
    return None


def _reached(value: Any, name: str) -> Iterator[Any]:
    yield value
    if inspect.ismodule(value):
        for module in (value, getattr(value, "isa", None), getattr(value, "language", None)):
            yield vars(module).get(name) if module is not None else None
    elif isinstance(value, Tile):
        yield getattr(type(value), name, None)


def _frames(traceback: TracebackType | None) -> list[tuple[FrameType, int]]:
    found = []
    while traceback is not None:
        found.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    return found


def _is_ours(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))  # what dataclasses write has no file
    return frame.f_code.co_filename.startswith(PACKAGE) or name.startswith("trnlab.")


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
