"""Engines take turns at shared ports of SBUF and PSUM, and at banks; times as in test_schedule."""

import numpy as np
import pytest

from tests.support import TOY, bars, nisa, nl, simulate, toy
from trnlab.machine.catalogue import chip as find_chip
from trnlab.machine.chip import Port
from trnlab.sim.timing.cost import Cost
from trnlab.sim.timing.flat import priced
from trnlab.sim.timing.mechanisms import without
from trnlab.sim.timing.state import Rules

VECTOR, SCALAR, GPSIMD = nisa.engine.vector, nisa.engine.scalar, nisa.engine.gpsimd
ALL = ("tensor", "vector", "scalar")
BOTH = ("vector", "gpsimd")
SBUF = Port(name="sbuf", memory="sbuf", at_once=1, holds=BOTH, waits=BOTH)
BANK = Port(name="bank", memory="psum", at_once=1, holds=ALL, waits=ALL, banked=True)


def scheduled(kernel, chip):
    """Lane, start, end, cause and blocking row of everything."""
    how = {"values": False, "strict": False, "without": "software_pipelining"}
    trace = simulate(kernel, np.zeros(1, np.float32), chip=chip, **how)[1]
    return [(b.lane, b.start, b.busy_until, b.cause, b.blocker) for b in bars(trace)]


def filled(columns, engine, **where):
    tile = nl.ndarray((128, columns), nl.float32, **where)
    nisa.memset(tile, 0.0, engine=engine)
    return tile


def copied(tile, engine):
    nisa.tensor_copy(nl.ndarray(tile.shape, nl.float32), tile, engine=engine)


def test_two_engines_at_one_port_take_turns():
    def kernel(a):
        filled(64, VECTOR)
        filled(32, GPSIMD)
        filled(16, SCALAR)

    turns = [("vector", 0, 64, "first", -1), ("gpsimd", 64, 96, "port", 0)]
    assert scheduled(kernel, toy(ports=(SBUF,))) == [*turns, ("scalar", 0, 16, "first", -1)]
    assert {row[1] for row in scheduled(kernel, TOY)} == {0}


def test_what_comes_later_in_the_program_goes_first_where_there_is_time():
    def kernel(a):
        copied(filled(64, SCALAR), VECTOR)
        filled(64, GPSIMD)
        filled(128, GPSIMD)

    assert scheduled(kernel, toy(ports=(SBUF,)))[1:] == [
        ("vector", 174, 238, "data", 0),
        ("gpsimd", 0, 64, "first", -1),
        ("gpsimd", 238, 366, "port", 1),
    ]


def test_two_engines_at_one_bank_take_turns():
    def kernel(a):
        tile = filled(64, VECTOR, buffer=nl.psum)
        copied(tile, VECTOR)
        copied(tile, SCALAR)
        filled(64, VECTOR, buffer=nl.psum)

    *_, scalar, other = scheduled(kernel, toy(ports=(BANK,)))
    assert scalar == ("scalar", 228, 292, "port", 1)
    assert other == ("vector", 228, 292, "engine busy", 1)  # at a bank of its own


@pytest.mark.parametrize(("second", "cause"), [(256, "port"), (2048, "first")])
def test_places_of_one_bank_are_not_used_at_once(second, cause):
    def kernel(a):
        filled(64, VECTOR, buffer=nl.psum, address=(0, 0))
        filled(64, SCALAR, buffer=nl.psum, address=(0, second))

    assert scheduled(kernel, toy(ports=(BANK,)))[1][3] == cause
    assert scheduled(kernel, TOY)[1][3] == "first"


def test_only_fast_modes_borrow_the_bus():
    def kernel(doubles):
        def run(a):
            data = nl.ndarray((128, 512), nl.bfloat16)
            for _ in range(4):
                if doubles:
                    nisa.tensor_tensor(nl.ndarray((128, 512), nl.bfloat16), data, data, nl.add)
                else:
                    nisa.tensor_copy(nl.ndarray((128, 512), nl.bfloat16), data, engine=VECTOR)
                filled(32, GPSIMD)

        return run

    fast, slow = (scheduled(kernel(doubles), "trn2") for doubles in (False, True))
    assert {row[0] for row in fast if row[3] == "port"} == {"gpsimd"}
    assert "port" not in {row[3] for row in slow}


@pytest.mark.parametrize("key", ["trn1", "trn2", "trn3"])
def test_ports_can_be_left_out(key):
    ports = find_chip(key).core.ports
    assert ports
    for name, banked in (("shared_ports", False), ("psum_banks", True)):
        left = without(find_chip(key), frozenset({name})).core.ports
        assert left == tuple(port for port in ports if port.banked != banked)


@pytest.mark.parametrize("loose", [False, True])
def test_a_compiler_that_orders_the_work_hides_the_port_of_psum(loose):
    chip = find_chip("trn1")
    costs = [
        Cost("copy", queue, 1e-6, 0.0, 1, 1, holds=3, waits=3) for queue in ("vector", "scalar")
    ]
    rules = Rules(1, 0, 0.0, 0.0, 0.0, 1.0, bank=0, ports=len(chip.core.ports), loose=loose)
    prices, _ = priced(costs, chip, rules)
    assert [price.waits for price in prices] == [1 if loose else 3] * 2
