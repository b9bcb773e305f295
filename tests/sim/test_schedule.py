"""When things happen, worked out by hand on the toy chip: all times are nanoseconds.

Engines do an element a nanosecond and show results 100 later; waiting for another engine costs 10.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import (
    NS,
    TOY,
    TOY_CORE,
    Bar,
    bars,
    load,
    nisa,
    nl,
    simulate,
    store,
    times,
    toy,
    whole_numbers,
)
from trnlab.machine.catalogue import chip as find_chip
from trnlab.machine.chip import OnChip
from trnlab.nki import entry
from trnlab.nki.jit import Kernel
from trnlab.nki.legacy import entry as old
from trnlab.nki.legacy import language as old_nl

A = np.zeros((128, 64), np.float32)
VECTOR, SCALAR, GPSIMD = nisa.engine.vector, nisa.engine.scalar, nisa.engine.gpsimd


def scheduled(kernel, *arrays, chip=TOY, without="software_pipelining"):
    """The rows of a kernel's trace, in its own order; values do not matter here."""
    made = kernel if isinstance(kernel, Kernel) else Kernel(kernel)  # of the current API
    how = {"values": False, "strict": False, "without": without}
    return bars(simulate(made, *(arrays or (A,)), chip=chip, **how)[1])


def tile(columns=64, rows=128, dtype="float32", **more):
    return nl.ndarray((rows, columns), dtype, **more)


@old.jit
def halves(a):
    """Each instance writes its own half of the output."""
    out = old_nl.ndarray((2, 128, 64), dtype=old_nl.float32, buffer=old_nl.shared_hbm)
    old_nl.store(out[old_nl.program_id(0)], old_nl.exp(old_nl.load(a)))
    return out


# --- queues


def test_a_queue_is_in_order_and_pipelines_what_is_independent():
    def kernel(a):
        nisa.memset(tile(64), 1.0, engine=VECTOR)
        nisa.memset(tile(32), 1.0, engine=VECTOR)

    assert scheduled(kernel) == [
        Bar("vector", "memset", 0, 64, 164, "first", -1),
        Bar("vector", "memset", 64, 96, 196, "engine busy", 0),
    ]


def test_a_late_instruction_holds_up_those_behind_it():
    """The second memset could start at once, but stands behind a copy that waits for data."""

    def kernel(a):
        one, two = tile(), tile()
        nisa.memset(one, 1.0, engine=GPSIMD)
        nisa.tensor_copy(two, one, engine=VECTOR)
        nisa.memset(tile(), 1.0, engine=VECTOR)

    assert [(b.lane, b.start) for b in scheduled(kernel)] == [
        ("gpsimd", 0), ("vector", 174), ("vector", 238),
    ]  # fmt: skip


def test_independent_instructions_of_different_engines_overlap():
    def kernel(a):
        for engine in (VECTOR, GPSIMD):
            nisa.memset(tile(), 1.0, engine=engine)
        nisa.activation(tile(), nl.copy, tile())

    assert [b.start for b in scheduled(kernel)] == [0, 0, 0]


# --- dependencies


def test_reading_what_another_engine_wrote_waits_for_the_result_and_a_semaphore():
    def kernel(a):
        one = tile()
        nisa.memset(one, 1.0, engine=GPSIMD)
        nisa.tensor_copy(tile(), one, engine=SCALAR)

    assert scheduled(kernel)[1] == Bar("scalar", "tensor_copy", 174, 238, 338, "data", 0)


def test_reading_what_the_same_engine_wrote_waits_for_the_result_only():
    def kernel(a):
        one = tile()
        nisa.memset(one, 1.0, engine=VECTOR)
        nisa.tensor_copy(tile(), one, engine=VECTOR)

    assert scheduled(kernel)[1] == Bar("vector", "tensor_copy", 164, 228, 328, "data", 0)


def test_overwriting_what_another_engine_reads_waits_until_it_has_read():
    def kernel(a):
        one = tile()
        nisa.tensor_copy(tile(), one, engine=SCALAR)
        nisa.memset(one, 1.0, engine=VECTOR)

    assert scheduled(kernel)[1] == Bar("vector", "memset", 74, 138, 238, "buffer", 0)


