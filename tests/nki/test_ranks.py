"""Kernels on many ranks: memory of their own, one schedule, a trace for each."""

from itertools import pairwise

import numpy as np
import pytest

import trnlab
import trnlab.nki.collectives as ncc
import trnlab.nki.isa as nisa
import trnlab.nki.language as nl
from trnlab.errors import BadArguments, Deadlock, NotModelled, UnknownName, Violations
from trnlab.nki import entry, jit
from trnlab.nki.collectives import ReplicaGroup
from trnlab.nki.receipt import fitted

X = np.ones((128, 256), np.float32)
FOUR = ReplicaGroup([[0, 1, 2, 3]])


def hbm(like):
    return nl.ndarray(like.shape, like.dtype, buffer=nl.shared_hbm)


@entry.jit
def summed(x, group, work=0):
    tile = nl.load(x)
    for _ in range(work):
        nisa.tensor_scalar(tile, tile, nl.multiply, 1.0)
    src, dst, out = hbm(x), hbm(x), hbm(x)
    nl.store(src, tile)
    ncc.all_reduce([src], [dst], group, nl.add)
    nisa.dma_copy(out, dst)
    return out


def spans(trace, lane="cc"):
    return [s for s in trace if s.lane.endswith(lane)]


def test_a_collective_starts_when_the_last_has_come():
    calls = [(X, FOUR, work) for work in (0, 40, 0, 10)]
    outs, traces = trnlab.run_ranks(summed, calls)
    assert all((out == 4).all() for out in outs)
    starts = {spans(trace)[0].start for trace in traces}
    slow = max(s.stop for s in spans(traces[1], "dma/sync")[:2])
    assert starts == {slow + float(trnlab.chip("trn2").core.timing.semaphore)}
    assert len({spans(trace)[0].stop for trace in traces}) == 1


def test_who_waited_for_another_rank_says_so_and_who_was_last_knows_why():
    _, traces = trnlab.run_ranks(summed, [(X, FOUR, work) for work in (0, 40, 0, 10)])
    met = [spans(trace)[0] for trace in traces]
    assert [s.cause for s in met] == ["rank", "data", "rank", "rank"]
    assert [s.blocker for s in met if s.cause == "rank"] == [-1, -1, -1]
    assert traces[1][met[1].blocker].lane == "dma/sync"
    for trace in traces:
        triggered = trace[spans(trace, "dma/sync")[-1].blocker]
        assert trace[triggered.blocker].lane == "cc"


def test_where_all_ranks_are_alike_each_waits_for_its_own_data():
    _, traces = trnlab.run_ranks(summed, [(X, FOUR, 5)] * 4)
    for trace in traces:
        path = [trace[row].lane for row in trace.critical_path()]
        assert path[:2] == ["kernel", "sync"]
        assert "cc" in path
        assert {s.cause for s in trace} <= {"first", "data", "engine busy", "queue busy", "buffer"}


def test_traces_are_those_of_a_rank_alone_as_long_as_nobody_meets():
    @entry.jit
    def kernel(x):
        out = hbm(x)
        nl.store(out, nl.add(nl.load(x), nl.load(x)))
        return out

    _, alone = trnlab.run(kernel)(X)
    _, traces = trnlab.run_ranks(kernel, [(X,)] * 3)
    for trace in traces:
        assert trace.lanes == alone.lanes
        assert list(trace) == list(alone)
        assert trace.totals == alone.totals
        assert trace.counters.keys() == alone.counters.keys()
        for name, (times, values) in trace.counters.items():
            np.testing.assert_array_equal(times, alone.counters[name][0])
            np.testing.assert_array_equal(values, alone.counters[name][1])


def test_time_is_the_same_with_and_without_values():
    calls = [(X, FOUR, work) for work in (0, 3, 1, 0)]
    _, with_values = trnlab.run_ranks(summed, calls)
    outs, without = trnlab.run_ranks(summed, calls, values=False)
    assert [t.seconds for t in with_values] == [t.seconds for t in without]
    assert np.isnan(outs[0]).all()
    assert without[0].meta["time_only"]
    assert trnlab.run_ranks(summed, calls, time=False)[1] == []


def test_every_run_is_the_same():
    calls = [(X, FOUR, work) for work in (3, 0, 2, 1)]
    first, again = (trnlab.run_ranks(summed[2], calls)[1] for _ in range(2))
    assert [list(trace) for trace in first] == [list(trace) for trace in again]


