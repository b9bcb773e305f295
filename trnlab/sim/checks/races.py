"""Races: two accesses to the same bytes, at least one a write, whose order is left to chance.

What orders two accesses, and what does not:

- *On one core* program order is kept where it matters. "NKI has a sequential programming model ...
  the compiler may reorder operations that have no data dependencies, but this is functionally
  transparent" (NKI language guide, 2.32). So a read of what was written, and a write over what was
  read or written, wait, whichever engine or DMA queue they are on. Accesses to the same bytes of
  one tensor cannot race there; tensors that a kernel placed on top of each other are in
  `sim.sharing`.
- *Two cores* of ``kernel[2]`` share only HBM, and each has a program of its own. What orders them
  is `core_barrier`, for the tensor it names and no other ("the shared data that all cores need to
  synchronize on"; "other engines will not be blocked"), a collective, for the tensors it takes, and
  `sendrecv`, for what follows from the bytes received. Anything else is ordered only through these:
  by a chain of dependencies from the one access to a barrier or exchange, and from there to the
  other. What `with_schedule`, `depends_on` and `no_reorder` ask for are dependencies too.
- *Instances of a grid* in the older API are nested loops that run "serially on a single
  NeuronCore", which "is subject to changes in future releases" (programming model, 2.26): nothing
  that a kernel can say orders them, so none may need what another one writes.

A write that leaves every byte as another had left it is harmless, and only noted: kernels let both
cores compute and store the same statistics. Without values nobody can tell, so then two writes, and
a write after a read, are noted too.

Where data decides which bytes are touched, such as the rows of a scatter, two accesses may meet or
not: that is noted as well.

Of several reads of one region by one core only the last one is remembered.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from trnlab.isa.pair import CoreBarrier
from trnlab.isa.tile import LAYOUTS, Tile
from trnlab.sim import memory
from trnlab.sim.program import Program
from trnlab.sim.timing.regions import Key, number_regions, overlapping


class Touch(NamedTuple):
    """One access: which instruction, on which core or in which instance, where, a write or not."""

    number: int
    thread: int
    place: int
    writes: bool
    dynamic: bool  # data decides which of the bytes


class Meeting(NamedTuple):
    """Two accesses to the same bytes of a tensor in HBM that nothing orders."""

    buffer: int
    first: Touch
    second: Touch
    harmless: bool


class Witness:
    """Sees every write to HBM of a launch with several programs: does it change what is there?"""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.changing: set[int] = set()  # instructions that change what was written before
        self.repeating: set[int] = set()  # instructions that leave all as it was

    def see(self, tile: Tile, values: np.ndarray, mask: np.ndarray | None) -> None:
        """Before values of the tile's dtype are stored."""
        if tile.storage.written is False:
            return
        before = memory.array(tile)
        kind = np.dtype(f"u{before.itemsize}")
        changed = before.view(kind) != values.reshape(before.shape).view(kind)
        known = memory.written_mask(tile)
        if mask is not None:
            changed, known = changed & mask, known | ~np.broadcast_to(mask, known.shape)
        if (changed & known).any():
            self.changing.add(self.program.count - 1)
        elif known.all():
            self.repeating.add(self.program.count - 1)


def meetings(program: Program, witness: Witness | None) -> Iterator[Meeting]:
    """The first unordered pair for each pair of source lines and each tensor."""
    threads = program.threads()
    if not len(threads) or (threads == threads[0]).all():
        return
    numbers, columns = number_regions(program)
    keys: list[Key] = list(map(tuple, columns.tolist()))
    steps = _Steps(program, threads, numbers.tolist())
    foes = _foes(steps, program, keys)
    if not foes:
        return
    past = None if program.instances else _Past(program, keys, int(threads.max()) + 1)
    seen = set()
    for found in _unordered(steps, foes, past, keys, witness):
        key = (found.buffer, found.first.place, found.second.place)
        if key not in seen or (not found.harmless and (*key, True) not in seen):
            seen |= {key} if found.harmless else {key, (*key, True)}
            yield found


