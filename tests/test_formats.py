"""Number formats against ml_dtypes and NumPy, which are the reference."""

import copy
import pickle
from dataclasses import FrozenInstanceError

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trnlab import formats
from trnlab.errors import BadArguments, UnknownName
from trnlab.formats import FORMATS, facts, format_of, fresh, narrow, promote, widen

FP8 = ("float8_e4m3", "float8_e5m2", "float8_e4m3fn", "float8_e8m0fnu")
SMALL = (*FP8, "float16", "bfloat16")
BOXED = ("tfloat32", "float8_e5m2_x4", "float8_e4m3fn_x4", "float4_e2m1fn_x4")
PACKED = BOXED[1:]
PLAIN = tuple(sorted(set(FORMATS) - set(BOXED)))
WHOLE = ("int8", "int16", "int32", "uint8", "uint16", "uint32")
patterns = st.integers(0, 2**32 - 1)


def as_float(*bits: int) -> np.ndarray:
    return np.array(bits, np.uint32).view(np.float32)


def reference(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(all="ignore"):
        return values.astype(dtype)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    assert a.dtype == b.dtype
    return a.tobytes() == b.tobytes()


def ties(dtype: np.dtype) -> np.ndarray:
    """Every value of a format, what lies half way between two, and the neighbours of both."""
    codes = np.arange(2 ** (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}")
    exact = np.unique(reference(codes.view(dtype), np.dtype(np.float64)))
    exact = exact[np.isfinite(exact)]
    middle = np.concatenate([exact, (exact[1:] + exact[:-1]) / 2, exact[[0, -1]] * 1.0625])
    bits = reference(middle, np.dtype(np.float32)).view(np.uint32)
    near = np.add.outer(bits, np.arange(-2, 3).astype(np.uint32))
    return near.reshape(-1).view(np.float32)


# Names and comparisons.


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_dtype_is_that_of_numpy(name: str):
    dtype = format_of(name)
    scalar = getattr(ml_dtypes, name, None) or getattr(np, name)
    assert dtype is np.dtype(scalar)
    assert dtype == scalar
    assert scalar == dtype or name == "bool_"  # np.bool_ == anything is Python's answer for types
    assert format_of(scalar) is format_of(str(dtype)) is format_of(dtype) is dtype
    assert np.zeros((2, 3), dtype=dtype).astype(dtype).dtype == dtype
    assert dtype.itemsize == formats.itemsize(dtype) == np.dtype(dtype).itemsize
    assert formats.storage(dtype) is dtype


@pytest.mark.parametrize("name", BOXED)
def test_a_format_that_numpy_lacks_keeps_its_identity_in_arrays(name: str):
    dtype = format_of(name)
    array = np.zeros((2, 3), dtype=dtype)  # type: ignore[arg-type]
    assert array.dtype == dtype
    assert dtype == array.dtype
    assert format_of(array.dtype) is format_of(array) is dtype
    assert hash(dtype) == hash(array.dtype)
    assert {dtype: 1}[array.dtype] == 1
    assert array.itemsize == dtype.itemsize == formats.itemsize(dtype)
    assert array.view(formats.storage(dtype)).shape == (2, 3)
    assert str(dtype) == repr(dtype) == dtype.name == name
    assert dtype == name


@pytest.mark.parametrize("name", BOXED)
@pytest.mark.parametrize("other", ["float32", "uint32", "uint16", "int32"])
def test_a_format_that_numpy_lacks_is_not_its_container(name: str, other: str):
    dtype = format_of(name)
    assert dtype != np.dtype(other)
    assert np.dtype(other) != dtype
    assert dtype != getattr(np, other)
    assert dtype != other
    assert all(dtype != FORMATS[n] for n in BOXED if n != name)


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_singletons(name: str):
    entry = FORMATS[name]
    assert facts(name) is facts(entry.canonical) is entry
    assert copy.deepcopy(entry) is pickle.loads(pickle.dumps(entry)) is entry
    again = pickle.loads(pickle.dumps(entry.canonical))
    assert format_of(again) is entry.canonical
    with pytest.raises(FrozenInstanceError):
        entry.bits = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("bf16", "bfloat16"),
        ("BF16", "bfloat16"),
        ("fp32", "float32"),
        ("f32", "float32"),
        (float, "float32"),
        (int, "int32"),
        (bool, "bool_"),
        ("bool", "bool_"),
        (np.bool_, "bool_"),
        ("tf32", "tfloat32"),
        ("fp8_e4m3", "float8_e4m3"),
        ("fp8_e5m2", "float8_e5m2"),
        ("fp8_e4m3fn", "float8_e4m3fn"),
        ("torch.bfloat16", "bfloat16"),
        (np.float32(3), "float32"),
        (np.zeros(2, np.int16), "int16"),
    ],
)
def test_spellings(spelling: object, name: str):
    assert format_of(spelling) is FORMATS[name].canonical
    assert formats.name(spelling) == name


