"""What fits: room for tensors in SBUF and PSUM, and how the amount over is said."""

import numpy as np
import pytest

from tests.support import bars, load, nisa, nl, simulate, store, toy, value
from trnlab import Violations
from trnlab.errors import OutOfMemory
from trnlab.machine.catalogue import chip as find_chip
from trnlab.machine.chip import OnChip
from trnlab.studies.run import run_once

A = np.zeros(1, np.float32)
SMALL = toy(
    sbuf=OnChip(partitions=128, size=1024, usable=1024),
    psum=OnChip(partitions=128, size=4096, usable=4096, banks=2),
)


def together(sizes, space=nl.sbuf, **placed):
    """A kernel that needs tiles of so many fp32 columns at the same time."""

    def kernel(a):
        tiles = []
        for number, columns in enumerate(sizes):
            one = nl.ndarray(
                (128, columns), nl.float32, buffer=space, name=f"tile{number}", **placed
            )
            nisa.memset(one, 0.0)
            tiles.append(one)
        result = nl.ndarray((128, 1), nl.bfloat16)
        for one in tiles:
            nisa.tensor_copy(result, one[:, 0:1])

    return kernel


def in_turn(sizes, space=nl.sbuf):
    """A kernel that is done with each tile before it makes the next."""

    def kernel(a):
        result = nl.ndarray((128, 1), nl.bfloat16)
        for columns in sizes:
            one = nl.ndarray((128, columns), nl.float32, buffer=space)
            nisa.memset(one, 0.0)
            nisa.tensor_copy(result, one[:, 0:1])

    return kernel


def broken(kernel, chip=SMALL):
    return run_once(kernel, (A,), {}, chip, strict=False, values=False).violations


def peaks(kernel, chip=SMALL):
    totals = simulate(kernel, A, chip=chip, values=False, strict=False)[1].totals
    return totals["sbuf_peak_bytes"], totals["psum_peak_bytes"]


def test_what_fits_exactly_is_legal():
    kernel = together([127, 128])  # with 2 bytes of the result: 1,022 of 1,024
    assert broken(kernel) == ()
    assert peaks(kernel) == (1022, 0)


def test_what_is_over_says_by_how_much_and_names_the_largest():
    (found,) = broken(together([128, 100, 64]))
    assert isinstance(found, OutOfMemory)
    assert found.what == "sbuf is over capacity by 146 bytes a partition"
    assert found.limit == "1,024 bytes a partition on ToyCore"
    assert found.given["needed"] == "1,170 bytes a partition"
    names = [part.split()[0] for part in found.given["largest"].split(", ")]
    assert names[:3] == ["tile0", "tile1", "tile2"]
    assert found.place is not None
    assert found.place.file == __file__


def test_tiles_that_are_used_in_turn_need_room_for_one():
    kernel = in_turn([200] * 10)
    assert broken(kernel) == ()
    assert peaks(kernel) == (802, 0)


def test_a_tile_lives_from_its_first_to_its_last_use():
    """The first is made early and used late: three live together only for one instruction."""

    def kernel(a):
        early = nl.ndarray((128, 100), nl.float32)
        nisa.memset(early, 0.0)
        for _ in range(2):
            one = nl.ndarray((128, 100), nl.float32)
            nisa.memset(one, 0.0)
            nisa.tensor_copy(one, one)
        late = nl.ndarray((128, 100), nl.float32)
        nisa.tensor_copy(late, early)

    assert peaks(kernel) == (800, 0)


@pytest.mark.parametrize(("rows", "beside"), [(128, 1), (65, 1), (64, 2), (33, 2), (32, 4)])
def test_low_tiles_lie_beside_each_other(rows, beside):
    def kernel(count):
        def body(a):
            tiles = []
            for _ in range(count):
                tiles.append(nl.ndarray((rows, 256), nl.float32))
                nisa.memset(tiles[-1], 0.0)
            for one in tiles:
                nisa.tensor_copy(one, one)

        return body

    assert broken(kernel(beside)) == ()
    assert peaks(kernel(beside)) == (1024, 0)
    (found,) = broken(kernel(beside + 1))
    assert found.what == f"sbuf is over capacity by {1024 // beside:,} bytes a partition"


def test_a_tile_that_nobody_touches_needs_no_room():
    def kernel(a):
        for _ in range(9):
            nl.ndarray((128, 200), nl.float32)

    assert peaks(kernel) == (0, 0)
    assert broken(kernel) == ()


@pytest.mark.parametrize(("columns", "banks"), [(1, 1), (512, 1), (513, 2), (1024, 2)])
def test_psum_is_counted_in_banks(columns, banks):
    assert peaks(in_turn([columns], nl.psum)) == (2, banks * 2048)


