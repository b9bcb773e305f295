import numpy as np
import pytest

from tests.isa.make import TRN2, tile
from trnlab import formats
from trnlab.isa.register import RegisterCompute, RegisterLoad, RegisterMove, RegisterStore
from trnlab.isa.tile import Buffer, Space, whole
from trnlab.sim.timing.cost import cost, with_addresses


def register(dtype="int32"):
    return whole(Buffer(0, "register", Space.register, formats.format_of(dtype), (1,)))


def test_move():
    assert RegisterMove(register(), 7).value().tolist() == [7]
    assert RegisterMove(register(), register()).value(np.int32([9])).tolist() == [9]


def test_load_takes_one_element():
    assert RegisterLoad(register(), tile((1, 1), "int32")).value(np.int32([[5]])).tolist() == [5]
    assert RegisterLoad(register(), tile((1, 2), "int32")).broken(TRN2) == ["src has one element"]
    psum = tile((1, 1), "int32", space="psum")
    assert RegisterLoad(register(), psum).broken(TRN2) == ["src is in SBUF or HBM"]


def test_store_gives_one_element():
    assert not RegisterStore(tile((1, 1), "int32"), register()).broken(TRN2)
    assert RegisterStore(tile((1, 2), "int32"), register()).broken(TRN2) == ["dst has one element"]
    two = tile((1, 1), "int32")
    assert RegisterStore(two, two).broken(TRN2) == ["src is a register"]


@pytest.mark.parametrize(("op", "result"), [("add", 10), ("subtract", 4), ("less", 0)])
def test_arithmetic(op, result):
    made = RegisterCompute(register(), register(), op, 3)
    assert made.value(np.int32([7])).tolist() == [result]


def test_registers_are_no_memory():
    totals = cost(RegisterLoad(register(), tile((1, 1), "int32")), TRN2).totals
    assert totals["sbuf_read_bytes"] == 4
    assert not any(name.endswith("write_bytes") for name in totals)


def test_an_address_from_data_takes_the_least_time_of_a_dynamic_instruction():
    price = cost(RegisterMove(register(), 7), TRN2)
    dynamic = with_addresses(price, TRN2, 1)
    assert dynamic.busy == 600 / TRN2.engine("sync").hz
    assert dynamic.reads == price.reads + 1
