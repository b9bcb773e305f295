"""A program from data that nobody vouches for: checked, computed and timed like any other.

Nothing of what the data says is believed. Instructions are built from the instruction set and go
through the same rules as those of a kernel, places are checked against the tensors they lie in, and
values start from the caller's own arrays. A program can thus be wrong, but not pretend.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, IllegalInstruction
from trnlab.isa.instruction import Instruction
from trnlab.isa.matmul import NcMatmul
from trnlab.isa.pair import SendRecv
from trnlab.isa.rules import LATEST, Compiler
from trnlab.isa.tile import HBM_SPACES, PSUM, SBUF, Buffer, Layout, Tile, layout, whole
from trnlab.machine.chip import Chip
from trnlab.sim import memory
from trnlab.sim.checks.races import Witness
from trnlab.sim.core import Run
from trnlab.sim.parameters import (
    malformed,
    read,
    unpacked,
    whole_number,
    whole_numbers,
)
from trnlab.sim.portable import MOST, Portable, printable
from trnlab.sim.program import Loop
from trnlab.sim.values.execute import Entry


@dataclass(eq=False)
class Replayed:
    """What a program from data left behind."""

    run: Run
    outputs: list[np.ndarray]
    read: frozenset[int]  # inputs that some instruction reads


def replay(
    program: Portable,
    chip: Chip,
    cores: int,
    inputs: Sequence[np.ndarray],
    compiler: Compiler = LATEST,
) -> Replayed:
    """Checks and computes a program on inputs, which it may change; time is the caller's business.

    Broken rules are in ``run.found``. Raises BadArguments where the data makes no sense, and what
    a run raises where a value is undefined.
    """
    run = Run(chip, api=program.api, cores=cores, compiler=compiler)
    run.arguments.update(range(len(inputs)))
    run.program.places = program.places()
    if not run.program.places:
        raise malformed("it names no source line")
    return _Replaying(program, run, program.buffers(run, inputs), len(inputs)).all()


class _Replaying:
    """One pass over the rows of a program."""

    def __init__(
        self, program: Portable, run: Run, buffers: list[Buffer | None], inputs: int
    ) -> None:
        self.program, self.run, self.buffers, self.inputs = program, run, buffers, inputs
        self.entries: dict[Any, Entry] = {}
        self.layouts: dict[Any, Layout] = {}
        self.read: set[int] = set()
        # What two cores send each other, by the row that ends the exchange.
        self.sent: dict[int, tuple[tuple[Tile, np.ndarray], ...]] = {}
        self.presets: dict[int, list[tuple[Any, Any]]] = {}
        for at, where, values in program._rows("presets", 3):
            self.presets.setdefault(whole_number(at, 0, program.count), []).append((where, values))

    def all(self) -> Replayed:
        program, run = self.program, self.run
        instances = program.data["instances"]
        if len(instances) > 1 or run.cores > 1:
            run.executor.witness = Witness(run.program)
        results = self._results()
        joins = self._joins()
        kept = {row[0] for row in (*results, *(row for pair in joins for row in pair))}
        kept |= set(range(self.inputs))
        last, starts, at = program.last_uses(len(self.buffers)), sorted(instances), 0
        with np.errstate(all="ignore"):
            for number in range(program.count):
                while starts and starts[0] == number:
                    run.program.instances.append(starts.pop(0))
                at = self._row(number, at)
                for index in last.get(number, ()):
                    if index not in kept:
                        self.buffers[index] = None
            self._preset(program.count)
            for after, before in program._rows("edges", 2):
                after = whole_number(after, 1, program.count - 1)
                before = whole_number(before, 0, after - 1)
                run.program.edges.setdefault(after, []).append(before)
            run.program.loops = self._loops()
            run.program.reduced = set(whole_numbers(program._list("reduced"), 0, program.count))
            for note in program._list("notes")[:20]:
                run.note(printable(note))
            for mine, theirs in joins:
                run.join(self.tile(*mine), self.tile(*theirs))
            tiles = [self.tile(*row) for row in results] or self._changed()
            for tile in tiles:
                if tile.space not in HBM_SPACES:
                    raise BadArguments(f"the kernel returns {tile.describe()}, which is on chip")
                run.executor.check_output(tile)
            run.finish()
            outputs = [run.executor.result(tile).copy() for tile in tiles]
        return Replayed(run, outputs, frozenset(self.read))

    def _results(self) -> list[list[int]]:
        rows = list(self.program._rows("returned", 3))
        for index, *_ in rows:
            whole_number(index, 0, len(self.buffers) - 1)
        return rows

    def _joins(self) -> list[list[list[int]]]:
        """What both cores of a launch have written, each to an output of its own."""
        rows, results = list(self.program._rows("joins", 2)), self._results()
        for mine, theirs in rows:
            if mine not in results or not isinstance(theirs, list) or len(theirs) != 3:
                raise malformed("what is joined is no output")
            one, other = self.tile(*mine), self.tile(*theirs)
            apart = self._core(one) != self._core(other) and one.layout is other.layout
            private = {one.space, other.space} <= set(HBM_SPACES)
            if not apart or not private or other.storage.index < self.inputs:
                raise malformed("what is joined is not the same output of two cores")
        return rows

    def _loops(self) -> list[Loop]:
        lines, found = len(self.run.program.places), []
        for place, parallel, starts, tensors in self.program._rows("loops", 4):
            whole_numbers(starts, 0, self.program.count)
            whole_numbers(tensors, 0, len(self.buffers))
            if starts != sorted(starts) or len(tensors) != len(starts):
                raise malformed("iterations of a loop do not follow each other")
            found.append(Loop(whole_number(place, 0, lines - 1), bool(parallel), starts, tensors))
        return found

    def _changed(self) -> list[Tile]:
        """The arguments that the program writes, where it returns nothing."""
        found = sorted(self.run.program.written() & set(range(self.inputs)))
        return [whole(b) for b in (self.buffers[i] for i in found) if b is not None]

    def _row(self, number: int, at: int) -> int:
        """Runs one row, whose operands begin at ``at``; where those of the next begin."""
        program, run = self.program, self.run
        if number in self.presets:
            self._preset(number)
        template, place, core = program.heads[3 * number : 3 * number + 3]
        run.at = whole_number(place, 0, len(run.program.places) - 1)
        if core != run.core_index:
            run.switch(whole_number(core, 0, run.cores - 1))
        kind, parameters, count = program.kinds[template]
        end = at + 3 * count
        cells = program.operands
        tiles = [self.tile(cells[i], cells[i + 1], cells[i + 2]) for i in range(at, end, 3)]
        operands = tuple([read(value, tiles) for value in parameters])
        if run.cores > 1:
            self._check_cores(kind, tiles)
        if kind is SendRecv and number not in self.sent:
            self._exchange(number, operands, end)
        if kind is NcMatmul:
            self._check_promises(operands)
        key = (template, *[tile.sig for tile in tiles])
        entry = self.entries.get(key)
        if entry is None:
            entry = run.enter(kind, operands, key)
            if not entry.broken:
                self.entries[key] = entry
        touched = [operands[p] if i < 0 else operands[p][i] for p, i in entry.picks]
        self.read.update(
            tile.storage.index
            for tile in touched[entry.cost.writes :]
            if tile.storage.index < self.inputs
        )
        run.record(entry, touched)
        run.compute(entry, operands, program.masks.get(number))
        for tile, values in self.sent.pop(number, ()):
            run.executor.store(tile, values, raw=True)
        return end

    def _check_promises(self, operands: tuple[Any, ...]) -> None:
        """Raises IllegalInstruction for a product that is quicker by what its data is not."""
        _, *sides, first, second, turns = operands[:6]
        plain = [formats.name(tile.dtype) != "float32" for tile in sides]
        if not (first or second or turns) or all(plain):
            return
        kept = [self._is_of_ones(tile) for tile in sides]
        if (first and not kept[0]) or (second and not kept[1]) or (turns and not any(kept)):
            raise IllegalInstruction(
                "nc_matmul is promised ones and zeros, and its data holds others",
                {"is_stationary_onezero": str(first), "is_moving_onezero": str(second),
                 "is_transpose": str(turns)},
                fix="leave the promise out",
                see="nki.isa.nc_matmul",
            )  # fmt: skip

    def _is_of_ones(self, tile: Tile) -> bool:
        """Whether a tile holds ones and zeros only; one that nobody wrote is told of elsewhere."""
        self.run.executor.groups.flush_for(tile.storage)
        return not memory.is_written(tile) or bool(np.isin(memory.array(tile), (0, 1)).all())

    def _check_cores(self, kind: type[Instruction], tiles: list[Tile]) -> None:
        """Raises BadArguments where a core touches what is on the other one."""
        for tile in tiles:
            mine = self._core(tile) == self.run.core_index
            received = kind is SendRecv and tile is tiles[-1]
            if tile.layout.on_chip and mine == received:
                raise malformed(f"core {self.run.core_index} does not have {tile.describe()}")

    def _core(self, tile: Tile) -> int:
        return self.run.program.buffers[tile.storage.index].core

    def _exchange(self, number: int, operands: tuple[Any, ...], at: int) -> None:
        """Two cores send at the same time: what both receive is what was there before."""
        heads, core = self.program.heads, self.run.core_index
        after = heads[3 * number + 3 : 3 * number + 6]
        kind, parameters, count = self.program.kinds[after[0]] if after else (None, [], 0)
        if kind is not SendRecv or after[2] != core ^ 1:
            raise malformed("a core sends, and the other one does not")
        cells = self.program.operands[at : at + 3 * count]
        tiles = [self.tile(*cells[i : i + 3]) for i in range(0, len(cells), 3)]
        there = tuple([read(value, tiles) for value in parameters])
        if operands[4] != there[4]:
            raise malformed("two cores exchange with different pipe_id")
        show = self.run.executor.show
        self.sent[number] = ()
        self.sent[number + 1] = tuple((o[1], show(o[0]).copy()) for o in (operands, there))

    def tile(self, index: Any, number: Any, offset: Any) -> Tile:
        """A tile that lies in a tensor which still exists; raises BadArguments otherwise."""
        buffer = self.buffers[whole_number(index, 0, len(self.buffers) - 1)]
        if buffer is None:
            raise malformed("a tensor is used after it was used last")
        key = (number, buffer.space, buffer.row_bytes)
        here = self.layouts.get(key)
        if here is None:
            dtype, shape, strides = self.program.layouts[
                whole_number(number, 0, len(self.program.layouts) - 1)
            ]
            if buffer.row_bytes % dtype.itemsize:
                raise malformed("rows of a tensor are no whole elements of its view")
            pitch = buffer.row_bytes // dtype.itemsize
            here = self.layouts[key] = layout(buffer.space, dtype, shape, strides, pitch)
        low = whole_number(offset, 0, MOST) - here.below
        reach = sum(abs(s) * (n - 1) for s, n in zip(here.strides, here.shape, strict=True))
        if low < 0 or (low + reach + 1) * here.itemsize > buffer.nbytes:
            raise malformed(f"a view leaves {buffer.name}")
        return Tile(buffer, here, offset)

    def _preset(self, number: int) -> None:
        """Bytes that are there without an instruction: only those that a kernel can have so."""
        for where, held in self.presets.get(number, ()):
            if not isinstance(where, list) or len(where) != 3:
                raise malformed("constants lie nowhere")
            tile, values = self.tile(*where), unpacked(held)
            if values.shape != tile.shape or values.dtype != formats.storage(tile.dtype):
                raise malformed("constants do not fit their tensor")
            if tile.storage.index < self.inputs or not _free(tile, values, self.program.api):
                raise malformed(f"no constant can be in {tile.describe()} without an instruction")
            memory.write(tile, np.array(values))


def _free(tile: Tile, values: np.ndarray, api: str) -> bool:
    """Whether NKI has a way to make this constant without an instruction that takes time."""
    if tile.space in HBM_SPACES:
        return tile.storage.written is False
    if tile.space is PSUM:
        return api != "nki" and not values.astype(np.float32).any()
    square = tile.space is SBUF and values.ndim == 2 and values.shape[0] == values.shape[1]
    return square and np.array_equal(
        values, formats.narrow(np.eye(len(values), dtype=np.float32), tile.dtype)
    )
