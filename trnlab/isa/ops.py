"""The operators and activation functions that instructions take."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trnlab.errors import UnknownName
from trnlab.isa import functions as f

Kind = Literal["arith", "bitvec", "compare", "logical", "unary"]


@dataclass(frozen=True, eq=False)
class Op:
    """An operator of the vector, scalar and GpSimd engines.

    ``value`` takes two operands, arrays or Python numbers, and answers in their dtype; operators of
    one operand ignore the second. ``identity`` is where a reduction starts, None for what is none;
    for bitwise_and it is -1, all bits. ``engines`` can run it on some generation; ``needs`` names
    the capability of the core without which none can, ``since`` the API version that brought it.
    """

    name: str
    kind: Kind
    value: Callable[..., Any]
    identity: float | None = None
    engines: tuple[str, ...] = ("vector",)
    needs: str | None = None
    since: str = ""

    @property
    def alone(self) -> bool:
        """Whether one operand is enough."""
        return self.kind == "unary" or self.name in ("bypass", "logical_not", "invert")

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Callable[[Any], "Op"], tuple[str]]:
        return op_of, (self.name,)


@dataclass(frozen=True, eq=False)
class Activation:
    """A function of the scalar engine.

    ``value`` takes a float32 array; prelu also its slope. The device is right for inputs in
    ``valid``, taken as limits on the magnitude where ``by_magnitude``. ``table`` is the set that a
    function shares with others: a function of another set makes the engine load tables; None
    needs none. ``needs`` and ``bias_needs`` name capabilities of the core without which it does
    not exist or takes no bias.
    """

    name: str
    value: Callable[..., Any]
    table: str | None
    valid: tuple[float, float] | None = None
    by_magnitude: bool = False
    needs: str | None = None
    bias_needs: str | None = None

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Callable[[Any], "Activation"], tuple[str]]:
        return activation_of, (self.name,)

    @property
    def limits(self) -> str:
        """The range of inputs for which the device is right, as text."""
        low, high = self.valid or (-math.inf, math.inf)
        return f"{'±' if self.by_magnitude else ''}[{low:.3g}, {high:.3g}]"

    def out_of_range(self, x: np.ndarray) -> int:
        """How many elements the device gets wrong because they are not in ``valid``.

        NaN counts as inside, 0 as outside where the range begins above it. `value` gives what the
        mathematical function does there, which the device does not, except for sin.
        """
        if self.valid is None:
            return 0
        low, high = self.valid
        size = np.abs(x) if self.by_magnitude else x
        return int(np.count_nonzero((size < low) | (size > high)))


_ANY = ("vector", "scalar", "gpsimd")
_INF = math.inf

# Engines and reductions: operator table of NKI 2.26; what came later: that of 2.32.
OPS = {
    op.name: op
    for op in (
        Op("add", "arith", f.quiet(np.add), 0.0, _ANY),
        Op("subtract", "arith", f.quiet(np.subtract), 0.0, _ANY),
        Op("multiply", "arith", f.quiet(np.multiply), 1.0, _ANY),
        Op("maximum", "arith", f.quiet(np.maximum), -_INF),
        Op("minimum", "arith", f.quiet(np.minimum), _INF),
        Op("abs_max", "arith", f.quiet(f.abs_max), 0.0, ("vector", "scalar"), "abs_max", "0.4"),
        Op("abs_min", "arith", f.quiet(f.abs_min), _INF, ("vector", "scalar"), "abs_max", "0.4"),
        Op("power", "arith", f.quiet(np.power), engines=("gpsimd",)),
        Op("divide", "arith", f.quiet(np.divide)),
        Op("mod", "arith", f.quiet(np.mod)),
        Op("fmod", "arith", f.quiet(np.fmod)),
        Op("average", "arith", f.quiet(lambda a, b: (a + b) * 0.5), engines=("gpsimd",)),
        Op("bypass", "arith", lambda a, b=None: a, engines=_ANY),
        Op("equal", "compare", f.flag(np.equal)),
        Op("not_equal", "compare", f.flag(np.not_equal)),
        Op("greater_equal", "compare", f.flag(np.greater_equal)),
        Op("greater", "compare", f.flag(np.greater)),
        Op("less_equal", "compare", f.flag(np.less_equal)),
        Op("less", "compare", f.flag(np.less)),
        Op("logical_and", "logical", f.flag(lambda a, b: (a != 0) & (b != 0)), 1.0),
        Op("logical_or", "logical", f.flag(lambda a, b: (a != 0) | (b != 0)), 0.0),
        Op("logical_xor", "logical", f.flag(lambda a, b: (a != 0) ^ (b != 0)), 0.0),
        Op("logical_not", "logical", f.flag(lambda a, b: a == 0)),
        Op("bitwise_and", "bitvec", f.bitwise(np.bitwise_and), -1),
        Op("bitwise_or", "bitvec", f.bitwise(np.bitwise_or), 0),
        Op("bitwise_xor", "bitvec", f.bitwise(np.bitwise_xor), 0),
        Op("invert", "bitvec", f.bitwise(np.invert)),
        Op("left_shift", "bitvec", f.bitwise(np.left_shift)),
        Op("right_shift", "bitvec", f.bitwise(np.right_shift)),
        Op("abs", "unary", f.unary(np.abs), engines=("vector", "scalar")),
        Op(
            "square",
            "unary",
            f.unary(np.square),
            engines=("vector", "scalar"),
            needs="abs_max",
            since="0.4",
        ),
        Op(
            "relu",
            "unary",
            f.unary(f.relu),
            engines=("vector", "scalar"),
            needs="abs_max",
            since="0.4",
        ),
        Op("rsqrt", "unary", f.unary(f.rsqrt), engines=("gpsimd", "scalar")),
        Op("reciprocal", "unary", f.unary(lambda a: 1 / a), engines=("vector", "scalar")),
    )
}

# Ranges: activation table of NKI 2.32. Which functions share a table is not public: assumed.
ACTIVATIONS = {
    function.name: function
    for function in (
        Activation("copy", lambda x: x, None),
        Activation("square", f.quiet(np.square), None),
        Activation("relu", f.quiet(f.relu), None),
        Activation("prelu", f.quiet(f.prelu), None, needs="activate2"),
        Activation("abs", np.abs, None),
        Activation("sign", f.quiet(np.sign), None),
        Activation("exp", f.quiet(np.exp), "exp"),
        Activation("sigmoid", f.quiet(f.sigmoid), "sigmoid"),
        Activation("silu", f.quiet(f.silu), "sigmoid"),
        Activation("silu_dx", f.quiet(f.silu_dx), "sigmoid"),
        Activation("tanh", f.quiet(np.tanh), "tanh"),
        Activation("gelu", f.quiet(f.gelu), "gelu"),
        Activation("gelu_dx", f.quiet(f.gelu_dx), "gelu"),
        Activation("gelu_apprx_tanh", f.quiet(f.gelu_apprx_tanh), "gelu"),
        Activation("gelu_apprx_sigmoid", f.quiet(f.gelu_apprx_sigmoid), "gelu"),
        Activation("gelu_apprx_sigmoid_dx", f.quiet(f.gelu_apprx_sigmoid_dx), "gelu"),
        Activation("softplus", f.quiet(f.softplus), "softplus"),
        Activation("mish", f.quiet(f.mish), "mish"),
        Activation("erf", f.quiet(f.erf), "erf"),
        Activation("erf_dx", f.quiet(f.erf_dx), "erf"),
        Activation("log", f.quiet(np.log), "log", (2.0**-64, 2.0**64), bias_needs="function_bias"),
        Activation("sin", f.quiet(f.sin), "sin", (-math.pi, math.pi)),
        Activation("arctan", f.quiet(np.arctan), "arctan", (-math.pi / 2, math.pi / 2)),
        Activation("sqrt", f.quiet(np.sqrt), "sqrt", (2.0**-116, 2.0**118)),
        Activation("rsqrt", f.quiet(f.rsqrt), "sqrt", (2.0**-87, 2.0**97)),
        Activation(
            "reciprocal",
            f.quiet(lambda x: 1 / x),
            "reciprocal",
            (2.0**-42, 2.0**42),
            by_magnitude=True,
            bias_needs="function_bias",
        ),
    )
}

# Further spellings: names, and functions of NumPy that kernels of the older API pass.
_OP_SPELLINGS: dict[str, tuple[Any, ...]] = {
    "add": ("sum", np.sum),
    "multiply": ("prod", "mult", np.prod),
    "maximum": ("max", np.max, np.amax),
    "minimum": ("min", np.min, np.amin),
    "average": ("mean", np.mean),
    "bypass": ("copy", np.copy),
    "logical_and": ("all", np.all),
    "logical_or": ("any", np.any),
    "power": ("pow",),
    "abs": ("absolute",),
}
_ACTIVATION_SPELLINGS: dict[str, tuple[Any, ...]] = {
    "copy": ("identity", "linear", np.copy, np.positive),
    "abs": ("absolute",),
}


def _spelled(table: dict[str, Any], more: dict[str, tuple[Any, ...]]) -> Iterator[tuple[Any, Any]]:
    for name, entry in table.items():
        yield entry, entry
        for spelling in (name, getattr(np, name, None), *more.get(name, ())):
            if spelling is not None:
                yield spelling, entry


_OPS: dict[Any, Op] = dict(_spelled(OPS, _OP_SPELLINGS))
_ACTIVATIONS: dict[Any, Activation] = dict(_spelled(ACTIVATIONS, _ACTIVATION_SPELLINGS))


def op_of(thing: Any) -> Op:
    """Returns the operator meant by an `Op`, a name, an ``nl`` function or a NumPy function.

    An ``nl`` function says what it is in its attribute ``__trnlab_op__``. Raises UnknownName.
    """
    return _find(thing, _OPS, "operator", OPS)


def activation_of(thing: Any) -> Activation:
    """Returns the activation function meant, spelled as in `op_of`; raises UnknownName."""
    return _find(thing, _ACTIVATIONS, "activation function", ACTIVATIONS)


def _find(thing: Any, spellings: dict[Any, Any], kind: str, known: dict[str, Any]) -> Any:
    try:
        return spellings[thing]
    except (KeyError, TypeError):
        pass
    tag = getattr(thing, "__trnlab_op__", thing)
    name = getattr(tag, "name", tag)
    if isinstance(name, str) and name in spellings:
        return spellings[name]
    raise UnknownName(kind, str(getattr(thing, "__name__", name)), known)
