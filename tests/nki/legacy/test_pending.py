"""Where results go: an instruction writes to what its result is assigned to, if it may."""

from dataclasses import replace

import numpy as np
import pytest

import trnlab
from tests.support import same, whole_numbers
from trnlab import NotModelled, Violations
from trnlab.errors import BadArguments
from trnlab.nki.legacy import entry
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

A = whole_numbers(128, 64)
B = whole_numbers(128, 512, seed=1)


def ran(function, *arrays, **how):
    """What a kernel returns, and the names of its instructions in program order, as written."""
    kernel = replace(entry.jit(function), options={"compiler": ""})
    out, trace = trnlab.run(kernel, **how)(*arrays)
    skipped = ("dma", "kernel")
    rows = [r for r in range(len(trace)) if not trace.lanes[trace.lane[r]].startswith(skipped)]
    return out, [trace.names[trace.name[row]] for row in rows if trace.names[trace.name[row]]]


def stored(tile):
    out = nl.ndarray(tile.shape, tile.dtype, buffer=nl.shared_hbm)
    nl.store(out, tile)
    return out


def compute(names):
    return [name for name in names if name != "dma_copy"]


def test_a_result_that_is_used_becomes_a_tile():
    def kernel(a):
        return stored(nisa.tensor_scalar(nl.load(a), nl.multiply, 2.0))

    out, names = ran(kernel, A)
    assert same(out, A * 2)
    assert compute(names) == ["tensor_scalar"]


def test_an_assigned_result_is_written_there_at_once():
    def kernel(a):
        both = nl.ndarray((128, 2, 64), a.dtype)
        tile = nl.load(a)
        both[:, 0] = nisa.tensor_scalar(tile, nl.multiply, 2.0)
        i, j = nl.mgrid[0:128, 0:64]
        both[i, 1, j] = nl.subtract(tile, 1.0)
        return stored(both)

    out, names = ran(kernel, A)
    assert same(out, np.stack([A * 2, A - 1], axis=1))
    assert compute(names) == ["tensor_scalar", "tensor_scalar"]


def test_a_load_goes_where_it_is_assigned():
    def kernel(a):
        tile = nl.ndarray((128, 128), a.dtype)
        tile[:, 0:64] = nl.load(a)
        tile[:, nl.ds(64, 64)] = nl.load(a)
        return stored(tile)

    out, names = ran(kernel, A)
    assert same(out, np.concatenate([A, A], axis=1))
    assert names == ["dma_copy"] * 3


def test_numbers_and_other_tiles_are_assigned_by_fills_and_copies():
    def kernel(a):
        tile = nl.ndarray((128, 3, 64), a.dtype)
        held = nl.load(a)
        tile[:, 0] = 7
        tile[:, 1] = held
        tile[:, 2] = held[:, 0]  # repeated along the free dimension
        return stored(tile)

    out, names = ran(kernel, A)
    assert same(out, np.stack([np.full_like(A, 7), A, np.repeat(A[:, :1], 64, 1)], axis=1))
    assert compute(names) == ["memset", "tensor_copy", "tensor_copy"]


def product(a, b):
    total = nl.zeros((64, 512), nl.float32, buffer=nl.psum)
    for _ in nl.affine_range(3):
        total += nisa.nc_matmul(a, b)
    return total


def test_matmuls_add_up_in_psum():
    def kernel(a, b):
        return stored(product(nl.load(a), nl.load(b)))

    out, names = ran(kernel, A, B)
    assert same(out, 3 * (A.T @ B))
    assert compute(names) == ["nc_matmul"] * 3 + ["tensor_copy"]


def test_an_assigned_matmul_overwrites():
    def kernel(a, b):
        left, right = nl.load(a), nl.load(b)
        total = product(left, right)
        total[...] = nisa.nc_matmul(left, right)
        return stored(total)

    assert same(ran(kernel, A, B)[0], A.T @ B)


