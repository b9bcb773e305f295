"""A program as arrays that its schedule reads."""

from collections.abc import Iterable, Sequence

import numpy as np

from trnlab.machine.chip import Chip, Core
from trnlab.sim.program import Program
from trnlab.sim.timing.capacity import room_of
from trnlab.sim.timing.cost import Cost
from trnlab.sim.timing.regions import number_regions, overlaps, rectangles
from trnlab.sim.timing.rooms import heirs
from trnlab.sim.timing.state import COLLECTIVE, COMPUTE, TRANSFER, WIDTH, Flat, Price, Rules
from trnlab.trace import MEMORIES, QUEUES


def flattened(program: Program, core: Core, rules: Rules) -> Flat:
    """What a schedule reads of a program, in arrays."""
    heads = np.frombuffer(program.heads, np.int64).reshape(-1, 3)
    touched, keys = number_regions(program)
    owner = keys[:, 0].copy()
    tensors = len(program.buffers)
    memory, size, takes, gives, made, room = _rooms(program, core, rules)
    used = np.flatnonzero((memory >= 0) & (np.bincount(owner, minlength=tensors) > 0))
    last = program.lifetimes()[1]
    ending = used[np.argsort(last[used], kind="stable")]
    return Flat(
        heads[:, 0], heads[:, 1], heads[:, 2], touched,
        *overlaps(program.buffers, keys), *_banks(program, core, rules, touched, keys),
        owner, np.searchsorted(owner, np.arange(tensors + 1)),
        memory, size, takes, gives, made, room,
        np.searchsorted(last[ending], np.arange(program.count + 1)), ending,
        *_edges(program),
    )  # fmt: skip


def _edges(program: Program) -> tuple[np.ndarray, np.ndarray]:
    """Who else each instruction waits for, and where its part of them begins."""
    waiting = sorted(program.edges)
    counts = np.zeros(program.count + 1, np.int64)
    counts[[number + 1 for number in waiting]] = [len(program.edges[n]) for n in waiting]
    producers = [producer for number in waiting for producer in program.edges[number]]
    return np.cumsum(counts), np.array(producers, np.int64)


def _rooms(program: Program, core: Core, rules: Rules) -> Iterable[np.ndarray]:
    """Of each tensor memory and size, whether it takes and gives room, its line; the memories."""
    table = program.tensors()
    memory = np.where(table.memory < 0, -1, 2 * table.core + table.memory)
    size = np.zeros(len(memory), np.int64)
    usable = np.tile((core.sbuf.usable, core.psum.usable), rules.cores)
    for number, space in enumerate(MEMORIES):
        mine = table.memory == number
        size[mine] = room_of(space, table.rows[mine], table.row_bytes[mine], core)
    room, kept = usable.copy(), table.placed & (memory >= 0)
    ends = (table.base_byte + table.row_bytes)[kept]  # what the kernel places leaves less
    np.minimum.at(room, memory[kept], usable[memory[kept]] - ends)
    takes, gives = ~table.placed, ~table.placed
    if rules.bank:
        found = heirs(program)
        takes[list(found)] = False
        gives[list(found.values())] = False
    return memory, size, takes, gives, np.unique(table.place, return_inverse=True)[1], room