def test_overwriting_what_another_engine_writes_waits_for_its_result():
    def kernel(a):
        one = tile()
        nisa.memset(one, 1.0, engine=GPSIMD)
        nisa.memset(one, 1.0, engine=VECTOR)

    assert scheduled(kernel)[1] == Bar("vector", "memset", 174, 238, 338, "buffer", 0)


def test_the_same_engine_overwrites_without_waiting():
    def kernel(a):
        one, two = tile(), tile()
        nisa.tensor_copy(two, one, engine=VECTOR)
        nisa.memset(one, 1.0, engine=VECTOR)
        nisa.memset(one, 2.0, engine=VECTOR)

    assert [b.start for b in scheduled(kernel)] == [0, 64, 128]


def test_two_readers_do_not_wait_for_each_other():
    def kernel(a):
        one = tile()
        nisa.tensor_copy(tile(), one, engine=SCALAR)
        nisa.tensor_copy(tile(), one, engine=VECTOR)

    assert [b.start for b in scheduled(kernel)] == [0, 0]


def test_a_writer_waits_for_the_slowest_of_several_readers():
    def kernel(a):
        one = tile(512)
        nisa.tensor_copy(tile(512), one, engine=GPSIMD)
        nisa.tensor_copy(tile(64), one[:, 0:64], engine=SCALAR)
        nisa.memset(one, 1.0, engine=VECTOR)

    assert scheduled(kernel)[2] == Bar("vector", "memset", 522, 1034, 1134, "buffer", 0)


def test_a_writer_waits_for_a_reader_elsewhere_although_its_own_engine_read_last():
    def kernel(a):
        one = tile()
        nisa.tensor_copy(tile(), one, engine=SCALAR)
        nisa.tensor_copy(tile(), one, engine=VECTOR)
        nisa.memset(one, 1.0, engine=VECTOR)

    assert scheduled(kernel)[2].start == 74  # the scalar engine reads until 64


def test_a_writer_waits_for_the_slowest_transfer_although_a_faster_one_came_later():
    """Both take the tile from one queue on an engine each; the one without gaps is done first."""

    def kernel(a):
        source = tile(64, 8)
        nisa.memset(source, 1.0)
        nisa.dma_copy(nl.ndarray((8, 128), nl.float32, buffer=nl.hbm)[:, 0:128:2], source)
        nisa.dma_copy(nl.ndarray((8, 64), nl.float32, buffer=nl.hbm), source)
        nisa.memset(source, 2.0)

    rows = scheduled(kernel)
    slow, fast = (row for row in rows if row.lane == "dma/sync")
    assert fast.stop < slow.stop
    assert rows[-1].start == round(slow.stop + 10, 3)


def test_a_part_of_a_tile_waits_only_for_writers_of_that_part():
    def kernel(a):
        one = tile(128)
        nisa.memset(one[:, 0:64], 1.0, engine=GPSIMD)
        nisa.tensor_copy(tile(), one[:, 64:128], engine=SCALAR)
        nisa.tensor_copy(tile(32), one[:, 32:64], engine=VECTOR)

    assert [b.start for b in scheduled(kernel)] == [0, 0, 174]


def test_an_instruction_that_waits_for_several_names_the_last():
    def kernel(a):
        one, two = tile(64), tile(512)
        nisa.memset(one, 1.0, engine=GPSIMD)
        nisa.activation(two, nl.copy, two)
        nisa.tensor_tensor(tile(64), one, two[:, 0:64], nl.add, engine=VECTOR)

    found = scheduled(kernel)[2]
    assert (found.start, found.cause, found.blocker) == (622, "data", 1)


# --- function tables