def test_a_matmul_that_is_assigned_to_sbuf_goes_through_psum():
    def kernel(a, b):
        left, right = nl.load(a), nl.load(b)
        tile = nl.ndarray((64, 512), nl.float32)
        tile[...] = nisa.nc_matmul(left, right)
        tile += nisa.nc_matmul(left, right)
        return stored(tile)

    out, names = ran(kernel, A, B)
    assert same(out, 2 * (A.T @ B))
    assert compute(names) == ["nc_matmul", "tensor_copy", "nc_matmul", "tensor_tensor"]


def test_updates_in_place():
    def kernel(a):
        tile = nl.load(a)
        tile += tile
        tile -= 1.0
        tile *= 3.0
        tile /= 2.0
        tile[:, 0:32] += 1.0
        tile[:, 32:64] += tile[:, 0]
        return stored(tile)

    want = (2 * A - 1) * 3 / 2
    want[:, :32] += 1
    want[:, 32:] += want[:, :1]
    assert same(ran(kernel, A)[0], want)


def test_the_order_of_the_program_is_kept():
    def kernel(a):
        tile = nl.load(a)
        doubled = nl.add(tile, tile)
        tile[...] = nl.multiply(tile, 0.0)
        return stored(nl.add(doubled, tile))

    assert same(ran(kernel, A)[0], 2 * A)


def test_loop_reduce_adds_up_where_it_is_assigned():
    def kernel(a, b):
        left, right = nl.load(a), nl.load(b)
        total = nl.ndarray((64, 512), nl.float32)
        largest = nl.ndarray((64, 512), nl.float32)
        for i in nl.affine_range(3):
            part = nisa.nc_matmul(left, right)
            scaled = nl.multiply(part, float(i))
            total[...] = nl.loop_reduce(part, op=np.add, loop_indices=[i], dtype=nl.float32)
            largest[...] = nl.loop_reduce(scaled, op=np.max, loop_indices=i)
        return stored(nl.add(total, largest))

    p = A.T @ B
    assert same(ran(kernel, A, B)[0], 3 * p + np.maximum(2 * p, 0 * p))


def masked_copy(mask):
    def kernel(a):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        i, j = nl.mgrid[0:128, 0:64]
        nl.store(out[i, j], nl.load(a[i, j]))
        nl.store(out[i, j], nl.multiply(nl.load(a[i, j]), 2.0), mask=mask(i, j))
        return out

    return kernel


P, F = np.mgrid[0:128, 0:64]


@pytest.mark.parametrize(
    "mask",
    [
        lambda i, j: i < 7,
        lambda i, j: (i >= 7) & (i < 9) & (j > 60),
        lambda i, j: i >= j,
        lambda i, j: (2 * i + j <= 100) & (j < 50),
        lambda i, j: i + 64 >= j,
    ],
)
def test_a_mask_says_which_part_is_written(mask):
    out, names = ran(masked_copy(mask), A)
    assert same(out, np.where(mask(P, F), 2 * A, A))
    assert names.count("dma_copy") == 4


@pytest.mark.parametrize("mask", [lambda i, j: i > 200, lambda i, j: False])
def test_a_mask_that_leaves_nothing_makes_no_instruction(mask):
    out, names = ran(masked_copy(mask), A)
    assert same(out, A)
    assert names.count("dma_copy") == 3


@pytest.mark.parametrize("mask", [lambda i, j: None, lambda i, j: True, lambda i, j: i < 500])
def test_a_mask_that_leaves_everything(mask):
    assert same(ran(masked_copy(mask), A)[0], 2 * A)


def test_masked_parts_may_hold_garbage_as_long_as_it_stays_on_chip():
    def kernel(a):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        i, j = nl.mgrid[0:128, 0:64]
        for step in nl.affine_range(2):
            inside = step * 128 + i < 200
            tile = nl.load(a[step * 128 + i, j], mask=inside)
            top = nl.max(tile, axis=1)
            nl.store(out[step * 128 + i, j], nl.add(tile, top), mask=inside)
        return out

    a = whole_numbers(200, 64)
    assert same(ran(kernel, a)[0], a + a.max(axis=1, keepdims=True))