class _Steps:
    """A program as a list of (touch kind, regions): what `meetings` walks through."""

    def __init__(self, program: Program, threads: np.ndarray, numbers: list[int]) -> None:
        self.program, self.numbers = program, numbers
        kinds, self.places = program.kinds(), np.frombuffer(program.heads, np.int64)[1::3].tolist()
        _, self.counts, self.writes = program.spans()
        joins = [c.name == CoreBarrier.name or bool(c.callers) for c in program.costs]
        self.joins = np.array(joins)[kinds]
        self.dynamic = np.array([c.dynamic for c in program.costs])[kinds]
        self.threads = threads

    def operands(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Region, thread and whether it is written of every operand; what joins touches nothing."""
        of, written = self.program.accesses()
        real = ~self.joins[of]
        return np.array(self.numbers)[real], self.threads[of][real], written[real]

    def walk(self) -> Iterator[tuple[int, int, int, bool, list[int], int]]:
        """Number, thread, place, whether it joins the cores, its regions, how many it writes."""
        at = 0
        rows = zip(
            self.threads.tolist(), self.places, self.joins.tolist(), self.counts.tolist(),
            self.writes.tolist(), strict=True,
        )  # fmt: skip
        for number, (thread, place, joins, count, writes) in enumerate(rows):
            yield number, thread, place, joins, self.numbers[at : at + count], writes
            at += count


def _foes(steps: _Steps, program: Program, keys: list[Key]) -> dict[int, list[int]]:
    """For each region of HBM those it may race with: other threads, same bytes, a write."""
    region, thread, written = steps.operands()
    in_hbm = np.array([program.buffers[key[0]].space == "hbm" for key in keys])
    rows = np.unique(np.stack([region, thread, written], axis=1)[in_hbm[region]], axis=0)
    users: dict[int, set[tuple[int, bool]]] = {}
    for r, t, w in rows.tolist():
        users.setdefault(r, set()).add((t, bool(w)))
    buffers: dict[int, list[set[int]]] = {}
    for r, uses in users.items():
        everyone, writers = buffers.setdefault(keys[r][0], [set(), set()])
        everyone |= {t for t, _ in uses}
        writers |= {t for t, w in uses if w}
    shared = {b for b, (everyone, writers) in buffers.items() if len(everyone) > 1 and writers}
    mine = [r for r in users if keys[r][0] in shared]
    overlaps = overlapping(program.buffers, [keys[r] for r in mine])
    found: dict[int, list[int]] = {}
    for a, others in zip(mine, overlaps, strict=True):
        near = [
            mine[other]
            for other in others
            if _could_race(users[a], users[mine[other]])
            and _share_bytes(keys[a], keys[mine[other]])
        ]
        if near:
            found[a] = near
    return found


def _could_race(a: set[tuple[int, bool]], b: set[tuple[int, bool]]) -> bool:
    return any(t != u and (v or w) for t, v in a for u, w in b)


def _share_bytes(a: Key, b: Key) -> bool:
    """Whether two accesses to one buffer, whose rectangles meet, have a byte in common."""
    if a == b:
        return True
    one, other = _reach(a), _reach(b)
    flags = np.zeros(max(one[1], other[1]), bool)
    _view(flags, a)[...] = True
    return bool(_view(flags, b).any())


def _reach(key: Key) -> tuple[int, int]:
    here, offset = LAYOUTS[key[1]], key[2]
    pairs = list(zip(here.shape, here.strides, strict=True))
    last = offset + sum(max(0, s) * (n - 1) for n, s in pairs)
    return (offset - here.below) * here.itemsize, (last + 1) * here.itemsize


def _view(flags: np.ndarray, key: Key) -> np.ndarray:
    here = LAYOUTS[key[1]]
    shape, strides = (*here.shape, here.itemsize), (*here.byte_strides, 1)
    return np.ndarray(shape, bool, flags.data, key[2] * here.itemsize, strides)


class _Past:
    """What must have happened before an instruction, as bits, one for each access that matters."""

    def __init__(self, program: Program, keys: list[Key], cores: int) -> None:
        self.regions = overlapping(program.buffers, keys)
        self.shared = [program.buffers[key[0]].space == "hbm" for key in keys]
        # By region: of HBM for each core, which knows only what it did itself, else for all.
        self.wrote: list[dict[int, int]] = [{} for _ in range(cores)]
        self.read: list[dict[int, int]] = [{} for _ in range(cores)]
        self.edges = program.edges
        self.waited_for = {number: 0 for many in program.edges.values() for number in many}

    def before(self, number: int, core: int, joins: bool, regions: list[int], writes: int) -> int:
        """What an instruction waits for."""
        past = 0
        for other in self.edges.get(number, ()):
            past |= self.waited_for[other]
        for position, region in enumerate(regions):
            for side in self._sides(region, core, joins):
                wrote, read = self.wrote[side], self.read[side]
                for other in self.regions[region]:
                    past |= wrote.get(other, 0)
                    if position < writes:
                        past |= read.get(other, 0)
        return past

    def after(
        self, number: int, core: int, joins: bool, regions: list[int], writes: int, past: int
    ) -> None:
        """Whoever comes to these regions next waits for it."""
        if number in self.waited_for:
            self.waited_for[number] = past
        for position, region in enumerate(regions):
            for side in self._sides(region, core, joins):
                if position < writes:
                    self.wrote[side][region], self.read[side][region] = past, 0
                else:
                    self.read[side][region] = self.read[side].get(region, 0) | past

    def _sides(self, region: int, core: int, joins: bool) -> Sequence[int]:
        if not self.shared[region]:
            return (0,)
        return range(len(self.wrote)) if joins else (core,)


def _unordered(
    steps: _Steps,
    foes: dict[int, list[int]],
    past: _Past | None,
    keys: list[Key],
    witness: Witness | None,
) -> Iterator[Meeting]:
    wrote: dict[int, Touch] = {}
    read: dict[int, list[Touch]] = {}  # the last one, and the last one of another thread
    bits: dict[int, int] = {}
    for number, thread, place, joins, regions, writes in steps.walk():
        known = past.before(number, thread, joins, regions, writes) if past else 0
        mine = [] if joins else [(p < writes, r) for p, r in enumerate(regions) if r in foes]
        for is_write, region in mine:
            here = Touch(number, thread, place, is_write, bool(steps.dynamic[number]))
            for other in foes[region]:
                earlier = [wrote[other]] if other in wrote else []
                if is_write:
                    earlier += read.get(other, [])
                for touch in earlier:
                    if touch.thread != thread and not known & bits.get(touch.number, 0):
                        harmless = _harmless(touch, here, witness)
                        yield Meeting(keys[region][0], touch, here, harmless)
        if past and mine:
            bits[number] = 1 << len(bits)
            known |= bits[number]
        if past:
            past.after(number, thread, joins, regions, writes, known)
        for is_write, region in mine:
            here = Touch(number, thread, place, is_write, bool(steps.dynamic[number]))
            if is_write:
                wrote[region] = here
            else:
                read[region] = [here, *(t for t in read.get(region, []) if t.thread != thread)][:2]


def _harmless(first: Touch, second: Touch, witness: Witness | None) -> bool:
    """Whether the bytes are the same whoever comes first, or nobody can tell."""
    if first.dynamic or second.dynamic:
        return True
    if witness is None:
        return second.writes
    if first.writes and second.writes:
        return second.number not in witness.changing
    return (second if second.writes else first).number in witness.repeating
