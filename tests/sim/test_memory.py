"""What memories hold, as kernels see it: fresh bytes, written bytes, views, strides, casts."""

import weakref

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import load, nisa, nl, same, simulate, store, value, whole_numbers
from trnlab import NotModelled, TrnlabError, Violations
from trnlab.errors import BadArguments, OutOfMemory, UninitialisedRead
from trnlab.studies.run import run_once


def unread(kernel, *arrays, **how):
    """The uninitialised reads that a run finds."""
    result = run_once(kernel, arrays, {}, strict=False, **how)
    return [v for v in result.violations if isinstance(v, UninitialisedRead)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float8_e4m3", "float8_e5m2"])
def test_fresh_floats_are_nan(dtype):
    def kernel(a):
        return store(nl.ndarray((128, 8), dtype))

    out = value(kernel, np.zeros(1, np.float32), strict=False)
    assert out.dtype == getattr(nl, dtype)
    assert np.isnan(out.astype(np.float32)).all()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
def test_fresh_integers_are_four(dtype):
    def kernel(a):
        return store(nl.ndarray((128, 8), dtype))

    out = value(kernel, np.zeros(1, np.float32), strict=False)
    assert same(out, np.full((128, 8), 4, dtype))


def test_a_load_may_turn_its_destination():
    def kernel(a):
        tile = nl.ndarray((128, 8, 4), nl.float32)
        nisa.dma_copy(tile.permute((0, 2, 1)), a)
        return store(tile)

    a = whole_numbers(128, 32)
    assert same(value(kernel, a), a.reshape(128, 4, 8).transpose(0, 2, 1))


def test_a_tile_written_in_parts_is_gone_when_nobody_holds_it():
    """Without waiting for the collector: its bytes are what a long kernel runs out of."""
    held = []

    def kernel(a):
        tile = nl.ndarray((128, 8), nl.float32)
        nisa.memset(tile[:, 0:4], 1.0)
        nisa.memset(tile[:, 4:8], 1.0)
        held.append(weakref.ref(tile.storage))
        del tile
        held.append(held[0]())
        return store(load(a))

    value(kernel, whole_numbers(128, 8))
    assert held[1] is None


def test_fresh_hbm_is_nan_too():
    def kernel(a):
        return nl.ndarray((4, 8), nl.float32, buffer=nl.shared_hbm)

    assert np.isnan(value(kernel, np.zeros(1, np.float32), strict=False)).all()


def test_an_output_that_nobody_wrote_is_a_violation():
    def kernel(a):
        return nl.ndarray((4, 8), nl.float32, buffer=nl.shared_hbm)

    assert len(unread(kernel, np.zeros(1, np.float32))) == 1


def test_a_partly_written_tile_keeps_its_fresh_part():
    def kernel(a):
        tile = nl.ndarray((128, 8), nl.float32)
        nisa.memset(tile[0:32, 2:4], 7.0)
        return store(tile)

    expected = np.full((128, 8), np.nan, np.float32)
    expected[0:32, 2:4] = 7
    out = value(kernel, np.zeros(1, np.float32), strict=False)
    np.testing.assert_array_equal(out, expected)


def test_reading_what_nobody_wrote_names_the_tensor_and_the_line():
    def kernel(a):
        tile = nl.ndarray((128, 8), nl.float32, name="forgotten")
        return store(tile)

    with pytest.raises(Violations) as caught:
        value(kernel, np.zeros(1, np.float32))
    (found,) = caught.value.found
    assert isinstance(found, UninitialisedRead)
    assert found.what == "forgotten is read before all of it is written"
    assert found.place is not None
    assert found.place.file.endswith("support.py")  # where `store` copies the tile


def test_each_line_is_reported_once():
    def kernel(a):
        tile, copy = nl.ndarray((128, 8), nl.float32), nl.ndarray((128, 8), nl.float32)
        for _ in range(5):
            nisa.tensor_copy(copy, tile)
        return store(copy)

    assert len(unread(kernel, np.zeros(1, np.float32))) == 1


def test_unwritten_integers_are_found_although_they_show_no_nan():
    def kernel(a):
        return store(nl.ndarray((128, 8), nl.int32))

    assert len(unread(kernel, np.zeros(1, np.float32))) == 1


def test_writing_piece_by_piece_counts():
    def kernel(a):
        tile = nl.ndarray((128, 8), nl.float32)
        for i in range(8):
            nisa.memset(tile[:, i : i + 1], float(i))
        return store(tile)

    assert unread(kernel, np.zeros(1, np.float32)) == []
    expected = np.tile(np.arange(8, dtype=np.float32), (128, 1))
    assert same(value(kernel, np.zeros(1, np.float32)), expected)


def test_writing_the_same_piece_twice_does_not_count_for_another():
    def kernel(a):
        tile = nl.ndarray((128, 8), nl.float32)
        for _ in range(3):
            nisa.memset(tile[:, 0:4], 0.0)
        return store(tile)

    assert len(unread(kernel, np.zeros(1, np.float32))) == 1


def test_reading_only_the_written_part_is_fine():
    def kernel(a):
        tile = nl.ndarray((128, 8), nl.float32)
        nisa.memset(tile[:, 2:6], 1.0)
        return store(tile[:, 3:5])

    assert unread(kernel, np.zeros(1, np.float32)) == []


def test_a_strided_write_leaves_the_gaps_unwritten():
    def kernel(a):
        tile = nl.ndarray((128, 8), nl.float32)
        nisa.memset(tile[:, 0:8:2], 1.0)
        return store(tile)

    assert len(unread(kernel, np.zeros(1, np.float32))) == 1


def test_two_interleaved_writes_fill_a_tile():
    def kernel(a):
        tile = nl.ndarray((128, 8), nl.float32)
        nisa.memset(tile[:, 0:8:2], 1.0)
        nisa.memset(tile[:, 1:8:2], 2.0)
        return store(tile)

    expected = np.tile(np.array([1, 2] * 4, np.float32), (128, 1))
    assert same(value(kernel, np.zeros(1, np.float32)), expected)


def test_a_view_of_another_dtype_shares_bytes_and_what_is_written():
    def kernel(a):
        tile = nl.ndarray((128, 4), nl.float32)
        nisa.memset(tile, 1.0)
        return store(tile.view(nl.uint32)), store(tile.view(nl.uint8))

    words, octets = value(kernel, np.zeros(1, np.float32))
    assert same(words, np.full((128, 4), 0x3F800000, np.uint32))
    assert same(octets, np.ones((128, 4), np.float32).view(np.uint8))


def test_writing_through_a_narrow_view_marks_no_more_than_it_wrote():
    def kernel(a):
        tile = nl.ndarray((128, 4), nl.float32)
        nisa.memset(tile.view(nl.uint16)[:, 0:4], 0)  # two of the four words of each row
        return store(tile)

    assert len(unread(kernel, np.zeros(1, np.float32))) == 1


def test_writing_every_element_through_a_narrow_view_fills_the_tile():
    def kernel(a):
        tile = nl.ndarray((128, 4), nl.float32)
        narrow = tile.view(nl.uint16)
        nisa.memset(narrow[:, 0:4], 0)
        nisa.memset(narrow[:, 4:8], 0)
        return store(tile)

    assert same(value(kernel, np.zeros(1, np.float32)), np.zeros((128, 4), np.float32))


def test_half_a_word_is_not_a_written_word():
    def kernel(a):
        tile = nl.ndarray((128, 4), nl.float32)
        nisa.memset(tile.view(nl.uint16)[:, 0:8:2], 0)
        return store(tile)

    assert len(unread(kernel, np.zeros(1, np.float32))) == 1


def test_a_transposed_view_reads_the_same_bytes():
    def kernel(a):
        tile = load(a)
        return store(tile.permute(0, 2, 1))

    a = whole_numbers(128, 3, 5)
    assert same(value(kernel, a), np.ascontiguousarray(a.transpose(0, 2, 1)))


def test_a_strided_destination_in_hbm():
    def kernel(a):
        out = nl.ndarray((128, 8), nl.float32, buffer=nl.shared_hbm)
        tile = load(a)
        nisa.dma_copy(out[:, 0:8:2], tile)
        nisa.dma_copy(out[:, 1:8:2], tile)
        return out

    a = whole_numbers(128, 4)
    assert same(value(kernel, a), np.repeat(a, 2, axis=1))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_written_tracking_follows_every_write(data):
    """A tile of 4 x 12 floats is written in random strided pieces; NumPy says which are left."""
    pieces = data.draw(
        st.lists(
            st.tuples(
                st.integers(0, 3), st.integers(1, 4), st.integers(0, 11), st.integers(1, 12),
                st.integers(1, 4),
            ),
            max_size=6,
        )
    )  # fmt: skip
    written = np.zeros((4, 12), bool)

    def kernel(a):
        tile = nl.ndarray((4, 3, 4), nl.float32).reshape((4, 12))
        for row, rows, first, count, step in pieces:
            stop = min(12, first + (count - 1) * step + 1)
            key = (slice(0, min(4, row + rows)), slice(first, stop, step))
            nisa.memset(tile[key], 1.0)
            written[key] = True
        return store(tile)

    found = unread(kernel, np.zeros(1, np.float32))
    assert bool(found) == (not written.all())


CASTS = [
    ("float32", "bfloat16", [1.0, 1.00390625, 1.01171875, 3.4e38], [1.0, 1.0, 1.015625, np.inf]),
    ("float32", "float16", [1.0, 65504.0, 65520.0, 1e-8], [1.0, 65504.0, np.inf, 0.0]),
    ("float32", "int32", [0.5, 1.5, -2.5, 3e9], [0, 2, -2, 2**31 - 1]),
    ("float32", "int8", [127.5, -128.5, 300.0, -300.0], [127, -128, 127, -128]),
    ("float32", "uint8", [255.5, -1.0, 2.5, 1e9], [255, 0, 2, 255]),
    ("int32", "float32", [1, -5, 2**24 + 1, 7], [1.0, -5.0, 2.0**24, 7.0]),
    ("int32", "int16", [70000, -70000, 5, -5], [32767, -32768, 5, -5]),
]


@pytest.mark.parametrize(("source", "target", "given_values", "expected"), CASTS)
@pytest.mark.parametrize("by", ["tensor_copy", "dma_copy"])
def test_casts_round_to_even_and_saturate_integers(source, target, given_values, expected, by):
    def kernel(a):
        tile = load(a)
        cast = nl.ndarray(a.shape, target)
        getattr(nisa, by)(cast, tile)
        return store(cast)

    a = np.array([given_values], source)
    dtype = ml_dtypes.bfloat16 if target == "bfloat16" else target
    assert same(value(kernel, a), np.array([expected], dtype))


def test_a_copy_of_one_dtype_keeps_every_bit():
    def kernel(a):
        tile = load(a)
        copy = nl.ndarray(a.shape, a.dtype)
        nisa.tensor_copy(copy, tile)
        return store(copy)

    bits = np.arange(2**16, dtype=np.uint32).reshape(128, 512) << 16 | 0x1234
    out = value(kernel, bits.view(np.float32))  # among them NaNs with a payload
    assert same(out.view(np.uint32), bits)


def test_integers_above_two_to_the_24_lose_bits_in_fp32_arithmetic():
    def kernel(a):
        tile = load(a)
        nisa.tensor_scalar(tile, tile, nl.add, 0)
        return store(tile)

    a = np.array([[2**24 + 1, 2**24, 5, -7]], np.int32)
    assert same(value(kernel, a), np.array([[2**24, 2**24, 5, -7]], np.int32))


def test_inputs_are_updated_in_place():
    def kernel(a):
        tile = load(a)
        nisa.tensor_scalar(tile, tile, nl.add, 1.0)
        nisa.dma_copy(a, tile)
        return a

    a = whole_numbers(128, 4)
    before = a.copy()
    out = value(kernel, a)
    assert same(a, before + 1)
    assert same(out, a)
    assert not np.shares_memory(out, a)


def test_a_tensor_beyond_any_machine_is_refused_at_once():
    def kernel(a):
        nl.ndarray((2**20, 2**21), nl.float32, buffer=nl.hbm)

    with pytest.raises(OutOfMemory, match="would take 8,796,093,022,208 bytes") as caught:
        value(kernel, np.zeros(1, np.float32))
    assert caught.value.place is not None
    assert caught.value.place.file == __file__


def test_nothing_is_computed_when_only_time_is_asked_for():
    def kernel(a):
        return store(load(a))

    a = whole_numbers(128, 4)
    outputs, trace = simulate(kernel, a, values=False)
    assert np.isnan(outputs).all()
    assert trace.seconds == simulate(kernel, a)[1].seconds


@pytest.mark.parametrize("values", [True, False])
def test_filling_hbm_says_what_to_do(values):
    def kernel(a):
        return nl.zeros((128, 4), nl.float32, buffer=nl.shared_hbm)

    with pytest.raises(NotModelled, match="fill a tile and store it"):
        value(kernel, np.zeros(1, np.float32), values=values)


@pytest.mark.parametrize("shape", [(), (128, -1), (128, 1.5)])
def test_what_is_no_shape_is_refused(shape):
    def kernel(a):
        nl.ndarray(shape, nl.float32)

    with pytest.raises(BadArguments, match="cannot have the shape"):
        value(kernel, np.zeros(1, np.float32))


@pytest.mark.parametrize("shape", [0, (0,), (128, 0), (0, 128)])
def test_tensors_without_elements_hold_nothing(shape):
    def kernel(a):
        for buffer in (nl.sbuf, nl.psum, nl.hbm):
            assert nl.ndarray(shape, nl.float32, buffer=buffer).size == 0
        return a

    assert simulate(kernel, np.zeros(1, np.float32))[1].totals["sbuf_peak_bytes"] == 0


def test_errors_are_of_one_family():
    assert issubclass(UninitialisedRead, TrnlabError)
