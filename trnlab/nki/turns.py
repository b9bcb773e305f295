"""Cores that run at the same time: the two of `kernel[2]`, and the ranks of a system.

Each core runs the kernel in a thread of its own, but only one of them at any moment: a core runs
until it has to wait for others, so that the program is the same every time.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trnlab.errors import Deadlock, Place
from trnlab.machine.system import Placement, System
from trnlab.sim.core import Run

SHOWN = 8  # cores that a deadlock names


class _Abandoned(BaseException):
    """Ends a core when another has failed."""


@dataclass(frozen=True)
class Rank:
    """One of the ranks that run a kernel together; each has ``lnc`` cores."""

    number: int
    ranks: int
    lnc: int
    system: System
    places: dict[tuple[int, ...], Placement]  # of groups; all ranks have the same one

    def cores_of(self, rank: int) -> tuple[int, ...]:
        """The cores of a rank, counted through the system."""
        return tuple(range(rank * self.lnc, (rank + 1) * self.lnc))

    def placement(self, group: tuple[int, ...]) -> Placement:
        """Where the ranks of a group are."""
        if group not in self.places:
            cores = tuple(self.cores_of(rank)[0] for rank in group)
            self.places[group] = Placement(self.system, self.lnc, cores)
        return self.places[group]


@dataclass(eq=False)
class Waiting:
    """A core that waits: at which call, for whom, with what in its hands, where in the source."""

    key: tuple[Any, ...]
    members: tuple[int, ...]
    offer: Any
    call: str
    see: str
    place: Place

    def __str__(self) -> str:
        return f"{self.call} ({self.place})"


@dataclass(eq=False)
class Turns:
    """The cores of a launch and who of them runs; ``name`` says what users call a core."""

    run: Run
    save: Callable[[], Any]  # what is the running core's own
    load: Callable[[Any], None]
    name: Callable[[int], str]
    fix: str
    states: list[Any] = field(default_factory=list)
    ready: deque[int] = field(default_factory=deque)
    waiting: dict[int, Waiting] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    failed: BaseException | None = None

    def execute(self, bodies: list[Callable[[], Any]], states: list[Any]) -> list[Any]:
        """Runs all bodies; what each returned."""
        self.states = states
        self.turns = [threading.Semaphore(0) for _ in bodies]
        results: list[Any] = [None] * len(bodies)
        threads = [
            threading.Thread(target=self._body, args=(core, body, results), daemon=True)
            for core, body in enumerate(bodies)
        ]
        for thread in threads:
            thread.start()
        self.ready = deque(range(1, len(bodies)))
        self._go(0)
        for thread in threads:
            thread.join()
        if self.failed is not None:
            raise self.failed
        return results

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
        if not self.ready and self.waiting and self.failed is None:
            self.failed = self._deadlock(min(self.waiting))
        left = self.ready or [other for other in self.waiting if other not in self.ended]
        if left:
            self._go(self.ready.popleft() if self.ready else left[0])

    def _go(self, core: int) -> None:
        self.load(self.states[core])
        self.turns[core].release()

    def meet(
        self,
        key: tuple[Any, ...],
        members: tuple[int, ...],
        offer: Any,
        together: Callable[[dict[int, Any]], None],
        call: str,
        see: str,
    ) -> None:
        """Waits for all members to come with the same key; then ``together`` runs once.

        ``call`` and ``see`` name the call for an error. Raises Deadlock when not all will come.
        """
        core = self.run.core_index
        mine = Waiting(key, members, offer, call, see, self.run.here())
        there = {core: mine} | {m: self.waiting[m] for m in members if m in self.waiting}
        if len(there) == len(members) and all(w.key == key for w in there.values()):
            for other in sorted(set(members) - {core}):
                del self.waiting[other]
                self.ready.append(other)
            together({m: there[m].offer for m in members})
            return
        self.waiting[core] = mine
        if not self.ready:
            raise self._deadlock(min(self.waiting))
        self.states[core] = self.save()
        self._go(self.ready.popleft())
        self.turns[core].acquire()
        if self.failed is not None:
            raise _Abandoned

    def _deadlock(self, core: int) -> Deadlock:
        mine = self.waiting[core]
        missing = [m for m in mine.members if m != core and not self._is_there(m, mine.key)]
        whys = [f"{self.name(other)} {self._does(other)}" for other in missing[:SHOWN]]
        rest = [w for w in self.waiting if w != core and w not in missing]
        return Deadlock(
            f"{self.name(core)} waits for ever at {mine}: {'; '.join(whys)}",
            {self.name(other): self._does(other) for other in rest[:SHOWN]},
            place=mine.place,
            fix=self.fix,
            see=mine.see,
        )

    def _is_there(self, core: int, key: tuple[Any, ...]) -> bool:
        return core in self.waiting and self.waiting[core].key == key

    def _does(self, core: int) -> str:
        return f"waits at {self.waiting[core]}" if core in self.waiting else "has ended"
