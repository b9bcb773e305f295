"""A program's schedule in columns, made in whichever way is quicker."""

import sys
from importlib import import_module
from importlib.util import find_spec
from math import inf
from typing import Any, NamedTuple

import numpy as np

from trnlab.machine.chip import Chip
from trnlab.sim.program import Program
from trnlab.sim.timing.flat import flattened, priced
from trnlab.sim.timing.schedule import scheduled
from trnlab.sim.timing.state import Flat, Price, Rules, started

COLUMNS = {
    "lane": np.int32,
    "name": np.int32,
    "where": np.int32,
    "start": np.float64,
    "busy_until": np.float64,
    "stop": np.float64,
    "cause": np.int8,
    "blocker": np.int32,
}
STAYS = {"tensor": np.int64, "since": np.float64, "until": np.float64}
COMPILED = "trnlab.sim.timing.compiled"
WORTH = 150_000  # instructions for which Python takes as long as loading what is compiled
LEAST = 200  # instructions from which on it is quicker once it is loaded

in_python = [0.0]  # instructions that this process has scheduled so: a matter of speed alone


class Timed(NamedTuple):
    """The rows of a trace, and which tensor was held from when until when."""

    rows: dict[str, Any]
    stays: dict[str, np.ndarray]


def timed(
    program: Program, chip: Chip, cores: int, *, loose: bool = False, places: bool = False
) -> Timed:
    """Schedules a program on so many cores; ``loose`` lets what is ready overtake what waits.

    ``places`` lets a compiler say where tiles lie: in idle banks of PSUM, results on operands.
    """
    rules = _rules(chip, cores, loose=loose, places=places)
    flat = flattened(program, chip.core, rules)
    how = compiled if _pays(program.count) else interpreted
    return how(flat, *priced(program.costs, chip, rules), rules)


def interpreted(flat: Flat, prices: list[Price], callers: list[int], rules: Rules) -> Timed:
    """Schedules in Python."""
    lists = Flat(*(column.tolist() for column in flat))  # type: ignore[attr-defined]
    rows, stays = scheduled(lists, started(prices, callers, rules))
    return Timed(_columns(rows, COLUMNS), _columns(stays, STAYS))


def compiled(flat: Flat, prices: list[Price], callers: list[int], rules: Rules) -> Timed:
    """Schedules in compiled code, with the same result to the last bit; needs numba."""
    from trnlab.sim.timing import compiled

    rows, stays = compiled.run(flat, prices, callers, rules)
    return Timed(dict(zip(COLUMNS, rows, strict=True)), dict(zip(STAYS, stays, strict=True)))


def _pays(count: int) -> bool:
    """Whether compiled code is there, and quicker even if it has to be loaded."""
    if COMPILED in sys.modules:
        return count >= LEAST
    in_python[0] += count
    if in_python[0] < WORTH or find_spec("numba") is None:
        return False
    try:
        import_module(COMPILED)
    except ImportError:  # a numba that does not work with this NumPy
        in_python[0] = -inf
        return False
    return True


def _columns(rows: list[Any], kinds: dict[str, type]) -> dict[str, np.ndarray]:
    columns = zip(*rows, strict=True) if rows else [()] * len(kinds)
    return {
        name: np.array(column, kind)
        for (name, kind), column in zip(kinds.items(), columns, strict=True)
    }


def _rules(chip: Chip, cores: int, *, loose: bool, places: bool) -> Rules:
    members, rate = chip.stack
    dma, timing, array = chip.core.dma, chip.core.timing, chip.core.array
    shared = cores > 1 and members > 1 and members * dma.engines * dma.rate > rate
    return Rules(
        cores, members if shared else 0, float(timing.semaphore), float(timing.table_load),
        float(array.warm_after), float(array.cold_rate),
        chip.core.psum.bank if places else 0, len(chip.core.ports), loose,
    )  # fmt: skip
