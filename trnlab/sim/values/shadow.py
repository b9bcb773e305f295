"""A second run beside the first, at higher precision: what values would be without rounding.

Every tensor has an ideal copy of its numbers. Instructions are pure functions of arrays, so each
is evaluated twice: on what memory holds, and on the ideals, in fp64 to see what
rounding costs, or in fp32 where a run is to keep low precision as fp32. Integers and bool are
rounded in both, since that is what they are for.

The ideals start as what memory holds and are compared with it at every read: bytes that changed
without an instruction, or that were read or written as another dtype, start anew.
"""

from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from trnlab import formats
from trnlab.isa.tile import Buffer, Tile, whole
from trnlab.sim import memory, sums
from trnlab.sim.values.departures import Departures, Seen, numbers, real_numbers
from trnlab.sim.values.execute import Entry, Executor

KEPT_IN_FP32 = ("bfloat16", "tfloat32")  # and every float of 8 bits; fp16 is NumPy's own


class Ideal:
    """One tensor's ideal numbers, and the bytes that memory held when they were last right."""

    def __init__(self, storage: Buffer) -> None:
        held = memory.array(whole(storage))
        self.seen = np.ascontiguousarray(_bits(held).copy())
        self.values = np.ascontiguousarray(numbers(held, storage.dtype))


