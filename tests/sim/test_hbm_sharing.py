"""Two cores at one stack of HBM share what it can move; one core never notices."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trnlab
import trnlab.nki.isa as nisa
import trnlab.nki.language as nl
from trnlab.nki import entry
from trnlab.sim.timing.pipe import flowed
from trnlab.sim.timing.state import Rules, started

LOADS, WIDTH = 24, 8192  # 4 MiB each, in packets of 4 KiB that the DMA engines move at full rate

PAIR = Rules(2, 2, hop=0, table_load=0, warm_after=0, cold_rate=1, bank=0, ports=0, loose=False)


@entry.jit
def load_all(x):
    """Each core loads all of x and returns what is left of it."""
    out = nl.ndarray((128, WIDTH), dtype=x.dtype, buffer=nl.shared_hbm)
    for part in range(LOADS):
        tile = nl.ndarray((128, WIDTH), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x[part * 128 : (part + 1) * 128, :])
        if part == LOADS - 1 and nl.program_id(0) == 0:
            nisa.dma_copy(dst=out, src=tile)
    return out


def rate(chip, cores, off=""):
    """Bytes a second of HBM traffic while kernels move data."""
    kernel = load_all[cores] if cores > 1 else load_all
    source = np.zeros((LOADS * 128, WIDTH), np.float32)
    found = trnlab.run(kernel, chip=chip, values=False, without=f"launch,{off}")(source)[1]
    return found.totals["hbm_read_bytes"] / found.seconds


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=40))
def test_a_pipe_is_never_given_twice(asked):
    idle, free = started([], [], PAIR).stacks[0], [True] * 600
    for start, seconds in asked:
        left, now = seconds, start
        while left:  # second by second
            left -= free[now]
            free[now] = False
            now += 1
        assert flowed(idle, start, seconds, 0)[1] == now
    assert all(a[1] < b[0] for a, b in pairwise(idle))


def test_one_core_has_a_stack_to_itself():
    assert rate("trn2", 1) == rate("trn2", 1, "hbm_sharing")


def test_two_cores_reach_what_their_stack_gives():
    chip = trnlab.chip("trn2")
    members, stack = chip.stack
    assert members == 2
    dma = members * chip.core.dma.engines * chip.core.dma.rate
    assert rate("trn2", 2) == pytest.approx(stack, rel=0.06)
    assert rate("trn2", 2) < stack < rate("trn2", 2, "hbm_sharing") < dma
    assert rate("trn2", 2, "hbm_sharing") == pytest.approx(2 * rate("trn2", 1), rel=0.06)
