"""Running a kernel on many ranks at once."""

from collections.abc import Sequence
from typing import Any

from trnlab.errors import BadArguments
from trnlab.machine.catalogue.systems import SYSTEMS
from trnlab.machine.catalogue.systems import system as find_system
from trnlab.machine.chip import Chip
from trnlab.machine.system import System
from trnlab.nki import jit
from trnlab.nki.jit import Kernel, Settings
from trnlab.nki.ranks import simulate_ranks
from trnlab.studies.run import api_of
from trnlab.trace import Trace


def run_ranks(
    kernel: Any,
    calls: Sequence[Any],
    system: str | System | None = None,
    *,
    values: bool = True,
    time: bool = True,
    strict: bool = True,
    assume: int | None = None,
) -> tuple[list[Any], list[Trace]]:
    """Runs a kernel on several ranks at the same time and returns (outputs, traces), one a rank.

    ``calls`` holds the arguments of each rank: a tuple, or a dictionary of named ones. A rank is
    one core, or two with ``kernel[2]``; rank 0 sits on the first cores of ``system``, the others
    follow. Without a name the smallest machine is taken that holds them all with the chip in use.
    Raises what `trnlab.run` raises, and Deadlock when a rank waits for one that never comes.
    """
    made = kernel if isinstance(kernel, Kernel) else Kernel(kernel, api_of(kernel))
    how = Settings(values=values, timed=time, strict=strict, assume=assume)
    given = [_call(call, rank) for rank, call in enumerate(calls)]
    if isinstance(system, str):
        system = find_system(system)
    if system is None:
        chip = jit.chip_in_use(None, made.options.get("platform_target"))
        system = _smallest(chip, len(given) * (2 if made.grid == (2,) else 1))
    results = simulate_ranks(made, given, how, system)
    return [r.outputs for r in results], [r.trace for r in results if r.trace is not None]


def _call(call: Any, rank: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(call, dict):
        return (), call
    if isinstance(call, (tuple, list)):
        return tuple(call), {}
    raise BadArguments(
        f"the arguments of rank {rank} are a {type(call).__name__}",
        fix="give each rank a tuple, such as (x,), or a dictionary of named arguments",
    )


def _smallest(chip: Chip, cores: int) -> System:
    able = [s for s in SYSTEMS if s.chip is chip and s.cores >= cores]
    if not able:
        raise BadArguments(
            f"no machine in the catalogue holds {cores} cores of {chip.key}",
            fix="name a system, such as '2xtrn2.48xlarge' for two servers",
        )
    return min(able, key=lambda s: s.cores)