class Ideals:
    """The ideal numbers of all tensors; fp64 holds fp32 and 32-bit integers alike."""

    def __init__(self) -> None:
        self.known: WeakKeyDictionary[Buffer, Ideal] = WeakKeyDictionary()

    def read(self, tile: Tile) -> np.ndarray:
        """The ideal numbers of a tile, as a new array."""
        held = memory.array(tile)
        if not _tracked(tile):
            return numbers(held, tile.dtype)
        ideal = self._of(tile.storage)
        values, seen = _part(ideal.values, tile), _part(ideal.seen, tile)
        changed = _bits(held) != seen
        if not changed.any():
            return values.copy()
        return np.where(changed, numbers(held, tile.dtype), values)

    def write(self, tile: Tile, values: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Sets the ideal numbers of a tile whose bytes have just been written."""
        if not _tracked(tile):
            return
        ideal = self._of(tile.storage)
        where = True if mask is None else np.broadcast_to(mask, tile.shape)
        np.copyto(_part(ideal.values, tile), values.reshape(tile.shape), where=where)
        np.copyto(_part(ideal.seen, tile), _bits(memory.array(tile)), where=where)

    def write_at(self, tile: Tile, where: tuple[np.ndarray, ...], values: np.ndarray) -> None:
        """As `write`, for elements at these indices of a tile."""
        if _tracked(tile):
            ideal = self._of(tile.storage)
            _part(ideal.values, tile)[where] = values
            _part(ideal.seen, tile)[where] = _bits(memory.array(tile))[where]

    def _of(self, storage: Buffer) -> Ideal:
        found = self.known.get(storage)
        if found is None:
            found = self.known[storage] = Ideal(storage)
        return found


class Shadowed(Executor):
    """Computes every instruction as usual, and on the ideals as well."""

    ideals: Ideals
    kind: Any  # what the second run computes in
    departures: Departures | None = None

    def follow(self, kind: Any, departures: Departures | None = None) -> None:
        """Starts the second run, in fp64 or fp32."""
        self.ideals, self.kind, self.departures = Ideals(), kind, departures

    def compute(self, entry: Entry, operands: tuple[Any, ...], mask: np.ndarray | None) -> None:
        """Computes one instruction twice; sums are not put off."""
        reads = [_pick(operands, pick) for pick in entry.reads]
        ideals = [self.ideals.read(tile) for tile in reads]
        seen = None
        if self.departures is not None:
            arrays = [memory.array(tile).copy() for tile in reads]
            seen = Seen(entry, operands, reads, arrays, ideals, mask)
        writes = [_pick(operands, pick) for pick in entry.picks[: entry.cost.writes]]
        before = [self._addend(entry, tile) for tile in writes]
        registers = self._registers(entry)
        super().compute(_alone(entry), operands, mask)
        results = self._results(entry, operands, reads, ideals, registers)
        for tile, result, addend in zip(writes, results, before, strict=True):
            if result is None:
                values = real_numbers(tile)
            else:
                values = result if addend is None else result + addend.reshape(result.shape)
                values = self._stored(values, tile)
            self.ideals.write(tile, values, mask)
            if seen is not None and self.departures is not None:
                self.departures.look(seen, tile, self.ideals.read(tile))

    def _results(
        self,
        entry: Entry,
        operands: tuple[Any, ...],
        reads: list[Tile],
        ideals: list[np.ndarray],
        registers: np.ndarray | None,
    ) -> list[Any]:
        """What the instruction makes of the ideals; None for each where that is not followed."""
        count = entry.cost.writes
        fill = getattr(entry.model, "fill", None)
        if fill is not None and not reads:
            return [np.asarray(fill, self.kind)]
        given = [
            self._operand(tile, ideal, widen)
            for tile, ideal, widen in zip(reads, ideals, entry.widen, strict=True)
        ]
        try:
            if registers is None:
                out = entry.model.value(*given)
            else:
                first = next(v for v in operands if isinstance(v, Tile))
                out = entry.model.value(*given, registers=registers[first.start_partition :])
        except (TypeError, ValueError, IndexError):  # takes fp32 or bit patterns only
            self.unfollowed.setdefault(entry.model.name)
            return [None] * count
        return list(out) if isinstance(out, tuple) else [out] if count else []

    def _operand(self, tile: Tile, ideal: np.ndarray, widen: bool) -> np.ndarray:
        """What an instruction takes: numbers, or integers where it keeps bits."""
        entry = formats.facts(tile.dtype)
        if entry.element is not None and not widen:
            return memory.array(tile)
        return ideal.astype(self.kind if widen or entry.is_float else entry.storage, copy=False)

    def _registers(self, entry: Entry) -> np.ndarray | None:
        """The reduction registers of the second run; random numbers are those of the first."""
        name = entry.model.accumulator
        if not name:
            return None
        actual = self.registers.get((self.core, name))
        if actual is not None and actual.dtype.kind == "u":
            return actual.copy()
        key = (self.core, f"ideal {name}")
        if key not in self.registers:
            start = np.zeros(128) if actual is None else actual
            self.registers[key] = start.astype(self.kind)
        return self.registers[key]

    def _addend(self, entry: Entry, tile: Tile) -> np.ndarray | None:
        """What a matmul adds its ideal result to."""
        if not entry.accumulates:
            return None
        accumulate = entry.model.accumulate  # type: ignore[attr-defined]
        if not sums.adds_to(tile, accumulate):
            return None
        values = np.where(memory.written_mask(tile), self.ideals.read(tile), 0)
        return sums.addend(tile, accumulate, values)

    def _stored(self, values: np.ndarray, tile: Tile) -> np.ndarray:
        """Results as the ideal keeps them: integers, bool and what stays fp16 are rounded."""
        entry = formats.facts(tile.dtype)
        values = np.asarray(values)
        if entry.kind == "bool":
            values = values != 0
        elif entry.is_integer and values.dtype.kind == "f":
            limits = np.iinfo(entry.storage)
            values = np.clip(np.rint(np.nan_to_num(values)), limits.min, limits.max)
        elif entry.name == "float16" and self.departures is None:
            values = formats.narrow(values.astype(np.float32), tile.dtype)
        values = values.astype(np.float64, copy=False)
        return np.broadcast_to(values, tile.shape) if values.size != tile.size else values

    def fetch(self, made: Tile, rows: Tile, where: tuple[np.ndarray, ...]) -> None:
        """As `Executor.fetch`, for the ideals too."""
        super().fetch(made, rows, where)
        self.ideals.write(made, self.ideals.read(rows)[where])

    def put(self, rows: Tile, where: tuple[np.ndarray, ...], made: Tile, chosen: Any = ...) -> None:
        """As `Executor.put`, for the ideals too."""
        values = self.ideals.read(made)[chosen]
        super().put(rows, where, made, chosen)
        self.ideals.write_at(rows, where, values)

    def settle(self, tile: Tile) -> None:
        """Where low precision is kept as fp32, rounds it once into what the caller sees."""
        if self.departures is None and _tracked(tile):
            ideal = self.ideals.read(tile)
            memory.write_where(tile, _rounded(ideal, tile), memory.written_mask(tile))
            self.ideals.write(tile, ideal)

    def result(self, tile: Tile) -> np.ndarray:
        """What a kernel returns: fp32 where low precision was kept as fp32."""
        if self.departures is not None or not _tracked(tile):
            return super().result(tile)
        ideal = self.ideals.read(tile)
        return ideal.astype(np.float32) if kept_in_fp32(tile.dtype) else _rounded(ideal, tile)


def _rounded(ideal: np.ndarray, tile: Tile) -> np.ndarray:
    """Ideal numbers as the tile's dtype; integers are whole already."""
    entry = formats.facts(tile.dtype)
    if entry.is_float:
        return formats.narrow(ideal.astype(np.float32), tile.dtype)
    return ideal.astype(entry.storage)


def kept_in_fp32(dtype: Any) -> bool:
    """Whether a format is kept as fp32 by runs without rounding."""
    entry = formats.facts(dtype)
    return entry.is_float and (entry.name in KEPT_IN_FP32 or entry.bits == 8)


def _tracked(tile: Tile) -> bool:
    """Whether a tile is read as what its tensor holds, one number an element."""
    return tile.dtype == tile.storage.dtype and formats.facts(tile.dtype).element is None


def _part(flat: np.ndarray, tile: Tile) -> np.ndarray:
    """A tile's elements among those of its tensor."""
    size = flat.itemsize
    strides = tuple(s * size for s in tile.layout.strides)
    return np.ndarray(tile.shape, flat.dtype, flat, tile.offset * size, strides)


def _bits(array: np.ndarray) -> np.ndarray:
    return array.view(np.dtype(f"u{array.itemsize}"))


def _pick(operands: tuple[Any, ...], pick: tuple[int, int]) -> Tile:
    position, item = pick
    return operands[position] if item < 0 else operands[position][item]


def _alone(entry: Entry) -> Entry:
    """The instruction, computed at once and not together with its neighbours."""
    return replace(entry, grouped=False) if entry.grouped else entry
