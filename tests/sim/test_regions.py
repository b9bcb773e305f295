"""Which accesses touch the same bytes, seen through what waits for what.

A false wait costs only time; a missed one gives a wrong timeline. So every overlap that NumPy sees
must make an instruction wait, and tiles of a matrix that do not overlap must not.
"""

from math import prod

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.support import TOY, bars, nisa, nl, simulate

WAITS = ("data", "buffer")


def waits_in_hbm(shape, write, read):
    """Whether a transfer that reads part of an HBM tensor waits for one that writes another."""

    def kernel(a):
        tensor = nl.ndarray(shape, nl.float32, buffer=nl.hbm)
        target, source = write(tensor), read(tensor)
        nisa.dma_copy(target, nl.ndarray(target.shape, nl.float32, buffer=nl.hbm))
        nisa.dma_copy(nl.ndarray(source.shape, nl.float32, buffer=nl.hbm), source)

    return bars(run(kernel))[-1].cause in WAITS


def waits_in_sbuf(shape, write, read, **placed):
    """Whether the scalar engine waits to read part of a tile while GpSimd fills another."""

    def kernel(a):
        tile = nl.ndarray(shape, nl.float32, **placed)
        target, source = write(tile), read(tile)
        nisa.memset(target, 0.0, engine=nisa.engine.gpsimd)
        nisa.tensor_copy(nl.ndarray(source.shape, nl.float32), source, engine=nisa.engine.scalar)

    return bars(run(kernel))[-1].cause in WAITS


def run(kernel):
    """The trace of a kernel that need not be legal, in its order: all that counts is who waits."""
    how = {"values": False, "strict": False, "without": "software_pipelining"}
    return simulate(kernel, np.zeros(1, np.float32), chip=TOY, **how)[1]


