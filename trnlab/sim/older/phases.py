"""Loops that hand tensors on through HBM: the second begins when the first has stored everything.

The older compiler knows which tensor in HBM a transfer touches, and not which part of it another
loop has written. Inside one loop it follows the parts.
"""

from dataclasses import replace

import numpy as np

from trnlab.sim.older.origins import origins
from trnlab.sim.program import Program


def in_phases(program: Program) -> Program:
    """The program where loads of a line wait for the stores of lines that ended before it."""
    kinds = program.kinds()
    moves = np.array([c.is_transfer and c.reads == c.writes == 1 for c in program.costs])[kinds]
    starts = program.spans()[0]
    tensors = np.frombuffer(program.operands, np.int64)[::3]
    places = origins(program)
    numbers = np.flatnonzero(moves)
    in_hbm = np.array([facts.space == "hbm" for facts in program.buffers])
    written, read = tensors[starts[numbers]], tensors[starts[numbers] + 1]
    both = np.intersect1d(written[in_hbm[written]], read[in_hbm[read]])
    stores: dict[int, dict[int, int]] = {tensor: {} for tensor in both.tolist()}
    for number in numbers[np.isin(written, both)].tolist():
        stores[int(tensors[starts[number]])][int(places[number])] = number  # the last of each line
    loads: dict[tuple[int, int], list[int]] = {}
    for number in numbers[np.isin(read, both)].tolist():
        whose = int(tensors[starts[number] + 1]), int(places[number])
        loads.setdefault(whose, []).append(number)
    edges: dict[int, list[int]] = {}
    for (tensor, _), mine in loads.items():
        before = [number for _, number in sorted(stores[tensor].items()) if number < mine[0]]
        if before:
            edges.update(dict.fromkeys(mine, before))
    return replace(program, edges=program.edges | edges) if edges else program