@pytest.mark.parametrize(
    "thing", ["float7", "float64", np.float64, np.int64, np.dtype(">f4"), None, 3, [1], object]
)
def test_unknown_formats(thing: object):
    with pytest.raises(UnknownName, match="no number format is called"):
        format_of(thing)


def test_the_nearest_format_is_suggested():
    with pytest.raises(UnknownName, match="did you mean 'bfloat16'"):
        format_of("bfloat61")


@pytest.mark.parametrize(
    ("name", "bits", "size", "is_float", "is_integer"),
    [
        ("float32", 32, 4, True, False),
        ("tfloat32", 32, 4, True, False),
        ("bfloat16", 16, 2, True, False),
        ("float8_e4m3", 8, 1, True, False),
        ("float8_e8m0fnu", 8, 1, True, False),
        ("float8_e5m2_x4", 32, 4, False, False),
        ("float4_e2m1fn_x4", 16, 2, False, False),
        ("int8", 8, 1, False, True),
        ("uint32", 32, 4, False, True),
        ("bool_", 8, 1, False, False),
    ],
)
def test_properties(name: str, bits: int, size: int, is_float: bool, is_integer: bool):
    dtype = format_of(name)
    assert (formats.bits(dtype), formats.itemsize(dtype)) == (bits, size)
    assert (formats.is_float(dtype), formats.is_integer(dtype)) == (is_float, is_integer)
    assert (facts(dtype).is_float, facts(dtype).is_integer) == (is_float, is_integer)


# Values.


@pytest.mark.parametrize("name", SMALL)
def test_every_code_is_read_exactly(name: str):
    dtype = formats.storage(name)
    stored = np.arange(2 ** (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}").view(dtype)
    values = widen(stored)
    assert same_bits(values, reference(stored, np.dtype(np.float32)))
    back = narrow(values, name)
    numbers = ~np.isnan(values)
    assert np.array_equal(back[numbers].view(f"u{dtype.itemsize}"),
                          stored[numbers].view(f"u{dtype.itemsize}"))  # fmt: skip
    assert np.isnan(widen(back)[~numbers]).all()


@pytest.mark.parametrize("name", SMALL)
def test_ties_and_their_neighbours_round_as_in_ml_dtypes(name: str):
    dtype = formats.storage(name)
    values = ties(dtype)
    assert same_bits(narrow(values, name), reference(values, dtype))


@pytest.mark.parametrize("name", SMALL)
def test_a_sweep_of_all_float32_rounds_as_in_ml_dtypes(name: str):
    values = (np.arange(2**20, dtype=np.uint64) * 4099 % 2**32).astype(np.uint32).view(np.float32)
    dtype = formats.storage(name)
    assert same_bits(narrow(values, name), reference(values, dtype))


@given(st.sampled_from(SMALL), patterns)
@example("float8_e4m3", 0x7F800001)  # a signalling NaN whose upper half is that of infinity
@example("float8_e4m3fn", 0xFF800000)
@example("float8_e8m0fnu", 1)
@example("bfloat16", 0x7F7FFFFF)
@example("float16", 0xFFFFFFFF)
def test_any_float32_rounds_as_in_ml_dtypes(name: str, bits: int):
    values = as_float(bits)
    assert same_bits(narrow(values, name), reference(values, formats.storage(name)))


@given(st.sampled_from(SMALL), patterns)
def test_what_a_format_holds_is_kept(name: str, bits: int):
    stored = narrow(as_float(bits), name)
    assert same_bits(widen(narrow(widen(stored), name)), widen(stored))


@pytest.mark.parametrize(
    ("name", "largest", "beyond"),
    [
        ("float8_e4m3", 240.0, np.inf),
        ("float8_e5m2", 57344.0, np.inf),
        ("float8_e4m3fn", 448.0, np.nan),
        ("float16", 65504.0, np.inf),
    ],
)
def test_overflow(name: str, largest: float, beyond: float):
    given_values = np.array([largest, largest * 1.5, np.inf, -np.inf], np.float32)
    expected = np.array([largest, beyond, beyond, -beyond], np.float32)
    assert np.array_equal(widen(narrow(given_values, name)), expected, equal_nan=True)


@pytest.mark.parametrize("name", FORMATS)
def test_shape_dtype_and_layout(name: str):
    values = np.arange(48, dtype=np.float32).reshape(4, 12)[:, ::-1]
    stored = narrow(values, name)
    assert stored.dtype == formats.storage(name)
    read = widen(stored, name)
    assert read.shape == values.shape
    assert read.dtype == np.float32
    part = widen(stored[::2, 1:], name)
    skipped = values.shape[1] // stored.shape[1]
    assert np.array_equal(part, read[::2, skipped:], equal_nan=True)
    assert narrow(values[:0], name).size == 0


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in PACKED])
def test_single_numbers(name: str):
    stored = narrow(1.0, name)
    assert stored.shape == ()
    assert widen(np.asarray(stored), name) == 1.0
    assert narrow(np.float64(1), name) == stored