@st.composite
def slices(draw, shape):
    """An index expression that leaves at least one element, with steps."""
    key = []
    for size in shape:
        start = draw(st.integers(0, size - 1))
        stop = draw(st.integers(start + 1, size))
        step = draw(st.integers(1, 3))
        key.append(slice(start, start + (stop - start - 1) // step * step + 1, step))
    return tuple(key)


@st.composite
def patterns(draw, size):
    """Steps, counts and an offset of an access pattern that stays inside ``size`` elements."""
    offset = draw(st.integers(0, size - 1))
    pattern, low, high = [], offset, offset
    for _ in range(draw(st.integers(1, 4))):
        step = draw(st.integers(-(size // 2), size // 2))
        room = size - 1 - high if step > 0 else low
        count = draw(st.integers(1, min(room // abs(step) + 1 if step else 4, 6)))
        pattern.append((step, count))
        reach = step * (count - 1)
        low, high = low + min(reach, 0), high + max(reach, 0)
    return pattern, offset


def elements(pattern, offset):
    """The elements that an access pattern touches."""
    found = {offset}
    for step, count in pattern:
        found = {one + step * i for one in found for i in range(count)}
    return found


SHAPES = [(16, 24), (6, 8, 10), (4, 3, 4, 5), (96,), (1, 40), (12, 1, 9)]


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_slices_of_hbm_that_meet_wait(shape, data):
    write, read = data.draw(slices(shape)), data.draw(slices(shape))
    numbers = np.arange(prod(shape)).reshape(shape)
    if np.intersect1d(numbers[write], numbers[read]).size:
        assert waits_in_hbm(shape, lambda t: t[write], lambda t: t[read])


@pytest.mark.parametrize("shape", [(16, 24), (6, 8, 10), (96,)])
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_patterns_in_hbm_that_meet_wait(shape, data):
    write, read = data.draw(patterns(prod(shape))), data.draw(patterns(prod(shape)))
    if elements(*write) & elements(*read):
        assert waits_in_hbm(shape, lambda t: t.ap(*write), lambda t: t.ap(*read))


@pytest.mark.parametrize("read", [0, 7, 14, 21])
def test_a_pattern_that_runs_backwards_meets_what_lies_before_its_start(read):
    backwards, one = ([(-7, 4)], 21), ([(1, 1)], read)
    assert waits_in_hbm((96,), lambda t: t.ap(*one), lambda t: t.ap(*backwards))
    assert waits_in_hbm((96,), lambda t: t.ap(*backwards), lambda t: t.ap(*one))


@pytest.mark.parametrize("shape", [(16, 24), (6, 8, 10), (4, 3, 4, 5)])
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_slices_of_sbuf_that_meet_wait(shape, data):
    write, read = data.draw(slices(shape)), data.draw(slices(shape))
    numbers = np.arange(prod(shape)).reshape(shape)
    if np.intersect1d(numbers[write], numbers[read]).size:
        assert waits_in_sbuf(shape, lambda t: t[write], lambda t: t[read])


@settings(max_examples=60, deadline=None)
@given(st.data())
@example(None)
def test_views_that_meet_wait(data):
    """A reshaped or permuted view of a tile against a slice of the tile itself."""
    shape = (8, 4, 6)
    numbers = np.arange(prod(shape)).reshape(shape)
    if data is None:  # the last row of one against the first of the other
        write, read = (slice(0, 8), slice(3, 4), slice(5, 6)), (slice(0, 8), slice(23, 24))
    else:
        write, read = data.draw(slices(shape)), data.draw(slices((8, 24)))
    if np.intersect1d(numbers[write], numbers.reshape(8, 24)[read]).size:
        assert waits_in_sbuf(shape, lambda t: t[write], lambda t: t.reshape((8, 24))[read])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_views_of_another_width_that_meet_wait(data):
    write, read = data.draw(slices((8, 12))), data.draw(slices((8, 24)))
    octets = np.arange(8 * 48)
    wide, narrow = octets.reshape(8, 12, 4)[write], octets.reshape(8, 24, 2)[read]
    if np.intersect1d(wide, narrow).size:
        assert waits_in_sbuf((8, 12), lambda t: t[write], lambda t: t.view(nl.uint16)[read])


@settings(max_examples=60, deadline=None)
@given(
    first=st.tuples(st.integers(0, 96), st.integers(0, 64)),
    second=st.tuples(st.integers(0, 96), st.integers(0, 64)),
    sizes=st.tuples(st.integers(1, 32), st.integers(1, 16), st.integers(1, 32), st.integers(1, 16)),
)
def test_tensors_that_a_kernel_places_over_each_other_wait(first, second, sizes):
    """Two tensors with addresses of their own share bytes of SBUF where their rectangles meet."""
    rows1, columns1, rows2, columns2 = sizes

    def kernel(a):
        one = nl.ndarray((rows1, columns1), nl.float32, address=first)
        other = nl.ndarray((rows2, columns2), nl.float32, address=second)
        nisa.memset(one, 0.0, engine=nisa.engine.gpsimd)
        nisa.tensor_copy(
            nl.ndarray((rows2, columns2), nl.float32), other, engine=nisa.engine.scalar
        )

    def meet(a, size_a, b, size_b):
        return a < b + size_b and b < a + size_a

    rows = meet(first[0], rows1, second[0], rows2)
    columns = meet(first[1], 4 * columns1, second[1], 4 * columns2)
    assert (bars(run(kernel))[-1].cause in WAITS) == (rows and columns)


@settings(max_examples=80, deadline=None)
@given(
    tiles=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    data=st.data(),
)
def test_tiles_of_a_matrix_in_hbm_do_not_wait_for_each_other(tiles, size, data):
    one, other = (
        (data.draw(st.integers(0, tiles[0] - 1)), data.draw(st.integers(0, tiles[1] - 1)))
        for _ in range(2)
    )
    assume(one != other)
    shape = (tiles[0] * size[0], tiles[1] * size[1])

    def tile(t, at):
        row, column = at[0] * size[0], at[1] * size[1]
        return t[row : row + size[0], column : column + size[1]]

    assert not waits_in_hbm(shape, lambda t: tile(t, one), lambda t: tile(t, other))


@settings(max_examples=80, deadline=None)
@given(count=st.integers(2, 12), width=st.integers(1, 64), data=st.data())
def test_columns_of_a_tile_in_sbuf_do_not_wait_for_each_other(count, width, data):
    one, other = (data.draw(st.integers(0, count - 1)) for _ in range(2))
    assume(one != other)

    def columns(t, at):
        return t[:, at * width : (at + 1) * width]

    shape = (128, count * width)
    assert not waits_in_sbuf(shape, lambda t: columns(t, one), lambda t: columns(t, other))


@pytest.mark.parametrize("one", range(4))
@pytest.mark.parametrize("other", range(4))
def test_quadrants_of_partitions_wait_only_for_themselves(one, other):
    def quadrant(t, at):
        return t[32 * at : 32 * at + 32]

    waits = waits_in_sbuf((128, 64), lambda t: quadrant(t, one), lambda t: quadrant(t, other))
    assert waits == (one == other)


@pytest.mark.parametrize("one", range(3))
@pytest.mark.parametrize("other", range(3))
def test_heads_that_alternate_in_hbm_wait_only_for_themselves(one, other):
    """[sequence, heads, width]: the rows of a head are every third row of memory."""
    waits = waits_in_hbm((16, 3, 8), lambda t: t[:, one, :], lambda t: t[:, other, :])
    assert waits == (one == other)


def test_every_second_column_waits_for_itself():
    shape, even = (128, 64), slice(0, 64, 2)
    assert waits_in_sbuf(shape, lambda t: t[:, even], lambda t: t[:, even])
    assert waits_in_sbuf(shape, lambda t: t[:, even], lambda t: t[:, 0:1])
    assert not waits_in_sbuf(shape, lambda t: t[:, 0:32:2], lambda t: t[:, 33:64:2])


def test_different_tensors_never_wait_for_each_other():
    def kernel(a):
        one, other = (nl.ndarray((128, 64), nl.float32) for _ in range(2))
        nisa.memset(one, 0.0, engine=nisa.engine.gpsimd)
        nisa.tensor_copy(nl.ndarray((128, 64), nl.float32), other, engine=nisa.engine.scalar)

    assert bars(run(kernel))[-1].cause == "first"


def test_the_same_address_in_sbuf_and_psum_is_not_the_same_memory():
    def kernel(a):
        one = nl.ndarray((128, 64), nl.float32, address=(0, 0))
        other = nl.ndarray((128, 64), nl.float32, buffer=nl.psum, address=(0, 0))
        nisa.memset(one, 0.0, engine=nisa.engine.vector)
        nisa.tensor_copy(nl.ndarray((128, 64), nl.float32), other, engine=nisa.engine.scalar)

    assert bars(run(kernel))[-1].cause == "first"
