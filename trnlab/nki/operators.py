"""Python's operators and NumPy's functions on a tensor: a sentence on what to call instead."""

from collections.abc import Callable
from typing import Any

from trnlab.errors import BadArguments
from trnlab.nki.jit import running
from trnlab.nki.lookup import nearest

OPERATORS = {
    "add": ("+", "add"),
    "sub": ("-", "subtract"),
    "mul": ("*", "multiply"),
    "truediv": ("/", "divide"),
    "pow": ("**", "power"),
    "mod": ("%", "mod"),
    "and": ("&", "bitwise_and"),
    "or": ("|", "bitwise_or"),
    "xor": ("^", "bitwise_xor"),
    "lshift": ("<<", "left_shift"),
    "rshift": (">>", "right_shift"),
    "lt": ("<", "less"),
    "le": ("<=", "less_equal"),
    "gt": (">", "greater"),
    "ge": (">=", "greater_equal"),
}
INSTEAD = {"T": "transpose", "astype": "copy"}
COMPARISONS = ("lt", "le", "gt", "ge")


def _ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **how: Any) -> Any:
    raise _refused(f"np.{ufunc.__name__}", _named(ufunc.__name__))


class NoOperators:
    """Mixed into a tensor: arithmetic on it raises BadArguments, which names the function."""

    __slots__ = ()

    def __neg__(self) -> Any:
        raise _refused("the operator -", "nl.negative(x)")

    def __matmul__(self, other: Any) -> Any:
        raise _refused("the operator @", "nisa.nc_matmul(dst, stationary, moving)")

    __rmatmul__ = __matmul__

    __array_ufunc__: Any = _ufunc  # the older API has it not: its tensors have operators

    def __float__(self) -> float:
        raise BadArguments(
            "a tensor of a kernel is used where Python needs a number",
            limit="its values exist on the device only, while the kernel runs",
            fix="give the tile to an instruction; nl.device_print shows values",
            place=running().here(),
        )

    __int__: Any = __float__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # Python asks for these, and expects no advice
            raise AttributeError(name)
        near = nearest(name, (n for n in dir(type(self)) if not n.startswith("_")))
        hint = f"did you mean '{near}'?" if near else f"write {_named(INSTEAD.get(name, name))}"
        raise AttributeError(f"a tensor of a kernel has no attribute '{name}'; {hint}")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise _refused(f"np.{function.__name__}", _named(function.__name__))

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise _refused(
            "np.asarray", "values only after the call: return the tensor from shared_hbm"
        )


def _named(name: str) -> str:
    """What to write instead of a function of NumPy."""
    from trnlab.nki import language

    if hasattr(language, name):
        return f"nl.{name}, or an instruction of nisa"
    return "the functions of nl or nisa, which run on the chip"


def _refused(what: str, fix: str) -> BadArguments:
    return BadArguments(
        f"{what} does not work on a tensor of a kernel",
        {"because": "a kernel says which instruction computes, and where to"},
        fix=f"write {fix}",
        place=running().here(),
    )


def _method(symbol: str, name: str) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        raise _refused(
            f"the operator {symbol}",
            f"nl.{name}(x, y), or nisa.tensor_tensor(dst, x, y, op=nl.{name})",
        )

    return method


for _stem, (_symbol, _name) in OPERATORS.items():
    for _prefix in ("",) if _stem in COMPARISONS else ("", "r"):
        setattr(NoOperators, f"__{_prefix}{_stem}__", _method(_symbol, _name))
