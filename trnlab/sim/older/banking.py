"""Transposes that share a bank of PSUM and leave it in one copy.

The evidence is in traces of attention on trn2: where a kernel copies each [128, 128] transpose to
its place in SBUF, the device copies [128, 512] after every four.
"""

from array import array
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trnlab.isa.move import TensorCopy
from trnlab.isa.tile import LAYOUTS, Layout, layout, placeholder
from trnlab.machine.chip import Core
from trnlab.sim.program import BufferFacts, Program
from trnlab.sim.timing.cost import cost


def banked(program: Program, core: Core) -> Program:
    """The program in which neighbouring transposes fill a bank that is copied at once."""
    groups = [] if program.edges else list(_groups(program, core))
    if not groups:
        return program
    costs, buffers = list(program.costs), list(program.buffers)
    heads = np.frombuffer(program.heads, np.int64).reshape(-1, 3).copy()
    table = np.frombuffer(program.operands, np.int64).reshape(-1, 3).copy()
    starts, kept = program.spans()[0], np.ones(program.count, bool)
    numbers: dict[tuple[int, int], int] = {}
    for turns, copies in groups:
        at = starts[copies]
        kind = int(heads[copies[0], 0]), len(copies)
        dst, src = (_wider(LAYOUTS[table[at[0] + n, 1]], len(copies), n) for n in (0, 1))
        if kind not in numbers:
            numbers[kind] = len(costs)
            costs.append(cost(TensorCopy(placeholder(dst), placeholder(src)), core))
        one = LAYOUTS[table[at[0] + 1, 1]]
        part = layout(one.space, one.dtype, one.shape, (src.pitch, 1), src.pitch).index
        for number, turn in enumerate(turns):
            table[starts[turn]] = len(buffers), part, number * one.shape[1]
        last = copies[-1]
        heads[last, 0] = numbers[kind]
        table[starts[last]] = table[at[0], 0], dst.index, table[at[0], 2]
        table[starts[last] + 1] = len(buffers), src.index, 0
        kept[copies[:-1]] = False
        facts = buffers[int(program.operands[3 * (at[0] + 1)])]
        buffers.append(facts._replace(name="", row_bytes=facts.row_bytes * len(copies)))
    return replace(
        program,
        costs=costs,
        buffers=buffers,
        heads=array("q", heads[kept].tobytes()),
        operands=array("q", table[kept[program.accesses()[0]]].tobytes()),
        loops=[],
    )


def _groups(program: Program, core: Core) -> Iterator[tuple[list[int], list[int]]]:
    """Transposes and their copies, those that share a bank together."""
    table = np.frombuffer(program.operands, np.int64).reshape(-1, 3)
    tensors, kinds, starts = table[:, 0], program.kinds(), program.spans()[0]
    number, writes = program.accesses()
    count = len(program.buffers)
    last, first_read = np.full(count, -1), np.full(count, program.count)
    last[tensors[writes]] = number[writes]
    first_read[tensors[~writes][::-1]] = number[~writes][::-1]
    once = np.bincount(tensors[writes], minlength=count) == 1
    once &= np.bincount(tensors[~writes], minlength=count) == 1
    copies = np.array([c.name == "tensor_copy" and c.also is not None for c in program.costs])
    turned = np.array([c.name == "nc_transpose" and c.queue == "tensor" for c in program.costs])
    able = np.flatnonzero(copies[kinds])
    source = tensors[starts[able] + 1]
    able, source = able[once[source]], source[once[source]]
    kept = turned[kinds[last[source]]]
    turns: list[int] = []
    run: list[int] = []
    for copy, made in zip(able[kept].tolist(), last[source[kept]].tolist(), strict=True):
        (target, wide, at), (tile, whole, _) = table[starts[copy] : starts[copy] + 2].tolist()
        if not _is_plain(LAYOUTS[wide], LAYOUTS[whole], program.buffers[tile]):
            continue
        full = len(run) == core.psum.bank // program.buffers[tile].row_bytes
        behind = (target, wide, at - LAYOUTS[wide].shape[1])
        if not run or full or tuple(table[starts[run[-1]]]) != behind or first_read[target] < copy:
            if len(run) > 1:
                yield turns, run
            turns, run = [], []
        turns.append(made)
        run.append(copy)
    if len(run) > 1:
        yield turns, run


def _is_plain(dst: Layout, src: Layout, facts: BufferFacts) -> bool:
    """Whether rows of one type are copied as they are, the whole tile."""
    return (
        dst.dtype == src.dtype
        and len(dst.shape) == len(src.shape) == 2
        and dst.strides == (dst.pitch, 1)
        and src.strides == (src.pitch, 1)
        and facts.row_bytes == src.shape[1] * src.itemsize
        and not facts.placed
    )


def _wider(one: Layout, times: int, is_whole: int) -> Layout:
    """So many of an access side by side; in a buffer of its own where that is the whole."""
    columns = one.shape[1] * times
    pitch = columns if is_whole else one.pitch
    return layout(one.space, one.dtype, (one.shape[0], columns), (pitch, 1), pitch)
