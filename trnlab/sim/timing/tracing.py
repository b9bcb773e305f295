"""From a scheduled program to a trace, one for each rank."""

from dataclasses import replace
from typing import Any

import numpy as np

from trnlab.machine.chip import Chip
from trnlab.sim.older.lowering import placed
from trnlab.sim.older.passes import with_its_loads
from trnlab.sim.program import Program
from trnlab.sim.timing.capacity import needs, occupancy
from trnlab.sim.timing.launching import launched
from trnlab.sim.timing.moved import moved_tensors
from trnlab.sim.timing.rooms import heirs
from trnlab.sim.timing.state import RANK
from trnlab.sim.timing.timed import timed
from trnlab.trace import HELD, MEMORIES, QUEUES, Trace


def trace_of(
    program: Program,
    chip: Chip,
    cores: int = 1,
    compiler: str = "",
    without: frozenset[str] = frozenset(),
) -> Trace:
    """Schedules a program on ``cores`` cores of a chip; times in seconds.

    ``compiler`` "older" lets the older compiler have its way with it first, and "as written" the
    same without its middle end; that of today orders instructions and no more. ``without`` names
    mechanisms that are left out.
    """
    loose = "software_pipelining" not in without
    if not compiler or not program.count:
        if "engine_choice" in without:
            costs = [replace(cost, also=None) for cost in program.costs]
            program = replace(program, costs=costs)
        return _traces(program, chip, cores, 1, loose=loose and not program.loops)[0]
    if compiler == "older":
        program = with_its_loads(program, chip.core, without)
        program = placed(program, chip.core, without)
    else:
        program = placed(program, chip.core, without | {"dma_merging"})
    return _traces(program, chip, cores, 1, loose=loose, places=True)[0]


def traces_of(program: Program, chip: Chip, cores: int, ranks: int) -> list[Trace]:
    """Schedules a program on ``ranks`` times ``cores`` cores, and gives each rank its trace.

    Times count from when all ranks start. What waited for another rank says so, and has no
    blocking row.
    """
    return _traces(program, chip, cores, ranks, loose=not program.loops)


def _traces(
    program: Program, chip: Chip, cores: int, ranks: int, *, loose: bool, places: bool = False
) -> list[Trace]:
    held, stays = timed(program, chip, cores * ranks, loose=loose, places=places)
    names = tuple(c.name for c in program.costs)
    wheres = tuple(f"{code.co_filename}:{line}" for code, line in program.places)
    totals, tensors = _totals(program, cores, ranks), moved_tensors(program)
    peaks = needs(program, chip.core, heirs(program) if places else ())
    traces = []
    for rank in range(ranks):
        mine = held if ranks == 1 else _part(held, program, cores, ranks, rank)
        trace = Trace(lanes=_lanes(cores, mine["lane"]), names=names, wheres=wheres, **mine)
        trace.totals, trace.tensors = totals[rank], tensors
        trace.work = tuple(c.totals for c in program.costs)
        for need in peaks:
            if need.core // cores == rank:
                key = f"{need.space}_peak_bytes"
                trace.totals[key] = max(trace.totals.get(key, 0.0), float(need.peak))
        trace.held, trace.holders = _held(program, stays, cores, rank)
        trace.counters = _counters(program, trace, cores)
        traces.append(launched(trace, chip.core))
    return traces


def _lanes(cores: int, used: np.ndarray) -> tuple[str, ...]:
    prefixes = [""] if cores == 1 else [f"nc{n}/" for n in range(cores)]
    queues = [f"{prefix}{queue}" for prefix in prefixes for queue in QUEUES]
    lanes = [*queues, *(f"{p}dma/{q}" for p in prefixes for q in QUEUES)]
    if len(used) and used.max() >= len(lanes):  # only where ranks meet
        lanes += [f"{p}cc" for p in prefixes]
    return tuple(lanes)