def test_what_needs_no_conversion_is_not_copied():
    values = np.ones(3, np.float32)
    assert narrow(values, "float32") is values
    assert widen(values) is values
    assert narrow(values, "bfloat16").base is None


@pytest.mark.parametrize("name", WHOLE)
def test_integers_round_to_even_and_saturate(name: str):
    limits = np.iinfo(formats.storage(name))
    low, high = limits.min, limits.max
    cases = {
        0.5: 0, 1.5: 2, 2.5: 2, 2.4: 2, 126.5: 126,
        -0.5: 0, -1.5: max(low, -2), -2.5: max(low, -2),
        2.0**31: min(high, 2**31), 2.0**32: high, 3e38: high, -3e38: low,
        np.inf: high, -np.inf: low, -(2.0**31): max(low, -(2**31)),
        2.0**31 - 128: min(high, 2**31 - 128), 2.0**32 - 256: min(high, 2**32 - 256),
    }  # fmt: skip
    assert narrow(np.array([*cases], np.float32), name).tolist() == [*cases.values()]
    assert narrow(as_float(0x7FC00000, 0x7F800001, 0xFFFFFFFF), name).tolist() == [0, 0, 0]


@given(st.sampled_from(WHOLE), patterns)
def test_integers_are_the_nearest_in_range(name: str, bits: int):
    value = float(as_float(bits)[0])
    limits = np.iinfo(formats.storage(name))
    inside = 0.0 if np.isnan(value) else min(max(value, limits.min), limits.max)
    assert int(narrow(as_float(bits), name)[0]) == round(inside)


def test_integers_are_read_through_float32():
    stored = np.array([2**24, 2**24 + 1, 2**31 - 1, -(2**24) - 1], np.int32)
    assert widen(stored).tolist() == [2.0**24, 2.0**24, 2.0**31, -(2.0**24)]
    assert widen(np.array([2**32 - 1], np.uint32)).tolist() == [2.0**32]
    assert widen(np.array([True, False])).tolist() == [1.0, 0.0]


def test_bool_is_whether_a_value_is_not_zero():
    values = np.array([0.0, -0.0, 1.0, 1e-40, np.nan], np.float32)
    assert narrow(values, bool).tolist() == [False, False, True, True, True]


@given(patterns)
@example(0x3F800FFF)
@example(0x3F801000)  # ties
@example(0x3F803000)
@example(0x7F7FFFFF)
@example(0x7F800001)
def test_tfloat32_is_the_nearest_with_ten_bits(bits: int):
    values = as_float(bits)
    rounded = narrow(values, "tfloat32")
    if np.isnan(values[0]):
        assert np.isnan(rounded[0])
        return
    below = as_float(bits & 0xFFFFE000)
    step = np.float64(as_float((bits & 0xFFFFE000) + 0x2000)[0]) - np.float64(below[0])
    if np.isinf(step):  # the largest rounds up to infinity
        step = np.copysign(2.0**117, values[0])
    share = 0.0 if np.isinf(values[0]) else (np.float64(values[0]) - np.float64(below[0])) / step
    up = share > 0.5 or (share == 0.5 and bits >> 13 & 1)
    assert rounded.view(np.uint32)[0] == (bits & 0xFFFFE000) + (0x2000 if up else 0)
    assert same_bits(widen(rounded, "tfloat32"), rounded)


def test_tfloat32_is_rounded_when_read():
    host = np.full(2, 1.0 + 2.0**-20, np.float32).astype(format_of("tfloat32"))  # type: ignore
    assert widen(host).tolist() == [1.0, 1.0]


# Packed formats.


