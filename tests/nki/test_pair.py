"""Two cores that run at the same time: sendrecv, core_barrier, deadlocks."""

import numpy as np
import pytest

import trnlab
import trnlab.nki.isa as nisa
import trnlab.nki.language as nl
from trnlab.errors import BadArguments, Deadlock, Violations
from trnlab.nki import entry

A = np.arange(256 * 16, dtype=np.float32).reshape(256, 16)


def mine(a):
    me = nl.program_id(0)
    return me, slice(me * 128, (me + 1) * 128)


@entry.jit
def add_other(a):
    me, rows = mine(a)
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    own = nl.load(a[rows, :])
    other = nl.ndarray(own.shape, a.dtype)
    nisa.sendrecv(src=own, dst=other, send_to_rank=1 - me, recv_from_rank=1 - me, pipe_id=0)
    nl.store(out[rows, :], nl.add(own, other))
    return out


def test_each_core_gets_the_tile_of_the_other():
    out, trace = trnlab.run(add_other[2])(A)
    both = A[:128] + A[128:]
    np.testing.assert_array_equal(out, np.vstack([both, both]))
    names = [s.name for s in trace if s.lane.endswith("dma/sync")]
    assert names.count("sendrecv") == 2
    assert trace.meta["cores"] == 2


def test_an_exchange_waits_for_the_slower_core():
    @entry.jit
    def kernel(a):
        me, rows = mine(a)
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        own = nl.load(a[rows, :])
        if me == 1:
            for _ in range(20):
                nisa.tensor_scalar(own, own, nl.multiply, 1.0)
        other = nl.ndarray(own.shape, a.dtype)
        nisa.sendrecv(own, other, 1 - me, 1 - me, 0)
        nl.store(out[rows, :], other)
        return out

    out, trace = trnlab.run(kernel[2])(A)
    np.testing.assert_array_equal(out, np.vstack([A[128:], A[:128]]))
    slow = max(s.stop for s in trace if s.lane in ("nc1/vector", "nc1/scalar"))
    moved = [s for s in trace if s.name == "sendrecv" and s.lane == "nc0/dma/sync"]
    assert moved[0].start > slow


def test_a_tile_may_be_sent_and_received_in_place():
    @entry.jit
    def kernel(a):
        me, rows = mine(a)
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        tile = nl.load(a[rows, :])
        nisa.sendrecv(tile, tile, 1 - me, 1 - me, 0)
        nl.store(out[rows, :], tile)
        return out

    out, _ = trnlab.run(kernel[2])(A)
    np.testing.assert_array_equal(out, np.vstack([A[128:], A[:128]]))


def test_after_a_barrier_each_core_sees_what_the_other_stored():
    @entry.jit
    def kernel(a):
        me, rows = mine(a)
        half = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        nl.store(half[rows, :], nl.load(a[rows, :]))
        nisa.core_barrier(half, (0, 1))
        theirs = slice((1 - me) * 128, (2 - me) * 128)
        nl.store(out[rows, :], nl.load(half[theirs, :]))
        return out

    out, trace = trnlab.run(kernel[2])(A)
    np.testing.assert_array_equal(out, np.vstack([A[128:], A[:128]]))
    barriers = [s for s in trace if s.name == "core_barrier"]
    assert {s.lane for s in barriers} == {"nc0/gpsimd", "nc1/gpsimd"}
    assert trace.totals["hbm_write_bytes"] == 2 * A.nbytes


def test_a_core_that_waits_for_ever_is_an_error_with_both_places():
    @entry.jit
    def kernel(a):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        tile = nl.load(a[0:128, :])
        if nl.program_id(0) == 0:
            nisa.sendrecv(tile, tile, 1, 1, pipe_id=0)
        else:
            nisa.core_barrier(out, (0, 1))
        return out

    with pytest.raises(
        Deadlock, match=r"core 0 waits for ever at sendrecv.*core 1 waits at core_b"
    ):
        trnlab.run(kernel[2])(A)


def test_a_core_that_ends_early_is_an_error():
    @entry.jit
    def kernel(a):
        if nl.program_id(0) == 0:
            nisa.core_barrier(a, (0, 1))
        return a

    with pytest.raises(Deadlock, match="core 1 has ended"):
        trnlab.run(kernel[2])(A)


def test_an_exception_of_one_core_ends_both():
    @entry.jit
    def kernel(a):
        if nl.program_id(0) == 1:
            raise RuntimeError("mine")
        nisa.core_barrier(a, (0, 1))
        return a

    with pytest.raises(RuntimeError, match="mine"):
        trnlab.run(kernel[2])(A)


def test_one_core_has_nobody_to_talk_to():
    with pytest.raises(BadArguments, match=r"needs two cores"):
        trnlab.run(add_other)(A)


def test_the_first_generation_has_no_pairs():
    with pytest.raises(BadArguments, match="trn1 does not join cores to a pair"):
        trnlab.run(add_other[2], chip="trn1")(A)
    trnlab.run(add_other[2], chip="trn1", strict=False)(A)


def test_both_cores_declare_the_same_tensors():
    def kernel(a):
        rows = 8 * (1 + nl.program_id(0))
        out = nl.ndarray((rows, a.shape[1]), a.dtype, buffer=nl.shared_hbm)
        if nl.program_id(0) == 0:
            nisa.dma_copy(out, a[0:8, :])
        return out

    with pytest.raises(Violations, match="out0 in shared HBM is another tensor on another core"):
        trnlab.run(entry.jit(kernel)[2])(A)


def test_rules_are_checked_for_both():
    def kernel(a):
        tile = nl.load(a)
        nisa.sendrecv(tile, tile, 2, 1 - nl.program_id(0), 0)
        return a

    with pytest.raises(Violations, match="ranks are 0 or 1"):
        trnlab.run(entry.jit(kernel)[2])(A)


def test_runs_are_the_same_every_time():
    one, two = (trnlab.run(add_other[2])(A)[1] for _ in range(2))
    np.testing.assert_array_equal(one.start, two.start)


def test_tensors_of_both_cores_in_private_hbm_are_one_output():
    def kernel(a):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.hbm)
        me, rows = mine(a)
        nl.store(out[rows, :], nl.load(a[rows, :]))
        return [out, me]

    (out, last), _ = trnlab.run(entry.jit(kernel)[2])(A)
    np.testing.assert_array_equal(out, A)
    assert last == 1


def test_what_neither_core_wrote_of_an_output_is_reported():
    def kernel(a):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.hbm)
        _, rows = mine(a)
        nl.store(out[rows, 0:8], nl.load(a[rows, 0:8]))
        return out

    with pytest.raises(Violations, match="not all of it was written"):
        trnlab.run(entry.jit(kernel)[2])(A)
