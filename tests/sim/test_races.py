"""Accesses of two cores, or of instances of a grid, that nothing orders."""

from contextlib import nullcontext

import numpy as np
import pytest

import trnlab
from tests.support import same, whole_numbers
from trnlab import Violations
from trnlab.errors import Race
from trnlab.nki import collectives as ncc
from trnlab.nki import entry, jit
from trnlab.nki import isa as nisa
from trnlab.nki import language as nl
from trnlab.nki.legacy import entry as old
from trnlab.nki.legacy import language as old_nl

A = whole_numbers(256, 16)


def halves():
    """This core, its rows, the rows of the other one."""
    me = nl.program_id(0)
    return me, slice(me * 128, (me + 1) * 128), slice((1 - me) * 128, (2 - me) * 128)


def exchange(barrier, together=False):
    """Each core stores its half and loads the other's, with or without a barrier between."""

    def kernel(a):
        _, mine, theirs = halves()
        half = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm, name="half")
        other = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm, name="other")
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm, name="out")
        nl.store(half[mine, :], nl.load(a[mine, :]))
        if barrier:
            nisa.core_barrier({"half": half, "other": other}[barrier], (0, 1))
        nl.store(out[mine, :], nl.load(half[theirs, :]))
        return out

    return trnlab.run(entry.jit(kernel)[2])


def races(raised):
    return [error for error in raised.value.found if isinstance(error, Race)]


def test_a_read_of_what_the_other_core_writes():
    with pytest.raises(Violations) as raised:
        exchange(barrier=None)(A)
    race = races(raised)[0]
    assert race.what == (
        "half: a read of core 0 and a write of core 1 touch the same bytes, and nothing orders them"
    )
    assert "core 0 reads at" in race.given["one"]
    assert "core 1 writes at" in race.given["other"]
    lines = [int(text.rpartition(":")[2]) for text in race.given.values()]
    assert lines[0] - lines[1] == 3  # the load stands three lines below the store
    assert race.place.line == lines[1]


def test_a_barrier_orders_the_tensor_it_names():
    out, _ = exchange(barrier="half")(A)
    assert same(out, np.vstack([A[128:], A[:128]]))


def test_and_no_other_one():
    with pytest.raises(Violations, match="half: a write of core 0 and a read of core 1"):
        exchange(barrier="other")(A)


def test_time_only_finds_the_same():
    zeros = np.zeros_like(A)

    def kernel(a, ordered):
        _, mine, theirs = halves()
        half = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        nl.store(half[mine, :], nl.load(a[mine, :]))
        if ordered:
            nisa.core_barrier(half, (0, 1))
        nl.load(half[theirs, :])
        return half

    run = trnlab.run(entry.jit(kernel)[2], values=False)
    run(zeros, True)
    with pytest.raises(Violations, match="nothing orders them"):
        run(zeros, False)


def by_way_of_the_other(wait):
    """Core 0 reads a tensor and sends the rows; core 1 overwrites the tensor, late or at once."""

    def kernel(a):
        me, mine, _ = halves()
        state = nl.ndarray((128, 16), a.dtype, buffer=nl.shared_hbm, name="state")
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm, name="out")
        if me == 0:
            nl.store(state, nl.load(a[0:128, :]))
            rows = nl.load(state)
        else:
            rows = nl.load(a[128:256, :])
        got = nl.ndarray(rows.shape, rows.dtype)
        nisa.sendrecv(rows, got, 1 - me, 1 - me, 0)
        if me == 1:
            nl.store(state, nl.add(got, 1.0) if wait else nl.add(rows, 1.0))
        nl.store(out[mine, :], got)
        return out

    return trnlab.run(entry.jit(kernel)[2])


def test_what_was_received_orders_what_follows_from_it():
    out, _ = by_way_of_the_other(wait=True)(A)
    assert same(out, np.vstack([A[128:], A[:128]]))


def test_and_nothing_else():
    with pytest.raises(Violations, match="state: a write of core 0 and a write of core 1"):
        by_way_of_the_other(wait=False)(A)


def test_neighbouring_rows_and_interleaved_columns_do_not_meet():
    @entry.jit
    def kernel(a):
        me, mine, _ = halves()
        rows = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        columns = nl.ndarray((128, 16), a.dtype, buffer=nl.shared_hbm)
        nl.store(rows[mine, :], nl.load(a[mine, :]))
        nl.store(columns[:, me:16:2], nl.load(a[0:128, me:16:2]))
        return rows, columns

    rows, columns = trnlab.run(kernel[2])(A)[0]
    assert same(rows, A)
    assert same(columns, A[:128])


def both_write(different):
    def kernel(a):
        out = nl.ndarray((128, 16), a.dtype, buffer=nl.shared_hbm, name="out")
        nl.store(out, nl.add(nl.load(a[0:128, :]), float(different * nl.program_id(0))))
        return out

    return entry.jit(kernel)[2]


@pytest.mark.parametrize("values", [True, False])
def test_the_same_values_twice_are_only_noted(values):
    trnlab.run(both_write(0), values=values)(A)
    (note,) = [n for n in jit.results()[-1].notes if "nothing orders them" in n]
    assert ("with the same values" in note) == values
    assert "core 0 writes at" in note
    assert "core 1 writes at" in note


def test_different_values_at_one_place():
    with pytest.raises(Violations, match="a write of core 0 and a write of core 1"):
        trnlab.run(both_write(1))(A)


def test_what_both_wrote_alike_may_be_read():
    @entry.jit
    def kernel(a):
        kept = nl.ndarray((128, 16), a.dtype, buffer=nl.shared_hbm)
        _, mine, _ = halves()
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        nl.store(kept, nl.load(a[0:128, :]))
        nl.store(out[mine, :], nl.load(kept))
        return out

    assert same(trnlab.run(kernel[2])(A)[0], np.vstack([A[:128], A[:128]]))