def test_psum_over_capacity():
    assert broken(together([512, 512], nl.psum)) == ()
    (found,) = broken(together([512, 512, 8], nl.psum))
    assert found.what == "psum is over capacity by 2,048 bytes a partition"


def test_what_a_kernel_places_itself_counts_up_to_its_end():
    def kernel(a):
        one = nl.ndarray((128, 10), nl.float32, address=(0, 900))
        nisa.memset(one, 0.0)

    assert peaks(kernel) == (940, 0)
    assert broken(kernel) == ()


def test_placed_tensors_may_share_room():
    kernel = together([200, 200, 200], address=(0, 0))
    found = broken(kernel)  # they are read too late, which is said, but they fit
    assert found
    assert not any(isinstance(error, OutOfMemory) for error in found)


def test_a_tensor_placed_beyond_the_end_is_refused():
    def kernel(a):
        one = nl.ndarray((128, 100), nl.float32, address=(0, 900), name="far")
        nisa.memset(one, 0.0)

    first = broken(kernel)[0]
    assert first.what == "far ends at byte 1,300 of its partition in sbuf"
    assert first.given["over"] == "276 bytes a partition"


def test_partitions_are_counted_from_where_a_tensor_is_placed():
    def kernel(a):
        one = nl.ndarray((64, 4), nl.float32, address=(96, 0), name="low")
        nisa.memset(one, 0.0)

    first = broken(kernel)[0]
    assert first.what.startswith("low spans")
    assert first.limit == "128 partitions"


@pytest.mark.parametrize(("shape", "dtype"), [((129, 1), "int8"), ((256, 4), "float32")])
def test_more_partitions_than_there_are(shape, dtype):
    def kernel(a):
        nl.ndarray(shape, dtype, name="tall")

    (found,) = broken(kernel)
    assert isinstance(found, OutOfMemory)
    assert (found.what, found.limit) == (f"tall spans {shape[0]} partitions", "128 partitions")


def test_one_tensor_that_is_too_large_is_said_once():
    def kernel(a):
        one = nl.ndarray((128, 300), nl.float32, name="wide")
        nisa.memset(one, 0.0)

    assert len(broken(kernel)) == 1


@pytest.mark.parametrize("name", ["trn1", "trn2", "trn3"])
def test_every_generation_has_its_own_limit(name):
    usable = find_chip(name).core.sbuf.usable
    fits, over = usable // 4 // 4, usable // 4 // 4 + 1
    assert broken(together([fits] * 3), find_chip(name)) == ()
    (found,) = broken(together([over] * 4), find_chip(name))
    assert found.limit.startswith(f"{usable:,} bytes")


def test_both_memories_are_reported_in_one_run():
    parts = together([128, 128, 128]), together([512, 512, 512], nl.psum)

    def kernel(a):
        for part in parts:
            part(a)

    assert {v.what.split()[0] for v in broken(kernel)} == {"sbuf", "psum"}


def test_values_are_computed_although_memory_is_over():
    def kernel(a):
        tiles = [*map(load, [a] * 12)]
        for other in tiles[1:]:
            nisa.tensor_tensor(tiles[0], tiles[0], other, nl.add)
        return store(tiles[0])

    a = np.ones((128, 32), np.float32)
    assert (value(kernel, a, chip=SMALL, strict=False) == 12).all()
    with pytest.raises(Violations):
        value(kernel, a, chip=SMALL)


def test_counters_follow_what_is_held():
    """Never more than the peak that program order asks for, when nothing runs ahead."""
    trace = simulate(in_turn([200] * 4), A, chip=SMALL, values=False)[1]
    _, levels = trace.counters["sbuf bytes"]
    assert levels.max() <= 1024
    assert bars(trace)[0].start == 0


@pytest.mark.parametrize(("byte", "said"), [(2048, False), (1024, True)])
def test_a_tensor_placed_in_psum_starts_at_a_bank(byte, said):
    def kernel(a):
        tile = nl.ndarray((64, 64), nl.float32, buffer=nl.psum, address=(0, byte))
        nisa.memset(tile, 1.0)
        out = nl.ndarray((64, 64), nl.float32)
        nisa.tensor_copy(out, tile)
        return store(out)

    found = [v for v in broken(kernel, find_chip("trn2")) if v.rule]
    assert [v.rule for v in found] == ["ndarray/psum-tensors-start-at-a-bank"] * said


def test_what_a_kernel_returns_is_in_shared_hbm():
    def kernel(a):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.hbm)
        nisa.dma_copy(out, a)
        return out

    (found,) = run_once(kernel, (A,), {}).warnings
    assert found.rule == "kernel/outputs-are-in-shared-hbm"
    assert not run_once(kernel, (A,), {}, api_version="0.2").warnings
