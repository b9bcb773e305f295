"""What a process and all that came from it use, on Linux: limits that no single process breaks."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LINUX = sys.platform == "linux"
TOGETHER = "number and memory of all its processes, sizes of all its files"
PROCESSES = 64
LOADED = 10  # times its limit is the longest that a process takes where others have the CPU
PAUSE = 5.0  # seconds beyond its limit that a process may neither work nor wait for a CPU
SEEN, LONGEST = 10_000, 2_000  # files of a folder that are counted, characters of their paths
TICKS = os.sysconf("SC_CLK_TCK") if LINUX else 100  # a second


def children(pid: int | str = "self") -> list[int]:
    """The processes that a process has started and that have not ended, on Linux."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children") if LINUX else ():
        with suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found


class Use(NamedTuple):
    """What the children of a process and theirs use together; zeros where nobody counts it."""

    processes: int = 0
    memory: int = 0  # bytes
    worked: float = 0.0  # seconds of CPU, those of processes that have ended included
    waited: float = 0.0  # seconds in which the one that waited most had work and no CPU

    def exceeded(self, memory: int) -> str:
        """What is too much, in words; "" for nothing."""
        if self.processes > PROCESSES:
            return f"it started more than {PROCESSES} processes"
        if self.memory > memory:
            return f"its processes took more than {memory:,} bytes of memory together"
        return ""

    def late(self, seconds: float, passed: float) -> str:
        """Why a process with so many seconds of CPU has to end; "" as long as it may go on.

        What others do with the CPU is not its fault, so that seconds that have ``passed`` count
        only where it does nothing.
        """
        if self.worked > seconds:
            return f"it took longer than {seconds:g} s of CPU"
        idle = passed - self.worked - self.waited
        if idle > seconds + PAUSE or passed > LOADED * (seconds + PAUSE):
            return f"it took longer than {seconds:g} s, and did nothing"
        return ""


def use() -> Use:
    """What all processes that came from this one use, as far as they are counted."""
    found, held, worked, waited, left = 0, 0, 0.0, 0.0, children()
    while left and found <= PROCESSES:
        pid = left.pop()
        found += 1
        held += _resident(pid)
        worked += _worked(pid)
        waited = max(waited, _waited(pid))
        left += children(pid)
    return Use(found, held, worked, waited)


def _worked(pid: int) -> float:
    """Seconds of CPU of a process and of those of its children that it has waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS
    except (OSError, ValueError):
        return 0.0


def _waited(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) * 1e-9
    except (OSError, ValueError, IndexError):
        return 0.0


def _resident(pid: int) -> int:
    """Bytes of memory that are a process's own, or shared without a file."""
    with suppress(OSError, ValueError):  # it has ended
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        rows = [line.split() for line in lines if line.startswith(("RssAnon", "RssShmem"))]
        return sum(int(size) * 1024 for _, size, _ in rows)
    return 0


def size(folder: str) -> int:
    """Bytes on disk of a folder that somebody else fills."""
    total = seen = 0
    waiting = [folder]
    while waiting and seen < SEEN:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                seen += 1
                with suppress(OSError):
                    total += max(entry.stat(follow_symlinks=False).st_blocks * 512, 1)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                if seen >= SEEN or len(entry.path) > LONGEST:
                    return sys.maxsize  # nobody needs so many, nor so deep
    return total
