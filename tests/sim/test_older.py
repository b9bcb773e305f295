"""What the older compiler does to loads, loops and tiles that do not fit."""

import ml_dtypes
import numpy as np
import pytest

from tests.support import simulate
from trnlab.kernels.validation import attention, layers, mamba, products
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

MIB = 1 << 20


def zeros(*shape):
    return np.zeros(shape, np.float32)


def totals(kernel, *arrays, chip="trn1", off=()):
    return simulate(kernel, *arrays, chip=chip, values=False, without=off)[1].totals


def traffic(kernel, *arrays, **how):
    found = totals(kernel, *arrays, **how)
    return found["hbm_read_bytes"], found["hbm_write_bytes"]


def test_tiles_that_are_kept_have_what_two_iterations_leave():
    """Of 16 tiles of weights seven stay, as NKIBench counted."""
    arrays = zeros(32, 128, 1024), zeros(8, 128, 2048)
    assert traffic(layers.rmsnorm_matmul, *arrays) == (39_387_136, 33_554_432)
    once = 4 * (4096 * 1024 + 1024 * 2048 + 128 * 128)
    assert (39_387_136 - once) / (4 * 128 * 1024) == 3 * (16 - 7)


def test_what_is_needed_last_makes_way_and_results_lie_on_operands():
    """Six tiles of 28 KiB fit, so one sum and half of the inputs leave between states."""
    length = 7168
    arrays = [zeros(256, length), zeros(256, length), zeros(256, 16), zeros(16, length)]
    found = totals(mamba.states_outside, *arrays, zeros(16, length))
    assert found["spill_save_bytes"] == found["spill_reload_bytes"] == 55_050_240
    assert found["hbm_read_bytes"] == 181_682_176
    assert found["hbm_write_bytes"] == 62_390_272


def test_transposes_that_a_loop_would_repeat_are_made_once():
    arrays = zeros(1, 1024, 64), zeros(1, 64, 2048)
    made, every = (
        totals(products.bmm, *arrays, off=off) for off in ((), ("hoisting", "load_reuse"))
    )
    assert every["transpose_flops"] == 2 * made["transpose_flops"]
    assert made["hbm_read_bytes"] == 4 * (1024 * 64 + 64 * 2048 + 128 * 128)
    assert every["hbm_read_bytes"] == made["hbm_read_bytes"] + 4 * 1024 * 64


def tile():
    return nl.ndarray((4, nl.par_dim(128), 512), np.float32)


@nki.jit
def doubled(x):
    """Two loops, the second of which uses what the first has made."""
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    twice = tile()
    for i in nl.affine_range(4):
        twice[i] = nisa.tensor_scalar(nl.load(x[i]), np.multiply, 2.0)
    for i in nl.affine_range(4):
        nl.store(out[i], nisa.tensor_scalar(twice[i], np.add, 1.0))
    return out


@nki.jit
def backwards(x):
    """The second loop begins with what the first makes last."""
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    twice = tile()
    for i in nl.affine_range(4):
        twice[i] = nisa.tensor_scalar(nl.load(x[i]), np.multiply, 2.0)
    for i in nl.affine_range(4):
        nl.store(out[i], nisa.tensor_scalar(twice[3 - i], np.add, 1.0))
    return out


@pytest.mark.parametrize(("kernel", "tiles"), [(doubled, 1), (backwards, 4)])
def test_a_loop_joins_the_one_whose_tiles_it_uses(kernel, tiles):
    array = zeros(4, 128, 512)
    joined, apart = (
        totals(kernel, array, off=off)["sbuf_peak_bytes"] for off in ((), ("loop_fusion",))
    )
    assert apart == 2048 * 4  # results lie on what they are made from
    assert joined == (2048 if tiles == 1 else apart)


