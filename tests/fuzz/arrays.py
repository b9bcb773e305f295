"""Numbers as the device keeps them, from ml_dtypes and fp64 alone: nothing here is trnlab's."""

import ml_dtypes
import numpy as np

DTYPES = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
    "float8_e4m3": np.dtype(ml_dtypes.float8_e4m3),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "int32": np.dtype(np.int32),
    "int16": np.dtype(np.int16),
    "int8": np.dtype(np.int8),
    "uint32": np.dtype(np.uint32),
    "uint16": np.dtype(np.uint16),
    "uint8": np.dtype(np.uint8),
}
FLOATS = ("float32", "bfloat16", "float16")
FP8 = ("float8_e4m3", "float8_e5m2")
INTEGERS = ("int32", "int16", "int8", "uint32", "uint16", "uint8")
BITS = 24  # of a float32's mantissa


class Inexact(Exception):
    """A result that depends on the order of summing, which is not defined."""


def f32(values: np.ndarray) -> np.ndarray:
    """fp64 rounded to fp32, as fp64: one rounding, so any single operation in fp32 is exact."""
    return np.asarray(values, np.float64).astype(np.float32).astype(np.float64)


def wide(stored: np.ndarray) -> np.ndarray:
    """What an engine reads, as fp64: integers lose bits in fp32."""
    return stored.astype(np.float32).astype(np.float64)


def stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """fp64 numbers as an engine writes them: through fp32, to nearest even; integers saturate."""
    kind = DTYPES[dtype]
    single = np.asarray(values, np.float64).astype(np.float32)
    if dtype not in INTEGERS:
        return single.astype(kind)
    limits = np.iinfo(kind)
    whole = np.nan_to_num(np.rint(single.astype(np.float64)), nan=0.0, posinf=1e300, neginf=-1e300)
    return np.clip(whole, limits.min, limits.max).astype(np.int64).astype(kind)


def exponent(values: np.ndarray) -> int:
    """The largest power of two that all numbers are multiples of."""
    mantissa, power = np.frexp(values[values != 0])
    if not mantissa.size:
        return 0
    whole = (mantissa * 2.0**53).astype(np.int64)
    return int((power - 53 + np.log2((whole & -whole).astype(np.float64)).astype(int)).min())


def surely_exact(mass: np.ndarray, power: int) -> None:
    """Raises Inexact unless sums of multiples of 2**power this large are exact in fp32."""
    if not np.isfinite(mass).all() or (mass.size and mass.max() >= 2.0 ** (BITS + power)):
        raise Inexact


def total(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """A sum that comes out the same in any order; raises Inexact if it might not."""
    surely_exact(np.abs(values).sum(axis=axis), exponent(values))
    return values.sum(axis=axis)


BINARY = {
    "add": lambda a, b: f32(a + b),
    "subtract": lambda a, b: f32(a - b),
    "multiply": lambda a, b: f32(a * b),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "equal": lambda a, b: (a == b) * 1.0,
    "not_equal": lambda a, b: (a != b) * 1.0,
    "greater": lambda a, b: (a > b) * 1.0,
    "greater_equal": lambda a, b: (a >= b) * 1.0,
    "less": lambda a, b: (a < b) * 1.0,
    "less_equal": lambda a, b: (a <= b) * 1.0,
    "logical_and": lambda a, b: ((a != 0) & (b != 0)) * 1.0,
    "logical_or": lambda a, b: ((a != 0) | (b != 0)) * 1.0,
    "logical_xor": lambda a, b: ((a != 0) ^ (b != 0)) * 1.0,
}
BITWISE = {
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
}
UNARY = {
    "copy": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "square": lambda x: f32(x * x),
    "abs": np.abs,
    "sign": np.sign,
}
CURVES = {
    "exp": np.exp,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "arctan": np.arctan,
    "softplus": lambda x: np.logaddexp(0, x),
}
