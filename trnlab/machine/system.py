"""What a system is: levels of links around cores. Data only; the numbers live in `catalogue`."""

from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from trnlab.errors import BadArguments
from trnlab.machine.chip import Chip

# How the members of a level reach each other: through memory that they share or stand next to,
# along wires between neighbours of a grid that is closed in every dimension, or through switches.
Wiring = Literal["shared", "torus", "switch"]


@dataclass(frozen=True, kw_only=True)
class Level:
    """Equal members and the links between them; a member is all that the level below holds.

    ``shape`` counts members in each dimension. Each chip, inside a chip each core, has ``links``
    links at this level that move ``rate`` bytes a second in each direction; ``latency`` is a step
    of a collective between members, in seconds. ``mesh`` and ``halving`` are the shares of its
    links that a chip gets when all send to all at once, and when they exchange in pairs.
    """

    name: str
    wiring: Wiring
    shape: tuple[int, ...]
    links: int
    rate: float
    latency: float
    mesh: float
    halving: float

    @property
    def size(self) -> int:
        """Members."""
        return prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class System:
    """One machine as it is sold: a chip, and the levels of links around its cores, inside out.

    ``network`` is what joins several of these machines; None where nothing fit for collectives is
    published. Members of a level are all alike, so a level is a number and never a list.
    """

    name: str
    key: str  # what users type
    aliases: tuple[str, ...]
    chip: Chip
    levels: tuple[Level, ...]
    network: Level | None
    dollars_per_hour: float | None  # None: no public price
    notes: tuple[str, ...] = ()

    @property
    def cores(self) -> int:
        """Cores of the whole machine."""
        return prod(level.size for level in self.levels)

    @property
    def chips(self) -> int:
        """Chips of the whole machine."""
        return self.cores // self.chip.cores

    @property
    def node(self) -> int:
        """Cores of one server; of the whole machine where a server is all there is."""
        names = [level.name for level in self.levels]
        last = names.index("server") + 1 if "server" in names else len(names)
        inside = [level.size for level in self.levels[:last] if level.name != "network"]
        return prod(inside)

    @property
    def switched(self) -> bool:
        """Whether chips reach each other through switches."""
        return any(level.wiring == "switch" and level.name == "server" for level in self.levels)

    def times(self, count: int) -> "System":
        """Several of these machines on their network; raises BadArguments where there is none."""
        if count == 1:
            return self
        if self.network is None:
            raise BadArguments(
                f"{self.key} has no network for collectives",
                {"asked for": f"{count} of them"},
                fix="choose a system with a network",
            )
        return replace(
            self,
            name=f"{count} x {self.name}",
            key=f"{count}x{self.key}",
            levels=(*self.levels, replace(self.network, shape=(count,))),
            network=None,
            dollars_per_hour=self.dollars_per_hour and self.dollars_per_hour * count,
        )

    def members(self, core: int) -> tuple[int, ...]:
        """Which member of each level a core belongs to, inside out: its address in the system."""
        found = []
        for level in self.levels:
            core, member = divmod(core, level.size)
            found.append(member)
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Placement:
    """Where the ranks of a group are: the first core of each in the system, and cores a rank."""

    system: System
    lnc: int
    cores: tuple[int, ...]

    @property
    def whole_chips(self) -> bool:
        """Whether every chip that takes part does so with all of its cores."""
        each = self.system.chip.cores
        homes = [core // each for core in self.cores]
        return all(homes.count(home) * self.lnc == each for home in set(homes))
