"""Launch grids: which instances of a kernel there are, and on which cores they run."""

from typing import Any

import numpy as np

from trnlab.errors import BadArguments


def size_of(part: Any) -> int:
    """How many instances a dimension of a grid has."""
    return int(getattr(part, "size", part))


def instances_of(grid: tuple[Any, ...], api: str) -> tuple[int, list[tuple[int, tuple[int, ...]]]]:
    """Cores used, and for each instance of the grid its core and its ids.

    In the current API each instance has a core of its own. In the older one a dimension marked
    ``nl.nc(2)`` spreads over two cores, and the rest run one after the other.
    """
    if api == "nki" and grid:
        count = _cores(grid)
        return count, [(core, (core,)) for core in range(count)]
    spread = [(axis, part) for axis, part in enumerate(grid) if getattr(part, "cores", 1) > 1]
    sizes = [max(1, size_of(part)) for part in grid]  # kernel[0] is one instance
    found = []
    for ids in np.ndindex(*sizes):
        core = spread[0][1].core(ids[spread[0][0]]) if spread else 0
        found.append((core, tuple(int(i) for i in ids)))
    return (spread[0][1].cores if spread else 1), found


def _cores(grid: tuple[Any, ...]) -> int:
    if len(grid) == 1 and isinstance(grid[0], int) and grid[0] in (1, 2):
        return grid[0]
    raise BadArguments(
        f"a kernel cannot be launched on {list(grid)} cores",
        limit="kernel[1] or kernel[2]: one core, or the two that share a stack of HBM",
        see="nki.jit",
    )
