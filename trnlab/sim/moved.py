"""Which tensors transfers move, so that a report can say what a kernel waits for."""

import linecache
import re

import numpy as np

from trnlab.sim.program import BufferFacts, Program

_ASSIGNED = re.compile(r"\s*(\w+)\s*=[^=]")
_UNNAMED = re.compile(r"(t|out)\d+")  # what a tensor is called that the kernel gave no name


def moved_tensors(program: Program) -> tuple[tuple[int, int, str], ...]:
    """For transfers of each kind (as an index of its cost) on each line: the tensors they move.

    A transfer is told by its HBM tensor, where it has one; several are listed, the first in full.
    """
    kinds = program.kinds()
    transfers = np.array([c.is_transfer for c in program.costs], bool)
    if not transfers.any():
        return ()
    counts = np.array([c.writes + c.reads for c in program.costs])[kinds]
    starts = np.cumsum(counts) - counts
    rows = np.flatnonzero(transfers[kinds])
    places = np.frombuffer(program.heads, np.int64)[1::3]
    buffers = np.frombuffer(program.operands, np.int64)[::3]
    ends = (buffers[starts[rows]], buffers[starts[rows] + counts[rows] - 1])
    keys = np.unique(np.stack([kinds[rows], places[rows], *ends], axis=1), axis=0)
    lines = list(program.places)
    found: dict[tuple[int, int], dict[str, None]] = {}
    for kind, place, written, read in keys.tolist():
        facts = [program.buffers[written], program.buffers[read]]
        told = min(facts, key=lambda f: f.space != "hbm")
        if name := _name(told, lines):
            found.setdefault((kind, place), {})[name] = None
    return tuple((kind, place, _listed(list(names))) for (kind, place), names in found.items())


def _name(facts: BufferFacts, lines: list) -> str:
    """The name that a tensor was given, else that of the variable it was assigned to."""
    if not _UNNAMED.fullmatch(facts.name):
        return facts.name
    code, line = lines[facts.place]
    assigned = _ASSIGNED.match(linecache.getline(code.co_filename, line))
    return assigned[1] if assigned else "" if facts.name.startswith("t") else facts.name


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
