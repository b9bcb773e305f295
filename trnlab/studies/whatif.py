"""What a limit costs: the same program, timed again on a chip that lacks the limit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from trnlab.errors import BadArguments, NotModelled
from trnlab.machine.chip import Chip, Core
from trnlab.nki.jit import Result
from trnlab.report.why import Gain, Why
from trnlab.studies.advice import advise
from trnlab.trace import Trace

LEAST = 0.005  # share of a run that is worth telling
ROOM = 1 << 40  # bytes a partition: more than any kernel fills


@dataclass(frozen=True)
class Limit:
    """Something that holds a kernel up, and the core without it."""

    name: str
    text: str
    lift: Callable[[Core], Core]


def _engine(name: str, **changes: Any) -> Callable[[Core], Core]:
    def lift(core: Core) -> Core:
        made = tuple(replace(e, **changes) if e.name == name else e for e in core.engines)
        return replace(core, engines=made)

    return lift


def _faster(name: str) -> Limit:
    return Limit(name, f"a {name} engine of endless speed", _engine(name, hz=inf, fixed=0.0))


def _dma(**changes: float) -> Callable[[Core], Core]:
    return lambda core: replace(core, dma=replace(core.dma, **changes))


def _timing(**changes: float) -> Callable[[Core], Core]:
    return lambda core: replace(core, timing=replace(core.timing, **changes))


def _room(core: Core) -> Core:
    return replace(core, sbuf=replace(core.sbuf, usable=ROOM), psum=replace(core.psum, usable=ROOM))


def _visible(core: Core) -> Core:
    return replace(core, engines=tuple(replace(e, fixed=0.0) for e in core.engines))


NO_TRIGGER = {"trigger": 0.0, "trigger_software": 0.0}
NO_PACKET = {"packet": 0.0, "packet_software": 0.0}
LIMITS = (
    Limit("dma", "DMA that takes no time", _dma(rate=inf, latency=0.0, **NO_TRIGGER, **NO_PACKET)),
    Limit("dma rate", "DMA engines with endless bandwidth", _dma(rate=inf)),
    Limit("dma packets", "packets that cost only their bytes", _dma(**NO_PACKET)),
    Limit("dma latency", "transfers that start when they are triggered", _dma(latency=0.0)),
    Limit("dma triggers", "triggers that occupy no queue", _dma(**NO_TRIGGER)),
    _faster("tensor"),
    _faster("vector"),
    _faster("scalar"),
    _faster("gpsimd"),
    Limit("results", "results that are visible at once", _visible),
    Limit("signals", "engines that see each other at once", _timing(semaphore=0.0)),
    Limit("tables", "function tables that are always there", _timing(table_load=0.0)),
    Limit(
        "cold clock",
        "an array that is always warm",
        lambda core: replace(core, array=replace(core.array, cold_rate=1.0)),
    ),
    Limit("ports", "ports and banks that engines never share", lambda c: replace(c, ports=())),
    Limit("room", "endless SBUF and PSUM", _room),
)


def why(result: Result) -> Why:
    """What would be gained by removing each limit of a run, and what to change in the kernel.

    The recorded program is timed again for each. Raises BadArguments where the run was not timed,
    and NotModelled where its program was not kept: on several ranks.
    """
    trace, retime = timed(result)
    again = {limit.name: retime(lifted(result.chip, limit)).seconds for limit in LIMITS}
    gains = [
        Gain(limit.name, limit.text, saved, saved / trace.seconds)
        for limit in LIMITS
        if (saved := trace.seconds - again[limit.name]) > LEAST * trace.seconds
    ]
    gains.sort(key=lambda gain: -gain.seconds)
    return Why(gains, advise(trace, result.chip, retime))


def timed(result: Result) -> tuple[Trace, Callable[..., Trace]]:
    """The trace of a run, and what times its program again."""
    if result.trace is None:
        raise BadArguments(f"{result.kernel} was not timed", fix="run without --no-time")
    if result.retime is None:
        raise NotModelled(f"timing {result.kernel} again", "its program, which was not kept")
    return result.trace, result.retime


def lifted(chip: Chip, limit: Limit) -> Chip:
    """The chip without a limit."""
    return replace(chip, core=limit.lift(chip.core))
