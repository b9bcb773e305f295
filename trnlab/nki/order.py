"""Order beyond what data needs: the edges of `Kernel.with_schedule`."""

from collections.abc import Sequence

from trnlab.errors import BadArguments, UnknownName
from trnlab.sim.core import Run


def add_edges(run: Run, schedule: Sequence[tuple[str, str | Sequence[str]]]) -> None:
    """Lets named instructions wait for each other: pairs of a consumer and its producers.

    Raises UnknownName for a name that no instruction has, BadArguments for a wait for a later one.
    """
    for consumer, producers in schedule:
        for producer in [producers] if isinstance(producers, str) else producers:
            for name in (consumer, producer):
                if name not in run.named:
                    raise UnknownName("instruction of this kernel", name, run.named)
            after, before = run.named[consumer], run.named[producer]
            if before >= after:
                raise BadArguments(
                    f"'{consumer}' cannot wait for '{producer}', which is issued after it",
                    limit="an order that the kernel's own data allows",
                    fix="issue them in that order",
                    see="nki.jit",
                )
            run.program.edges.setdefault(after, []).append(before)