def test_the_scalar_engine_loads_a_table_when_the_function_changes():
    def kernel(a):
        one = tile()
        for function in (nl.copy, nl.exp, nl.exp, nl.relu, nl.exp, nl.tanh):
            nisa.activation(tile(), function, one)

    busy = [(b.start, b.busy_until) for b in scheduled(kernel)]
    assert busy == [
        (0, 64),
        (64, 128),  # the first table is there at the launch
        (128, 192),
        (192, 256),  # copies and relu need no table, and leave it where it is
        (256, 320),
        (820, 884),  # 500 for the table
    ]


def test_each_core_has_its_own_table():
    found = scheduled(halves[old_nl.nc(2)])
    first, second = ([b for b in found if b.lane == f"nc{n}/scalar"] for n in range(2))
    assert [b.start for b in first] == [3238]
    assert [b.start for b in second] == [3238]  # not another function on the same engine


# --- the array


def matmuls(count, columns=512):
    def kernel(a):
        left, right = tile(128), tile(columns)
        for _ in range(count):
            nisa.nc_matmul(tile(columns, buffer=nl.psum), left, right)

    return kernel


COLD = toy(array=replace(TOY_CORE.array, cold_rate=0.5, warm_after=3000 * NS, fp32_passes=1))


def test_a_warm_array_does_a_column_a_cycle_for_each_pass():
    assert [(b.start, b.busy_until) for b in scheduled(matmuls(2, 64))] == [(0, 256), (256, 512)]


def test_the_array_is_slow_until_it_has_worked_for_a_while():
    """512 columns take 1,024 cold. Of the third matmul 952 ns are cold: 476 columns, 36 remain."""
    busy = [(b.start, b.busy_until) for b in scheduled(matmuls(4), chip=COLD)]
    assert busy == [(0, 1024), (1024, 2048), (2048, 3036), (3036, 3548)]


def test_waiting_for_the_first_data_does_not_warm_the_array():
    """The array is cold when it starts, however late that is."""

    def kernel(a):
        left, right = load(a), tile(512)
        nisa.nc_matmul(tile(512, rows=64, buffer=nl.psum), left, right)

    found = scheduled(kernel, chip=COLD)[-1]
    assert found.start == 3238
    assert found.busy_until - found.start == 1024


@pytest.mark.parametrize(("idle", "length"), [(2000, 512), (4000, 1024)])
def test_the_array_cools_down_when_it_idles_as_long(idle, length):
    def kernel(a):
        left, right = tile(128), tile(512)
        for _ in range(4):
            nisa.nc_matmul(tile(512, buffer=nl.psum), left, right)
        # two semaphores of 10 and a result of 100 are part of the pause
        nisa.memset(left.ap([(128, 128), (0, idle - 120)]), 1.0, engine=GPSIMD)
        nisa.nc_matmul(tile(512, buffer=nl.psum), left, right)

    found = scheduled(kernel, chip=COLD)
    assert found[-1].start - 3548 == idle
    assert found[-1].busy_until - found[-1].start == length


# --- transfers


def test_a_transfer_triggers_and_moves():
    """128 packets of 256 bytes on 16 engines: 8 x (10 + 256) each, 1,000 after the trigger."""

    def kernel(a):
        load(a)

    assert scheduled(kernel) == [
        Bar("sync", "dma_copy", 0, 100, 100, "first", -1),
        Bar("dma/sync", "dma_copy", 1100, 3228, 3228, "queue busy", 0),
    ]


@pytest.mark.parametrize(
    ("shape", "moving"),
    [
        ((128, 64), 8 * (10 + 256)),
        ((128, 1), 8 * (10 + 4)),
        ((8, 64), 8 * (10 + 256)),  # 8 partitions are one engine's share
        ((9, 64), 9 * (10 + 256) / 2),
        ((64, 64), 8 * (10 + 256)),
        ((128, 1024), 8 * (10 + 4096)),
        ((128, 1025), 8 * 2 * (10 + 2050)),  # cut in equal packets of at most 4,096
        ((1, 3072), 3 * (10 + 4096)),
    ],
)
def test_packets_by_hand(shape, moving):
    def kernel(a):
        load(a)

    _, move = scheduled(kernel, np.zeros(shape, np.float32))
    assert move.busy_until - move.start == pytest.approx(moving)