def priced(costs: Sequence[Cost], chip: Chip, rules: Rules) -> tuple[list[Price], list[int]]:
    """What costs say to a schedule, and the callers of collectives.

    Behind the prices of all costs come those on other engines.
    """
    tables: dict[str | None, int] = {None: -1}
    callers: list[int] = []
    others = [
        (id(cost), cost.also) for cost in costs if cost.also is not None and not cost.is_transfer
    ]
    elsewhere = {cost: number for number, (cost, _) in enumerate(others, len(costs))}
    contested = _contested([*costs, *(other for _, other in others)], rules.ports)
    contested &= sum(
        1 << number
        for number, port in enumerate(chip.core.ports)
        if not (port.hidden and rules.loose)
    )
    prices = []
    for cost in (*costs, *(other for _, other in others)):
        moved = cost.hbm_read + cost.hbm_write
        on_none = 2 * WIDTH * rules.cores  # what meets others on many cores
        price = Price(
            work=COLLECTIVE if cost.callers else TRANSFER if cost.is_transfer else COMPUTE,
            queue=on_none if cost.callers else QUEUES.index(cost.queue),
            writes=cost.writes,
            count=cost.writes + cost.reads,
            busy=float(cost.busy),
            fixed=float(cost.fixed),
            is_array=cost.is_array,
            table=tables.setdefault(cost.table, len(tables) - 1),
            moving=float(cost.moving),
            latency=float(cost.latency),
            share=cost.engines / chip.core.dma.engines,
            wakes=float(cost.wakes),
            through=moved / chip.stack[1] if rules.members else 0.0,
            also=elsewhere.get(id(cost), -1),
            caller=len(callers) // 2,
            callers=len(cost.callers),
            holds=cost.holds & contested,
            waits=cost.waits & contested,
            banked=cost.banked,
        )
        prices.append(price)
        for caller in cost.callers:
            callers += caller
    return prices, callers


def _contested(costs: Sequence[Cost], ports: int) -> int:
    """The ports that one engine may hold while another waits, as bits."""
    found = 0
    for port in range(ports):
        holding = {cost.queue for cost in costs if cost.holds >> port & 1}
        waiting = {cost.queue for cost in costs if cost.waits >> port & 1}
        found |= (len(holding | waiting) > 1 and bool(holding)) << port
    return found


def _banks(
    program: Program, core: Core, rules: Rules, touched: np.ndarray, keys: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The banks of PSUM in which each region lies, and where its part of them begins.

    Only those at which engines may meet: where all accesses are to the same bytes and one engine
    reads them, each waits for another's data anyway. Tensors that the kernel did not place have
    banks of their own.
    """
    of, mine = np.zeros(0, np.int64), np.zeros(0, np.int64)
    table = program.tensors()
    inside = np.flatnonzero(table.memory[keys[:, 0]] == MEMORIES.index("psum"))
    if len(inside) and any(port.banked for port in core.ports):
        owner, bank = keys[inside, 0], core.psum.bank
        *_, low, high, _ = rectangles(program.buffers, keys[inside])
        sizes = np.where(table.placed, 0, -(-table.row_bytes // bank))
        base = core.psum.banks * rules.cores + np.cumsum(sizes) - sizes
        home = np.where(table.placed, core.psum.banks * table.core, base)[owner]
        counts = -(-high // bank) - low // bank
        of = np.repeat(inside, counts)
        step = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
        mine = np.repeat(home + low // bank, counts) + step
        kept = _met(program, touched, of, mine)
        of, mine = of[kept], np.unique(mine[kept], return_inverse=True)[1]
    starts = np.searchsorted(of, np.arange(len(keys) + 1))
    return starts, mine + rules.ports * rules.cores


def _met(
    program: Program, touched: np.ndarray, regions: np.ndarray, banks: np.ndarray
) -> np.ndarray:
    """Which pairs of a region and its bank are of banks at which engines may meet."""
    number, written = program.accesses()
    reads, number = touched[~written], number[~written]
    kinds = program.kinds()[number]
    queues = np.array([QUEUES.index(c.queue) if c.queue in QUEUES else -1 for c in program.costs])
    either = np.array([c.also is not None for c in program.costs], bool)  # of two engines
    reader = np.full(int(touched.max(initial=-1)) + 1, -1)
    reader[reads] = queues[kinds]
    mixed = np.zeros(len(reader), bool)
    mixed[reads[(reader[reads] != queues[kinds]) | either[kinds]]] = True
    met = np.bincount(banks) > 1
    met[banks[mixed[regions]]] = True
    return met[banks]
