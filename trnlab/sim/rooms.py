"""Room for tensors: how far loads can run ahead of the work that frees space."""

from heapq import heappop, heappush

import numpy as np

from trnlab.machine.chip import Core
from trnlab.sim.program import Program


def heirs(program: Program) -> dict[int, int]:
    """Tiles that take the place of one that the instruction which makes them is the last to use.

    Engines write an element after they have read it, so that a result may lie on its operand.
    """
    first, last = program.lifetimes()
    found: dict[int, int] = {}
    given: set[int] = set()
    at = 0
    for number, kind in enumerate(program.kinds().tolist()):
        cost = program.costs[kind]
        middle, end = at + cost.writes, at + cost.writes + cost.reads
        if cost.queue in ("vector", "scalar", "gpsimd") and not cost.is_transfer:
            made = program.operands[3 * at]
            facts = program.buffers[made]
            if first[made] == number and facts.space == "sbuf" and not facts.placed:
                for source in program.operands[3 * middle : 3 * end : 3]:
                    alike = program.buffers[source][1:5] == facts[1:5]  # space, size, core
                    if last[source] == number and alike and source not in given:
                        found[made] = source
                        given.add(source)
                        break
        at = end
    return found


class Rooms:
    """SBUF and PSUM of every core, for tensors that the kernel did not place itself.

    A tensor takes room at its first write and gives it back after its last use; space that was
    never used goes first, then what was freed longest ago. ``new`` says which tensors still need
    room.
    """

    def __init__(
        self, program: Program, core: Core, owner: list[int], cores: int, *, shared: bool = False
    ) -> None:
        self.facts = program.buffers
        self.heirs = heirs(program) if shared else {}
        self.handed = set(self.heirs.values())
        self.units = {"sbuf": 1, "psum": core.psum.bank}
        sizes = {"sbuf": core.sbuf.usable, "psum": core.psum.usable}
        self.left = {(space, n): size for space, size in sizes.items() for n in range(cores)}
        for facts in self.facts:
            key = (facts.space, facts.core)
            if facts.placed and key in self.left:  # what the kernel places leaves less for the rest
                self.left[key] = min(self.left[key], sizes[facts.space] - facts.end)
        self.returned: dict[tuple[str, int], list[tuple[float, int, int]]] = {
            key: [] for key in self.left
        }
        self.new = [f.space in self.units for f in self.facts]
        self.arrived: dict[int, float] = {}
        self.regions: dict[int, list[int]] = {}
        for region, buffer in enumerate(owner):
            if self.new[buffer]:
                self.regions.setdefault(buffer, []).append(region)

    def take(self, buffer: int) -> tuple[float, int]:
        """Reserves room for a tensor: from when on there is some, and the row that freed it."""
        facts = self.facts[buffer]
        self.new[buffer] = False
        when, row = 0.0, -1
        if facts.placed or buffer in self.heirs:
            return when, row
        key = (facts.space, facts.core)
        returned = self.returned[key]
        left = self.left[key] - self._size(buffer)
        while left < 0 and returned:
            when, row, freed = heappop(returned)
            left += freed
        if row >= 0 and left > 0:  # what is over is not free any earlier
            heappush(returned, (when, row, left))
            left = 0
        self.left[key] = left
        self.arrived[buffer] = when
        return when, row

    def give(self, buffer: int, when: float, row: int) -> None:
        """Returns a tensor's room after its last use."""
        facts = self.facts[buffer]
        if not facts.placed and not self.new[buffer] and buffer not in self.handed:
            heappush(self.returned[facts.space, facts.core], (when, row, self._size(buffer)))

    def _size(self, buffer: int) -> int:
        facts = self.facts[buffer]
        if facts.space == "sbuf":
            return -(-facts.row_bytes // (4 if facts.rows <= 32 else 2 if facts.rows <= 64 else 1))
        unit = self.units[facts.space]
        return -(-facts.row_bytes // unit) * unit

    def last_uses(self, last: np.ndarray) -> dict[int, list[tuple[int, list[int]]]]:
        """Which tensors each instruction is the last to use, with their regions."""
        uses: dict[int, list[tuple[int, list[int]]]] = {}
        for buffer, mine in self.regions.items():
            uses.setdefault(int(last[buffer]), []).append((buffer, mine))
        return uses
