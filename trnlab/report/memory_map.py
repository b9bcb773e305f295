"""Tensors on chip over time: what a page draws as a map of SBUF and PSUM."""

from typing import Any

import numpy as np

from trnlab.trace import MEMORIES, Trace

TENSORS = 6_000  # of one memory on one map; of more, those that took the most room for longest


def memory_maps(trace: Trace) -> list[dict[str, Any]]:
    """One map for each memory of each core that was used, ready for JSON; times in nanoseconds.

    ``byte`` is where the kernel placed a tensor; where it left that to others it is the first gap
    that holds it, which shows how full the memory is and not what a compiler does with it.
    """
    held, found = trace.held, []
    for core in range(int(held["core"].max(initial=0)) + 1):
        for index, memory in enumerate(MEMORIES):
            rows = np.flatnonzero((held["memory"] == index) & (held["core"] == core))
            if len(rows):
                found.append({"memory": memory, "core": core} | _map(held, rows))
    return found


def _map(held: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    area = held["size"][rows] * (held["until"] - held["since"])[rows]
    kept = rows[np.sort(np.argsort(-area, kind="stable")[:TENSORS])]
    mine = held[kept[np.argsort(held["since"][kept], kind="stable")]]
    columns = {name: mine[name].tolist() for name in ("tensor", "where", "size")}
    for name in ("since", "until"):
        columns[name] = np.rint(mine[name] * 1e9).astype(int).tolist()
    placed = (mine["byte"] >= 0).tolist()
    return columns | {"byte": placements(mine), "placed": placed, "more": len(rows) - len(mine)}


def placements(held: np.ndarray) -> list[int]:
    """The byte of each tensor, earliest first: its own, or that of the first gap that holds it."""
    alive: list[tuple[int, int, float]] = []  # byte, end, until; by byte
    found = []
    columns = (held[name].tolist() for name in ("byte", "size", "since", "until"))
    for byte, size, since, until in zip(*columns, strict=True):
        alive = [other for other in alive if other[2] > since]
        if byte < 0:
            byte = _gap(alive, size)
        found.append(byte)
        alive.append((byte, byte + size, until))
        alive.sort()
    return found


def _gap(alive: list[tuple[int, int, float]], size: int) -> int:
    free = 0
    for byte, end, _ in alive:
        if byte - free >= size:
            break
        free = max(free, end)
    return free
