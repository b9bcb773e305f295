"""Registers, loops of the device, and views whose place data decides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trnlab
from tests.support import load, simulate, value
from trnlab.errors import BadArguments, NotModelled, OutOfBounds, ProgramError, Violations
from trnlab.nki import isa as nisa
from trnlab.nki import language as nl

RNG = np.random.default_rng(5)
DATA = RNG.random((64, 32), dtype=np.float32)


def output(shape, dtype="float32"):
    return nl.ndarray(shape, dtype, buffer=nl.shared_hbm)


def one(number, dtype="int32"):
    tile = nl.ndarray((1, 1), dtype)
    nisa.memset(tile, number)
    return tile


def register(number):
    held = nisa.register_alloc()
    nisa.register_load(held, one(number))
    return held


def picked(data, index):
    """Row ``index`` of data, in every way to write it."""
    out = output((7, data.shape[1]))
    tile, held, wide = one(index), register(index), data.shape[1]
    whole = [[wide, 1], [1, wide]]
    ways = [
        data.ap(whole, scalar_offset=tile),
        data.ap(whole, scalar_offset=held, indirect_dim=0),
        data.ap(whole, offset=0, scalar_offset=index),
        data.select(0, tile),
        data[held],
        data[tile, :],
        data[nl.ds(held, 1)],
    ]
    for row, view in enumerate(ways):
        nisa.dma_copy(out[row : row + 1], view)
    return out


def test_one_index_in_every_way():
    found = value(lambda data: picked(data, 5), DATA)
    assert np.array_equal(found, np.repeat(DATA[5:6], 7, axis=0))


def test_a_place_in_sbuf_moves_with_a_register():
    def kernel(data):
        tile, out = load(data), output((4, 32))
        for turn in nl.dynamic_range(4):
            row = nl.ndarray((1, 8), "float32")
            nisa.tensor_copy(row, tile[0:1, nl.ds(turn * 8, 8)])
            nisa.dma_copy(out[nl.ds(turn, 1), 0:8], row)
            nisa.tensor_copy(tile[0:1, nl.ds(24 - turn * 8, 8)], row)
            nisa.dma_copy(out[nl.ds(turn, 1), 8:32], tile[0:1, 8:32])
        return out

    want, row = np.empty((4, 32), np.float32), DATA[0].copy()
    for turn in range(4):
        want[turn, :8] = row[turn * 8 : turn * 8 + 8]
        row[24 - turn * 8 : 32 - turn * 8] = want[turn, :8]
        want[turn, 8:] = row[8:]
    assert np.array_equal(value(kernel, DATA), want)


@settings(deadline=None)
@given(st.lists(st.integers(0, 63), min_size=1, max_size=128))
def test_rows_by_index(listed):
    index = np.array(listed, np.int32)[:, None]

    def kernel(data, index):
        rows, out = load(index), output((len(listed), 32))
        nisa.dma_copy(out, data.vector_select(0, rows))
        pattern = [[32, len(listed)], [1, 16]]
        nisa.dma_copy(out[:, 16:32], data.ap(pattern, offset=16, vector_offset=rows))
        return out

    assert np.array_equal(value(kernel, DATA, index), DATA[listed])


@given(st.permutations(range(64)), st.integers(1, 64))
def test_rows_are_written_by_index(order, count):
    listed = np.array(order[:count], np.int32)[:, None]

    def kernel(data, index, out):
        rows, tile = load(index), load(data[0:count])
        nisa.dma_copy(out.ap([[32, count], [1, 32]], vector_offset=rows), tile)
        return out

    out, want = np.zeros((64, 32), np.float32), np.zeros((64, 32), np.float32)
    want[listed[:, 0]] = DATA[:count]
    assert np.array_equal(value(kernel, DATA, listed, out), want)
    assert np.array_equal(out, want)


def test_sums_by_index():
    def kernel(data, index, out):
        rows, tile = load(index), load(data[0:4])
        place = out.ap([[32, 4], [1, 32]], vector_offset=rows)
        nisa.dma_compute(place, [place, tile], nl.add)
        nisa.dma_compute(tile, [tile, data.vector_select(0, rows)], nl.add)
        total = output((4, 32))
        nisa.dma_copy(total, tile)
        return total

    index, out = np.array([[9], [3], [60], [0]], np.int32), np.ones((64, 32), np.float32)
    total = value(kernel, DATA, index, out)
    want = np.ones((64, 32), np.float32)
    want[index[:, 0]] += DATA[:4]
    assert np.array_equal(out, want)
    assert np.array_equal(total, DATA[:4] + DATA[index[:, 0]])
    index[3] = 9
    with pytest.raises(Violations, match="adds to one row twice"):
        value(kernel, DATA, index, out)


def test_rows_by_index_are_transposed():
    data = RNG.random((64, 32)).astype(np.float16)
    index = RNG.integers(0, 64, (16, 1)).astype(np.uint32)

    def kernel(data, index):
        tile, out = nl.ndarray((32, 16), "float16"), output((32, 16), "float16")
        view = data.ap([[32, 16], [1, 32]], vector_offset=load(index))
        nisa.dma_transpose(tile, view, axes=(1, 0))
        nisa.dma_copy(out, tile)
        return out

    assert np.array_equal(value(kernel, data, index), data[index[:, 0]].T)


def test_indices_outside_are_skipped_or_refused():
    def kernel(data, index, mode):
        tile, out = nl.zeros((3, 32), "float32"), output((3, 32))
        nisa.dma_copy(tile, data.vector_select(0, load(index)), oob_mode=mode)
        nisa.dma_copy(tile[0:1], data.select(0, one(64)), oob_mode=mode)
        nisa.dma_copy(out, tile)
        return out

    index = np.array([[7], [64], [-1]], np.int32)
    found = value(lambda d, i: kernel(d, i, nisa.oob_mode.skip), DATA, index)
    assert np.array_equal(found, np.stack([DATA[7], *np.zeros((2, 32), np.float32)]))
    with pytest.raises(OutOfBounds, match="by data with 64") as caught:
        value(lambda d, i: kernel(d, i, nisa.oob_mode.error), DATA, index)
    assert caught.value.place is not None
    assert caught.value.limit == "0 to 63"


def test_rows_that_nobody_wrote_are_reported():
    def kernel(index):
        held, out = nl.ndarray((8, 4), "float32", buffer=nl.hbm), output((2, 4))
        nisa.dma_copy(held[0:4], nl.zeros((4, 4), "float32"))
        nisa.dma_copy(out, held.vector_select(0, load(index)))
        return out

    assert not value(kernel, np.array([[0], [3]], np.int32)).any()
    with pytest.raises(Violations, match="before all of it is written"):
        value(kernel, np.array([[0], [4]], np.int32))


@pytest.mark.parametrize("height", [16, 32, 48])
def test_columns_by_index(height):
    index = RNG.integers(0, 40, (height, 2)).astype(np.int32)
    data = RNG.random((height, 40), dtype=np.float32)

    def kernel(data, index):
        tile, rows = load(data), load(index)
        got, put = nl.ndarray((height, 20), "float32"), nl.zeros((height, 40), "float32")
        nisa.tensor_copy(got, tile.indirect(rows, 20))
        nisa.tensor_scalar(put.indirect(rows, 20), got, nl.multiply, 2.0)
        out = output((2, height, 40))
        nisa.dma_copy(out[0, :, 0:20], got)
        nisa.dma_copy(out[0, :, 20:40], got)
        nisa.dma_copy(out[1], put)
        return out

    found = value(kernel, data, index, chip="trn3")
    for row in range(height):
        group = index[row // 16 * 16 :][:16]
        columns = [group[i % 16, i // 16] for i in range(20)]
        assert np.array_equal(found[0, row, :20], data[row, columns])
        want = np.zeros(40, np.float32)
        want[columns] = 2 * data[row, columns]
        assert np.array_equal(found[1, row], want)
    with pytest.raises(Violations, match="indirect columns"):
        value(kernel, data, index, chip="trn2")


def counting(data, count):
    """Adds a number to itself as often as a tensor says, in three kinds of loop."""
    step, total, left = load(data), nl.zeros((1, 1), "float32"), load(count)
    limit = nisa.register_alloc()
    nisa.register_load(limit, left)

    def add(_=None):
        nisa.tensor_tensor(total, total, step, nl.add)

    for _ in nl.dynamic_range(limit):
        add()
    nl.fori_loop(0, limit, add)

    def down(register):
        add()
        nisa.tensor_scalar(left, left, nl.subtract, 1)
        nisa.register_load(register, left)
        return register

    nl.while_loop(limit, down)
    while limit:
        add()
        nisa.register_move(limit, 0)
    out = output((1, 1))
    nisa.dma_copy(out, total)
    return out


@pytest.mark.parametrize("turns", [0, 1, 5])
def test_loops_of_the_device(turns):
    count, step = np.array([[turns]], np.int32), np.array([[1.5]], np.float32)
    assert value(counting, step, count).item() == 1.5 * (3 * turns + (turns > 0))


def test_without_values_a_length_must_be_assumed():
    count, step = np.array([[5]], np.int32), np.array([[1.5]], np.float32)
    with pytest.raises(NotModelled, match="length is in a register"):
        simulate(counting, step, count, values=False)
    _, trace = simulate(counting, step, count, values=False, assume=5)
    full = simulate(counting, step, count)[1]
    assert trace.totals["instructions"] == full.totals["instructions"]
    assert "taken to be 5" in str(trace.meta["notes"])


def test_an_address_is_waited_for():
    def kernel(data):
        out = output((1, 32))
        nisa.dma_copy(out, data.select(0, one(3)))
        return out

    _, trace = simulate(kernel, DATA)
    rows = {trace.names[n]: row for row, n in enumerate(trace.name)}
    assert trace.start[rows["dma_copy"]] >= trace.stop[rows["memset"]]


def test_arithmetic_of_registers():
    def kernel():
        a, out = nisa.register_alloc(7), output((1, 8), "int32")
        results = [a + 3, 3 + a, a - 2, 2 - a, a * a, a < 8, a >= 8, a <= 7]
        tile = nl.ndarray((1, 8), "int32")
        for place, result in enumerate(results):
            nisa.register_store(tile[:, place : place + 1], result)
        nisa.dma_copy(out, tile)
        return out

    assert value(kernel).tolist() == [[10, 10, 5, -5, 49, 1, 0, 1]]


def wrong(body):
    def kernel(data):
        body(data)
        return data

    return kernel


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (lambda data: range(nisa.register_alloc(3)), "where Python needs a number"),
        (lambda data: [nisa.register_move(i, 0) for i in nl.dynamic_range(2)], "counts a loop"),
        (lambda data: nisa.register_load(one(1), one(2)), "not a register"),  # type: ignore
        (lambda data: nisa.register_load(nisa.register_alloc(), 3), "not a tensor"),  # type: ignore
        (lambda data: nisa.register_move(nisa.register_alloc(), 1.5), "src is 1.5"),
        (lambda data: list(nl.dynamic_range(0, 4, -1)), "the step of a loop"),
        (lambda data: nl.while_loop(nisa.register_alloc(1), lambda r: None), "returned None"),
        (lambda data: data.select(0, one(1, "float32")), "is indexed with"),
        (lambda data: data.vector_select(1, one(1)), "takes dimension 0"),
        (lambda data: data.select(0, one(1)).select(0, one(1)), "indexed by data already"),
        (lambda data: data.vector_select(0, one(1))[0], "cannot be cut"),
        (lambda data: data.select(0, one(1)).view("int32"), "cannot be read as"),
        (lambda data: data.ap([[1, 1]], scalar_offset=one(1), vector_offset=one(1)), "not both"),
        (lambda data: data.ap([[1, 1]], vector_offset=one(1), indirect_dim=1), "no indirect_dim"),
    ],
)
def test_what_cannot_be(body, says):
    with pytest.raises(ProgramError, match=says) as caught:
        value(wrong(body), DATA)
    assert caught.value.place is not None


def test_too_few_indices_are_counted():
    def kernel(data):
        nisa.dma_copy(output((4, 32)), data.ap([[32, 4], [1, 32]], vector_offset=one(1)))

    with pytest.raises(BadArguments, match="1 indices for 4 places"):
        trnlab.run(kernel, "trn2")(DATA)


@pytest.mark.parametrize("version", ["0.2", "0.3"])
def test_what_register_move_calls_its_source(version):
    def kernel(a):
        held = nisa.register_alloc()
        nisa.register_move(held, imm=3)
        out = output((1, 32))
        nisa.dma_copy(out, a.ap([[32, 1], [1, 32]], scalar_offset=held))
        return out

    if version == "0.2":
        assert np.array_equal(value(kernel, DATA, api_version=version), DATA[3:4])
    else:
        with pytest.raises(Violations, match="register_move has no parameter imm"):
            value(kernel, DATA, api_version=version)


def looped(body):
    """A kernel that runs ``body(tile, list)`` around or in loops of the device."""

    def kernel(a):
        tile = load(a)
        body(tile, [])
        out = output(a.shape)
        nisa.dma_copy(out, tile)
        return out

    return kernel


def keeps(tile, held):
    nl.fori_loop(0, 2, lambda _: held.append(nl.multiply(tile, 2.0)))
    nisa.tensor_copy(tile, held[-1])


def returns(tile, held):
    nl.fori_loop(0, 2, lambda _: 1)


def waits(tile, held):
    nl.fori_loop(0, 2, lambda _: held.append(nisa.tensor_scalar(tile, tile, nl.add, 1.0)))
    nisa.tensor_scalar(tile, tile, nl.add, 1.0).depends_on(held[-1])


def waits_inside(tile, held):
    def body(_):
        first = nisa.tensor_scalar(tile, tile, nl.add, 1.0)
        nisa.tensor_scalar(tile, tile, nl.add, 1.0).depends_on(first, *held)

    held.append(nisa.tensor_scalar(tile, tile, nl.add, 1.0))
    nl.fori_loop(0, 2, body)


def ordered(tile, held):
    with nl.no_reorder():
        nl.while_loop(nisa.register_alloc(0), lambda r: r)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (keeps, "used outside of the iteration that made it"),
        (returns, "the body of a fori_loop returned 1"),
        (waits, "waits for one inside of a loop"),
        (ordered, "inside of nl.no_reorder"),
    ],
)
def test_what_loops_of_the_device_do_not_allow(body, what):
    with pytest.raises(ProgramError) as wrong:
        value(looped(body), DATA)
    assert what in str(wrong.value)


def test_waiting_inside_of_an_iteration():
    assert np.array_equal(value(looped(waits_inside), DATA), DATA + 1 + 1 + 1 + 1 + 1)