def test_every_rank_has_memory_of_its_own():
    @entry.jit
    def kernel(x, rank):
        tile = nl.load(x)
        nisa.tensor_scalar(tile, tile, nl.add, float(rank))
        out = hbm(x)
        nl.store(out, tile)
        return out

    outs, _ = trnlab.run_ranks(kernel, [(X, rank) for rank in range(3)])
    for rank, out in enumerate(outs):
        np.testing.assert_array_equal(out, X + rank)


def test_arguments_that_a_rank_writes_are_updated():
    @entry.jit
    def kernel(x, rank):
        tile = nl.load(x)
        nisa.tensor_scalar(tile, tile, nl.add, float(rank))
        nl.store(x, tile)

    mine = [np.zeros((4, 4), np.float32) for _ in range(2)]
    trnlab.run_ranks(kernel, [(x, rank + 1) for rank, x in enumerate(mine)])
    assert [float(x.max()) for x in mine] == [1, 2]
    with pytest.raises(BadArguments, match="ranks 0 and 1 were given one array as x"):
        trnlab.run_ranks(kernel, [(mine[0], 1)] * 2)


def test_two_cores_of_a_rank_meet_once_with_shared_tensors():
    _, traces = trnlab.run_ranks(summed[2], [(X, FOUR)] * 4)
    assert [s.lane for s in spans(traces[0])] == ["nc0/cc"]
    assert traces[0].totals["collectives"] == 1
    assert (traces[0].meta["cores"], traces[0].meta["system"]) == (2, "trn2.3xlarge")


def test_two_cores_of_a_rank_exchange_tiles_of_their_own():
    """As in nkilib's all-gather between tiles: each core has half of the rows."""
    group = ReplicaGroup([[0, 1]])

    @entry.jit
    def kernel(x):
        core = nl.program_id(0)
        rows = slice(core * 64, (core + 1) * 64)
        out = nl.ndarray((128, 2 * x.shape[1]), x.dtype, buffer=nl.shared_hbm)
        wide = nl.ndarray((64, 2 * x.shape[1]), x.dtype)
        ncc.all_gather([nl.load(x[rows, :])], [wide], group, 1)
        nl.store(out[rows, :], wide)
        return out

    xs = [np.arange(128 * 8, dtype=np.float32).reshape(128, 8) + 1000 * r for r in range(2)]
    outs, traces = trnlab.run_ranks(kernel[2], [(x,) for x in xs])
    for out in outs:
        np.testing.assert_array_equal(out, np.hstack(xs))
    assert [s.lane for s in spans(traces[1])] == ["nc0/cc", "nc1/cc"]


def test_the_cores_of_a_rank_still_have_their_pair():
    @entry.jit
    def kernel(x):
        me = nl.program_id(0)
        rows = slice(me * 64, (me + 1) * 64)
        out, tile = hbm(x), nl.load(x[rows, :])
        nisa.sendrecv(tile, tile, 1 - me, 1 - me, 0)
        nl.store(out[rows, :], tile)
        nisa.core_barrier(out, (0, 1))
        return out

    xs = [np.arange(128 * 4, dtype=np.float32).reshape(128, 4) * (r + 1) for r in range(3)]
    outs, _ = trnlab.run_ranks(kernel[2], [(x,) for x in xs])
    for x, out in zip(xs, outs, strict=True):
        np.testing.assert_array_equal(out, np.vstack([x[64:], x[:64]]))
    with pytest.raises(BadArguments, match="sendrecv needs two cores"):
        trnlab.run_ranks(kernel, [(xs[0],)] * 2)


def test_a_core_of_a_rank_that_does_not_come():
    @entry.jit
    def kernel(x):
        src, dst = hbm(x), hbm(x)
        nisa.dma_copy(src, x)
        if nl.program_id(0) == 0:
            ncc.all_reduce([src], [dst], ReplicaGroup([[0, 1]]), nl.add)

    with pytest.raises(Deadlock, match=r"rank 0 core 0 waits.*rank 0 core 1 has ended; rank 1"):
        trnlab.run_ranks(kernel[2], [(X,)] * 2)


def test_collectives_of_one_rank_follow_each_other():
    @entry.jit
    def kernel(x):
        a, b, c = hbm(x), hbm(x), hbm(x)
        nisa.dma_copy(a, x)
        for _ in range(3):  # nothing but the order of the ranks' exchanges holds them apart
            ncc.all_reduce([a], [b], FOUR, nl.add)
        ncc.all_reduce([a], [c], FOUR, nl.add)

    _, traces = trnlab.run_ranks(kernel, [(X,)] * 4)
    met = spans(traces[2])
    assert len(met) == 4
    assert all(b.start >= a.stop for a, b in pairwise(met))
    assert met[3].cause == "engine busy"