def test_rows_that_are_cut_up_in_memory_are_more_packets():
    """Every second word of HBM: 64 packets of 4 bytes a partition."""

    def kernel(a):
        nisa.dma_copy(tile(64), a[:, 0:128:2])

    _, move = scheduled(kernel, np.zeros((128, 128), np.float32))
    assert move.busy_until - move.start == 8 * 64 * (10 + 4)


def test_triggers_are_in_order_and_one_at_a_time_on_a_queue():
    def kernel(a):
        for _ in range(3):
            load(a)

    found = scheduled(kernel)
    assert [b.start for b in found if b.lane == "sync"] == [0, 100, 200]
    # all 16 engines serve each transfer, one after the other
    assert [b.start for b in found if b.lane == "dma/sync"] == [1100, 3228, 5356]
    assert [b.cause for b in found if b.lane == "dma/sync"][1:] == ["engine busy"] * 2


def test_transfers_of_few_partitions_share_the_engines():
    """64 partitions take 8 of 16 engines: two transfers move at once, the third waits its share."""

    def kernel(a):
        for _ in range(3):
            nisa.dma_copy(tile(64, rows=64), a[0:64])

    moves = [(b.start, b.busy_until) for b in scheduled(kernel) if b.lane == "dma/sync"]
    assert moves == [(1100, 3228), (1200, 3328), (2164, 4292)]


def test_a_transfer_that_waits_for_data_does_not_hold_up_its_queue():
    def kernel(a):
        one = tile(2000)
        nisa.memset(one, 0.0, engine=GPSIMD)
        store(one)
        load(a)

    found = [b for b in scheduled(kernel) if b.name == "dma_copy"]
    assert [(b.lane, b.start) for b in found if b.lane == "sync"] == [("sync", 0), ("sync", 100)]
    waits = found[1]
    assert (waits.start, waits.cause) == (2110 + 1000, "data")


@pytest.mark.parametrize(
    ("how", "lane", "trigger"),
    [
        ({}, "sync", 100),
        ({"engine": nisa.engine.scalar, "dge_mode": nisa.dge_mode.hwdge}, "scalar", 100),
        ({"dge_mode": nisa.dge_mode.swdge}, "gpsimd", 20),
    ],
)
def test_a_trigger_occupies_the_queue_it_is_issued_on(how, lane, trigger):
    def kernel(a):
        nisa.dma_copy(tile(64), a, **how)

    issued, moved = scheduled(kernel)
    assert (issued.lane, issued.start, issued.busy_until) == (lane, 0, trigger)
    assert (moved.lane, moved.start) == (f"dma/{lane}", trigger + 1000)


def test_software_descriptors_are_written_by_gpsimd_and_cost_a_minimum_each():
    def kernel(a):
        nisa.dma_copy(tile(64), a, dge_mode=nisa.dge_mode.swdge)
        nisa.dma_copy(tile(256), a.reshape((32, 256)), dge_mode=nisa.dge_mode.swdge)

    first, moved, _, longer = scheduled(kernel)
    assert (first.lane, first.busy_until) == ("gpsimd", 20)
    assert moved.busy_until - moved.start == 8 * 500  # 266 would do
    assert longer.busy_until - longer.start == 8 * (10 + 1024)


def test_a_transfer_that_transposes_runs_at_its_share():
    def kernel(a):
        nisa.dma_transpose(tile(128, rows=64), a)

    issued, moved = scheduled(kernel, np.zeros((128, 64), np.float32))
    assert issued.lane == "sync"
    assert moved.busy_until - moved.start == 8 * (10 + 512) / 0.5  # 64 rows of dst, 8 engines


def test_a_chain_of_three_transfers_pays_for_every_step():
    def kernel(a):
        one, two = tile(64), tile(64)
        nisa.dma_copy(one, a)
        nisa.dma_copy(two, one)
        return store(two)

    moves = [b for b in scheduled(kernel) if b.lane == "dma/sync"]
    assert [b.start for b in moves] == [1100, 3228 + 1010, 6366 + 1010]
    assert [b.cause for b in moves] == ["queue busy", "data", "data"]