@nki.jit
def summed(x, y):
    """Everything is loaded, then used in each iteration of a loop."""
    out = nl.ndarray((4, 128, 4096), x.dtype, buffer=nl.shared_hbm)
    count = x.shape[0]
    kept = nl.ndarray((count, nl.par_dim(128), 4096), np.float32)
    for i in nl.affine_range(count):
        kept[i] = nisa.tensor_scalar(nl.load(x[i]), np.multiply, 2.0)
    for turn in nl.affine_range(4):
        total = nl.zeros((128, 4096), np.float32)
        row = nl.load(y[turn])
        for i in nl.sequential_range(count):
            total[...] = nl.add(total, nl.add(kept[i], row))
        nl.store(out[turn], total)
    return out


def test_what_one_line_computes_leaves_all_together():
    """Twelve tiles of 16 KiB are too much; each is stored once, and loaded again in three turns.

    With a row, the total and their sum, eight of them fit; four are away in the first turn as well.
    """
    found = totals(summed, zeros(12, 128, 4096), zeros(4, 128, 4096))
    size = 4 * 128 * 4096
    assert found["spill_save_bytes"] == 12 * size
    assert found["spill_reload_bytes"] == (4 + 3 * 12) * size


@nki.jit
def crossed(x):
    """Everything is made column by column, then used once, row by row."""
    rows, columns = x.shape[:2]
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    kept = nl.ndarray((rows, columns, nl.par_dim(128), 1024), np.float32)
    for j in nl.affine_range(columns):
        for i in nl.affine_range(rows):
            kept[i, j] = nisa.tensor_scalar(nl.load(x[i, j]), np.multiply, 2.0)
    for i in nl.affine_range(rows):
        for j in nl.affine_range(columns):
            nl.store(out[i, j], kept[i, j])
    return out


def test_tiles_that_are_used_once_leave_one_by_one():
    """Of 64 tiles of 4 KiB 44 fit; the others leave and come back."""
    found = totals(crossed, zeros(16, 4, 128, 1024))
    assert found["spill_save_bytes"] == found["spill_reload_bytes"] == 20 * 4 * 128 * 1024


def test_results_that_wait_for_their_store_leave_room_for_two_in_a_row():
    """Of four transposed tiles three leave and come back, as NKIBench counted it."""
    read, written = traffic(products.bmm, zeros(16, 4096, 64), zeros(16, 64, 4096))
    tile = 4 * 64 * 1024
    assert written == 4 * 16 * 4096 * 4096 + 16 * 3 * tile == 1_086_324_736
    assert read == 2 * 16 * 4 * tile + 4 * 128 * 128 + 16 * 8 * tile == 67_436_544 - tile


def test_a_few_results_can_wait_beside_all_else():
    found = traffic(products.bmm, zeros(2, 4096, 64), zeros(2, 64, 4096))
    assert found == (4 * (2 * 2 * 4096 * 64 + 128 * 128), 4 * 2 * 4096 * 4096)


@nki.jit
def blocks(x, w):
    """Each of four blocks of x beside each of two blocks of w, each of which takes 128 KiB."""
    out = nl.ndarray((2, 4, 16, 128, 512), x.dtype, buffer=nl.shared_hbm)
    for n in nl.affine_range(2):
        right = nl.ndarray((16, nl.par_dim(128), 2048), x.dtype)
        for k in nl.affine_range(16):
            right[k] = nl.load(w[n, k])
        for m in nl.affine_range(4):
            left = nl.ndarray((16, nl.par_dim(128), 512), x.dtype)
            for k in nl.affine_range(16):
                left[k] = nl.load(x[m, k])
            for k in nl.affine_range(16):
                nl.store(out[n, m, k], nl.add(left[k], right[15 - k, :, nl.ds(m * 512, 512)]))
    return out


def test_loads_come_back_by_halves_or_make_room_for_others():
    found = totals(blocks, zeros(4, 16, 128, 512), zeros(2, 16, 128, 2048))
    assert found["sbuf_peak_bytes"] <= 180_224


@nki.jit
def halves(x):
    """Halves of tiles are made and used apart; the results are zeroed for nothing."""
    out = nl.ndarray((6, 128, 4096), x.dtype, buffer=nl.shared_hbm)
    kept = nl.ndarray((6, nl.par_dim(128), 8192), np.float32)
    sums = nl.zeros((6, nl.par_dim(128), 4096), np.float32)
    for i in nl.affine_range(6):
        for half in nl.affine_range(2):
            here = nl.ds(half * 4096, 4096)
            kept[i, :, here] = nisa.tensor_scalar(nl.load(x[i, :, here]), np.multiply, 2.0)
    for i in nl.affine_range(6):
        sums[i] = nl.add(kept[5 - i, :, 0:4096], kept[5 - i, :, 4096:8192])
        nl.store(out[i], sums[i])
    return out


