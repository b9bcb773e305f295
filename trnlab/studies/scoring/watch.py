"""What a process and all that came from it use, on Linux: limits that no single process breaks."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LINUX = sys.platform == "linux"
TOGETHER = "number and memory of all its processes, sizes of all its files"
PROCESSES = 64
LOADED = 4  # times its limit is the longest that a process takes where others have the CPU
SEEN = 10_000  # files of a folder that are counted
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def children(pid: int | str = "self") -> list[int]:
    """The processes that a process has started and that have not ended, on Linux."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children") if LINUX else ():
        with suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found


class Use(NamedTuple):
    """What the children of a process and theirs use together."""

    processes: int
    memory: int  # bytes
    waited: float  # seconds in which the one that waited most had work and no CPU

    def exceeded(self, memory: int) -> str:
        """What is too much, in words; "" for nothing."""
        if self.processes > PROCESSES:
            return f"it started more than {PROCESSES} processes"
        if self.memory > memory:
            return f"its processes took more than {memory:,} bytes of memory together"
        return ""


def use() -> Use:
    """What all processes that came from this one use, as far as they are counted."""
    found, held, waited, left = 0, 0, 0.0, children()
    while left and found <= PROCESSES:
        pid = left.pop()
        found += 1
        held += _resident(pid)
        waited = max(waited, _waited(pid))
        left += children(pid)
    return Use(found, held, waited)


def _waited(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) * 1e-9
    except (OSError, ValueError, IndexError):
        return 0.0


def _resident(pid: int) -> int:
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (OSError, ValueError):  # it has ended
        return 0
    return (int(resident) - int(shared)) * PAGE


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
                if seen >= SEEN:
                    return sys.maxsize  # nobody needs so many
    return total