# --- room


def ahead(count, columns, dtype="float32", **placed):
    """GpSimd fills tiles as fast as it may; the scalar engine reads each one twice."""

    def kernel(a):
        result = tile(columns, dtype=dtype, **placed)
        for _ in range(count):
            one = tile(columns, dtype=dtype)
            nisa.memset(one, 1.0, engine=GPSIMD)
            for _ in range(2):
                nisa.tensor_copy(result, one, engine=SCALAR)

    return kernel


def sbuf(size):
    return toy(sbuf=OnChip(partitions=128, size=size, usable=size))


def test_work_runs_ahead_as_long_as_there_is_room():
    found = scheduled(ahead(6, 64), chip=sbuf(8192))
    assert [b.start for b in found if b.lane == "gpsimd"] == [0, 64, 128, 192, 256, 320]


def test_work_waits_when_memory_is_full():
    """Two tiles of 256 bytes fit beside the result: the third waits until the first was read."""
    found = scheduled(ahead(4, 64), chip=sbuf(3 * 256))
    written = [b for b in found if b.lane == "gpsimd"]
    read = [b for b in found if b.lane == "scalar"]
    assert [b.start for b in written] == [0, 64, read[1].busy_until, read[3].busy_until]
    assert [b.cause for b in written] == ["first", "engine busy", "memory", "memory"]
    assert found[written[2].blocker] == read[1]


def test_narrower_tiles_run_further_ahead():
    found = scheduled(ahead(6, 64, "bfloat16"), chip=sbuf(3 * 256))
    assert [b.start for b in found if b.lane == "gpsimd"][:5] == [0, 64, 128, 192, 256]


def test_what_the_kernel_places_itself_takes_room_from_the_rest():
    found = scheduled(ahead(3, 64, address=(0, 0)), chip=sbuf(2 * 256))
    assert [b.cause for b in found if b.lane == "gpsimd"] == ["first", "memory", "memory"]


def test_psum_is_given_out_by_the_bank():
    """Two banks of 2 KiB: 64 columns take one of them each."""
    small = toy(psum=OnChip(partitions=128, size=4096, usable=4096, banks=2))

    def kernel(a):
        left, result = tile(64, dtype="bfloat16"), tile(64, rows=64)
        for _ in range(3):
            total = tile(64, rows=64, buffer=nl.psum)
            nisa.nc_matmul(total, left, left)
            nisa.tensor_copy(result, total, engine=SCALAR)

    found = scheduled(kernel, chip=small)
    arrays = [b for b in found if b.lane == "tensor"]
    assert [b.start for b in arrays] == [0, 64, 238]
    assert [b.cause for b in arrays] == ["first", "engine busy", "memory"]


def test_memory_in_use_never_exceeds_what_there_is():
    trace = simulate(Kernel(ahead(20, 64)), A, chip=sbuf(768), values=False, strict=False)[1]
    at, levels = trace.counters["sbuf bytes"]
    assert levels.max() == 768
    assert (np.diff(at) > 0).all()
    assert levels[-1] == 0


# --- two cores


def test_two_cores_run_side_by_side():
    alone, both = scheduled(halves), scheduled(halves[old_nl.nc(2)])
    assert [b.lane for b in both] == [f"nc{n}/{b.lane}" for n in range(2) for b in alone]
    assert [b.start for b in both] == [b.start for b in alone] * 2


def test_instances_on_one_core_share_its_queues():
    alone = scheduled(halves)
    how = {"without": ("load_reuse", "hoisting"), "values": False, "strict": False}
    both = bars(simulate(halves[2], A, chip=TOY, **how)[1])
    assert [b.lane for b in both] == [b.lane for b in alone] * 2
    triggers = sorted(b.start for b in both if b.lane == "sync")
    assert triggers[:2] == [0, 100]
    assert all(later >= earlier + 100 for earlier, later in pairwise(triggers))


