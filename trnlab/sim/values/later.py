"""Values of rows that were recorded before they are computed.

Loops that are followed are written rather than run, so that what they compute waits until they have
ended, or until somebody asks for a value. Rows say on which tiles of which tensors; a tensor of an
iteration that was written is made when its first row comes, and goes with its last.
"""

from collections.abc import Callable, Iterator
from sys import maxsize
from typing import Any

import numpy as np

from trnlab.errors import ProgramError
from trnlab.isa.tile import LAYOUTS, Buffer, Tile
from trnlab.sim import memory
from trnlab.sim.program import Preset, Program
from trnlab.sim.progression import Unclear
from trnlab.sim.values.execute import Entry

Find = Callable[[], Callable[[int], Buffer | None] | None]  # weak


class Later:
    """What a `Run` has recorded but not computed.

    ``early`` counts iterations that are run before their turn, in which nobody can be told a value;
    ``asked`` says that somebody wanted one.
    """

    def __init__(self, run: Any, tensors: list[Buffer]) -> None:
        self.run, self.program, self.tensors = run, run.program, tensors
        self.forms: dict[int, tuple[Entry, list[Any]]] = {}  # operands but for tiles, by cost
        self.outer: dict[int, Buffer] = {}
        self.masks: dict[int, Any] = {}
        self.early, self.asked = 0, False
        self._begin()

    def _begin(self) -> None:
        program = self.program
        self.first = len(program.buffers)  # tensors from here on are made meanwhile
        self.row, self.operand = program.count, len(program.operands)
        self.preset = len(program.presets)

    def put_off(self, entry: Entry, operands: tuple[Any, ...], mask: Any) -> None:
        """Takes over an instruction that was just recorded."""
        known = self.forms.get(entry.number)
        if known is None or known[0] is not entry:
            self.forms[entry.number] = entry, [_bare(operand) for operand in operands]
        if mask is not None:  # rows do not have them
            self.masks[self.program.count - 1] = mask
            self.asked = True
        for position, item in entry.picks:
            self._see(operands[position] if item < 0 else operands[position][item])
        if self.first == maxsize:
            self.run.end()

    def hold(self, tile: Tile, values: np.ndarray) -> None:
        """Takes over bytes that are there without an instruction."""
        self._see(tile)
        where = tile.storage.index, tile.layout.index, tile.offset
        self.program.presets.append(Preset(self.program.count, *where, values))

    def _see(self, tile: Tile) -> None:
        """Remembers a tensor that was there before."""
        buffer = tile.storage
        if buffer.index < self.first:
            self.outer[buffer.index] = buffer

    def undo(self, tensors: int) -> None:
        """Forgets what is no longer recorded; of tensors only so many are left."""
        count, costs = self.program.count, len(self.program.costs)
        self.masks = {row: mask for row, mask in self.masks.items() if row < count}
        self.forms = {cost: form for cost, form in self.forms.items() if cost < costs}
        while self.tensors and self.tensors[-1].index >= tensors:
            self.tensors.pop()

    def leave(self) -> None:
        """The loop was left before its end: what comes next is the last that is put off.

        Tensors that are made from now on are not known.
        """
        self.first = maxsize

    def catch_up(self) -> None:
        """Computes all that waits."""
        if self.early:
            raise Unclear
        run, at, self.asked = self.run, self.run.at, True
        run.later = None
        run.families = [family for family in run.families if family() is not None]
        try:
            self._compute()
        except ProgramError as error:
            error.place = error.place or run.here()
            raise
        finally:
            run.later, run.at = self, at

    def _compute(self) -> None:
        run, program, first = self.run, self.program, self.row
        tensors = _Tensors(program, self.outer, self.tensors, run.families)
        rows, masks = _rows(program, first, self.operand), self.masks
        presets = program.presets[self.preset :][::-1]
        self.tensors.clear()
        self.outer, self.masks = {}, {}
        self._begin()
        for row, (kind, place, cells, ends) in enumerate(rows, first):
            while presets and presets[-1].row <= row:
                tensors.preset(presets.pop())
            form = self.forms.get(kind)
            if form is not None:
                run.at = place
                run.compute(form[0], tensors.operands(*form, cells), masks.get(row))
            for tensor in ends:
                tensors.pop(tensor, None)
        for preset in reversed(presets):
            tensors.preset(preset)


Rows = Iterator[tuple[int, int, list[int], list[int]]]


def _rows(program: Program, row: int, operand: int) -> Rows:
    """Rows from here on: cost, line, operands, and which tensors no later row touches."""
    counts = [cost.writes + cost.reads for cost in program.costs]
    heads, cells = program.heads[3 * row :].tolist(), program.operands[operand:].tolist()
    kinds = heads[::3]
    ends: list[list[int]] = [[] for _ in kinds]
    touched = np.repeat(np.arange(len(kinds)), np.array(counts, np.int64)[kinds]).tolist()
    for tensor, last in dict(zip(cells[::3], touched, strict=True)).items():
        ends[last].append(tensor)
    at = 0
    for kind, place, gone in zip(kinds, heads[1::3], ends, strict=True):
        end = at + 3 * counts[kind]
        yield kind, place, cells[at:end], gone
        at = end


class _Tensors(dict[int, Buffer]):
    """Tensors by number: those that a kernel has, and those that nobody made."""

    def __init__(
        self, program: Program, outer: dict[int, Buffer], made: list[Buffer], families: list[Find]
    ) -> None:
        super().__init__(outer)
        self.update((each.index, each) for each in made)
        self.facts, self.families = program.buffers, families
        self.like = {id(self.facts[each.index]): each.kind for each in made}

    def __missing__(self, index: int) -> Buffer:
        facts = self.facts[index]
        like = self.like.get(id(facts))
        if like is not None:
            made = self[index] = Buffer(index, facts.name or f"t{index}", *like)
            return made
        for family in self.families:
            find = family()
            found = None if find is None else find(index)
            if found is not None:
                self[index] = found
                return found
        raise Unclear

    def operands(self, entry: Entry, template: list[Any], cells: list[int]) -> tuple[Any, ...]:
        """The operands of a row, whose tensors, layouts and offsets are in its cells."""
        operands, at = template.copy(), 0
        for position, item in entry.picks:
            tile = Tile(self[cells[at]], LAYOUTS[cells[at + 1]], cells[at + 2])
            at += 3
            if item < 0:
                operands[position] = tile
            else:
                if operands[position] is template[position]:
                    operands[position] = template[position].copy()
                operands[position][item] = tile
        return tuple(operands)

    def preset(self, preset: Preset) -> None:
        """Writes bytes that are there without an instruction."""
        _, tensor, number, offset, values = preset
        memory.preset(Tile(self[tensor], LAYOUTS[number], offset), values)


def _bare(operand: Any) -> Any:
    """An operand without its tensors, which it must not keep alive."""
    if isinstance(operand, Tile):
        return None
    if isinstance(operand, (list, tuple)) and any(isinstance(part, Tile) for part in operand):
        return [_bare(part) for part in operand]
    return operand