def test_garbage_that_reaches_memory_is_reported():
    def kernel(a):
        i, j = nl.mgrid[0:128, 0:64]
        return stored(nl.load(a[i, j], mask=i < 100))

    with pytest.raises(Violations, match="reaches HBM where nobody wrote it"):
        ran(kernel, A)


def test_a_mask_on_a_transpose_speaks_about_the_source():
    def kernel(a):
        out = nl.ndarray((64, 128), a.dtype, buffer=nl.shared_hbm)
        i, j = nl.mgrid[0:128, 0:64]
        turned = nisa.nc_transpose(nl.load(a), mask=(i < 96) & (j < 32))
        nl.store(out, nl.zeros((64, 128), a.dtype))
        q, p = nl.mgrid[0:64, 0:128]
        nl.store(out[q, p], nl.copy(turned), mask=(p < 96) & (q < 32))
        return out

    want = np.zeros((64, 128), np.float32)
    want[:32, :96] = A.T[:32, :96]
    assert same(ran(kernel, A)[0], want)


def test_masks_of_a_matmul():
    def kernel(a, b):
        left, right = nl.load(a), nl.load(b)
        i, j = nl.mgrid[0:128, 0:512]
        k = nl.arange(64)[None, :]
        total = nl.zeros((64, 512), nl.float32, buffer=nl.psum)
        total[...] = nisa.nc_matmul(left, right, mask=i < 96)
        total[:, 0:512] += nisa.nc_matmul(left, right, mask=j < 300)
        total += nisa.nc_matmul(left[k < 16], right[j >= 500])
        total += nisa.nc_matmul(left[k < 0], right)
        return stored(total)

    want = A[:96].T @ B[:96]
    want[:, :300] += A.T @ B[:, :300]
    want[:16, 500:] += A.T[:16] @ B[:, 500:]
    assert same(ran(kernel, A, B)[0], want)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda t, m: nl.add(t, 1.0, mask=nl.arange(7)[:, None] < 3), BadArguments, "fits none"),
        (lambda t, m: nl.add(t, 1.0, mask=t), BadArguments, "a mask is a tile"),
        (lambda t, m: nisa.nc_matmul(t, t, mask=nl.arange(64)[None, :] < 5), BadArguments,
         "not clear which free dimension"),
        (lambda t, m: nl.max(t, axis=1, mask=nl.mgrid[0:128, 0:64].p > nl.mgrid[0:128, 0:64].x),
         NotModelled, "a mask over several dimensions at once"),
        (lambda t, m: nl.add(m, 1.0), BadArguments, "a tile (index the block dimensions first)"),
    ],
)  # fmt: skip
def test_masks_and_tiles_that_make_no_sense(wrong, error, text):
    def kernel(a):
        wrong(nl.load(a), nl.ndarray((2, nl.par_dim(128), 64), nl.float32))
        nl.zeros((1, 1), nl.float32)

    with pytest.raises(error) as raised:
        ran(kernel, A)
    assert text in str(raised.value)


def test_time_alone_takes_the_same_instructions():
    def kernel(a, b):
        return stored(product(nl.load(a), nl.load(b)))

    assert ran(kernel, A, B, values=False)[1] == ran(kernel, A, B)[1]


def test_the_last_instruction_counts_also_if_nobody_uses_its_result():
    def kernel(a):
        out = stored(nl.load(a))
        nisa.tensor_scalar(nl.load(a), nl.multiply, 2.0)
        return out

    assert compute(ran(kernel, A)[1]) == ["tensor_scalar"]


def test_an_instance_ends_with_its_own_last_instruction():
    def kernel(a):
        nl.load(a[nl.program_id(0)])
        return stored(nl.load(a[0]))

    out, trace = trnlab.run(replace(entry.jit(kernel), options={"compiler": ""})[nl.nc(2)], "trn2")(
        A.reshape(2, 64, 64)
    )
    lanes = [trace.lanes[n] for n in trace.lane]
    assert sum(lane.startswith("nc0") for lane in lanes) == 6
    assert same(out, A[:64])
