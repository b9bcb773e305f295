"""A program from data that nobody vouches for: checked, computed and timed like any other.

Nothing of what the data says is believed. Instructions are built from the instruction set and go
through the same rules as those of a kernel, places are checked against the tensors they lie in, and
values start from the caller's own arrays. A program can thus be wrong, but not pretend.
"""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from types import CodeType
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, OutOfMemory, ProgramError
from trnlab.isa.instruction import Instruction
from trnlab.isa.rules import LATEST, Compiler
from trnlab.isa.tile import HBM_SPACES, PSUM, SBUF, Buffer, Layout, Space, Tile, layout, whole
from trnlab.machine.chip import Chip
from trnlab.sim import memory
from trnlab.sim.core import Run
from trnlab.sim.execute import Entry
from trnlab.sim.parameters import (
    malformed,
    named_format,
    opcodes,
    read,
    recordable,
    unpacked,
    whole_number,
    whole_numbers,
)
from trnlab.sim.program import Loop
from trnlab.sim.races import Witness
from trnlab.sim.record import FORM

MOST = 2**62
LARGEST = 2**31  # bytes of one tensor
PASSES = {"nki": ("",), "neuronxcc.nki": ("older", "as written")}  # by generation of NKI


@dataclass(eq=False)
class Portable:
    """A program as data, with the shape of everything checked; `replay` runs it."""

    data: dict[str, Any]
    kinds: list[tuple[type[Instruction], list[Any], int]] = field(default_factory=list)
    layouts: list[tuple[Any, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    operands: list[int] = field(default_factory=list)
    masks: dict[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.data, dict) or self.data.get("form") != FORM:
            raise malformed(f"it is not of form {FORM}")
        if self.data.get("api") not in tuple(PASSES):
            raise malformed("it is of no generation of NKI")
        if self.data.get("passes") not in PASSES[self.api]:
            raise malformed("it is for no compiler")
        self.heads = whole_numbers(self._list("heads"), 0, MOST)
        self.operands = whole_numbers(self._list("operands"), 0, MOST)
        if len(self.heads) % 3 or len(self.operands) % 3:
            raise malformed("rows are not complete")
        for name, shape, strides in self._rows("layouts", 3):
            sizes = tuple(whole_numbers(shape, 1, LARGEST))
            steps = tuple(whole_numbers(strides, -LARGEST, LARGEST))
            if len(sizes) != len(steps) or prod(sizes) > LARGEST or len(sizes) > 16:
                raise malformed("a layout makes no sense")
            self.layouts.append((named_format(name), sizes, steps))
        known = opcodes()
        for name, parameters, count in self._rows("templates", 3):
            kind = known.get(name) if isinstance(name, str) else None
            if kind is None or not isinstance(parameters, list):
                raise malformed(f"there is no instruction {name!r:.40}")
            if len(parameters) != len(kind.parameters):
                raise malformed(f"{kind.name} has {len(kind.parameters)} parameters")
            recordable(kind, parameters)
            self.kinds.append((kind, parameters, whole_number(count, 0, 1000)))
        for at, shape, bits in self._rows("masks", 3):
            self.masks[whole_number(at, 0, self.count)] = _mask(shape, bits)
        whole_numbers(self._list("instances"), 0, self.count)

    @property
    def count(self) -> int:
        """Instructions."""
        return len(self.heads) // 3

    @property
    def api(self) -> str:
        """The generation of NKI that it was written in."""
        return self.data["api"]

    @property
    def passes(self) -> str:
        """What the compiler does to it before it is timed, for `trace_of`."""
        return self.data["passes"]

    def _list(self, name: str) -> list[Any]:
        held = self.data.get(name)
        if not isinstance(held, list):
            raise malformed(f"{name} is no list")
        return held

    def _rows(self, name: str, width: int) -> Iterator[list[Any]]:
        for row in self._list(name):
            if not isinstance(row, list) or len(row) != width:
                raise malformed(f"{name} are not rows of {width}")
            yield row

    def confessed(self, known: Iterable[ProgramError]) -> list[str]:
        """Rules that its writer says are broken and the program does not show: of its source."""
        shown = {error.what for error in known}
        rows = list(self._rows("found", 3))
        return [
            f"{printable(kind)}: {text}"[:4000]
            for kind, what, text in rows
            if str(what) not in shown
        ]

    def places(self) -> dict[tuple[CodeType, int], int]:
        """The source lines it names, each with a number."""
        code, found = compile("", "kernel.py", "exec"), {}
        for number, (file, line) in enumerate(self._rows("places", 2)):
            named = code.replace(co_filename=printable(file), co_name=f"place{number}")
            found[named, whole_number(line, 0, 2**31)] = number
        return found

    def buffers(self, run: Run, inputs: Sequence[np.ndarray]) -> list[Buffer | None]:
        """Its tensors, the first of which hold the inputs.

        Raises BadArguments where those are not as the inputs are.
        """
        made: list[Buffer | None] = []
        for space, dtype, shape, name, address, place, core in self._rows("buffers", 7):
            if not isinstance(space, str) or space not in Space.__members__:
                raise malformed(f"there is no memory {space!r:.40}")
            sizes = tuple(whole_numbers(shape, 1, LARGEST))
            kind = named_format(dtype)
            if len(sizes) > 16 or not sizes or prod(sizes) * kind.itemsize > LARGEST:
                raise OutOfMemory(f"a tensor has the shape {list(sizes)}", limit=f"{LARGEST:,} B")
            where = None if address is None else tuple(whole_numbers(address, 0, 2**31))
            if where is not None and len(where) != 2:
                raise malformed("an address is a partition and a byte")
            run.at = whole_number(place, 0, len(run.program.places) - 1)
            run.switch(whole_number(core, 0, run.cores - 1))
            buffer = run.buffer(Space[space], kind, sizes, printable(name), where)  # type: ignore[arg-type]
            if len(made) < len(inputs):
                _adopt(buffer, inputs[len(made)])
            made.append(buffer)
        if len(made) < len(inputs):
            raise malformed("its arguments are missing")
        run.switch(0)
        return made

    def last_uses(self, buffers: int) -> dict[int, list[int]]:
        """Which tensors each instruction is the last to touch."""
        last: dict[int, int] = {}
        at = 0
        for number in range(self.count):
            template = whole_number(self.heads[3 * number], 0, len(self.kinds) - 1)
            end = at + 3 * self.kinds[template][2]
            for index in self.operands[at:end:3]:
                last[whole_number(index, 0, buffers - 1)] = number
            at = end
        if at != len(self.operands):
            raise malformed("rows and operands do not fit together")
        found: dict[int, list[int]] = {}
        for index, number in last.items():
            found.setdefault(number, []).append(index)
        return found


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
        self.presets: dict[int, list[tuple[Any, Any]]] = {}
        for at, where, values in program._rows("presets", 3):
            self.presets.setdefault(whole_number(at, 0, program.count), []).append((where, values))

    def all(self) -> Replayed:
        program, run = self.program, self.run
        instances = program.data["instances"]
        if len(instances) > 1:
            run.executor.witness = Witness(run.program)
        results = self._results()
        kept = {row[0] for row in results} | set(range(self.inputs))
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
        return end

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


def _adopt(buffer: Buffer, given: np.ndarray) -> None:
    kind = formats.storage(buffer.dtype)
    if buffer.space is not Space.shared_hbm or buffer.shape != given.shape or kind != given.dtype:
        raise malformed(f"argument {buffer.name} is not as it was given")
    memory.adopt(buffer, given)


def _mask(shape: Any, bits: Any) -> np.ndarray:
    sizes = tuple(whole_numbers(shape, 1, LARGEST))
    try:
        held = np.frombuffer(b64decode(bits, validate=True), np.uint8)
    except (NotBase64, TypeError, ValueError):
        raise malformed("a mask is not made of bits") from None
    if len(held) != (prod(sizes) + 7) // 8:
        raise malformed("a mask does not fit its shape")
    return np.unpackbits(held, count=prod(sizes)).astype(bool).reshape(sizes)


def printable(text: Any) -> str:
    """A name as one may print it: short, without control characters."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:200])
