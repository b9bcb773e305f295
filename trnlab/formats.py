"""Number formats: what NKI calls them, how they are stored, how engines read and write them.

A dtype is a NumPy dtype: ``nl.float32`` is ``np.dtype("float32")`` and ``nl.bfloat16`` is
``np.dtype(ml_dtypes.bfloat16)``. So whatever takes a NumPy dtype takes it, and it equals NumPy's
scalar type both ways round; but their hashes differ, hence keys are looked up through `format_of`.
NumPy has no tfloat32 and no packed formats: there the dtype is the `Format` itself, which NumPy
takes for a structure with one field, so that arrays of it are not mistaken for float32 or uint32.

Engines compute in float32: `widen` is what they read and `narrow` what they write.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import ml_dtypes
import numpy as np

from trnlab.errors import BadArguments, UnknownName

Kind = Literal["float", "int", "uint", "bool", "packed"]


@dataclass(frozen=True, eq=False, repr=False)
class Format:
    """One number format: NKI's name, the dtype NumPy sees, the dtype of its bytes, its width."""

    name: str
    dtype: np.dtype[Any]
    storage: np.dtype[Any]
    bits: int
    kind: Kind
    element: np.dtype[Any] | None = None  # what a packed format holds four of

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.storage.itemsize

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        return self.kind in ("int", "uint")

    @property
    def canonical(self) -> "DType":
        """What tensors show as their dtype."""
        return self if self.dtype.names else self.dtype

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Format):
            return self is other
        if isinstance(other, str):
            return self.name == other
        return isinstance(other, np.dtype | type) and self.dtype == other

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Callable[[str], "Format"], tuple[str]]:
        return facts, (self.name,)


DType = np.dtype[Any] | Format


def _plain(name: str, kind: Kind, scalar: type[Any]) -> Format:
    dtype = np.dtype(scalar)
    return Format(name, dtype, dtype, 8 * dtype.itemsize, kind)


def _boxed(name: str, kind: Kind, scalar: type[Any], element: type[Any] | None = None) -> Format:
    storage = np.dtype(scalar)
    held = np.dtype(element) if element else None
    return Format(name, np.dtype([(name, storage)]), storage, 8 * storage.itemsize, kind, held)


FORMATS = {
    entry.name: entry
    for entry in (
        _plain("float32", "float", np.float32),
        _boxed("tfloat32", "float", np.float32),
        _plain("bfloat16", "float", ml_dtypes.bfloat16),
        _plain("float16", "float", np.float16),
        _plain("float8_e4m3", "float", ml_dtypes.float8_e4m3),  # IEEE-like: inf, at most 240
        _plain("float8_e5m2", "float", ml_dtypes.float8_e5m2),
        _plain("float8_e4m3fn", "float", ml_dtypes.float8_e4m3fn),  # no inf, at most 448
        _plain("float8_e8m0fnu", "float", ml_dtypes.float8_e8m0fnu),  # powers of two
        _boxed("float8_e5m2_x4", "packed", np.uint32, ml_dtypes.float8_e5m2),
        _boxed("float8_e4m3fn_x4", "packed", np.uint32, ml_dtypes.float8_e4m3fn),
        _boxed("float4_e2m1fn_x4", "packed", np.uint16, ml_dtypes.float4_e2m1fn),
        _plain("int8", "int", np.int8),
        _plain("int16", "int", np.int16),
        _plain("int32", "int", np.int32),
        _plain("uint8", "uint", np.uint8),
        _plain("uint16", "uint", np.uint16),
        _plain("uint32", "uint", np.uint32),
        _plain("bool_", "bool", np.bool_),
    )
}

_ALIASES = {
    "float32": ("fp32", "f32", "float", float),
    "tfloat32": ("tf32",),
    "bfloat16": ("bf16", "bfp16"),
    "float16": ("fp16", "f16", "half"),
    "float8_e4m3": ("fp8_e4m3", "f8e4m3", "fp8e4"),
    "float8_e5m2": ("fp8_e5m2", "f8e5m2", "fp8e5"),
    "float8_e4m3fn": ("fp8_e4m3fn", "f8e4m3fn"),
    "float8_e8m0fnu": ("fp8_e8m0fnu", "f8e8m0fnu", "e8m0"),
    "float8_e5m2_x4": ("fp8_e5m2_x4",),
    "float8_e4m3fn_x4": ("fp8_e4m3fn_x4",),
    "float4_e2m1fn_x4": ("fp4_e2m1fn_x4",),
    "int32": ("int", int),
    "bool_": ("bool", bool),
}

_KNOWN: dict[Any, Format] = {}
for _entry in FORMATS.values():
    _names = (_entry.name, *_ALIASES.get(_entry.name, ()))
    _own = (_entry, _entry.dtype) if _entry.dtype.names else (_entry.dtype, _entry.dtype.type)
    _KNOWN |= dict.fromkeys((*_names, *_own), _entry)
