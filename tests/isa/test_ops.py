"""Operators and activation functions against NumPy, and the ways to name them."""

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trnlab.errors import BadArguments, UnknownName
from trnlab.isa.ops import ACTIVATIONS, OPS, Activation, activation_of, op_of

BINARY: dict[str, Callable] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "power": np.power,
    "divide": np.divide,
    "mod": np.mod,
    "fmod": np.fmod,
    "average": lambda a, b: (a + b) / 2,
    "abs_max": lambda a, b: np.where(np.abs(a) > np.abs(b), a, b),
    "abs_min": lambda a, b: np.where(np.abs(a) < np.abs(b), a, b),
    "bypass": lambda a, b: a,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "greater_equal": np.greater_equal,
    "greater": np.greater,
    "less_equal": np.less_equal,
    "less": np.less,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}
UNARY: dict[str, Callable] = {
    "logical_not": np.logical_not,
    "abs": np.abs,
    "square": np.square,
    "relu": lambda a: np.maximum(a, 0),
    "rsqrt": lambda a: 1 / np.sqrt(a),
    "reciprocal": np.reciprocal,
}
BITWISE: dict[str, Callable] = {
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "left_shift": np.left_shift,
    "right_shift": np.right_shift,
}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.5, 3e38, -3e38, 1e-40, math.inf, -math.inf, math.nan]
PAIRS = np.array([(a, b) for a in SPECIAL for b in SPECIAL], np.float32).T
FINITE = np.linspace(-30, 30, 4001, dtype=np.float32)

floats = hnp.arrays(np.float32, (3, 4), elements=st.floats(width=32))
unsigned = hnp.arrays(np.uint32, (3, 4))


def test_every_operator_is_tested():
    assert {*BINARY, *UNARY, *BITWISE, "invert"} == set(OPS)


@pytest.mark.parametrize("name", BINARY)
def test_binary_operators(name: str):
    a, b = PAIRS
    out = OPS[name].value(a, b)
    with np.errstate(all="ignore"):
        expected = BINARY[name](a, b).astype(np.float32)
    assert out.dtype == np.float32
    assert np.array_equal(out, expected, equal_nan=True)


@pytest.mark.parametrize("name", UNARY)
def test_unary_operators_ignore_the_second_operand(name: str):
    a = np.array(SPECIAL, np.float32)
    with np.errstate(all="ignore"):
        expected = UNARY[name](a).astype(np.float32)
    for rest in ((), (np.float32(0),), (np.float32("nan"),)):
        out = OPS[name].value(a, *rest)
        assert out.dtype == np.float32
        assert np.array_equal(out, expected, equal_nan=True)


@given(st.sampled_from(sorted(BINARY)), floats, floats)
def test_no_operand_makes_an_operator_warn(name: str, a: np.ndarray, b: np.ndarray):
    assert OPS[name].value(a, b).shape == a.shape
    assert OPS[name].value(a, 2.0).dtype == np.float32
    assert OPS[name].value(a, b[:, :1]).shape == a.shape


@pytest.mark.parametrize("name", sorted({*BINARY, *UNARY} - {"bypass"}))
def test_operators_work_in_the_dtype_they_are_given(name: str):
    a = np.array([1.0, 2.0, 4.0])
    assert OPS[name].value(a, a).dtype == np.float64
    if OPS[name].kind in ("compare", "logical") or name in ("add", "subtract", "multiply"):
        assert OPS[name].value(a.astype(np.int32), a.astype(np.int32)).dtype == np.int32


def test_magnitude_ties_give_the_second_operand():
    one = np.ones(1, np.float32)
    assert OPS["abs_max"].value(one, -one) == -1
    assert OPS["abs_min"].value(one, -one) == -1


@given(st.sampled_from(sorted(BITWISE)), unsigned, unsigned)
def test_bitwise_operators(name: str, a: np.ndarray, b: np.ndarray):
    b = b % 40 if "shift" in name else b
    out = OPS[name].value(a, b)
    assert out.dtype == np.uint32
    assert np.array_equal(out, BITWISE[name](a.astype(np.uint64), b).astype(np.uint32))
    signed = OPS[name].value(a.view(np.int32), b.view(np.int32))
    assert signed.dtype == np.int32
    assert np.array_equal(signed.view(np.uint32), out)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32])
def test_invert_flips_every_bit(dtype: type):
    a = np.array([0, 1, 100], dtype)
    assert OPS["invert"].value(a).tolist() == np.invert(a).tolist()
    assert OPS["invert"].value(a, None).dtype == dtype


