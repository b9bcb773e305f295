"""Two cores that run at the same time: `kernel[2]` in the current API.

Each core runs the kernel in a thread of its own, but only one of them at any moment: a core runs
until it has to wait for the other, so that the program is the same every time.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trnlab.errors import BadArguments, Deadlock, Place
from trnlab.sim.core import Run


class _Abandoned(BaseException):
    """Ends a core whose partner has failed."""


@dataclass(eq=False)
class Waiting:
    """A core that waits: for what, with what in its hands, and where in the user's source."""

    key: tuple[Any, ...]
    offer: Any
    place: Place


@dataclass(eq=False)
class Pair:
    """The two cores of a launch and who of them runs."""

    run: Run
    save: Callable[[], Any]  # what is the running core's own
    load: Callable[[Any], None]
    states: list[Any] = field(default_factory=list)
    waiting: dict[int, Waiting] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    failed: BaseException | None = None

    def execute(self, bodies: list[Callable[[], Any]], states: list[Any]) -> Any:
        """Runs both bodies; what the last core returned."""
        self.states = states
        self.turns = [threading.Semaphore(0) for _ in bodies]
        results: list[Any] = [None] * len(bodies)
        threads = [
            threading.Thread(target=self._body, args=(core, body, results), daemon=True)
            for core, body in enumerate(bodies)
        ]
        for thread in threads:
            thread.start()
        self.load(states[0])
        self.turns[0].release()
        for thread in threads:
            thread.join()
        if self.failed is not None:
            raise self.failed
        return results[-1]

    def _body(self, core: int, body: Callable[[], Any], results: list[Any]) -> None:
        self.turns[core].acquire()
        try:
            if self.failed is None:
                with np.errstate(all="ignore"):
                    results[core] = body()
        except _Abandoned:
            pass
        except BaseException as error:
            self.failed = self.failed or error
        self.ended.add(core)
        other = 1 - core
        if other in self.ended:
            return
        if self.failed is None and other in self.waiting:
            self.failed = self._deadlock(other, f"core {core} has ended")
        self.load(self.states[other])
        self.turns[other].release()

    def meet(
        self, key: tuple[Any, ...], offer: Any, together: Callable[[dict[int, Any]], None]
    ) -> None:
        """Waits for the other core to come with the same key; then ``together`` runs once.

        Raises Deadlock when it never will.
        """
        core = self.run.core_index
        other = 1 - core
        partner = self.waiting.get(other)
        if partner is not None and partner.key == key:
            del self.waiting[other]
            together({core: offer, other: partner.offer})
            return
        self.waiting[core] = Waiting(key, offer, self.run.here())
        if other in self.ended:
            raise self._deadlock(core, f"core {other} has ended")
        if partner is not None:
            raise self._deadlock(core, f"core {other} waits at {_what(partner)}")
        self.states[core] = self.save()
        self.load(self.states[other])
        self.turns[other].release()
        self.turns[core].acquire()
        if self.failed is not None:
            raise _Abandoned

    def _deadlock(self, core: int, why: str) -> Deadlock:
        mine = self.waiting[core]
        return Deadlock(
            f"core {core} waits for ever at {_what(mine)}: {why}",
            place=mine.place,
            fix="let both cores make the same calls, in the same order, with the same pipe_id",
            see=f"nki.isa.{mine.key[0]}",
        )


def _what(waiting: Waiting) -> str:
    name, *rest = waiting.key
    return f"{name}{tuple(rest) if rest else ''} ({waiting.place})"


def partner_of(pair: Pair | None, name: str) -> Pair:
    """The pair that runs; raises BadArguments when a kernel runs on one core."""
    if pair is None:
        raise BadArguments(
            f"{name} needs two cores that run at the same time",
            fix="launch the kernel as kernel[2](...)",
            see=f"nki.isa.{name}",
        )
    return pair
