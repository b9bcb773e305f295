"""Who of many callers is next: nobody waits for somebody else's slow candidates."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from trnlab.errors import TrnlabError

WAITING = 256  # who wait at the same time
SLOW = 5.0  # seconds after which a candidate no longer keeps others waiting
SLOWEST = 3  # times as many places are for those that are slow


class Full(TrnlabError):
    """Too many wait already."""


class Places:
    """Places for ``workers`` candidates, and beside them for those that have run for long.

    Callers take turns, and none has more than ``workers``. ``slow`` is in seconds.
    """

    def __init__(self, workers: int, slow: float = SLOW) -> None:
        self.workers, self.slow = workers, slow
        self.change = threading.Condition()
        self.running: dict[object, tuple[str, float]] = {}  # caller, and since when
        self.waiting: dict[object, str] = {}  # callers, longest first
        self.served: Counter[str] = Counter()  # turns, of callers that have something here

    @contextmanager
    def taken(self, caller: str) -> Iterator[None]:
        """A place for one candidate, once it is free; raises Full where too many wait."""
        me = object()
        with self.change:
            if len(self.waiting) >= WAITING:
                raise Full(f"{WAITING} requests are waiting already; try again later")
            self.waiting[me] = caller
            try:
                while self._next() is not me:
                    self.change.wait(self.slow / 5 + 0.01)  # somebody may have become slow
            finally:
                del self.waiting[me]
            self.running[me] = caller, time.monotonic()
            self.served[caller] += 1
            self.change.notify_all()
        try:
            yield
        finally:
            with self.change:
                del self.running[me]
                here = {*self.waiting.values(), *(who for who, _ in self.running.values())}
                for gone in self.served.keys() - here:
                    del self.served[gone]
                self.change.notify_all()

    def _next(self) -> object:
        """Who takes a place now, None where there is none."""
        now = time.monotonic()
        quick = sum(now - since < self.slow for _, since in self.running.values())
        if quick >= self.workers or len(self.running) >= (1 + SLOWEST) * self.workers:
            return None
        have = Counter(who for who, _ in self.running.values())
        able = [(me, who) for me, who in self.waiting.items() if have[who] < self.workers]
        return min(able, key=lambda one: (have[one[1]], self.served[one[1]]), default=(None,))[0]