def test_right_shift_is_logical():
    a = np.array([-1, -8], np.int32)
    assert OPS["right_shift"].value(a, 28).tolist() == [15, 15]
    assert OPS["right_shift"].value(np.array([-1], np.int8), 4).tolist() == [15]


def test_a_shift_by_the_width_gives_zero():
    a = np.array([-1, 5], np.int32)
    for name in ("left_shift", "right_shift"):
        assert OPS[name].value(a, 32).tolist() == [0, 0]
        assert OPS[name].value(a, -1).tolist() == [0, 0]


def test_python_integers_are_bit_patterns():
    a = np.array([-1, 5], np.int32)
    assert OPS["bitwise_and"].value(a, 0xFFFFFFFF).tolist() == [-1, 5]
    assert OPS["bitwise_and"].value(0xF0F, a).tolist() == [0xF0F, 5]
    assert OPS["bitwise_xor"].value(np.array([1], np.uint8), -1).tolist() == [0xFE]


def test_bitwise_operands_of_two_widths():
    wide, narrow = np.array([-1], np.int32), np.array([3], np.uint8)
    for pair in ((wide, narrow), (narrow, wide)):
        out = OPS["bitwise_and"].value(*pair)
        assert out.dtype == np.int32
        assert out.tolist() == [3]


def test_bool_counts_as_a_byte():
    out = OPS["bitwise_or"].value(np.array([True, False]), np.array([False, False]))
    assert out.dtype == np.uint8
    assert out.tolist() == [1, 0]


@pytest.mark.parametrize("name", [*BITWISE, "invert"])
@pytest.mark.parametrize("operand", [np.ones(2, np.float32), np.float32(1), 1.5])
def test_bitwise_operators_refuse_floats(name: str, operand: object):
    with pytest.raises(BadArguments, match="take integers"):
        OPS[name].value(operand, np.ones(2, np.int32))


@pytest.mark.parametrize(
    "name", [name for name, op in OPS.items() if op.identity is not None and op.kind != "bitvec"]
)
def test_identities(name: str):
    op = OPS[name]
    values = np.array([0.0, 1.0, -2.5, 3e38], np.float32)
    if op.kind == "logical":
        values = values[:2]
    start = np.full_like(values, op.identity)
    back = op.value(values, start) if name == "subtract" else op.value(start, values)
    assert np.array_equal(back, values)


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
@pytest.mark.parametrize("dtype", [np.int32, np.uint16])
def test_bitwise_identities(name: str, dtype: type):
    values = np.array([0, 1, 12345], dtype)
    assert np.array_equal(OPS[name].value(values, OPS[name].identity), values)


def test_what_is_no_reduction_has_no_identity():
    assert {name for name, op in OPS.items() if op.identity is None} == {
        *UNARY, "invert", "left_shift", "right_shift", "power", "divide", "mod", "fmod", "average",
        "bypass", "equal", "not_equal", "greater_equal", "greater", "less_equal", "less",
    }  # fmt: skip


def test_engines():
    assert OPS["power"].engines == ("gpsimd",)
    assert set(OPS["rsqrt"].engines) == {"gpsimd", "scalar"}
    assert all(op.engines == ("vector",) for op in OPS.values() if op.kind in ("bitvec", "compare"))
    needy = {name for name, op in OPS.items() if op.needs}
    assert needy == {"abs_max", "abs_min", "square", "relu"}


# Names.


@pytest.mark.parametrize("name", OPS)
def test_operators_are_found_by_name_and_by_themselves(name: str):
    op = OPS[name]
    assert op_of(name) is op_of(op) is op
    assert copy.deepcopy(op) is op
    assert str(op) == name


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (np.add, "add"), (np.sum, "add"), (np.subtract, "subtract"), (np.multiply, "multiply"),
        (np.prod, "multiply"), (np.max, "maximum"), (np.amax, "maximum"),
        (np.maximum, "maximum"), (np.min, "minimum"), (np.amin, "minimum"),
        (np.minimum, "minimum"), ("max", "maximum"), ("min", "minimum"), (np.mean, "average"),
        (np.copy, "bypass"), (np.square, "square"), (np.abs, "abs"), (np.absolute, "abs"),
        (np.bitwise_and, "bitwise_and"), (np.invert, "invert"), (np.bitwise_not, "invert"),
        (np.logical_and, "logical_and"), (np.all, "logical_and"), (np.any, "logical_or"),
        (np.equal, "equal"), (np.greater, "greater"), (np.greater_equal, "greater_equal"),
        (np.true_divide, "divide"), (np.remainder, "mod"), (np.power, "power"),
    ],
)  # fmt: skip
def test_operators_of_the_older_api(thing: object, name: str):
    assert op_of(thing) is OPS[name]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_found_by_name_and_by_themselves(name: str):
    function = ACTIVATIONS[name]
    assert activation_of(name) is activation_of(function) is function
    assert copy.deepcopy(function) is function
    assert str(function) == name


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (np.exp, "exp"), (np.copy, "copy"), ("identity", "copy"), (np.square, "square"),
        (np.sqrt, "sqrt"), (np.log, "log"), (np.sin, "sin"), (np.tanh, "tanh"),
        (np.arctan, "arctan"), (np.abs, "abs"), (np.sign, "sign"), (np.reciprocal, "reciprocal"),
    ],
)  # fmt: skip
def test_activations_of_the_older_api(thing: object, name: str):
    assert activation_of(thing) is ACTIVATIONS[name]


