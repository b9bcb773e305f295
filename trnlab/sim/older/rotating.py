"""Tiles that the older compiler rotates: what is written anew need not lie where it lay before.

A kernel that fills one tile again and again would wait each time until the last reader is done. The
compiler gives such a tile two places in turn, as long as nobody reads what was there before: while
one is read the other is filled. Bounds of the vendor's pooling tests lie just above that.
"""

import itertools
from array import array
from dataclasses import replace

import numpy as np

from trnlab.isa.tile import LAYOUTS
from trnlab.sim.program import BufferFacts, Program

Access = tuple[int, bool, int, int, int]  # instruction, written, layout, offset, row


def rotated(program: Program) -> Program:
    """The program in which tiles that are filled again lie in two places in turn."""
    number, written = program.accesses()
    table = np.frombuffer(program.operands, np.int64).reshape(-1, 3).copy()
    tensors = table[:, 0]
    first_read = np.full(len(program.buffers), program.count)
    last_write = np.full(len(program.buffers), -1)
    first_read[tensors[~written][::-1]] = number[~written][::-1]
    last_write[tensors[written]] = number[written]
    again = last_write > first_read
    again &= [f.space != "hbm" and not f.placed for f in program.buffers]
    if not again.any():
        return program
    rows = np.flatnonzero(again[tensors])
    order = rows[np.lexsort((written[rows], number[rows], tensors[rows]))]
    buffers = list(program.buffers)
    cuts = np.flatnonzero(np.diff(tensors[order], prepend=-1, append=-1))
    for start, stop in itertools.pairwise(cuts):
        mine = order[start:stop]
        facts = program.tensor(int(tensors[mine[0]]))
        accesses = list(
            zip(number[mine].tolist(), written[mine].tolist(), table[mine, 1].tolist(),
                table[mine, 2].tolist(), mine.tolist(), strict=True)
        )  # fmt: skip
        for filling in _fillings(accesses, facts)[::2]:  # to and fro between two places
            table[[row for *_, row in filling], 0] = len(buffers)
        buffers.append(facts)
    return replace(program, buffers=buffers, operands=array("q", table.tobytes()), loops=[])


def _fillings(accesses: list[Access], facts: BufferFacts) -> list[list[Access]]:
    """All accesses of each filling but the first that leaves nothing of what was there before."""
    runs: list[list[Access]] = []
    for access in accesses:
        if not runs or (access[1] and not runs[-1][-1][1]):
            runs.append([])
        runs[-1].append(access)
    alone = [_is_whole(run, facts) for run in runs]
    for n, run in enumerate(runs):  # an update in place goes on with what it reads
        if n and run[0][0] == runs[n - 1][-1][0]:
            alone[n] = False
    found: list[list[Access]] = []
    for run, fresh in list(zip(runs, alone, strict=True))[1:]:
        if fresh:
            found.append(list(run))
        elif found:
            found[-1].extend(run)
    return found


def _is_whole(run: list[Access], facts: BufferFacts) -> bool:
    """Whether everything that is read was written in the same run."""
    wrote = {(layout, offset) for _, writes, layout, offset, _ in run if writes}
    if any(_bytes(layout) == facts.rows * facts.row_bytes for layout, _ in wrote):
        return True
    return all((layout, offset) in wrote for _, writes, layout, offset, _ in run if not writes)


def _bytes(number: int) -> int:
    here = LAYOUTS[number]
    return here.size * here.itemsize