def test_parts_of_a_tile_that_are_used_apart_leave_apart():
    """Six tiles of 32 KiB are half a tile too much, and nothing else is kept."""
    found = totals(halves, zeros(6, 128, 8192))
    assert found["spill_save_bytes"] == found["spill_reload_bytes"] == 4 * 128 * 4096


@nki.jit
def turned(x):
    """Transposes on the tensor engine, of two types."""
    out = nl.ndarray((128, 128), np.float32, buffer=nl.shared_hbm)
    data = nl.load(x)
    half = nisa.tensor_copy(data, dtype=nl.bfloat16)
    once = nisa.tensor_copy(nisa.nc_transpose(data))
    more = nisa.tensor_copy(nisa.nc_transpose(half), dtype=np.float32)
    nl.store(out, nl.add(once, more))
    return out


def test_a_transpose_loads_the_matrix_it_multiplies_with():
    """64 KiB in fp32 and 32 KiB in bf16, once each."""
    whole, less = (
        totals(turned, zeros(128, 128), chip="trn2", off=off)["hbm_read_bytes"]
        for off in ((), ("identities",))
    )
    assert whole - less == (4 + 2) * 128 * 128


def test_a_loop_waits_for_all_that_another_has_stored():
    """Rows of scores go through HBM; no row is loaded before the last is stored."""
    arrays = [zeros(128, 512) for _ in range(3)]
    whole, less = (
        simulate(attention.through_hbm, *arrays, chip="trn2", values=False, without=off)[1]
        for off in ((), ("phases",))
    )
    assert whole.totals == less.totals
    assert 1.05 < whole.seconds / less.seconds < 1.3


@nki.jit
def refilled(x):
    """One tile for all rows."""
    out = nl.ndarray((x.shape[0], 128, 1), x.dtype, buffer=nl.shared_hbm)
    data = nl.ndarray((128, 1024), x.dtype, buffer=nl.sbuf)
    for i in range(x.shape[0]):
        nisa.dma_copy(dst=data, src=x[i])
        nl.store(out[i], nl.max(data, axis=[1]))
    return out


def test_a_tile_that_is_filled_again_lies_in_two_places():
    whole, less = (
        simulate(refilled, zeros(8, 128, 1024), chip="trn1", values=False, without=off)[1]
        for off in ((), ("tile_rotation",))
    )
    assert whole.totals["sbuf_peak_bytes"] < 3 * 1024 * 4
    assert whole.totals["hbm_read_bytes"] == less.totals["hbm_read_bytes"]
    assert whole.seconds < 0.9 * less.seconds