def grid(step, read=False):
    """A kernel of the older API: each instance writes 128 rows from its number times ``step``."""

    def kernel(a):
        out = old_nl.ndarray((256, 16), a.dtype, buffer=old_nl.shared_hbm)
        me = old_nl.program_id(0)
        start = me * step
        rows = old_nl.load(a[start : start + 128])
        old_nl.store(out[start : start + 128], old_nl.add(rows, float(me)))
        if read:
            old_nl.store(out[128:256], old_nl.load(out[0:128]))
        return out

    return trnlab.run(old.jit(kernel)[2])


def test_instances_of_a_grid_that_write_one_place():
    out, _ = grid(128)(A)
    assert same(out, np.vstack([A[:128], A[128:] + 1]))
    with pytest.raises(Violations) as raised:
        grid(64)(A)
    (race,) = races(raised)
    assert race.given["one"].startswith("instance 0 writes at")
    assert race.given["other"].startswith("instance 1 writes at")


def test_an_instance_that_reads_what_another_wrote():
    with pytest.raises(Violations, match="a write of instance 0 and a read of instance 1"):
        grid(128, read=True)(A)


def scattered(kernel_rows):
    @entry.jit
    def kernel(a, rows):
        out = nl.ndarray((128, 16), a.dtype, buffer=nl.shared_hbm)
        nl.store(out, nl.load(a[128:256, :]))
        index, data = nl.load(rows), nl.load(a[0:64, :])
        nisa.dma_copy(out.ap([[16, 64], [1, 16]], vector_offset=index), data)
        return out

    return trnlab.run(kernel)(A, kernel_rows)[0]


def test_one_transfer_that_writes_a_row_twice():
    rows = np.arange(64, dtype=np.int32)[:, None]
    assert same(scattered(rows + 7)[7:71], A[:64])
    with pytest.raises(Violations, match="one transfer writes different values to the same place"):
        scattered(rows // 2)


def test_rows_that_data_picks_may_meet():
    @entry.jit
    def kernel(a, rows):
        me = nl.program_id(0)
        out = nl.ndarray((128, 16), a.dtype, buffer=nl.shared_hbm, name="out")
        index, data = nl.load(rows[me * 64 : me * 64 + 64, :]), nl.load(a[0:64, :])
        nisa.dma_copy(out.ap([[16, 64], [1, 16]], vector_offset=index), data)
        return out

    rows = np.arange(128, dtype=np.int32)[:, None]
    assert same(trnlab.run(kernel[2])(A, rows)[0], np.vstack([A[:64], A[:64]]))
    assert any("if the indices meet" in note for note in jit.results()[-1].notes)


@pytest.mark.parametrize("ordered", [True, False])
def test_an_order_that_the_kernel_asks_for(ordered):
    @entry.jit
    def kernel(a):
        me = nl.program_id(0)
        state = nl.ndarray((128, 16), a.dtype, buffer=nl.shared_hbm, name="state")
        other = nl.ndarray((128, 16), a.dtype, buffer=nl.shared_hbm, name="other")
        rows = nl.load(a[0:128, :])
        with nl.no_reorder() if ordered else nullcontext():
            if me == 0:
                nl.store(state, rows)
            nisa.core_barrier(other, (0, 1))
            if me == 1:
                nl.store(state, nl.add(rows, 1.0))
        return state

    run = trnlab.run(kernel[2])
    if ordered:
        assert same(run(A)[0], A[:128] + 1)
    else:
        with pytest.raises(Violations, match="state: a write of core 0 and a write of core 1"):
            run(A)


def gathered(wait):
    """On each of two ranks with two cores: one gathers, the other reads, late or at once."""

    @entry.jit
    def kernel(a):
        me = nl.program_id(0)
        src = nl.ndarray((128, 16), a.dtype, buffer=nl.shared_hbm, name="src")
        dst = nl.ndarray((256, 16), a.dtype, buffer=nl.shared_hbm, name="dst")
        out = nl.ndarray((256, 16), a.dtype, buffer=nl.shared_hbm, name="out")
        if me == 0:
            nl.store(src, nl.load(a[0:128, :]))
        if wait:
            nisa.core_barrier(src, (0, 1))
        ncc.all_gather([src], [dst], ncc.ReplicaGroup([[0, 1]]), 0)
        rows = slice(me * 128, me * 128 + 128)
        nl.store(out[rows, :], nl.load(dst[rows, :]))
        if me == 1 and not wait:
            nl.store(src, nl.load(a[128:256, :]))
        return out

    return trnlab.run_ranks(kernel[2], [(A,), (A + 1,)], system="trn2.48xlarge")


def test_collectives_order_what_they_take():
    outs, _ = gathered(wait=True)
    assert same(outs[0], np.vstack([A[:128], A[:128] + 1]))
    assert same(outs[1], outs[0])
    outs, _ = gathered(wait=False)  # written by core 0 before the gather and by core 1 after it
    assert same(outs[0], np.vstack([A[:128], A[:128] + 1]))


def test_ranks_have_memory_of_their_own():
    @entry.jit
    def kernel(a):
        out = nl.ndarray((128, 16), a.dtype, buffer=nl.shared_hbm)
        nl.store(out, nl.load(a[0:128, :]))
        return out

    outs, _ = trnlab.run_ranks(kernel, [(A,), (A + 1,)], system="trn2.48xlarge")
    assert same(outs[1], A[:128] + 1)


def test_two_cores_of_a_rank_race_too():
    with pytest.raises(Violations, match="out: a write of core 2 and a write of core 3"):
        trnlab.run_ranks(both_write(1), [(A,), (A,)], system="trn2.48xlarge")
