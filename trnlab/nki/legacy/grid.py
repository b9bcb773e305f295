"""Launch grids: which dimension spreads over cores, and which instance runs where."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SpmdDim:
    """A dimension of a launch grid: its size, over how many cores, in blocks or in turns."""

    size: int
    cores: int = 1
    in_blocks: bool = False

    def core(self, index: int) -> int:
        """The core that an instance with this index runs on."""
        return index // (self.size // self.cores) if self.in_blocks else index % self.cores

    def __mul__(self, other: Any) -> "SpmdDim":
        return spmd_dim(self, other)

    def __rmul__(self, other: Any) -> "SpmdDim":
        return spmd_dim(other, self)


def nc(count: int) -> SpmdDim:
    """Marks a dimension of a launch grid as spread over physical cores."""
    return SpmdDim(int(count), int(count))


def spmd_dim(*parts: Any) -> SpmdDim:
    """The product of ``nl.nc(n)`` and counts: cores first give blocks, cores last take turns."""
    size = cores = 1
    for part in parts:
        size *= getattr(part, "size", part)
        cores *= getattr(part, "cores", 1)
    return SpmdDim(int(size), int(cores), getattr(parts[0], "cores", 1) > 1)