@nki.jit
def copied(x, dtype, update):
    """x, copied on chip; with ``update`` what was copied changes afterwards."""
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    data = nl.ndarray((nl.par_dim(128), x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
    data[...] = nl.load(x)
    copy = nl.ndarray((nl.par_dim(128), x.shape[1]), dtype=dtype, buffer=nl.sbuf)
    copy[...] = nl.copy(data, dtype=dtype)
    if update:
        data[...] = nl.exp(data)
        nl.store(out, data)
    nl.store(out, nl.exp(copy, dtype=x.dtype))
    return out


@pytest.mark.parametrize(
    ("dtype", "update", "made"),
    [(nl.float32, False, 0), (nl.bfloat16, False, 1), (nl.float32, True, 1)],
)
def test_a_copy_that_changes_nothing_is_not_made(dtype, update, made):
    _, trace = simulate(copied, zeros(128, 512), dtype, update, chip="trn1", values=False)
    assert [span.name for span in trace].count("tensor_copy") == made


@pytest.mark.parametrize(
    ("kernel", "length", "reductions", "reciprocals", "copies"),
    [
        (attention.through_hbm, 512, 10, 1, 13),
        (attention.through_hbm, 1024, 34, 1, 42),
        (attention.fused, 512, 10, 1, 5),
        (attention.fused, 1024, 36, 2, 26),
    ],
)
def test_as_many_instructions_as_in_public_traces(kernel, length, reductions, reciprocals, copies):
    data = [zeros(128, length)] * 3
    names = [span.name for span in simulate(kernel, *data, chip="trn2", values=False)[1]]
    assert names.count("tensor_reduce") == reductions
    assert names.count("reciprocal") == reciprocals
    assert names.count("tensor_copy") == copies
    steps = length // 128
    every = simulate(kernel, *data, chip="trn2", values=False, without=("batching",))[1]
    assert [span.name for span in every].count("reciprocal") == steps
    every = simulate(kernel, *data, chip="trn2", values=False, without=("bank_sharing",))[1]
    turned = steps + steps * steps  # of v, and of the weights in each step
    assert [span.name for span in every].count("tensor_copy") == copies + turned * 3 // 4


@nki.jit
def scaled(x, again):
    """Transposes of tiles over the largest of each row; with ``again`` they are stored too."""
    out = nl.ndarray((2, 4, 128, 128), dtype=x.dtype, buffer=nl.shared_hbm)
    tiles = nl.ndarray((4, nl.par_dim(128), 128), dtype=x.dtype, buffer=nl.sbuf)
    for i in nl.affine_range(4):
        tiles[i] = nl.copy(nisa.nc_transpose(nl.load(x[i])))
        largest = nisa.tensor_reduce(op=nl.max, data=tiles[i], axis=1)
        largest = nisa.reciprocal(data=largest)
        nl.store(out[0, i], nisa.tensor_scalar(data=tiles[i], op0=nl.multiply, operand0=largest))
    if again:
        for i in nl.affine_range(4):
            nl.store(out[1, i], nl.exp(tiles[i]))
    return out


@pytest.mark.parametrize("again", [False, True])
def test_a_copy_that_somebody_reads_after_its_iteration_is_made(again):
    how = {"chip": "trn2", "values": False, "without": ("loop_fusion",)}
    _, trace = simulate(scaled, zeros(4, 128, 128), again, **how)
    names = [span.name for span in trace]
    assert names.count("tensor_copy") == (4 if again else 0)


@nki.jit
def carried(x):
    """The largest element of each row of all tiles of x, which each iteration goes on with."""
    out = nl.ndarray((128, 1), dtype=x.dtype, buffer=nl.shared_hbm)
    largest = nl.ndarray((nl.par_dim(128), 1), dtype=x.dtype, buffer=nl.sbuf)
    largest[...] = nl.zeros((128, 1), x.dtype)
    for tile in nl.affine_range(x.shape[0]):
        largest[...] = nl.maximum(largest, nl.max(nl.load(x[tile]), axis=1))
    nl.store(out, largest)
    return out


def test_iterations_that_need_each_other_are_not_batched():
    _, trace = simulate(carried, zeros(4, 128, 512), chip="trn2", values=False)
    assert [span.name for span in trace].count("tensor_tensor") == 4


@nki.jit
def polynomial(x, twice):
    """x + (2 x - 1) / 4 x; with ``twice`` the half of it that has two operators is stored too."""
    out = nl.ndarray((2, *x.shape), dtype=x.dtype, buffer=nl.shared_hbm)
    data = nl.load(x)
    part = data * 2.0 - 1.0
    nl.store(out[0], data + part * 0.25 * data)
    if twice:
        nl.store(out[1], part)
    return out


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("twice", [False, True])
def test_arithmetic_with_numbers_joins_what_uses_it(twice, dtype):
    data = np.zeros((128, 512), dtype)
    joined, apart = (
        simulate(polynomial, data, twice, chip="trn2", values=False, without=off)[1]
        for off in ((), ("operator_joining",))
    )
    names = [span.name for span in apart]
    assert (names.count("tensor_scalar"), names.count("tensor_tensor")) == (3, 2)
    names = [span.name for span in joined]
    assert (names.count("tensor_scalar"), names.count("scalar_tensor_tensor")) == (1, 1)
    assert joined.totals["alu_ops"] == apart.totals["alu_ops"]
    assert joined.seconds < apart.seconds


@nki.jit
def shared_out(x, asks):
    """2 x, by every instance of a grid, or by each its own part."""
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    for row in [nl.program_id(0)] if asks else range(x.shape[0]):
        nl.store(out[row], nl.multiply(nl.load(x[row]), 2.0))
    return out


@pytest.mark.parametrize("asks", [True, False])
def test_instances_that_repeat_the_first_are_not_run(asks):
    data = zeros(4, 128, 512)
    assert totals(shared_out[4], data, asks)["dma_transfers"] == 8
    all_run = totals(shared_out[4], data, asks, off=("hoisting",))["dma_transfers"]
    assert all_run == (8 if asks else 4 + 16)  # loads of what is there are left out in any case


@nki.jit
def weighed(x, w):
    """Four steps, each a row of products and, when all of those are summed, another row."""
    out = nl.ndarray((4, 128, 128), dtype=nl.float32, buffer=nl.shared_hbm)
    left, right = nl.load(x), nl.load(w)
    for step in nl.affine_range(4):
        parts = nl.ndarray((nl.par_dim(128), 16, 128), dtype=nl.float32, buffer=nl.sbuf)
        for i in nl.affine_range(16):
            parts[:, i, :] = nl.copy(nisa.nc_matmul(left, right))
        total = nl.exp(nl.sum(parts, axis=[1]), dtype=nl.bfloat16)
        rest = nl.zeros((nl.par_dim(128), 128), dtype=nl.float32, buffer=nl.psum)
        for _ in nl.affine_range(16):
            rest += nisa.nc_matmul(left, total)
        nl.store(out[step], nl.copy(rest))
    return out


def test_tiles_lie_in_psum_where_it_is_idle_and_never_more_than_fit():
    data = np.zeros((128, 128), nl.bfloat16)
    _, trace = simulate(weighed, data, data, chip="trn1", values=False)
    held = trace.held[trace.held["memory"] == 1]
    moments = sorted([*((t, 512) for t in held["since"]), *((t, -512) for t in held["until"])])
    assert max(np.cumsum([size for _, size in moments])) == 8 * 512


@nki.jit
def apart(x, w):
    """Rows, halved and scaled by eight tiles of weights in turn."""
    out = nl.ndarray((16, 8, 128, 4096), x.dtype, buffer=nl.shared_hbm)
    for i in nl.affine_range(16):
        rows = nl.load(x[i])
        halves = nisa.tensor_scalar(rows, np.multiply, 0.5)
        for j in nl.affine_range(8):
            weights = nl.load(w[j])
            sums = nl.exp(weights)
            scaled = nl.multiply(halves, sums)
            nl.store(out[i, j], scaled)
    return out


@nki.jit
def nested(x, w):
    """The same in expressions."""
    out = nl.ndarray((16, 8, 128, 4096), x.dtype, buffer=nl.shared_hbm)
    for i in nl.affine_range(16):
        halves = nisa.tensor_scalar(nl.load(x[i]), np.multiply, 0.5)
        for j in nl.affine_range(8):
            nl.store(out[i, j], nl.multiply(halves, nl.exp(nl.load(w[j]))))
    return out


def loaded(tensor, *where):
    return nl.load(tensor[where])


@nki.jit
def helped(x, w):
    """The same by a helper, in loops that Python runs."""
    out = nl.ndarray((16, 8, 128, 4096), x.dtype, buffer=nl.shared_hbm)
    for i in range(16):
        halves = nisa.tensor_scalar(loaded(x, i), np.multiply, 0.5)
        for j in range(8):
            nl.store(out[i, j], nl.multiply(halves, nl.exp(loaded(w, j))))
    return out


def test_how_a_kernel_is_laid_out_does_not_matter():
    arrays = zeros(16, 128, 4096), zeros(8, 128, 4096)
    found = [totals(kernel, *arrays) for kernel in (apart, nested, helped)]
    assert found[0] == found[1] == found[2]
