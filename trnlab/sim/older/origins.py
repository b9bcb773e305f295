"""Where an instruction comes from, however the source is laid out.

The compiler sees instructions in loops and not lines. What a helper does for several callers, or
several expressions on one line, is told apart by what is done, the tensor in HBM that is read, and
where the tensor was declared that is written.
"""

import numpy as np

from trnlab.sim.program import Program


def origins(program: Program) -> np.ndarray:
    """For each instruction a number that those share which the compiler made from one."""
    starts, counts, _ = program.spans()
    tensors, table = np.frombuffer(program.operands, np.int64)[::3], program.tensors()
    written, read = tensors[starts], tensors[starts + counts - 1]
    names = {cost.name: n for n, cost in enumerate(program.costs)}
    columns = (
        np.frombuffer(program.heads, np.int64)[1::3],
        np.array([names[cost.name] for cost in program.costs])[program.kinds()],
        np.where(table.memory[read] < 0, read, -1),
        np.where(table.memory[written] < 0, -1, table.place[written]),
    )
    told = np.zeros(program.count, np.int64)
    for column in columns:
        number = _ranks(column)
        told = _ranks(told * (number.max() + 1) + number)
    return told


def _ranks(values: np.ndarray) -> np.ndarray:
    """How many different values are smaller than each; they lie close together."""
    values = values - values.min()
    seen = np.zeros(values.max() + 1, bool)
    seen[values] = True
    return (np.cumsum(seen) - 1)[values]
