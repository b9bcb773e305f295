"""A run that is written down as data: what somebody else needs to check, compute and time it."""

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from trnlab import formats
from trnlab.errors import NotModelled
from trnlab.isa.instruction import Instruction
from trnlab.isa.tile import LAYOUTS, Buffer, Space, Tile
from trnlab.sim.core import Run
from trnlab.sim.parameters import packed, recordable, written
from trnlab.sim.values.execute import Entry

DYNAMIC = "a program as data with operands whose place a register or a tile decides"
FORM = 1  # of the data; another number is another form


@dataclass(eq=False)
class Recorder(Run):
    """A run without values that keeps every parameter, mask and constant of its program."""

    values: bool = False
    keeps_presets: ClassVar[bool] = True
    kept: list[Entry] = field(default_factory=list)  # by number
    made: list[tuple[Space, Any, tuple[int, ...], tuple[int, int] | None]] = field(
        default_factory=list
    )
    masks: list[tuple[int, np.ndarray]] = field(default_factory=list)  # by instruction
    presets: list[tuple[int, Tile, np.ndarray]] = field(default_factory=list)
    joins: list[tuple[Tile, Tile]] = field(default_factory=list)

    def buffer(
        self,
        space: Space,
        dtype: Any,
        shape: tuple[int, ...],
        name: str = "",
        address: tuple[int, int] | None = None,
    ) -> Buffer:
        """As `Run.buffer`."""
        self.made.append((space, dtype, shape, address))
        return super().buffer(space, dtype, shape, name, address)

    def more(self, first: Buffer, names: list[str]) -> bool:
        """As `Run.more`."""
        done = super().more(first, names)
        if done:
            self.made += [(first.space, first.dtype, first.shape, None)] * len(names)
        return done

    def enter(self, kind: type[Instruction], operands: tuple[Any, ...], key: Any) -> Entry:
        """As `Run.enter`; raises NotModelled for what has no form as data."""
        recordable(kind, operands)
        entry = super().enter(kind, operands, key)
        self.kept.append(entry)
        return entry

    def enter_dynamic(
        self, kind: type[Instruction], operands: tuple[Any, ...], key: Any, addresses: int
    ) -> Entry:
        """Raises NotModelled: who computes the program later cannot know such places."""
        raise NotModelled(DYNAMIC, "their addresses as operands of the data", self.here())

    def record(self, entry: Entry, touched: Iterable[Tile]) -> None:
        """Raises NotModelled, as `enter_dynamic`."""
        raise NotModelled(DYNAMIC, "their addresses as operands of the data", self.here())

    def issue(self, entry: Entry, operands: tuple[Any, ...], mask: Any = None) -> None:
        """As `Run.issue`."""
        if mask is not None:
            self.masks.append((self.program.count, np.asarray(mask, bool)))
        super().issue(entry, operands, mask)

    def preset(self, tile: Tile, values: np.ndarray) -> None:
        """Notes bytes that the program holds from the start."""
        self.presets.append((self.program.count, tile, values))

    def join(self, mine: Tile, theirs: Tile) -> None:
        """Notes two tensors that are one output."""
        self.joins.append((mine, theirs))

    def as_data(self, results: Iterable[Tile], passes: str = "") -> dict[str, Any]:
        """The program, the tiles it returns and what a compiler does to it, ready for JSON."""
        program, results = self.program, list(results)
        layouts: dict[int, int] = {}
        operands = np.frombuffer(program.operands, np.int64).reshape(-1, 3).tolist()
        for row in operands:
            row[1] = layouts.setdefault(row[1], len(layouts))
        facts = zip(self.made, map(program.tensor, range(len(program.buffers))), strict=True)

        def place(tile: Tile) -> list[int]:
            number = layouts.setdefault(tile.layout.index, len(layouts))
            return [tile.storage.index, number, int(tile.offset)]

        presets = [[at, place(t), packed(v, t.dtype)] for at, t, v in self.presets]
        returned = [place(tile) for tile in results]
        joins = [[place(mine), place(theirs)] for mine, theirs in self.joins]
        return {
            "form": FORM,
            "api": self.api,
            "passes": passes,
            "places": [[Path(c.co_filename).name, line] for c, line in program.places],
            "buffers": [
                [s.name, formats.name(d), _whole(shape), f.name, a and _whole(a), f.place, f.core]
                for (s, d, shape, a), f in facts
            ],
            "layouts": [
                [formats.name(here.dtype), _whole(here.shape), _whole(here.strides)]
                for here in (LAYOUTS[i] for i in layouts)
            ],
            "templates": [_template(entry) for entry in self.kept],
            "heads": program.heads.tolist(),
            "operands": [int(n) for row in operands for n in row],
            "masks": [
                [at, list(m.shape), b64encode(np.packbits(m).tobytes()).decode()]
                for at, m in self.masks
            ],
            "presets": presets,
            "edges": [[after, b] for after, many in program.edges.items() for b in many],
            "instances": program.instances,
            "loops": [[o.place, o.parallel, o.starts, o.tensors] for o in program.loops],
            "reduced": sorted(program.reduced),
            "notes": list(program.notes),
            "found": [[type(e).__name__, e.what, str(e)] for e in self.found.values()],
            "returned": returned,
            "joins": joins,
        }


def _whole(values: Iterable[Any]) -> list[int]:
    return [int(n) for n in values]


def _template(entry: Entry) -> list[Any]:
    """The class of an instruction, its parameters, and how many operands a row of it has."""
    model = entry.model
    order = {pick: n for n, pick in reversed(list(enumerate(entry.picks)))}
    found = []
    for position, part in enumerate(fields(model)):
        value = getattr(model, part.name)
        listed = isinstance(value, (list, tuple))
        numbers = (order[position, i if listed else -1] for i in count())
        found.append(written(value, numbers))
    return [type(model).__name__, found, len(entry.picks)]
