"""Whether what a loop's body names stays as it is: the values behind its names, and its functions.

Together with `steady`: no function that is called changes anything, and no value that is read can
change by being read. What is not known to be harmless counts as harmful.
"""

import builtins
from collections.abc import Callable
from enum import Enum
from types import BuiltinFunctionType, CellType, FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np

from trnlab.nki.loops.steady import CHANGING, Body, Path, body_of

PURE = (
    abs, all, any, bool, dict, divmod, enumerate, float, int, isinstance, len, list, max, min,
    range, reversed, round, set, slice, sorted, str, sum, tuple, zip,
)  # fmt: skip
# What does more than make tensors and record instructions.
REFUSED = {
    "scalar", "device_print", "shared_constant", "constant_tensor",
    "shared_identity_matrix", "no_reorder", "dynamic_range", "fori_loop", "while_loop", "counted",
    "register_alloc", "register_load", "register_move", "register_store", "sendrecv",
    "core_barrier", "random_seed", "set_rng_seed", "rand_set_state",
}  # fmt: skip
STATEFUL = {"VirtualRegister"}
FIXED = (
    int, float, complex, str, bytes, type(None), range, slice, type(...), np.dtype, np.generic,
    np.ufunc,
)  # fmt: skip
# Methods that Python itself or a dataclass supplies, and that reading does not call.
SPOKEN = {
    "__init__", "__post_init__", "__repr__", "__str__", "__eq__", "__hash__", "__setattr__",
    "__delattr__", "__replace__", "__new__",
}  # fmt: skip
MANY = 4096  # values behind the names of a loop; more are not looked through

Find = Callable[[str], Any]


def harmless_here(body: Body, frame: FrameType) -> bool:
    """Whether all that a loop's body reads and calls is harmless, where a frame stands now."""
    scopes = (frame.f_locals, frame.f_globals, vars(builtins))
    return _harmless(body, lambda name: _found(name, scopes), {})


def is_tensor(value: Any) -> bool:
    """Whether parts of a value may be assigned, because that is an instruction."""
    return _is_ours(type(value))


def _found(name: str, scopes: tuple[Any, ...]) -> Any:
    for scope in scopes:
        if name in scope:
            return scope[name]
    raise LookupError(name)


def _settled(value: Any) -> bool:
    """Whether a value cannot be changed from Python: a number, a text, a tensor."""
    return isinstance(value, FIXED) or _is_ours(type(value))


def _harmless(body: Body, find: Find, seen: dict[Any, bool]) -> bool:
    try:
        values = [_value(find, path) for path in body.reads]
        left = [MANY]
        if not all(_settled(find(name)) for name in body.carried):
            return False
        return all(_fixed(v, left) for v in values) and all(
            _leaves_nothing(find, path, seen) for path in body.calls
        )
    except (LookupError, AttributeError, _Harm):
        return False


class _Harm(Exception):
    """An attribute that may run code of the user's."""


def _value(find: Find, path: Path) -> Any:
    value = find(path[0])
    for name in path[1:]:
        if not isinstance(value, ModuleType) and not _fixed(value, [MANY]):
            raise _Harm
        value = getattr(value, name)
    return value


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith("trnlab.") and kind.__name__ not in STATEFUL


def _fixed(value: Any, left: list[int]) -> bool:
    """Whether reading a value, or what is in it, changes nothing and always gives the same."""
    left[0] -= 1
    kind = type(value)
    if left[0] < 0:
        return False
    if isinstance(value, (*FIXED, ModuleType, type, FunctionType, BuiltinFunctionType)):
        return True
    if kind in (list, tuple, set, frozenset):
        return all(_fixed(part, left) for part in value)
    if kind is dict:
        return all(_fixed(part, left) for pair in value.items() for part in pair)
    if kind is np.ndarray or _is_ours(kind):
        return True
    return _is_data(kind) and all(_fixed(part, left) for part in vars(value).values())


def _is_data(kind: type) -> bool:
    """Whether objects of a user's class hold values and do nothing."""
    if "__dict__" not in dir(kind) or issubclass(kind, (list, tuple, dict, set, np.ndarray)):
        return False
    own = [each for each in kind.__mro__[:-1] if not _is_ours(each) and each is not Enum]
    return not any(_does(name, member) for each in own for name, member in vars(each).items())


def _does(name: str, member: Any) -> bool:
    """Whether a member of a class runs code that may change something."""
    if name in SPOKEN or (name.startswith("_") and not isinstance(member, FunctionType)):
        return name == "__slots__"
    return hasattr(member, "__get__")


def _leaves_nothing(find: Find, path: Path, seen: dict[Any, bool]) -> bool:
    """Whether calling a function changes nothing but the program that is recorded."""
    *owners, name = path
    if owners:
        owner = _value(find, tuple(owners))
        if not isinstance(owner, ModuleType | type):
            kind = type(owner)
            known = _is_ours(kind) or kind.__module__ in ("builtins", "numpy", "numpy.dtypes")
            return known and name not in CHANGING
    return _pure(_value(find, path), seen)


def _pure(function: Any, seen: dict[Any, bool]) -> bool:
    if any(function is each for each in PURE):
        return True
    room = str(getattr(function, "__module__", ""))
    if isinstance(function, type):
        return _is_ours(function) or room.partition(".")[0] in ("numpy", "ml_dtypes")
    if getattr(type(function), "is_kernel", False) and _is_ours(type(function)):
        return _pure(function.function, seen)  # called inside of a kernel, it is a function
    if isinstance(function, BuiltinFunctionType):
        return room == "math"
    if not isinstance(function, FunctionType):
        return False
    if room.startswith("trnlab.nki."):
        return function.__name__ not in REFUSED and "collectives" not in room
    known = seen.get(function)
    if known is None:
        seen[function] = True  # a function that calls itself is judged by the rest of it
        body = body_of(function.__code__)
        known = body is not None and _harmless(body, _scope(function), seen)
        seen[function] = known
    return known


def _scope(function: FunctionType) -> Find:
    cells: tuple[CellType, ...] = function.__closure__ or ()
    closure = {
        name: cell.cell_contents
        for name, cell in zip(function.__code__.co_freevars, cells, strict=True)
    }
    scopes = (closure, function.__globals__, vars(builtins))
    return lambda name: _found(name, scopes)
