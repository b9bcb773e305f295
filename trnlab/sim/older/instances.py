"""Instances of a grid that do what the first has done, which the older compiler leaves out.

A test of the vendor launches a kernel ten times that never asks which instance it is; its bound is
that of one.
"""

from array import array
from dataclasses import replace

import numpy as np

from trnlab.sim.program import Program


def once(program: Program) -> Program:
    """The first instance alone, where all others do the same to the same tensors."""
    starts = program.instances
    count = len(starts)
    end = starts[1] if count > 1 else 0
    if program.edges or not end or np.any(np.diff([*starts, program.count]) != end):
        return program
    heads = np.frombuffer(program.heads, np.int64).reshape(count, -1)
    operands = np.frombuffer(program.operands, np.int64).reshape(-1, 3)
    if np.any(heads != heads[0]):  # so that all have equally many operands
        return program
    tensors, places = operands[:, 0].reshape(count, -1), operands[:, 1:].reshape(count, -1)
    further = tensors - tensors[0]  # tensors of its own are as many further as there are in one
    step = further[1].max() * np.arange(count)[:, None]
    if np.any(places != places[0]) or np.any((further != 0) & (further != step)):
        return program
    return replace(
        program,
        heads=array("q", heads[0].tobytes()),
        operands=array("q", operands[: tensors.shape[1]].tobytes()),
        loops=[loop for loop in program.loops if loop.starts[-1] <= end],
        reduced={number for number in program.reduced if number < end},
        instances=[],
    )
