"""Arithmetic with a number that the older compiler leaves to the instruction that uses its result.

`tensor_scalar` has two operators, and `scalar_tensor_tensor` one for a number and one for a tensor.
The evidence is in a gelu that is written with the operators of Python: where it is the limit, its
kernel takes a quarter less time than one instruction for each operator would.
"""

from array import array
from dataclasses import replace

import numpy as np

from trnlab.isa.elementwise import ScalarTensorTensor, TensorScalar
from trnlab.isa.ops import op_of
from trnlab.isa.tile import LAYOUTS, placeholder
from trnlab.machine.chip import Core
from trnlab.sim.program import Program
from trnlab.sim.timing.cost import Cost, cost


def joined(program: Program, core: Core) -> Program:
    """The program with operators in pairs, where only the second uses what the first has made."""
    pairs = [] if program.edges else _pairs(program)
    if not pairs:
        return program
    costs, kept = list(program.costs), np.ones(program.count, bool)
    heads = np.frombuffer(program.heads, np.int64).reshape(-1, 3).copy()
    table = np.frombuffer(program.operands, np.int64).reshape(-1, 3).copy()
    starts = program.spans()[0]
    numbers: dict[tuple[int, int], int] = {}
    for first, second, operand in pairs:
        table[operand] = table[starts[first] + 1]
        kept[first] = False
        kinds = int(heads[first, 0]), int(heads[second, 0])
        if kinds not in numbers:
            numbers[kinds] = len(costs)
            costs.append(_both(costs[kinds[1]], table[starts[second] :, 1], core))
        heads[second, 0] = numbers[kinds]
    return replace(
        program,
        costs=costs,
        heads=array("q", heads[kept].tobytes()),
        operands=array("q", table[kept[program.accesses()[0]]].tobytes()),
        loops=[],
    )


def _pairs(program: Program) -> list[tuple[int, int, int]]:
    """Instructions that are joined, and which operand of the second the first has made."""
    second = np.array([c.joins for c in program.costs])
    first = second & [c.name == "tensor_scalar" and c.reads == 1 for c in program.costs]
    kinds, starts = program.kinds(), program.spans()[0]
    table = np.frombuffer(program.operands, np.int64).reshape(-1, 3)
    tensors, (number, writes) = table[:, 0], program.accesses()
    count = len(program.buffers)
    last = np.full(count, -1)
    last[tensors[writes]] = number[writes]
    once = np.bincount(tensors[writes], minlength=count) == 1
    once &= np.bincount(tensors[~writes], minlength=count) == 1
    operand = np.flatnonzero(~writes & second[kinds[number]] & once[tensors])
    operand = operand[first[kinds[last[tensors[operand]]]]]
    maker = last[tensors[operand]]
    whole = (table[operand] == table[starts[maker]]).all(axis=1)
    whole &= last[tensors[starts[maker] + 1]] < maker  # what went into it is still there
    rows = np.stack((number[operand], maker, operand), axis=1)[whole].tolist()
    found, taken = [], set[int]()
    for late, early, at in sorted(rows, reverse=True):  # of two operands the one made last
        if not taken & {late, early}:
            taken |= {late, early}
            found.append((early, late, at))
    return found


def _both(second: Cost, layouts: np.ndarray, core: Core) -> Cost:
    """The price of an instruction with one operator more in front."""
    numbers = layouts[: 1 + second.reads].tolist()
    dst, data, *others = (placeholder(LAYOUTS[number]) for number in numbers)
    add = op_of("add")  # all operators cost the same
    if second.name == "tensor_scalar":
        both = TensorScalar(dst, data, add, 0.0, op1=add, operand1=0.0)
    else:
        both = ScalarTensorTensor(dst, data, add, 0.0, add, others[0])
    return replace(cost(both, core), reads=second.reads)