def test_groups_go_on_by_themselves():
    pairs = ReplicaGroup([[0, 1], [2, 3]])
    calls = [(X * (rank + 1), pairs, 50 * (rank == 0)) for rank in range(4)]
    outs, traces = trnlab.run_ranks(summed, calls)
    assert [float(out.max()) for out in outs] == [3, 3, 7, 7]
    assert spans(traces[2])[0].start < spans(traces[0])[0].start == spans(traces[1])[0].start


def test_an_error_in_one_rank_ends_all():
    @entry.jit
    def kernel(x, rank):
        if rank == 2:
            raise RuntimeError("mine")
        src, dst = hbm(x), hbm(x)
        nisa.dma_copy(src, x)
        ncc.all_reduce([src], [dst], FOUR, nl.add)

    with pytest.raises(RuntimeError, match="mine"):
        trnlab.run_ranks(kernel, [(X, rank) for rank in range(4)])


def test_rules_that_one_rank_breaks_are_reported():
    @entry.jit
    def kernel(x, height):
        tile = nl.ndarray((height, 4), np.float32)
        nisa.memset(tile, 0.0)

    with pytest.raises(Violations, match="spans 200 partitions"):
        trnlab.run_ranks(kernel, [(X, 128), (X, 200)])
    _, traces = trnlab.run_ranks(kernel, [(X, 128), (X, 200)], strict=False)
    assert len(traces) == 2


def test_many_ranks_over_servers():
    group = ReplicaGroup([range(0, 128, 64)])
    everybody = [ReplicaGroup([[r, r + 64] for r in range(64)])] * 128
    small = np.ones((2, 4), np.float32)
    calls = [(small * rank, everybody[rank]) for rank in range(128)]
    outs, traces = trnlab.run_ranks(summed[2], calls, system="2xtrn2.48xlarge")
    assert [float(out[0, 0]) for out in outs] == [2 * (r % 64) + 64 for r in range(128)]
    assert spans(traces[0])[0].stop - spans(traces[0])[0].start > 15e-6
    assert group.of(64) == (0, 64)


def test_the_receipt_says_which_rank_of_what():
    seen = []
    jit.listen(seen.append)
    try:
        _, traces = trnlab.run_ranks(summed, [(X, FOUR, work) for work in (0, 9, 0, 0)])
    finally:
        jit.unlisten(seen.append)
    assert [t.meta["rank"] for t in traces] == [0, 1, 2, 3]
    assert len(seen) == 1  # one result speaks for all, that of the last rank to end
    assert seen[0].trace.seconds == max(t.seconds for t in traces)
    assert seen[0].rerun("trn1").violations == ()
    whole = trnlab.run_ranks(summed, [(X, FOUR)] * 4, system="trn2.48xlarge")[1][0]
    core = fitted(jit.find_chip("trn2"))
    assert (
        whole.meta["constants"] == core + 2
    )  # shares of the links, fitted to where algorithms change
    assert "all_reduce: " in str(whole.meta["notes"])


def test_what_cannot_be_run():
    with pytest.raises(UnknownName, match=r"did you mean 'trn2\.48xlarge'"):
        trnlab.run_ranks(summed, [(X, FOUR)] * 4, system="trn2.48large")
    with pytest.raises(BadArguments, match=r"9 ranks of 1 cores do not fit on trn2\.3xlarge"):
        trnlab.run_ranks(summed, [(X, FOUR)] * 9, system="trn2.3xlarge")
    with pytest.raises(BadArguments, match="0 ranks"):
        trnlab.run_ranks(summed, [])
    with pytest.raises(BadArguments, match="arguments of rank 0 are a ndarray"):
        trnlab.run_ranks(summed, [X])
    with pytest.raises(BadArguments, match="no machine in the catalogue holds 1300 cores of trn3"):
        trnlab.run_ranks(entry.jit(summed.function, platform_target="trn3"), [(X, FOUR)] * 1300)
    with pytest.raises(NotModelled, match="with_schedule on several ranks"):
        trnlab.run_ranks(summed.with_schedule([("b", "a")]), [(X, FOUR)])


def test_arguments_may_be_named():
    outs, _ = trnlab.run_ranks(summed, [{"x": X, "group": FOUR}] * 4)
    assert (outs[3] == 4).all()
