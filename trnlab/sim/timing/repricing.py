"""The same program on another machine, or with more tensors: what a what-if schedules."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace

from trnlab.isa.collective import Collective
from trnlab.isa.tile import LAYOUTS
from trnlab.machine.chip import Chip, Core
from trnlab.sim.core import Run
from trnlab.sim.program import Program
from trnlab.sim.timing.cost import cost, with_addresses
from trnlab.trace import Trace


def retimed(
    run: Run,
    trace: Callable[[Run], Trace],
    chip: Chip,
    rewrite: Callable[[Program], Program] | None = None,
) -> Trace:
    """When a recorded program happens on another chip, or what ``rewrite`` makes of it.

    ``trace`` schedules a run.
    """
    program = repriced(run, chip.core)
    other = copy(run)
    other.chip, other.core = chip, chip.core
    other.program = rewrite(program) if rewrite else program
    return trace(other)


def repriced(run: Run, core: Core) -> Program:
    """The recorded program with what its instructions cost on another core.

    Instructions that broke a rule, and collectives, keep their price.
    """
    costs = list(run.program.costs)
    for key, entry in run.entries.items():
        if isinstance(entry.model, Collective):
            continue
        price = cost(entry.model, core)
        if key[0] == "dynamic":
            price = with_addresses(price, core, key[1])
        costs[entry.number] = price
    return replace(run.program, costs=costs)


def renamed(program: Program) -> Program:
    """The program with a fresh on-chip tensor wherever one is written anew from end to end.

    That is what a kernel does which allocates its tiles inside of its loop: nothing waits for the
    readers of a tile's last contents, only for room. Tensors that the kernel placed are left to
    the allocator.
    """
    buffers = [f._replace(placed=False) for f in program.buffers]
    operands = program.operands[:]
    current, used = list(range(len(buffers))), [False] * len(buffers)
    heads, at = program.heads, 0
    for kind in heads[::3]:
        price = program.costs[kind]
        reads = 3 * price.writes
        count = 3 * (price.writes + price.reads)
        for here in range(at + reads, at + count, 3):
            operands[here] = current[operands[here]]
        for here in range(at, at + reads, 3):
            old = operands[here]
            facts = buffers[old]
            whole = not price.adds and not price.dynamic and facts.space != "hbm"
            if whole and used[old] and _covers(operands[here + 1], facts.rows * facts.row_bytes):
                current[old] = len(buffers)
                buffers.append(facts)
            used[old] = True
            operands[here] = current[old]
        at += count
    return replace(program, operands=operands, buffers=buffers)


def _covers(layout: int, size: int) -> bool:
    here = LAYOUTS[layout]
    return here.size * here.itemsize == size