_FLOAT32 = FORMATS["float32"]
_TFLOAT32 = FORMATS["tfloat32"]


def facts(dtype: Any) -> Format:
    """Returns the `Format` of whatever `format_of` understands."""
    try:
        return _KNOWN[dtype]
    except (KeyError, TypeError):
        return _search(dtype)


def _search(dtype: Any) -> Format:
    inner = getattr(dtype, "dtype", None)  # what other array libraries call a dtype
    if isinstance(inner, np.dtype) and inner in _KNOWN:
        return _KNOWN[inner]
    text = getattr(dtype, "__name__", None) or str(dtype)
    name = text.removeprefix("torch.").lower()
    if name not in _KNOWN:
        widest = [n for n in FORMATS if n.endswith("32")]  # what is nearest to 64 bits
        raise UnknownName("number format", text, widest if name.endswith("64") else FORMATS)
    return _KNOWN[name]


def format_of(dtype: Any) -> DType:
    """Returns the one object that stands for a number format, ready to compare and to hash.

    Takes dtypes and scalar types of NumPy and ml_dtypes, `Format`, names such as ``"bfloat16"``,
    ``"bf16"``, ``"fp8_e4m3"``, Python's ``float``, ``int`` and ``bool`` (32 bits, 32 bits, bool),
    and dtypes of torch and jax. Raises UnknownName for what the chips lack, such as float64.
    """
    return facts(dtype).canonical


def name(dtype: Any) -> str:
    """NKI's name of a format."""
    return facts(dtype).name