def test_a_launch_on_two_cores_of_the_current_api_uses_two_cores():
    @entry.jit
    def kernel(a):
        nisa.memset(tile(), float(nl.program_id(0)), engine=VECTOR)

    found = scheduled(kernel[2])
    assert [(b.lane, b.start) for b in found] == [("nc0/vector", 0), ("nc1/vector", 0)]


# --- every schedule


def steps(columns=24):
    """Random instructions on three tiles: an engine, what it writes, what it reads."""
    part = st.tuples(st.integers(0, 2), st.integers(0, columns - 1), st.integers(1, columns)).map(
        lambda p: (p[0], p[1], min(columns, p[1] + p[2]))
    )
    return st.lists(
        st.tuples(st.sampled_from(["vector", "scalar", "gpsimd", "dma"]), part, part), max_size=14
    )


def overlap(one, other):
    return one[0] == other[0] and one[1] < other[2] and other[1] < one[2]


@pytest.mark.parametrize("without", ["software_pipelining", ""])
@settings(max_examples=150, deadline=None)
@given(program=steps())
def test_no_schedule_breaks_a_dependency(without, program):
    """Whatever the program: a queue does one at a time, nothing is touched before it is there."""

    def kernel(a):
        tiles = [tile(24), tile(24), tile(24)]
        for engine, (to, start, stop), (source, first, _) in program:
            width = min(stop - start, 24 - first)
            target, origin = (
                tiles[to][:, start : start + width],
                tiles[source][:, first : first + width],
            )
            if engine == "dma":
                nisa.dma_copy(target, origin)
            else:
                nisa.tensor_copy(target, origin, engine=nisa.engine[engine])

    rows = scheduled(kernel, without=without)
    done = [row for row in rows if not (row.name == "dma_copy" and row.lane == "sync")]
    assert len(done) == len(program)
    accesses = []
    for (_, (to, start, stop), (source, first, _)), row in zip(program, done, strict=True):
        width = min(stop - start, 24 - first)
        accesses.append(((to, start, start + width), (source, first, first + width), row))
    for later, (writes, reads, row) in enumerate(accesses):
        for before_writes, before_reads, before in accesses[:later]:
            hop = 0 if before.lane == row.lane and row.lane != "dma/sync" else 10
            if overlap(reads, before_writes):
                assert row.start >= before.stop + hop
            if overlap(writes, before_writes) and hop:
                assert row.start >= before.stop + hop
            if overlap(writes, before_reads) and hop:
                assert row.start >= before.busy_until + hop
    for lane in {row.lane for row in rows if not row.lane.startswith("dma/")}:
        mine = sorted((row for row in rows if row.lane == lane), key=lambda row: row.start)
        for before, row in pairwise(mine):
            assert row.start >= before.busy_until


def test_an_empty_kernel_takes_no_time():
    def kernel(a):
        pass

    trace = simulate(kernel, A, chip=TOY)[1]
    assert (len(trace), trace.seconds) == (0, 0.0)


def test_blockers_come_first_and_the_critical_path_ends_last():
    def kernel(a):
        one = load(a)
        two = tile()
        nisa.activation(two, nl.exp, one)
        return store(two)

    trace = simulate(Kernel(kernel), A, chip=TOY, values=False)[1]
    assert all(bar.blocker < row for row, bar in enumerate(bars(trace)))
    path = [trace[row] for row in trace.critical_path()]
    assert [span.lane for span in path] == ["sync", "dma/sync", "scalar", "sync", "dma/sync"]
    assert path[-1].stop == trace.seconds


def test_a_kernel_takes_the_same_time_every_time_and_on_any_values():
    def kernel(a):
        one = load(a)
        nisa.activation(one, nl.exp, one)
        return store(one)

    first = times(simulate(kernel, whole_numbers(128, 64), chip=find_chip("trn2"))[1])
    again = times(simulate(kernel, whole_numbers(128, 64, seed=1), chip=find_chip("trn2"))[1])
    assert first == again