def _part(
    held: dict[str, Any], program: Program, cores: int, ranks: int, rank: int
) -> dict[str, Any]:
    """The rows of one rank, with lanes and blocking rows as if there were no others."""
    lane, width = held["lane"], len(QUEUES)
    kind, at = np.divmod(lane, width * cores * ranks)  # queues, DMA queues, collectives
    per_rank = np.where(kind < 2, width * cores, cores)
    rows = np.flatnonzero(at // per_rank == rank)
    mine = {name: column[rows] for name, column in held.items()}
    mine["lane"] = (kind * width * cores + at % per_rank)[rows].astype(np.int32)
    local = np.full(len(lane) + 1, -1, np.int32)  # the last stands for no row at all
    local[rows] = np.arange(len(rows))
    for row in rows[kind[rows] == 2].tolist():  # whoever waits for a collective waits for its first
        callers = program.costs[held["name"][row]].callers
        first = row - [core for core, _ in callers].index(int(at[row]))
        local[first] = local[row]
    blocker = mine["blocker"]
    mine["blocker"] = local[blocker]
    for row in np.flatnonzero((blocker >= 0) & (mine["blocker"] < 0)).tolist():
        mine["blocker"][row] = same = _twin(mine["stop"][:row], held["stop"][blocker[row]])
        mine["cause"][row] = mine["cause"][row] if same >= 0 else RANK
    return mine


def _twin(stops: np.ndarray, when: float) -> int:
    """The last of a rank's rows that ends when another rank's does; -1 where none does.

    Where ranks are alike all of them come last, and each then waited for itself.
    """
    found = np.flatnonzero(stops == when)
    return int(found[-1]) if len(found) else -1


def _totals(program: Program, cores: int, ranks: int) -> list[dict[str, float]]:
    """Sums over the instructions of each rank; of a collective, every rank has its share."""
    kinds = program.kinds()
    rank = np.frombuffer(program.heads, np.int64)[2::3] // cores if ranks > 1 else 0 * kinds
    width = len(program.costs)
    counts = np.bincount(rank * width + kinds, minlength=ranks * width).reshape(ranks, width)
    found: list[dict[str, float]] = [{} for _ in range(ranks)]
    for index, cost in enumerate(program.costs):
        times = counts[:, index]
        if cost.callers:
            times = np.zeros(ranks)
            for core, _ in cost.callers:
                times[core // cores] += counts[:, index].sum()
        for totals, count in zip(found, times.tolist(), strict=True):
            for key, amount in cost.totals.items() if count else ():
                totals[key] = totals.get(key, 0.0) + count * amount
    return found


def _held(
    program: Program, stays: dict[str, np.ndarray], cores: int, rank: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The tensors on chip of a rank, in the order in which they were freed, and their names."""
    table = program.tensors()
    mine = table.core[stays["tensor"]] // cores == rank
    tensors = stays["tensor"][mine]
    held = np.zeros(len(tensors), HELD)
    names = [program.buffers[n].name or f"t{n}" for n in tensors.tolist()]
    number = {name: index for index, name in enumerate(dict.fromkeys(names))}
    held["since"], held["until"] = stays["since"][mine], stays["until"][mine]
    held["tensor"] = [number[name] for name in names]
    held["memory"], held["core"] = table.memory[tensors], table.core[tensors] % cores
    held["where"], held["size"] = table.place[tensors], table.row_bytes[tensors]
    held["byte"] = np.where(table.placed, table.base_byte, -1)[tensors]
    return held, tuple(number)


def _counters(
    program: Program, trace: Trace, cores: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    counters = {}
    for memory, space in enumerate(MEMORIES):
        held = trace.held[trace.held["memory"] == memory]
        if len(held):
            sizes = held["size"].astype(float)
            counters[f"{space} bytes"] = occupancy(held["since"], held["until"], sizes)
    moving = np.flatnonzero(trace.lane // (len(QUEUES) * cores) == 1)
    start, stop, kinds = trace.start[moving], trace.stop[moving], trace.name[moving]
    length = np.maximum(stop - start, 1e-12)
    for name, attribute in (("hbm read B/s", "hbm_read"), ("hbm write B/s", "hbm_write")):
        amounts = np.array([getattr(c, attribute) for c in program.costs])[kinds]
        used = amounts > 0
        if used.any():
            counters[name] = occupancy(start[used], stop[used], (amounts / length)[used])
    return counters
