"""Matmuls that add up in PSUM: what may be put off must never show. Whole numbers add exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import load, nisa, nl, same, simulate, store, value, whole_numbers
from trnlab.errors import UninitialisedRead, Violations
from trnlab.sim.values import groups
from trnlab.studies.run import run_once

LEFT = [whole_numbers(128, 64, seed=n) for n in range(4)]
RIGHT = [whole_numbers(128, 96, seed=10 + n) for n in range(4)]
PRODUCTS = [left.T @ right for left, right in zip(LEFT, RIGHT, strict=True)]


def tiles(arrays):
    return list(map(load, arrays))


def bank(columns=96, rows=64):
    return nl.ndarray((rows, columns), nl.float32, buffer=nl.psum)


def shown(psum):
    """The contents of a PSUM tile as an output."""
    copy = nl.ndarray(psum.shape, psum.dtype)
    nisa.tensor_copy(copy, psum)
    return store(copy)


def run(kernel, **how):
    return value(kernel, LEFT, RIGHT, **how)


def test_one_matmul():
    def kernel(left, right):
        psum = bank()
        nisa.nc_matmul(psum, load(left[0]), load(right[0]))
        return shown(psum)

    assert same(run(kernel), PRODUCTS[0])


@pytest.mark.parametrize("accumulate", [None, True])
def test_repeated_matmuls_add_up(accumulate):
    def kernel(left, right):
        psum = bank()
        for n, (one, other) in enumerate(zip(tiles(left), tiles(right), strict=True)):
            nisa.nc_matmul(psum, one, other, accumulate=accumulate if n else None)
        return shown(psum)

    assert same(run(kernel), sum(PRODUCTS))


def test_accumulate_false_starts_again():
    def kernel(left, right):
        psum = bank()
        for n, (one, other) in enumerate(zip(tiles(left), tiles(right), strict=True)):
            nisa.nc_matmul(psum, one, other, accumulate=None if n != 2 else False)
        return shown(psum)

    assert same(run(kernel), PRODUCTS[2] + PRODUCTS[3])


def test_a_sum_that_was_read_goes_on_adding():
    def kernel(left, right):
        psum = bank()
        nisa.nc_matmul(psum, load(left[0]), load(right[0]))
        first = shown(psum)
        nisa.nc_matmul(psum, load(left[1]), load(right[1]))
        return first, shown(psum)

    first, both = run(kernel)
    assert same(first, PRODUCTS[0])
    assert same(both, PRODUCTS[0] + PRODUCTS[1])


def test_a_sum_that_was_read_is_overwritten_on_request():
    def kernel(left, right):
        psum = bank()
        nisa.nc_matmul(psum, load(left[0]), load(right[0]))
        first = shown(psum)
        nisa.nc_matmul(psum, load(left[1]), load(right[1]), accumulate=False)
        return first, shown(psum)

    first, second = run(kernel)
    assert same(first, PRODUCTS[0])
    assert same(second, PRODUCTS[1])


def test_only_locations_that_hold_a_sum_are_added_to():
    """The first matmul fills columns 0 to 63, the second 32 to 95: 32 of them add."""

    def kernel(left, right):
        psum = bank()
        one, other = load(left[0]), load(right[0])
        nisa.nc_matmul(psum[:, 0:64], one, other[:, 0:64])
        nisa.nc_matmul(psum[:, 32:96], one, other[:, 0:64])
        return shown(psum)

    expected = np.zeros((64, 96), np.float32)
    expected[:, 0:64] += PRODUCTS[0][:, 0:64]
    expected[:, 32:96] += PRODUCTS[0][:, 0:64]
    assert same(run(kernel), expected)


def test_neighbours_in_one_tensor_do_not_mix():
    def kernel(left, right):
        psum = nl.ndarray((64, 4, 96), nl.float32, buffer=nl.psum)
        for n, (one, other) in enumerate(zip(tiles(left), tiles(right), strict=True)):
            nisa.nc_matmul(psum[:, n], one, other)
        for n in (3, 1):
            nisa.nc_matmul(psum[:, n], load(left[0]), load(right[0]))
        copy = nl.ndarray((64, 4, 96), nl.float32)
        nisa.tensor_copy(copy, psum)
        return store(copy)

    expected = np.stack(PRODUCTS, axis=1)
    expected[:, 1] += PRODUCTS[0]
    expected[:, 3] += PRODUCTS[0]
    assert same(run(kernel, strict=False), expected)


def test_two_sums_may_grow_in_turns():
    def kernel(left, right):
        one, other = bank(), bank()
        for n, (a, b) in enumerate(zip(tiles(left), tiles(right), strict=True)):
            nisa.nc_matmul((one, other)[n % 2], a, b)
        return shown(one), shown(other)

    even, odd = run(kernel)
    assert same(even, PRODUCTS[0] + PRODUCTS[2])
    assert same(odd, PRODUCTS[1] + PRODUCTS[3])


@pytest.mark.parametrize("side", ["stationary", "moving"])
@pytest.mark.parametrize("by", ["memset", "tensor_copy", "dma_copy", "part"])
def test_inputs_may_be_overwritten_before_the_sum_is_read(side, by):
    def kernel(left, right):
        psum, one, other = bank(), load(left[0]), load(right[0])
        nisa.nc_matmul(psum, one, other)
        target, source = (one, left[1]) if side == "stationary" else (other, right[1])
        if by == "memset":
            nisa.memset(target, 0.0)
        elif by == "tensor_copy":
            nisa.tensor_copy(target, load(source))
        elif by == "dma_copy":
            nisa.dma_copy(target, source)
        else:
            nisa.memset(target[:, 5:6], 0.0)
        return shown(psum)

    assert same(run(kernel), PRODUCTS[0])


@pytest.mark.parametrize("late", [False, True])
def test_inputs_may_be_overwritten_in_hbm_before_the_sum_is_read(late):
    """A load shows the bytes in HBM: they must not change under a matmul that waits."""

    def kernel(left, right):
        psum, other = bank(), bank()
        one, moving = load(left[0]), load(right[0])
        nisa.nc_matmul(other, load(left[1]), load(right[1]))
        nisa.nc_matmul(psum, one, moving)
        if late:
            copy = nl.ndarray((64, 96), nl.float32)
            nisa.tensor_copy(copy, other)
            nisa.dma_copy(right[0][0:64], copy)
        else:
            nisa.dma_copy(right[0][0:64], load(right[1])[0:64])
        shown(other)
        return shown(psum)

    right = [a.copy() for a in RIGHT]
    assert same(value(kernel, LEFT, right), PRODUCTS[0])


@pytest.mark.parametrize("turned", ["copy", "store"])
def test_a_sum_may_be_turned_while_it_is_copied_or_stored(turned):
    def kernel(left, right):
        psum = nl.ndarray((64, 8, 8), nl.float32, buffer=nl.psum)
        nisa.nc_matmul(psum, load(left[0]), load(right[0])[:, 0:64])
        copy = nl.ndarray((64, 8, 8), nl.float32)
        nisa.tensor_copy(copy.permute((0, 2, 1)) if turned == "copy" else copy, psum)
        return store(copy.permute((0, 2, 1)) if turned == "store" else copy)

    assert same(run(kernel), PRODUCTS[0][:, 0:64].reshape(64, 8, 8).transpose(0, 2, 1))


def test_a_sum_copied_as_another_dtype_keeps_those_bits():
    def kernel(left, right):
        psum = bank()
        nisa.nc_matmul(psum, load(left[0]), load(right[0]))
        copy = nl.ndarray((64, 96), nl.bfloat16)
        nisa.tensor_copy(copy.view(nl.float16), psum)
        return store(copy)

    assert same(run(kernel), PRODUCTS[0].astype(np.float16).view(nl.bfloat16))


def test_a_sum_copied_to_psum_can_be_added_to():
    def kernel(left, right):
        psum, other = bank(), bank()
        nisa.nc_matmul(psum, load(left[0]), load(right[0]))
        nisa.tensor_copy(other, psum)
        nisa.nc_matmul(other, load(left[1]), load(right[1]), accumulate=True)
        return shown(other)

    assert same(run(kernel, chip="trn3"), PRODUCTS[0] + PRODUCTS[1])
    with pytest.raises(Violations, match="no matmul wrote it"):
        run(kernel, chip="trn2")


def test_bf16_sums_are_rounded_after_every_matmul_whether_read_or_not():
    """NKI on the fourth generation: bf16 in PSUM accumulates by upcast, add, round."""

    def kernel(left, right, look):
        psum = nl.ndarray((64, 96), nl.bfloat16, buffer=nl.psum)
        for one, other in zip(left, right, strict=True):
            nisa.nc_matmul(psum, load(one), load(other))
            if look:
                shown(psum)
        return shown(psum)

    expected = np.zeros((64, 96), np.float32)
    for product in PRODUCTS:
        expected = (expected + product).astype(nl.bfloat16).astype(np.float32)
    for look in (False, True):
        assert same(value(kernel, LEFT, RIGHT, look, chip="trn3"), expected.astype(nl.bfloat16))


def test_one_tile_reloaded_for_every_matmul():
    """The usual mistake of a simulator that computes late: one buffer, used again and again."""

    def kernel(left, right):
        psum = bank()
        one, other = nl.ndarray((128, 64), nl.float32), nl.ndarray((128, 96), nl.float32)
        for n in range(4):
            nisa.dma_copy(one, left[n])
            nisa.dma_copy(other, right[n])
            nisa.nc_matmul(psum, one, other)
        return shown(psum)

    assert same(run(kernel), sum(PRODUCTS))


def test_a_product_may_feed_the_next_matmul():
    def kernel(left, right):
        psum, again = bank(), bank(96, 96)
        nisa.nc_matmul(psum, load(left[0]), load(right[0]))
        product = nl.ndarray((64, 96), nl.float32)
        nisa.tensor_copy(product, psum)
        nisa.nc_matmul(again, product, product)
        return shown(again)

    assert same(run(kernel), PRODUCTS[0].T @ PRODUCTS[0])


def test_matmuls_after_another_instruction_wrote_psum_overwrite_it():
    """Adding is for what matmuls left there: without ``accumulate`` a fill is overwritten."""

    def kernel(left, right):
        psum = bank()
        nisa.memset(psum, 5.0)
        nisa.nc_matmul(psum, load(left[0]), load(right[0]))
        return shown(psum)

    assert same(run(kernel), PRODUCTS[0])


def test_zeros_written_first_change_nothing():
    def kernel(left, right):
        psum = bank()
        nisa.memset(psum, 0.0)
        for one, other in zip(tiles(left), tiles(right), strict=True):
            nisa.nc_matmul(psum, one, other)
        return shown(psum)

    assert same(run(kernel), sum(PRODUCTS))


def test_matmuls_overwrite_a_fill_part_by_part():
    def kernel(left, right):
        psum, one, other = bank(), load(left[0]), load(right[0])
        nisa.memset(psum, 5.0)
        nisa.nc_matmul(psum[:, 0:48], one, other[:, 0:48])
        nisa.nc_matmul(psum[:, 48:96], one, other[:, 48:96])
        return shown(psum)

    assert same(run(kernel), PRODUCTS[0])


def test_a_fill_of_a_part_leaves_the_rest_a_sum():
    def kernel(left, right):
        psum, one, other = bank(), load(left[0]), load(right[0])
        nisa.nc_matmul(psum, one, other)
        nisa.memset(psum[:, 0:48], 5.0)
        nisa.nc_matmul(psum, one, other)
        return shown(psum)

    expected = 2 * PRODUCTS[0]
    expected[:, 0:48] = PRODUCTS[0][:, 0:48]
    assert same(run(kernel), expected)


def test_a_fill_between_two_matmuls_is_what_remains():
    def kernel(left, right):
        psum = bank()
        nisa.nc_matmul(psum, load(left[0]), load(right[0]))
        nisa.memset(psum, 7.0)
        return shown(psum)

    assert (run(kernel) == 7).all()


def test_adding_to_what_nobody_wrote_is_a_violation():
    def kernel(left, right):
        psum = bank()
        nisa.nc_matmul(psum, load(left[0]), load(right[0]), accumulate=True)
        return shown(psum)

    found = run_once(kernel, (LEFT, RIGHT), {}, strict=False).violations
    assert [type(v) for v in found] == [UninitialisedRead]


def test_an_input_that_nobody_wrote_is_a_violation_where_it_is_used():
    def kernel(left, right):
        psum = bank()
        nisa.nc_matmul(psum, nl.ndarray((128, 64), nl.float32, name="empty"), load(right[0]))
        return shown(psum)

    found = run_once(kernel, (LEFT, RIGHT), {}, strict=False).violations
    assert isinstance(found[0], UninitialisedRead)
    assert found[0].what.startswith("empty ")
    assert str(found[0].place).startswith(f"{__file__}:")


def test_a_partly_written_sum_is_a_violation_when_all_of_it_is_read():
    def kernel(left, right):
        psum = bank()
        nisa.nc_matmul(psum[:, 0:64], load(left[0]), load(right[0])[:, 0:64])
        return shown(psum)

    found = run_once(kernel, (LEFT, RIGHT), {}, strict=False).violations
    assert [type(v) for v in found] == [UninitialisedRead]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e5m2", "tfloat32"])
def test_inputs_of_fewer_bits_add_in_fp32(dtype):
    """16 x 4 x 512 rows make sums that none of these formats holds; fp32 does."""

    def kernel(left, right):
        psum = bank()
        for one, other in zip(left, right, strict=True):
            narrow, thin = (nl.ndarray(t.shape, dtype) for t in (one, other))
            nisa.tensor_copy(narrow, load(one))
            nisa.tensor_copy(thin, load(other))
            nisa.nc_matmul(psum, narrow, thin)
        return shown(psum)

    few = [whole_numbers(128, 64, seed=n, below=4) for n in range(4)]
    more = [whole_numbers(128, 96, seed=9 + n, below=4) for n in range(4)]
    expected = sum(a.T @ b for a, b in zip(few, more, strict=True))
    assert same(value(kernel, few, more), expected)


def test_more_inputs_than_may_wait_give_the_same_sum():
    """Each pair holds 320 KiB: the limit of what may wait is passed on the way."""
    count = groups.WAITING_BYTES // (128 * (128 + 512) * 4) + 8
    left, right = whole_numbers(128, 128, below=2), whole_numbers(128, 512, seed=1, below=2)

    def kernel(a, b):
        psum = bank(512, 128)
        for _ in range(count):
            nisa.nc_matmul(psum, load(a), load(b))
        return shown(psum)

    assert same(value(kernel, left, right, time=False), count * (left.T @ right))


def test_rows_of_one_tensor_that_follow_each_other():
    """Slices of one long tile along its free dimension, as tiled kernels use them."""
    a, b = whole_numbers(128, 4, 64, seed=5), whole_numbers(128, 4, 96, seed=6)

    def kernel(a, b):
        psum, left, right = bank(), load(a), load(b)
        for n in range(4):
            nisa.nc_matmul(psum, left[:, n], right[:, n])
        return shown(psum)

    assert same(value(kernel, a, b), np.einsum("knm,knj->mj", a, b))


def test_row_groups_of_the_array():
    """Contraction over fewer partitions than there are, 32 at a time."""

    def kernel(left, right):
        psum, one, other = bank(), load(left[0]), load(right[0])
        for start in range(0, 128, 32):
            nisa.nc_matmul(psum, one[start : start + 32], other[start : start + 32])
        return shown(psum)

    assert same(run(kernel), PRODUCTS[0])


def test_infinity_and_nan_are_data():
    def kernel(a, b):
        psum = bank(2, 2)
        nisa.nc_matmul(psum, load(a), load(b))
        nisa.nc_matmul(psum, load(a), load(b))
        return shown(psum)

    a = np.array([[np.inf, np.nan], [1.0, 1.0]], np.float32)
    b = np.array([[1.0, 0.0], [2.0, 3.0]], np.float32)
    out = value(kernel, a, b)
    assert out[0, 0] == np.inf
    assert np.isnan(out[0, 1])  # infinity times 0
    assert np.isnan(out[1]).all()


def test_time_does_not_depend_on_how_sums_are_computed():
    def kernel(left, right):
        psum = bank()
        for one, other in zip(tiles(left), tiles(right), strict=True):
            nisa.nc_matmul(psum, one, other)
        return shown(psum)

    lazy = simulate(kernel, LEFT, RIGHT)[1]
    none = simulate(kernel, LEFT, RIGHT, values=False)[1]
    assert lazy.seconds == none.seconds
    assert lazy.totals == none.totals


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.just("matmul"), st.integers(0, 1), st.integers(0, 3), st.integers(0, 3),
                st.sampled_from([None, None, False]),
                st.tuples(st.integers(0, 3), st.integers(1, 4)),
            ),
            st.tuples(st.just("overwrite"), st.integers(0, 3), st.integers(0, 3)),
            st.tuples(st.just("look"), st.integers(0, 1)),
        ),
        max_size=12,
    )
)  # fmt: skip
def test_any_order_of_matmuls_overwrites_and_looks(program):
    """Random programs on two PSUM tiles and four inputs against plain NumPy, step by step."""
    inputs = [whole_numbers(32, 32, seed=n) for n in range(4)]
    sources = [whole_numbers(32, 32, seed=20 + n) for n in range(4)]

    def kernel(inputs, sources):
        held, sums = tiles(inputs), [bank(32, 32), bank(32, 32)]
        looks = [nl.ndarray((32, 32), nl.float32), nl.ndarray((32, 32), nl.float32)]
        for one in (*sums, *looks):
            nisa.memset(one, 0.0)
        for step in program:
            if step[0] == "matmul":
                _, to, left, right, accumulate, (first, count) = step
                columns = slice(8 * first, min(32, 8 * (first + count)))
                nisa.nc_matmul(
                    sums[to][:, columns], held[left], held[right][:, columns],
                    accumulate=accumulate,
                )  # fmt: skip
            elif step[0] == "overwrite":
                nisa.tensor_copy(held[step[1]], load(sources[step[2]]))
            else:
                nisa.tensor_copy(looks[step[1]], sums[step[1]])
        return [*map(store, looks)], [*map(shown, sums)]

    held, sums = [a.copy() for a in inputs], [np.zeros((32, 32), np.float32) for _ in range(2)]
    looks = [np.zeros((32, 32), np.float32) for _ in range(2)]
    for step in program:
        if step[0] == "matmul":
            _, to, left, right, accumulate, (first, count) = step
            columns = slice(8 * first, min(32, 8 * (first + count)))
            if accumulate is False:
                sums[to][:, columns] = 0
            sums[to][:, columns] += held[left].T @ held[right][:, columns]
        elif step[0] == "overwrite":
            held[step[1]] = sources[step[2]].copy()
        else:
            looks[step[1]] = sums[step[1]].copy()
    got_looks, got_sums = value(kernel, inputs, sources, time=False)
    assert all(same(a, b) for a, b in zip(got_looks, looks, strict=True))
    assert all(same(a, b) for a, b in zip(got_sums, sums, strict=True))


def test_a_load_that_is_stored_back_over_a_sum_that_waits():
    """What the tile shows was read before the sum, though both are in one HBM tensor."""

    def kernel(a, b, c):
        psum = bank(1, 64)
        nisa.nc_matmul(psum, load(a), load(b)[:, 0:1])
        before = load(c)
        total = nl.ndarray((64, 1), nl.float32)
        nisa.tensor_copy(total, psum)
        nisa.dma_copy(c[:, 3:4], total)
        nisa.dma_copy(c, before)

    c = whole_numbers(64, 12, seed=5)
    given = c.copy()
    value(kernel, LEFT[0], RIGHT[0], c)
    assert same(c, given)
