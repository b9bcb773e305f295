"""Tiles that are several: what no instruction touches at once need not lie, or leave, together."""

from array import array
from dataclasses import replace

import numpy as np

from trnlab.isa.tile import LAYOUTS
from trnlab.sim.program import BufferFacts, Program, layout_bytes
from trnlab.trace import MEMORIES


def split(program: Program) -> Program:
    """The program in which parts of a tile that are only used apart are tiles of their own.

    Parts are ranges of columns. A tile that some instruction touches as a whole stays one.
    """
    table = np.frombuffer(program.operands, np.int64).reshape(-1, 3).copy()
    tensors = program.tensors()
    floating = (tensors.memory == MEMORIES.index("sbuf")) & ~tensors.placed
    rows = np.flatnonzero(floating[table[:, 0]])
    first, past = _columns(table[rows])
    order = np.lexsort((first, table[rows, 0]))
    rows, first, past = rows[order], first[order], past[order]
    owner = table[rows, 0]
    reach = np.maximum.accumulate(owner * (past.max(initial=0) + 1) + past)
    apart = np.ones(len(rows), bool)  # begins behind all that came before in its tile
    apart[1:] = (owner * (past.max(initial=0) + 1) + first)[1:] >= reach[:-1]
    starts = np.flatnonzero(apart)
    if len(starts) == len(np.unique(owner)):
        return program
    names, buffers = np.zeros(len(starts), np.int64), list(program.buffers)
    ends = np.maximum.reduceat(past, starts)
    several = np.bincount(owner[starts], minlength=len(buffers)) > 1
    low = np.where(several[owner[starts]], first[starts], 0)
    for part, tile in enumerate(owner[starts].tolist()):
        names[part] = tile
        if several[tile]:
            names[part] = len(buffers)
            width = int(ends[part] - low[part])
            facts = program.tensor(tile)
            buffers.append(BufferFacts(*facts[:3], width, *facts[4:]))
    parts = np.cumsum(apart) - 1
    items = np.array([here.itemsize for here in LAYOUTS])[table[rows, 1]]
    table[rows, 0] = names[parts]
    table[rows, 2] -= low[parts] // items
    return replace(program, buffers=buffers, operands=array("q", table.tobytes()), loops=[])


def _columns(operands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each operand the first byte of a row that it touches, and the one past the last."""
    kinds, inverse = np.unique(operands[:, 1], return_inverse=True)
    found = [LAYOUTS[kind] for kind in kinds.tolist()]
    width, below, pitch, item = (
        np.array(of, np.int64)[inverse]
        for of in zip(*((h.extent[1], h.below, h.pitch, h.itemsize) for h in found), strict=True)
    )
    first = (operands[:, 2] - below) % pitch
    within = first + width <= pitch  # else it runs on into the next rows
    return np.where(within, first, 0) * item, np.where(within, first + width, pitch) * item


def without_overwritten(program: Program) -> Program:
    """The program less what fills a tile that is filled anew before anybody has read it."""
    number, written = program.accesses()
    table = np.frombuffer(program.operands, np.int64).reshape(-1, 3)
    adds = np.array([cost.adds or cost.dynamic for cost in program.costs])
    reads = ~written | adds[program.kinds()[number]]
    first_read = np.full(len(program.buffers), program.count)
    first_read[table[reads, 0][::-1]] = number[reads][::-1]
    tensors = program.tensors()
    whole = layout_bytes(table[:, 1]) == (tensors.rows * tensors.row_bytes)[table[:, 0]]
    early = written & (number < first_read[table[:, 0]])
    on_chip = np.array([f.space != "hbm" and not f.placed for f in program.buffers])
    early &= on_chip[table[:, 0]]
    anew = np.full(len(program.buffers), -1)
    anew[table[early & whole, 0]] = number[early & whole]
    used = np.zeros(program.count, bool)
    used[number[written & ~(early & (number < anew[table[:, 0]]))]] = True
    if used.all():
        return program
    heads = np.frombuffer(program.heads, np.int64).reshape(-1, 3)[used]
    return replace(
        program,
        heads=array("q", heads.tobytes()),
        operands=array("q", table[used[number]].tobytes()),
        loops=[],
    )
