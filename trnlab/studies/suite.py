"""`trnlab pytest`: somebody's test-suite, unmodified, on simulated NeuronCores."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence

from trnlab.errors import MissingExtra, TrnlabError
from trnlab.nki.jit import Result

SHOWN = 10  # kernels that a summary lists


def run_suite(arguments: Sequence[str]) -> int:
    """Runs pytest with the plugin in a process of its own; returns its exit code."""
    if importlib.util.find_spec("pytest") is None:
        raise MissingExtra("trnlab pytest", "test")
    command = [sys.executable, "-m", "pytest", "-p", "trnlab", *arguments]
    return subprocess.run(command, check=False).returncode


Row = tuple[int, float, int, str]  # calls, seconds of the last, broken rules, the first of them


class Calls:
    """What the kernel calls of a session came to, by kernel and chip: numbers, no arrays."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.stopped: dict[str, int] = {}  # tests that an error of ours ended, by its class

    def add(self, result: Result) -> None:
        """One finished call."""
        seconds = result.trace.seconds if result.trace else 0.0
        broken = result.violations
        first = f"{broken[0].what} ({broken[0].place})" if broken else ""
        row = (1, seconds, len(broken), first)
        self._count(f"{result.kernel} on {result.chip.key}", row)

    def stop(self, error: BaseException | None) -> None:
        """A test that ended with an exception."""
        if isinstance(error, TrnlabError):
            name = type(error).__name__
            self.stopped[name] = self.stopped.get(name, 0) + 1

    def merge(self, rows: dict[str, Row], stopped: dict[str, int]) -> None:
        """Adds what another process counted."""
        for name, row in rows.items():
            self._count(name, row)
        for name, count in stopped.items():
            self.stopped[name] = self.stopped.get(name, 0) + count

    def _count(self, name: str, row: Row) -> None:
        calls, seconds, broken, first = self.rows.get(name, (0, 0.0, 0, ""))
        self.rows[name] = (calls + row[0], row[1] or seconds, broken + row[2], first or row[3])

    def summary(self) -> Iterator[str]:
        """The lines that end a session: kernels, calls, rules that were broken."""
        calls = sum(row[0] for row in self.rows.values())
        broken = sum(row[2] for row in self.rows.values())
        ran = f"{_number(len(self.rows), 'kernel')}, {_number(calls, 'call')}"
        yield f"{ran}, {_number(broken, 'broken rule')} let through"
        order = sorted(self.rows.items(), key=lambda item: -item[1][0])
        for name, (count, seconds, rules, first) in order[:SHOWN]:
            time = f", the last {seconds * 1e6:,.2f} us" if seconds else ""
            more = f", {_number(rules, 'broken rule')}: {first}" if rules else ""
            yield f"  {name}: {_number(count, 'call')}{time}{more}"
        if len(order) > SHOWN:
            yield f"  and {len(order) - SHOWN} more"
        for kind, count in self.stopped.items():
            yield f"{_number(count, 'test')} stopped by {kind}"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
