"""What is right: the reference of a request, and which function of some source is meant."""

import sys
from traceback import extract_tb
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import TrnlabError, UnknownName
from trnlab.nki.jit import Kernel, Settings, simulate
from trnlab.nki.names import activate


class Refused(Exception):
    """The reference itself fails, which is no matter of the candidate."""


def meant(scope: dict[str, Any], what: str, name: str, usual: str) -> Any:
    """The function that is meant: of that name, else of the usual one, else the only one there is.

    Kernels with a decorator go before other functions. Raises UnknownName for a name that is not
    there, TrnlabError where several could be meant or none.
    """
    mine = {
        n: v
        for n, v in scope.items()
        if callable(v) and getattr(v, "__module__", None) == scope["__name__"]
    }
    if name or callable(scope.get(usual)):
        if not callable(scope.get(name or usual)):
            raise UnknownName(what, name, mine)
        return scope[name or usual]
    kernels = {n: v for n, v in mine.items() if isinstance(v, Kernel)}
    named = kernels or {n: v for n, v in mine.items() if not n.startswith("_")}
    if len({id(v) for v in named.values()}) == 1:
        return next(iter(named.values()))
    if not named:
        raise TrnlabError(f"there is no {what}\n  fix  write a function '{usual}'")
    listed = ", ".join(named)
    raise TrnlabError(f"no {what} is called '{usual}', and there are {len(named)}: {listed}\n"
                      f"  fix  name one: FILE:{next(iter(named))}")  # fmt: skip


def reference_of(asked: dict[str, Any]) -> Any:
    """The reference of a request; raises Refused where its source has none."""
    activate(shadow=True)
    made = type(sys)("reference")
    sys.modules[made.__name__] = made
    try:
        exec(compile(asked["reference"], "reference.py", "exec"), vars(made))
    except Exception as error:
        raise Refused(_said(error)) from error
    try:
        return meant(vars(made), "function of the reference", asked["reference_name"], "reference")
    except TrnlabError as error:
        raise Refused(str(error)) from error


def expected(reference: Any, args: list[Any], kwargs: dict[str, Any]) -> list[np.ndarray]:
    """What the reference gives; a function of NumPy sees float32 instead of narrower formats.

    Raises Refused where it fails, or gives nothing that something can be compared with.
    """
    try:
        found = _results(reference, args, kwargs)
    except Exception as error:
        raise Refused(_said(error)) from error
    if not any(part.dtype.kind in "iubV" or np.isfinite(part).any() for part in found):
        raise Refused("it returns no finite number for the values of these inputs")
    return found


def _said(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"reference.py:{error.lineno}: SyntaxError: {error.msg}"
    lines = [f.lineno for f in extract_tb(error.__traceback__) if f.filename == "reference.py"]
    where = f"reference.py:{lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}: {error}"


def _results(reference: Any, args: list[Any], kwargs: dict[str, Any]) -> list[np.ndarray]:
    if isinstance(reference, Kernel):
        out = simulate(reference, args, kwargs, Settings(timed=False)).outputs
    else:
        out = reference(*map(_wide, args), **{name: _wide(v) for name, v in kwargs.items()})
    parts = list(out.values()) if isinstance(out, dict) else out
    found = [np.asarray(p) for p in (parts if isinstance(parts, (list, tuple)) else [parts])]
    for number, part in enumerate(found):
        if part.dtype.kind in "OUScmM":
            raise TypeError(f"output {number} is {part.dtype}, which no kernel returns")
    return found


def _wide(value: Any) -> Any:
    narrow = isinstance(value, np.ndarray) and formats.is_float(value.dtype)
    return formats.widen(value) if narrow else value
