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
    starts, counts, _ = program.spans()
    rows = np.flatnonzero(transfers[kinds])
    places = np.frombuffer(program.heads, np.int64)[1::3][rows]
    buffers = np.frombuffer(program.operands, np.int64)[::3]
    written, read = buffers[starts[rows]], buffers[starts[rows] + counts[rows] - 1]
    in_hbm = program.tensors().memory < 0
    told = np.where(in_hbm[read] & ~in_hbm[written], read, written)
    order = np.lexsort((read, written, places, kinds[rows]))
    lines, told = np.stack((kinds[rows], places), axis=1)[order], told[order]
    fresh = np.flatnonzero(np.append(True, (lines[1:] != lines[:-1]).any(axis=1)))
    where, found = list(program.places), []
    for (kind, place), several in zip(
        lines[fresh].tolist(), np.split(told, fresh[1:]), strict=True
    ):
        once = several[np.sort(np.unique(several, return_index=True)[1])].tolist()
        names = dict.fromkeys(_name(program.tensor(tensor), where) for tensor in once)
        names.pop("", None)
        if names:
            found.append((kind, place, _listed(list(names))))
    return tuple(found)


def _name(facts: BufferFacts, lines: list) -> str:
    """The name that a tensor was given, else that of the variable it was assigned to."""
    if not _UNNAMED.fullmatch(facts.name):
        return facts.name
    code, line = lines[facts.place]
    assigned = _ASSIGNED.match(linecache.getline(code.co_filename, line))
    return assigned[1] if assigned else "" if facts.name.startswith("t") else facts.name


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