@pytest.mark.parametrize("name", PACKED)
def test_every_packed_code_is_read_exactly(name: str):
    element = facts(name).element
    assert element is not None
    if element.name.startswith("float4"):
        codes = np.arange(65536, dtype=np.uint16)
        parts = np.stack([codes >> s & 15 for s in (0, 4, 8, 12)], axis=-1).astype(np.uint8)
    else:
        parts = np.random.default_rng(0).permutation(np.arange(1024) % 256).astype(np.uint8)
        codes = parts.view(np.uint32)
    expected = reference(parts.reshape(-1).view(element), np.dtype(np.float32))
    assert np.array_equal(widen(codes, name), expected, equal_nan=True)
    numbers = widen(codes[~np.isnan(expected).reshape(-1, 4).any(axis=1)], name)
    assert np.array_equal(widen(narrow(numbers, name), name), numbers)


@pytest.mark.parametrize("name", PACKED)
def test_packing_rounds_as_in_ml_dtypes(name: str):
    element = facts(name).element
    assert element is not None
    values = ties(element).reshape(-1)
    values = values[: len(values) // 4 * 4].reshape(2, -1)[:, ::-1]
    values = values[:, : values.shape[1] // 4 * 4]
    packed = narrow(values, name)
    assert packed.shape == (2, values.shape[1] // 4)
    expected = reference(reference(values, element), np.dtype(np.float32))
    assert np.array_equal(widen(packed, name), expected, equal_nan=True)


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("shape", [(), (3,), (4, 6)])
def test_packing_takes_four_values_an_element(name: str, shape: tuple[int, ...]):
    with pytest.raises(BadArguments, match="four values an element"):
        narrow(np.zeros(shape, np.float32), name)


# Constants and fresh memory.


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (2**32 - 1, "uint32", 2**32 - 1),
        (2**24 + 1, "int32", 2**24 + 1),
        (-1, "uint8", 0),
        (300, "int8", 127),
        (2.5, "int32", 2),
        (np.int64(7), "int16", 7),
        (True, "uint8", 1),
        (3, "bool_", True),
        (1, "float32", 1.0),
        (1 + 2**-9, "bfloat16", 1.0),
        (0, "float4_e2m1fn_x4", 0),
        (0x3C3C3C3C, "float8_e5m2_x4", 0x3C3C3C3C),
    ],
)
def test_constants(value: float, dtype: str, expected: float):
    stored = formats.constant(value, dtype)
    assert stored.dtype == formats.storage(dtype)
    assert stored == expected


@pytest.mark.parametrize("name", FORMATS)
def test_fresh_memory(name: str):
    held = fresh(format_of(name))
    assert held.dtype == formats.storage(name)
    if name in WHOLE or name == "float4_e2m1fn_x4":
        assert held == 4
    elif name == "bool_":
        assert held
    else:
        assert np.isnan(widen(np.full(1, held), name)).all()


# The older API.


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("float32", "float32", "float32"),
        ("float16", "bfloat16", "float32"),
        ("float16", "int32", "float16"),
        ("float8_e4m3", "uint32", "float8_e4m3"),
        ("float8_e4m3", "bfloat16", "bfloat16"),
        ("float8_e5m2", "float16", "float16"),
        ("float8_e4m3", "float8_e5m2", "bfloat16"),
        ("float8_e4m3", "float8_e4m3fn", "bfloat16"),
        ("float16", "float32", "float32"),
        ("bfloat16", "tfloat32", "tfloat32"),
        ("float32", "tfloat32", "float32"),
        ("int8", "uint8", "int16"),
        ("int8", "uint16", "int32"),
        ("int8", "uint32", "float32"),
        ("int32", "uint32", "float32"),
        ("int8", "int16", "int16"),
        ("uint8", "uint32", "uint32"),
        ("bool_", "int8", "int8"),
        ("bool_", "float16", "float16"),
        ("bool_", "bool_", "bool_"),
        ("float4_e2m1fn_x4", "float4_e2m1fn_x4", "float4_e2m1fn_x4"),
        ("float16", 1.2, "float32"),
        ("float16", 2, "float16"),
        ("int8", 2, "int32"),
        ("int8", True, "int16"),
        ("uint32", 2, "float32"),
        ("bfloat16", float, "float32"),
        (np.float16, ml_dtypes.bfloat16, "float32"),
    ],
)
def test_promotion(a: object, b: object, expected: str):
    assert promote(a, b) is promote(b, a) is format_of(expected)


def test_packed_formats_have_no_arithmetic():
    with pytest.raises(BadArguments, match="no common dtype"):
        promote("float8_e5m2_x4", "float32")