def test_language_functions_say_what_they_are():
    def square() -> None: ...

    square.__trnlab_op__ = "square"  # type: ignore[attr-defined]
    assert op_of(square) is OPS["square"]
    assert activation_of(square) is ACTIVATIONS["square"]
    square.__trnlab_op__ = OPS["square"]  # type: ignore[attr-defined]
    assert activation_of(square) is ACTIVATIONS["square"]


@pytest.mark.parametrize("thing", ["ad", np.exp, None, 3, [], lambda: None, np.float32])
def test_unknown_operators(thing: object):
    with pytest.raises(UnknownName, match="no operator is called"):
        op_of(thing)


def test_the_nearest_name_is_suggested():
    with pytest.raises(UnknownName, match="did you mean 'multiply'"):
        op_of("multipy")
    with pytest.raises(UnknownName, match=r"no activation function is called 'gelo'.*'gelu'"):
        activation_of("gelo")


# Activation functions.


def derivative(name: str) -> Callable[[float], float]:
    """A central difference of the exact function."""
    of, step = EXACT[name], 1e-5
    return lambda x: (of(x + step) - of(x - step)) / (2 * step)


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def softplus(x: float) -> float:
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


EXACT: dict[str, Callable[[float], float]] = {
    "copy": lambda x: x,
    "square": lambda x: x * x,
    "relu": lambda x: max(x, 0.0),
    "prelu": lambda x: max(x, 0.0),
    "abs": abs,
    "sign": lambda x: (x > 0) - (x < 0),
    "exp": math.exp,
    "sigmoid": logistic,
    "silu": lambda x: x * logistic(x),
    "tanh": math.tanh,
    "gelu": lambda x: x * math.erfc(-x / math.sqrt(2)) / 2,
    "gelu_apprx_tanh": lambda x: x * logistic(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)),
    "gelu_apprx_sigmoid": lambda x: x * logistic(1.702 * x),
    "softplus": softplus,
    "mish": lambda x: x * math.tanh(softplus(x)),
    "erf": math.erf,
    "log": math.log,
    "sin": math.sin,
    "arctan": math.atan,
    "sqrt": math.sqrt,
    "rsqrt": lambda x: 1 / math.sqrt(x),
    "reciprocal": lambda x: 1 / x,
}
for _name in ("silu", "gelu", "gelu_apprx_sigmoid", "erf"):
    EXACT[f"{_name}_dx"] = derivative(_name)
POSITIVE = ("log", "sqrt", "rsqrt", "reciprocal")


def test_every_activation_is_tested():
    assert set(EXACT) == set(ACTIVATIONS)
    assert len(ACTIVATIONS) == 26  # the 25 functions of the table and prelu, which activate2 takes


@pytest.mark.parametrize("name", EXACT)
def test_activations_are_exact_to_float32(name: str):
    function = ACTIVATIONS[name]
    x = FINITE if function.valid is None else FINITE[np.abs(FINITE) < 1.5]
    if name in POSITIVE:
        x = np.abs(FINITE) + np.float32(1e-3)
    assert function.out_of_range(x) == 0
    out = function.value(x)
    assert out.dtype == np.float32
    exact = np.array([EXACT[name](v) for v in x.tolist()])
    np.testing.assert_allclose(out, exact, rtol=5e-6, atol=1e-6 if name.endswith("_dx") else 1e-20)


@pytest.mark.parametrize("name", sorted(set(EXACT) - {"silu_dx", "gelu_dx"}))
def test_activations_in_double_precision(name: str):
    x = np.linspace(0.1, 1.5, 101)
    out = ACTIVATIONS[name].value(x)
    assert out.dtype == np.float64
    np.testing.assert_allclose(out, [EXACT[name](v) for v in x.tolist()], rtol=1e-8)


