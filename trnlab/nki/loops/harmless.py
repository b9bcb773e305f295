"""Whether what a loop's body names stays as it is: the values behind its names, and its functions.

Together with `steady`: no function that is called changes anything, and no value that is read can
change by being read. What is not known to be harmless counts as harmful.
"""

import ast
import builtins
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from types import BuiltinFunctionType, CellType, FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np

from trnlab.nki.loops.steady import AGAIN, CHANGING, Body, Path, body_of, dotted

PURE = {id(each) for each in (
    abs, all, any, bool, dict, divmod, enumerate, float, int, isinstance, len, list, max, min,
    range, reversed, round, set, slice, sorted, str, sum, tuple, zip,
)}  # fmt: skip
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
Needs = set[str] | None  # names that must be tensors; None where that does not help


def harmless_here(body: Body, frame: FrameType) -> Needs:
    """What must be tensors for all that a loop's body does to be harmless, where a frame stands."""
    scopes = (frame.f_locals, frame.f_globals, vars(builtins))
    return _Reading(body, lambda name: _found(name, scopes), {}).needs()


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


@dataclass(frozen=True)
class _Reading:
    """The body of a loop or a function, with the values behind its names.

    ``seen`` has what functions need that were looked through before.
    """

    body: Body
    find: Find
    seen: dict[FunctionType, Needs]

    def needs(self) -> Needs:
        """What must be tensors for the body to be harmless."""
        body, left = self.body, [MANY]
        try:
            values = [_value(self.find, path) for path in body.reads]
            if not all(_settled(self.find(name)) for name in body.carried):
                return None
            if not all(_fixed(v, left) for v in values):
                return None
            found: list[Needs] = [body.tensors]
            for path, calls in body.calls.items():
                found += [self.handed(call, path) for call in calls]
            return _all(found)
        except (LookupError, AttributeError, _Harm):
            return None

    def handed(self, call: ast.Call, path: Path) -> Needs:
        """What must be tensors for a call to change nothing but the program that is recorded."""
        *owners, name = path
        if owners:
            owner = _value(self.find, tuple(owners))
            if not isinstance(owner, ModuleType | type):
                kind = type(owner)
                known = _is_ours(kind) or kind.__module__ in ("builtins", "numpy", "numpy.dtypes")
                return set() if known and name not in CHANGING else None
        function = _plain(_value(self.find, path))
        if not _is_users(function):
            calls_back = any(keyword.arg in ("key", None) for keyword in call.keywords)
            return set() if _pure(function) and not (calls_back and id(function) in PURE) else None
        return self.arguments(call, function, self.inside(function))

    def inside(self, function: FunctionType) -> Needs:
        """The parameters that must be tensors for a function to be harmless."""
        if function not in self.seen:
            self.seen[function] = None  # one that calls itself is not looked through
            reading = self.of(function)
            if reading is not None:
                self.seen[function] = reading.given(reading.needs())
        return self.seen[function]

    def of(self, function: FunctionType) -> "_Reading | None":
        body = body_of(function.__code__)
        return None if body is None else _Reading(body, _scope(function), self.seen)

    def arguments(self, call: ast.Call, function: FunctionType, names: Needs) -> Needs:
        """What must be tensors here for parameters of a function to be."""
        if not names:
            return names
        parameters = (body_of(function.__code__) or Body()).parameters
        told = dict(zip(parameters, call.args, strict=False))
        told |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        spread = call in self.body.hidden or any(isinstance(a, ast.Starred) for a in call.args)
        if spread or not names <= told.keys():
            return None
        return _all(self.sources(told[name]) for name in names)

    def sources(self, value: ast.expr | None) -> Needs:
        """What must be tensors for an expression to be one."""
        match value:
            case ast.Name(id=name):
                return {name}
            case ast.Subscript(value=whole):
                return self.sources(whole)
            case ast.IfExp(body=one, orelse=other):
                return _all(map(self.sources, (one, other)))
            case ast.Call():
                root, path = dotted(value.func)
                if not isinstance(root, ast.Name) or root.id in self.body.bound:
                    return self.sources(root) if path else None
                function = _plain(_value(self.find, (root.id, *path)))
                if not _is_users(function):
                    return set() if isinstance(function, FunctionType) else None
                return self.arguments(value, function, self.returned(function))
        return None

    def returned(self, function: FunctionType) -> Needs:
        """The parameters that must be tensors for what a function returns to be."""
        reading = self.of(function)
        if reading is None or not reading.body.returns:
            return None
        return reading.given(_all(map(reading.sources, reading.body.returns)))

    def given(self, names: Needs) -> Needs:
        """The parameters of a function that must be tensors for other names in it to be."""
        if names is None:
            return None
        todo, done, found = set(names), set[str](), set[str]()
        while todo:
            name = todo.pop()
            done.add(name)
            values = [value for value in self.body.bound.get(name, ()) if value is not AGAIN]
            if not values and not is_tensor(self.find(name)):
                return None
            if name in self.body.parameters:
                values.remove(None)
                found.add(name)
            further = _all(map(self.sources, values))
            if further is None:
                return None
            todo |= further - done
        return found


def _all(found: Iterable[Needs]) -> Needs:
    """What is needed by all of these together."""
    needs: set[str] = set()
    for each in found:
        if each is None:
            return None
        needs |= each
    return needs


def _plain(function: Any) -> Any:
    """What runs when a function is called; a kernel called inside of a kernel is a function."""
    kernel = getattr(type(function), "is_kernel", False) and _is_ours(type(function))
    return function.function if kernel else function


def _is_users(function: Any) -> bool:
    """Whether a function is written in Python, and not one of ours."""
    room = str(getattr(function, "__module__", ""))
    return isinstance(function, FunctionType) and not room.startswith("trnlab.nki.")


def _pure(function: Any) -> bool:
    """Whether calling what is not a user's function leaves nothing but a program behind."""
    if id(function) in PURE:
        return True
    room = str(getattr(function, "__module__", ""))
    if isinstance(function, type):
        return _is_ours(function) or room.partition(".")[0] in ("numpy", "ml_dtypes")
    if isinstance(function, FunctionType):
        return function.__name__ not in REFUSED and "collectives" not in room
    return isinstance(function, BuiltinFunctionType) and room == "math"


def _scope(function: FunctionType) -> Find:
    cells: tuple[CellType, ...] = function.__closure__ or ()
    closure = {
        name: cell.cell_contents
        for name, cell in zip(function.__code__.co_freevars, cells, strict=True)
    }
    scopes = (closure, function.__globals__, vars(builtins))
    return lambda name: _found(name, scopes)
