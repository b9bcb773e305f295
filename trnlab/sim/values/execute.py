"""Computing values: operands are widened, `value` is taken, results are rounded."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import UninitialisedRead
from trnlab.isa.dma import DmaCopy, Transfer
from trnlab.isa.indirect import DmaScatter
from trnlab.isa.instruction import Instruction
from trnlab.isa.matmul import NcMatmul
from trnlab.isa.move import TensorCopy
from trnlab.isa.mx import NcMatmulMx
from trnlab.isa.rules import Verdict
from trnlab.isa.tile import Buffer, Tile
from trnlab.sim import memory, sums
from trnlab.sim.checks.races import Witness
from trnlab.sim.timing.cost import Cost
from trnlab.sim.values.groups import Groups, Rounding
from trnlab.sim.values.holes import spread
from trnlab.sim.values.turning import may_turn, turn, turns_exactly

ACCUMULATING = (NcMatmul, NcMatmulMx)
START_FIRST = "start the sum with accumulate=False, or leave accumulate out"
WRITE_FIRST = "write it first: nisa.memset, a load, or an instruction that covers the tile"


@dataclass(eq=False)
class Entry:
    """What is known of an instruction before its data: rules, cost, and how to compute it."""

    number: int
    model: Instruction
    cost: Cost
    broken: tuple[Verdict, ...]
    picks: tuple[tuple[int, int], ...]  # operands in the order of the program: writes, reads
    reads: tuple[tuple[int, int], ...]  # operands that `value` takes
    widen: tuple[bool, ...]
    whole: tuple[bool, ...]  # whether all of a read operand must have been written
    copies: bool  # a plain copy, which may be made of a sum that is not computed yet
    loads: bool  # a copy to on-chip memory that changes nothing
    accumulates: bool
    grouped: bool  # a plain matmul, which may be computed together with others
    limited: bool = False  # a function that the device gets right for some arguments only
    turns: bool = field(init=False)  # a transpose, or a matmul that may be one

    def __post_init__(self) -> None:
        self.turns = not self.broken and may_turn(self.model)


@dataclass(eq=False)
class Executor:
    """Computes what a run records.

    With ``strict_reads`` every read of bytes that nobody wrote is a violation. Without, as the
    older API needs with its masks, such bytes may be carried along, and are a violation when they
    reach HBM.
    """

    report: Callable[..., None]
    doubt: Callable[..., None]
    strict_reads: bool = True
    registers: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)  # by core, queue
    core: int = 0
    groups: Groups = field(default_factory=Groups)
    witness: Witness | None = None  # where several programs share HBM
    narrow: Rounding = formats.narrow
    unfollowed: dict[str, None] = field(default_factory=dict)  # instructions: `sim.shadow`

    def round_by(self, narrow: Rounding) -> None:
        """Rounds results in another way than to nearest."""
        self.narrow = self.groups.narrow = narrow

    preload: bool = True  # whether a matmul may add to what another instruction wrote

    def compute(self, entry: Entry, operands: tuple[Any, ...], mask: np.ndarray | None) -> None:
        """Computes one instruction and stores what it writes, where ``mask`` says if given."""
        tiles = [operands[p] if i < 0 else operands[p][i] for p, i in entry.reads]
        if entry.copies and mask is None and self.groups.waiting:
            to_hbm = isinstance(entry.model, DmaCopy)
            late = self.groups.store if to_hbm else self.groups.copy
            if not (to_hbm and self.witness) and late(operands[0], tiles[0]):
                return
        holes = self._holes(entry, tiles, mask)
        if entry.accumulates and entry.model.accumulate and self.strict_reads:  # type: ignore[attr-defined]
            self._check_start(operands[0])
        if mask is None and not holes:
            if entry.turns and self._turned(entry, operands):
                return
            if entry.grouped:
                self.groups.add(operands[0], operands[1], operands[2], operands[6])
                return
            if entry.loads and self._shown(operands[0], tiles[0]):
                return
        if self.groups.waiting:  # now: what is read next may show the bytes that this changes
            for position, item in entry.picks[: entry.cost.writes]:
                tile = operands[position] if item < 0 else operands[position][item]
                self.groups.flush_for(tile.storage, writing=True)
        arrays = [
            formats.widen(memory.array(t), t.layout.dtype) if widen else memory.array(t)
            for t, widen in zip(tiles, entry.widen, strict=True)
        ]
        if entry.limited:
            self._check_range(entry, arrays)
        out = self._value(entry, operands, arrays)
        results = out if isinstance(out, tuple) else () if out is None else (out,)
        for (position, item), result in zip(entry.picks[: entry.cost.writes], results, strict=True):
            tile = operands[position] if item < 0 else operands[position][item]
            if entry.accumulates:
                result = self._accumulated(entry, tile, result)
            self.store(tile, result, raw=entry.model.keeps_bits, mask=mask)
            sums.mark(tile, entry.accumulates)
            if holes:
                self._carry(entry, operands, tile, holes, mask)

    def _check_range(self, entry: Entry, arrays: list[np.ndarray]) -> None:
        model: Any = entry.model
        argument = model.argument(*arrays)
        wrong = model.op.out_of_range(argument)
        if wrong:
            self.doubt(model.op, wrong, argument.size)

    def _check_start(self, dst: Tile) -> None:
        """``accumulate=True`` needs something to add to."""
        if dst.storage.index in self.groups.waiting:
            return
        if dst.storage.written is False:
            self._tell(dst, "is added to before anything is written to it")
        elif not self.preload and not sums.holds_sums(dst):
            self._tell(dst, "is added to, but no matmul wrote it", fix=START_FIRST)

    def _shown(self, dst: Tile, src: Tile) -> bool:
        """A copy need not move bytes: the tile shows where they are until either changes."""
        if self.groups.waiting:
            self.groups.flush_for(dst.storage, writing=True)
        if not memory.borrow(dst, src):
            return False
        sums.mark(dst, False)
        return True

    def _turned(self, entry: Entry, operands: tuple[Any, ...]) -> bool:
        """A transpose need not move bytes either."""
        dst, data = operands[0], operands[1]
        if entry.accumulates:
            waits = dst.storage.index in self.groups.waiting
            if waits or sums.adds_to(dst, operands[6]) or not turns_exactly(data, operands[2]):
                return False
        if self.groups.waiting:
            self.groups.flush_for(dst.storage, writing=True)
        if not turn(dst, data, signed=not entry.accumulates):
            return False
        sums.mark(dst, entry.accumulates)
        return True

    def _value(self, entry: Entry, operands: tuple[Any, ...], arrays: list[np.ndarray]) -> Any:
        model = entry.model
        if not model.accumulator:
            return model.value(*arrays)
        key = (self.core, model.accumulator)
        registers = self.registers.get(key)
        if registers is None:
            registers = self.registers[key] = model.fresh_registers()
        first = next(v for v in operands if isinstance(v, Tile))
        return model.value(*arrays, registers=registers[first.start_partition :])

    def _accumulated(self, entry: Entry, tile: Tile, result: np.ndarray) -> np.ndarray:
        self.groups.flush_for(tile.storage)
        accumulate = entry.model.accumulate  # type: ignore[attr-defined]
        if not sums.adds_to(tile, accumulate):
            return result
        return result + sums.addend(tile, accumulate).reshape(result.shape)

    def _holes(
        self, entry: Entry, tiles: list[Tile], mask: np.ndarray | None
    ) -> list[tuple[Tile, np.ndarray]]:
        """Bytes about to be read that nobody wrote: reported, or returned to be carried along."""
        found = []
        waiting, shown = self.groups.waiting, self.groups.shown
        for tile, whole in zip(tiles, entry.whole, strict=True):
            buffer = tile.storage
            if waiting and (buffer.index in waiting or buffer.index in shown):
                self.groups.flush_for(buffer)
            if buffer.written is True or memory.is_written(tile):
                continue
            missing = ~memory.written_mask(tile)
            memory.reveal(tile)
            if mask is not None and missing.shape == mask.shape:
                missing &= mask
            if not whole or not missing.any():
                continue
            if self.strict_reads:
                self._tell(tile, "is read before all of it is written")
            else:
                found.append((tile, missing))
        return found

    def _carry(
        self,
        entry: Entry,
        operands: tuple[Any, ...],
        tile: Tile,
        holes: list[tuple[Tile, np.ndarray]],
        mask: np.ndarray | None,
    ) -> None:
        if isinstance(entry.model, DmaScatter):
            missing = self._scattered(entry.model, operands, holes)
        else:
            missing = spread(entry.model, tile.shape, [m for _, m in holes])
        if mask is not None:
            missing = missing & mask
        if not missing.any():
            return
        if isinstance(entry.model, Transfer) and not tile.layout.on_chip:
            self._tell(holes[0][0], "reaches HBM where nobody wrote it")
        else:
            memory.forget(tile, missing)

    def _scattered(
        self, model: DmaScatter, operands: tuple[Any, ...], holes: list[tuple[Tile, np.ndarray]]
    ) -> np.ndarray:
        """Where a scatter puts unwritten bytes; rows that it skips stay behind."""
        missing = [where for tile, where in holes if tile is operands[1]]
        if not missing:  # the indices themselves
            return np.ones(model.dst.shape, bool)
        return replace(model, add=False).value(missing[0], memory.array(operands[2]))

    def check_output(self, tile: Tile) -> None:
        """What a kernel returns has been written; in the older API a part of it suffices."""
        if tile.layout.on_chip:  # of what waits to be stored in HBM it is known already
            self.groups.flush_for(tile.storage)
        if not self.strict_reads and tile.storage.written is not False:
            return
        if not memory.is_written(tile):
            self._tell(tile, "is returned, but not all of it was written", tile.storage.place)

    def _tell(self, tile: Tile, what: str, at: int | None = None, fix: str = WRITE_FIRST) -> None:
        given = {"tensor": tile.describe()}
        text = f"{tile.storage.name} {what}"
        self.report(UninitialisedRead, text, given, fix=fix, at=at)

    def store(
        self, tile: Tile, values: np.ndarray, *, raw: bool, mask: np.ndarray | None = None
    ) -> None:
        """Rounds values to the tile's dtype and stores them."""
        if self.groups.waiting:
            self.groups.flush_for(tile.storage, writing=True)
        dtype = tile.layout.dtype
        stored = values if raw else self.narrow(values, dtype)
        kind = formats.storage(dtype)
        if stored.dtype != kind:
            stored = stored.astype(kind)
        if stored.size != tile.size:
            stored = np.broadcast_to(stored, tile.shape)
        if self.witness is not None and not tile.layout.on_chip:
            self.witness.see(tile, stored, mask)
        if mask is not None:
            memory.write_where(tile, stored, mask)
        else:
            memory.write(tile, stored)

    def fetch(self, made: Tile, rows: Tile, where: tuple[np.ndarray, ...]) -> None:
        """Gives a new tensor the elements of a tile at these indices."""
        values, flags = memory.gather(rows, where)
        memory.write(made, np.array(values))
        if flags is not True:
            memory.forget(made, ~np.asarray(flags))

    def put(self, rows: Tile, where: tuple[np.ndarray, ...], made: Tile, chosen: Any = ...) -> None:
        """Stores a tensor, or the chosen part of it, at these indices of a tile."""
        memory.scatter(rows, where, self.show(made)[chosen])

    def result(self, tile: Tile) -> np.ndarray:
        """What a kernel returns of a tile."""
        return self.show(tile)

    def settle(self, tile: Tile) -> None:
        """Before the caller sees the bytes of an argument that the kernel has written."""

    def show(self, tile: Tile) -> np.ndarray:
        """A tile's contents as stored, for printing."""
        self.groups.flush_for(tile.storage)
        if not memory.is_written(tile):
            memory.reveal(tile)
        return memory.array(tile)


def is_plain_copy(model: Instruction) -> bool:
    """Whether an instruction copies a tile to SBUF, or bit for bit to HBM, and nothing else."""
    if isinstance(model, DmaCopy):
        return model.keeps_bits and not model.dst.layout.on_chip
    return type(model) is TensorCopy


def is_plain_load(model: Instruction) -> bool:
    """Whether an instruction copies to on-chip memory, bit for bit."""
    if not isinstance(model, DmaCopy) and type(model) is not TensorCopy:
        return False
    return model.keeps_bits and model.dst.layout.on_chip  # type: ignore[attr-defined]


def forget_buffers(model: Instruction) -> None:
    """A cached instruction must not keep its first operands' bytes alive."""
    for name in model.operands:
        held = getattr(model, name)
        if isinstance(held, Tile):
            object.__setattr__(model, name, _bare(held))
        elif name in model.lists:
            object.__setattr__(model, name, [_bare(t) for t in held])


def _bare(tile: Tile) -> Tile:
    buffer = tile.storage
    empty = Buffer(
        buffer.index, buffer.name, buffer.space, buffer.dtype, buffer.shape, buffer.address
    )
    return Tile(empty, tile.layout, tile.offset)