def storage(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype that memory holds a format in."""
    return facts(dtype).storage


def itemsize(dtype: Any) -> int:
    """Bytes of one element."""
    return facts(dtype).storage.itemsize


def bits(dtype: Any) -> int:
    """Bits of one element."""
    return facts(dtype).bits


def is_float(dtype: Any) -> bool:
    """Whether a format is a floating-point one; packed formats are not."""
    return facts(dtype).kind == "float"


def is_integer(dtype: Any) -> bool:
    """Whether a format is a signed or unsigned integer; bool is not."""
    return facts(dtype).is_integer


def widen(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """Returns stored data as engines read it: float32, of the same shape.

    Floats are exact; integers beyond 2**24 lose bits, as on the device. tfloat32 is rounded to its
    10 bits. Packed data gives four values an element, so its last dimension grows fourfold. What
    is stored as float32 is returned itself, not copied.
    """
    entry = facts(array.dtype if dtype is None else dtype)
    if entry is _FLOAT32:
        return array
    if entry is _TFLOAT32:
        return round_tf32(array.view(np.float32))
    if entry.element is not None:
        codes = np.ascontiguousarray(array).view(np.uint8)
        values = _decoder(entry.element).take(codes, axis=0)
        return values.reshape(*array.shape[:-1], -1)
    if entry.kind == "float" and entry.name != "bfloat16":
        return _decoder(entry.storage).take(array.view(_codes(entry.storage)))
    return array.astype(np.float32)


def narrow(values: Any, dtype: Any) -> np.ndarray:
    """Returns float32 values as engines write them in a format: to nearest, ties to even.

    Integers saturate and NaN becomes 0; bool is whether a value is not 0. Floats overflow as in
    ml_dtypes, the reference: to infinity where the format has it, else to NaN (float8_e4m3fn,
    float8_e8m0fnu); fp4 saturates. Packed formats take four values an element, the first in the
    lowest bits. Anything but float32 is rounded to float32 first; float32 itself is not copied.
    """
    entry = facts(dtype)
    if entry is _FLOAT32 and isinstance(values, np.ndarray) and values.dtype == np.float32:
        return values
    with np.errstate(all="ignore"):
        return _rounded(np.asarray(values).astype(np.float32, copy=False), entry)


def _rounded(values: np.ndarray, entry: Format) -> np.ndarray:
    if entry is _TFLOAT32:
        return round_tf32(values)
    if entry.is_integer:
        return _integers(values, entry.storage)
    if entry.kind == "bool":
        return np.asarray(values != 0)
    if entry.element is not None:
        return _packed(values, entry)
    if entry.bits == 8:
        return _encode(values, entry.storage)
    return values.astype(entry.storage, copy=False)


def constant(value: Any, dtype: Any) -> Any:
    """Returns one number as stored in a format; whole numbers stay exact in integer formats."""
    entry = facts(dtype)
    if not isinstance(value, int | np.integer) or entry.kind in ("float", "bool"):
        return narrow(value, dtype)
    limits = np.iinfo(entry.storage)
    return entry.storage.type(min(max(int(value), limits.min), limits.max))


def round_tf32(values: np.ndarray) -> np.ndarray:
    """Returns float32 values rounded to tfloat32: 10 bits of mantissa, ties to even."""
    patterns = values.view(np.uint32)
    rounded = np.asarray(patterns >> np.uint32(13))
    rounded &= np.uint32(1)
    rounded += np.uint32(0xFFF)
    rounded += patterns
    rounded &= np.uint32(0xFFFFE000)
    out = rounded.view(np.float32)
    np.copyto(out, values, where=np.isnan(values))
    return out


@cache
def fresh(dtype: Any) -> Any:
    """Returns what memory holds before it is written: NaN, and 4 where a format has no NaN."""
    entry = facts(dtype)
    if entry.is_float:
        return entry.storage.type(np.nan)
    if entry.element is not None and entry.bits == 32:
        return np.full(4, np.nan, entry.element).view(entry.storage)[0]
    return entry.storage.type(4)


def promote(a: Any, b: Any) -> DType:
    """Returns the dtype in which the older API combines two operands.

    Each is a dtype or a Python number, which counts as uint8, int32 or float32. Raises
    BadArguments where a packed format meets another one. Source: NKI 2.20 to 2.26.
    """
    one, other = _operand(a), _operand(b)
    if one is other:
        return one.canonical
    if "packed" in (one.kind, other.kind):
        raise BadArguments(f"{one.name} and {other.name} have no common dtype")
    if "bool" in (one.kind, other.kind):
        return (one if other.kind == "bool" else other).canonical
    if one.is_float != other.is_float:
        return (one if one.is_float else other).canonical
    if one.is_integer:
        whole = np.promote_types(one.dtype, other.dtype)
        return whole if whole.itemsize <= 4 else _FLOAT32.dtype
    if one.bits != other.bits:
        return (one if one.bits > other.bits else other).canonical
    return FORMATS["bfloat16" if one.bits == 8 else "float32"].dtype


def _operand(value: Any) -> Format:
    if isinstance(value, bool):
        return FORMATS["uint8"]
    if isinstance(value, int):
        return FORMATS["int32"]
    return _FLOAT32 if isinstance(value, float) else facts(value)


def _codes(dtype: np.dtype[Any]) -> type[np.unsignedinteger[Any]]:
    return np.uint8 if dtype.itemsize == 1 else np.uint16


@cache
def _decoder(dtype: np.dtype[Any]) -> np.ndarray:
    """The value of every code; for fp4 the two values of every byte, low half first."""
    codes = np.arange(2 ** (8 * dtype.itemsize), dtype=_codes(dtype))
    with np.errstate(all="ignore"):
        if dtype != np.dtype(ml_dtypes.float4_e2m1fn):
            return codes.view(dtype).astype(np.float32)
        return np.stack([codes & 15, codes >> 4], axis=-1).view(dtype).astype(np.float32)


@cache
def _encoder(dtype: np.dtype[Any]) -> np.ndarray:
    """The code of every value that the upper half of a float32 can hold."""
    values = (np.arange(65536, dtype=np.uint32) << np.uint32(16)).view(np.float32)
    with np.errstate(all="ignore"):
        return values.astype(dtype).view(np.uint8)


def _encode(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    # Rounding the lower half to odd first keeps "above a tie" apart from "a tie": with at least
    # two bits to spare, rounding twice is then exact.
    patterns = values.reshape(-1).view(np.uint32)
    index = patterns & np.uint32(0xFFFF)
    index += np.uint32(0xFFFF)
    index |= patterns
    index >>= np.uint32(16)
    return _encoder(dtype).take(index.view(np.int32)).view(dtype).reshape(values.shape)


def _packed(values: np.ndarray, entry: Format) -> np.ndarray:
    assert entry.element is not None
    if values.ndim == 0 or values.shape[-1] % 4:
        shape = {"shape": str(list(values.shape))}
        raise BadArguments(f"{entry.name} takes four values an element", shape, "multiples of 4")
    codes = _encode(values, entry.element).view(np.uint8)
    if entry.itemsize == 2:
        codes = codes[..., 0::2] | codes[..., 1::2] << 4
    return codes.view(entry.storage)


def _integers(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    limits = np.iinfo(dtype)
    rounded = np.asarray(np.rint(values))
    np.copyto(rounded, 0, where=np.isnan(rounded))
    if dtype.itemsize < 4:
        return np.clip(rounded, limits.min, limits.max, out=rounded).astype(dtype)
    # float32 has no 2**31 - 1 and no 2**32 - 1: the next smaller one is 2**-24 of it below.
    limit = float(limits.max + 1)
    above = rounded >= limit
    np.clip(rounded, limits.min, limit * (1 - 2.0**-24), out=rounded)
    whole = rounded.astype(dtype)
    np.copyto(whole, limits.max, where=above)
    return whole