def test_erf_is_off_by_at_most_two_units():
    x = np.concatenate([np.linspace(-6, 6, 20001), np.logspace(-38, 0, 2001)]).astype(np.float32)
    exact = np.array([math.erf(v) for v in x.tolist()])
    off = np.abs(ACTIVATIONS["erf"].value(x) - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert off.max() <= 2


@pytest.mark.parametrize(
    ("name", "at_minus_infinity", "at_infinity"),
    [
        ("copy", -math.inf, math.inf), ("square", math.inf, math.inf), ("relu", 0, math.inf),
        ("abs", math.inf, math.inf), ("sign", -1, 1), ("exp", 0, math.inf), ("sigmoid", 0, 1),
        ("silu", 0, math.inf), ("silu_dx", 0, 1), ("tanh", -1, 1), ("gelu", 0, math.inf),
        ("gelu_dx", 0, 1), ("gelu_apprx_tanh", 0, math.inf), ("gelu_apprx_sigmoid", 0, math.inf),
        ("gelu_apprx_sigmoid_dx", 0, 1), ("softplus", 0, math.inf), ("mish", 0, math.inf),
        ("erf", -1, 1), ("erf_dx", 0, 0), ("log", math.nan, math.inf), ("sqrt", math.nan, math.inf),
        ("rsqrt", math.nan, 0), ("reciprocal", 0, 0),
    ],
)  # fmt: skip
def test_limits(name: str, at_minus_infinity: float, at_infinity: float):
    out = ACTIVATIONS[name].value(np.array([-np.inf, np.inf], np.float32))
    assert np.array_equal(out, [at_minus_infinity, at_infinity], equal_nan=True)


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(floats)
def test_no_input_makes_an_activation_warn(name: str, x: np.ndarray):
    out = ACTIVATIONS[name].value(x)
    assert out.shape == x.shape
    assert out.dtype == np.float32
    assert np.isnan(out[np.isnan(x)]).all()


def test_prelu_takes_one_slope_or_one_for_each_partition():
    x = np.array([[2.0, -2.0], [4.0, -4.0]], np.float32)
    prelu = ACTIVATIONS["prelu"].value
    assert prelu(x, 0.5).tolist() == [[2.0, -1.0], [4.0, -2.0]]
    assert prelu(x, np.array([[0.5], [2.0]], np.float32)).tolist() == [[2.0, -1.0], [4.0, -8.0]]


def test_sin_extrapolates_a_cubic():
    out = ACTIVATIONS["sin"].value(np.array([9.0, -9.0, 1.0], np.float32))
    assert out[:2].round(2).tolist() == np.array([27.65, -27.65], np.float32).tolist()
    assert out[2] == np.sin(np.float32(1))


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("log", (2.0**-64, 1, 2.0**64), (0, -1, 2.0**65, math.inf)),
        ("sin", (-math.pi, 0, math.pi), (3.15, -9)),
        ("arctan", (-1.5, 1.5), (1.6, -1.6)),
        ("sqrt", (2.0**-116, 2.0**118), (0, -1, 2.0**-117, 2.0**119)),
        ("rsqrt", (2.0**-87, 2.0**97), (0, 2.0**98)),
        ("reciprocal", (2.0**-42, -(2.0**42), -1), (0, 2.0**-43, -(2.0**43))),
        ("exp", (-math.inf, 0, math.inf), ()),
        ("sin", (math.nan,), ()),
    ],
)
def test_out_of_range_counts_what_the_device_gets_wrong(
    name: str, inside: tuple[float, ...], outside: tuple[float, ...]
):
    count = ACTIVATIONS[name].out_of_range(np.array([*inside, *outside], np.float32))
    assert count == len(outside)


def test_tables():
    tables: dict[str | None, set[str]] = {}
    for function in ACTIVATIONS.values():
        tables.setdefault(function.table, set()).add(function.name)
    assert tables[None] == {"copy", "square", "relu", "prelu", "abs", "sign"}
    assert tables["sqrt"] == {"sqrt", "rsqrt"}
    assert all(name.startswith("gelu") for name in tables["gelu"])


def test_some_functions_take_no_bias_everywhere():
    needy: set[Activation] = {f for f in ACTIVATIONS.values() if f.bias_needs}
    assert {f.name for f in needy} == {"log", "reciprocal"}
    assert ACTIVATIONS["prelu"].needs == "activate2"
