"""A core that runs a kernel: each instruction is checked, computed and recorded as it is issued."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from types import FrameType
from typing import Any, ClassVar

import numpy as np

from trnlab.errors import (
    IllegalInstruction,
    OutOfBounds,
    OutOfMemory,
    Place,
    ProgramError,
    Violations,
)
from trnlab.isa.collective import Collective
from trnlab.isa.fixes import fix_for
from trnlab.isa.instruction import Instruction
from trnlab.isa.matmul import NcMatmul
from trnlab.isa.ops import Activation
from trnlab.isa.rules import ALWAYS, LATEST, Compiler, Verdict, code_of
from trnlab.isa.tile import HBM_SPACES, Buffer, Space, Tile
from trnlab.machine.chip import Chip
from trnlab.sim import memory
from trnlab.sim.checks.findings import found_in
from trnlab.sim.checks.interleaved import psum_warnings
from trnlab.sim.checks.loops import order_free
from trnlab.sim.checks.operands import check_operands, described, pick
from trnlab.sim.checks.shapes import fits
from trnlab.sim.lines import PACKAGE, user_frame
from trnlab.sim.program import BufferFacts, Program
from trnlab.sim.timing.collectives import collective_cost
from trnlab.sim.timing.cost import Cost, cost, with_addresses
from trnlab.sim.values.departures import Departures
from trnlab.sim.values.execute import (
    ACCUMULATING,
    Entry,
    Executor,
    forget_buffers,
    is_plain_copy,
    is_plain_load,
)
from trnlab.sim.values.groups import Rounding
from trnlab.sim.values.later import Find, Later
from trnlab.sim.values.shadow import Shadowed

ERRORS = (TypeError, ValueError, IndexError, KeyError, AttributeError, ArithmeticError)
MAX_TENSOR = 2**40  # bytes; more is a mistake, not a tensor


@dataclass(eq=False)
class Run:
    """One kernel on one chip: program, memories and everything that was found on the way.

    ``values`` False records and checks without computing. ``cores`` is how many cores the launch
    spreads over, ``core_index`` which one is running now. ``compiler`` judges the kernel.
    """

    chip: Chip
    values: bool = True
    api: str = "nki"
    cores: int = 1
    core_index: int = 0
    compiler: Compiler = LATEST
    arguments: set[int] = field(default_factory=set)  # tensors that the caller made
    program: Program = field(default_factory=Program)
    entries: dict[Any, Entry] = field(default_factory=dict)
    found: dict[Any, ProgramError] = field(default_factory=dict)
    named: dict[str, int] = field(default_factory=dict)  # instructions that the kernel named
    doubts: dict[Any, list[int]] = field(default_factory=dict)  # by function and place: how many
    warned: dict[Any, ProgramError] = field(default_factory=dict)
    tensors: list[Buffer] | None = None  # made in loops that are written
    later: Later | None = None  # what those loops compute
    families: list[Find] = field(default_factory=list)  # who knows tensors that were made at once
    keeps_presets: ClassVar[bool] = False  # also without values

    def __post_init__(self) -> None:
        self.core = self.chip.core
        self.in_order: set[int] = set()  # cores whose instructions wait for each other
        self.at: int | None = None  # the source line that counts, where it is not the one that runs
        strict, preload = self.api == "nki", "psum_preload" in self.core.can
        self._executor: Executor = Executor(self.report, self.doubt, strict, preload=preload)
        self._lines: dict[tuple[int, int], int] = {}  # by code (its id: hashes are slow) and line
        self._shapes: dict[Any, tuple[int, BufferFacts]] = {}  # of tensors that were found legal
        self._head = self.program.heads.extend
        self._operand = self.program.operands.extend

    @property
    def executor(self) -> Executor:
        """What computes values; those that were put off are computed before anybody sees it."""
        self.catch_up()
        return self._executor

    def round_by(self, narrow: Rounding) -> None:
        """Rounds results in another way than to nearest."""
        self.executor.round_by(narrow)

    def shadow(self, kind: Any, bound: float | None = None) -> Departures | None:
        """Computes everything a second time: in fp64 to compare, in fp32 instead of narrower."""
        narrow, strict, preload = self.executor.narrow, self.api == "nki", self.executor.preload
        shadowed = self._executor = Shadowed(self.report, self.doubt, strict, preload=preload)
        shadowed.round_by(narrow)
        compared = kind is np.float64
        found = Departures(self.here, lambda: self.program.count, bound) if compared else None
        shadowed.follow(kind, found)
        return found

    def buffer(
        self,
        space: Space,
        dtype: Any,
        shape: tuple[int, ...],
        name: str = "",
        address: tuple[int, int] | None = None,
    ) -> Buffer:
        """Makes a tensor; its bytes appear when it is first written."""
        buffers = self.program.buffers
        place, index = self.place(2), len(buffers)
        kind = space, dtype, shape, place, self.core_index
        known = self._shapes.get(kind) if address is None else None
        if known is not None:  # most tensors are made many times, in loops
            pitch, facts = known
            buffers.append(facts._replace(name=name) if name else facts)
            made = Buffer(index, name or f"t{index}", space, dtype, shape, None, place, pitch)
            return self._kept(made)
        made = self._kept(Buffer(index, name or f"t{index}", space, dtype, shape, address, place))
        row_bytes = made.row_bytes
        memory_ = "hbm" if space in HBM_SPACES else space.name
        rows = made.nbytes // row_bytes
        facts = BufferFacts(name, memory_, rows, row_bytes, self.core_index, place)
        if address is not None:
            facts = facts._replace(base_partition=address[0], base_byte=address[1], placed=True)
        buffers.append(facts)
        if made.nbytes > MAX_TENSOR:
            raise OutOfMemory(
                f"{made.name} would take {made.nbytes:,} bytes",
                limit=f"{MAX_TENSOR:,} bytes",
                place=self.program.place(place),
            )
        if (not made.on_chip or fits(made, self)) and address is None:
            self._shapes[kind] = made.pitch, facts._replace(name="")
        return made

    def more(self, first: Buffer, names: list[str]) -> bool:
        """Makes tensors like one that was made, but no `Buffer`; False where that may not be."""
        kind = first.space, first.dtype, first.shape, first.place, self.core_index
        if kind not in self._shapes or self.tensors is not None:
            return False
        facts = self._shapes[kind][1]
        self.program.buffers += [facts._replace(name=name) if name else facts for name in names]
        return True

    def _kept(self, made: Buffer) -> Buffer:
        if self.tensors is not None:
            self.tensors.append(made)
        return made

    def place(self, above: int = 1) -> int:
        """The number of the user's source line that is running, so many calls up at least."""
        return self._line(user_frame(above + 1)) if self.at is None else self.at

    def _line(self, frame: FrameType) -> int:
        key = (id(frame.f_code), frame.f_lineno)
        place = self._lines.get(key)
        if place is None:
            places = self.program.places
            place = places.setdefault((frame.f_code, frame.f_lineno), len(places))
            self._lines[key] = place
        return place

    def here(self) -> Place:
        """The user's source line that is running."""
        if self.at is not None:
            return self.program.place(self.at)
        frame = user_frame()
        return Place(frame.f_code.co_filename, frame.f_lineno)

    def report(
        self,
        kind: type[ProgramError],
        what: str,
        given: dict[str, str],
        limit: str = "",
        fix: str = "",
        see: str = "",
        at: int | None = None,
        rule: str = "",
    ) -> None:
        """Notes a violation, where the user's source is or at another place; the run goes on."""
        place = self.here() if at is None else self.program.place(at)
        self.tell(kind(what, given, limit, place, fix, see, rule))

    def tell(self, error: ProgramError, *, warning: bool = False) -> None:
        """Notes a violation, or what may be one, once."""
        kept = self.warned if warning else self.found
        kept.setdefault((type(error), error.what, error.place), error)

    def note(self, text: str) -> None:
        """Notes something that was approximated, once."""
        self.program.notes.setdefault(text)

    def doubt(self, function: Activation, wrong: int, of: int) -> None:
        """Counts arguments for which the device does not compute a function right."""
        counts = self.doubts.setdefault((function, self.here()), [0, 0])
        counts[0] += wrong
        counts[1] += of

    def preset(self, tile: Tile, values: np.ndarray) -> None:
        """Bytes that are there without an instruction, where values are wanted."""
        if self.later is not None:
            self.later.hold(tile, values)
        elif self.values:
            memory.preset(tile, values)

    def join(self, mine: Tile, theirs: Tile) -> None:
        """Adds what another core has written to its own copy of an output."""
        if self.values:
            memory.write_where(mine, self.executor.show(theirs), memory.written_mask(theirs))

    def enter(self, kind: type[Instruction], operands: tuple[Any, ...], key: Any) -> Entry:
        """Checks and prices an instruction that was not seen before."""
        try:
            model = kind(*operands)
            check_operands(model, self.here)
            broken = tuple(v for v in model.verdicts(self.core, self.compiler) if not v.holds)
            entry = self._entry(model, broken)
        except ERRORS as error:
            raise self._nonsense(kind, operands, error) from None
        self.program.costs.append(entry.cost)
        update = order_free(model)
        if update is not None:
            self.program.updates[entry.number] = update
        forget_buffers(model)
        if not broken:
            self.entries[key] = entry
        else:
            self.report_rules(kind(*operands), broken)
        return entry

    def _entry(self, model: Instruction, broken: tuple[Verdict, ...]) -> Entry:
        names = [f.name for f in fields(model)]
        written, reads = model.written(), model.reads()
        return Entry(
            len(self.program.costs),
            model,
            self._price(model, bool(broken)),
            broken,
            tuple(pick(n, names) for n in (*written, *reads)),
            tuple(pick(n, names) for n in reads),
            tuple(not model.keeps_bits and n not in model.raw for n in reads),
            tuple(n not in model.partial and n not in model.writes for n in reads),
            is_plain_copy(model) and not broken,
            is_plain_load(model),
            isinstance(model, ACCUMULATING),
            type(model) is NcMatmul and not broken and not model.double,
            hasattr(model, "argument") and model.op.valid is not None,  # type: ignore[attr-defined]
        )

    def _nonsense(
        self, kind: type[Instruction], operands: tuple[Any, ...], error: Exception
    ) -> IllegalInstruction:
        """Operands that no rule foresaw, so that neither legality nor cost can be told."""
        given = described(kind, operands)
        what = f"{kind.name}: these operands make no sense ({error})"
        return IllegalInstruction(what, given, place=self.here(), see=kind.page)

    def _price(self, model: Instruction, broken: bool) -> Cost:
        try:
            if isinstance(model, Collective):
                return collective_cost(model)
            return cost(model, self.core)
        except (KeyError, ZeroDivisionError, IndexError):
            if not broken:
                raise
            return Cost(model.name, "sync", 0.0, 0.0, len(model.reads()), len(model.written()))

    def report_rules(self, model: Instruction, broken: tuple[Verdict, ...]) -> None:
        given = {name: tile.describe() for name, tile in model.tiles().items()}
        tall = any(
            t.storage.rows > self.core.lanes for t in model.tiles().values() if t.layout.on_chip
        )
        for sentence, _, when in broken:
            if tall and "spans at most" in sentence:
                continue  # said once, where the tensor was made
            who = {} if when is ALWAYS else {"enforced": f"by {when}"}
            self.report(
                IllegalInstruction,
                f"{model.name} breaks a rule of {self.core.name} ({self.chip.key}): {sentence}",
                given | who,
                sentence,
                fix_for(sentence),
                see=model.page,
                rule=code_of(model.name, sentence),
            )

    def enter_dynamic(
        self, kind: type[Instruction], operands: tuple[Any, ...], key: Any, addresses: int
    ) -> Entry:
        """As `enter`, for an instruction that waits for addresses from registers or tiles."""
        known = self.entries.get(("dynamic", addresses, key))
        if known is not None:
            return known
        entry = self.entries.get(key) or self.enter(kind, operands, key)
        price = with_addresses(entry.cost, self.core, addresses)
        made = replace(entry, number=len(self.program.costs), cost=price)
        self.program.costs.append(price)
        if not entry.broken:
            self.entries["dynamic", addresses, key] = made
        return made

    def record(self, entry: Entry, touched: Iterable[Tile]) -> None:
        """Records an instruction that must be assumed to write and read these, in that order."""
        self._head((entry.number, self.place(), self.core_index))
        for tile in touched:
            self._operand((tile.storage.index, tile.layout.index, tile.offset))

    def compute(self, entry: Entry, operands: tuple[Any, ...], mask: Any = None) -> None:
        """Computes an instruction that was recorded, where values are wanted."""
        if self.values and entry.model.moves:
            self._compute(entry, operands, mask)

    def issue(self, entry: Entry, operands: tuple[Any, ...], mask: Any = None) -> None:
        """Records an instruction and, unless only time is asked for, computes it."""
        place = self.at
        if place is None:
            frame = sys._getframe(2)
            while frame.f_code.co_filename.startswith(PACKAGE) and frame.f_back is not None:
                frame = frame.f_back
            place = self._line(frame)
        self._head((entry.number, place, self.core_index))
        for position, item in entry.picks:
            tile = operands[position] if item < 0 else operands[position][item]
            self._operand((tile.storage.index, tile.layout.index, tile.offset))
        if self.values and entry.model.moves:
            if self.later is None:
                self._compute(entry, operands, mask)
            else:
                self.later.put_off(entry, operands, mask)

    def follow(self) -> None:
        """Iterations may be written from here on: tensors are kept, and values are put off."""
        self.catch_up()
        self.tensors = []
        self.later = Later(self, self.tensors) if self.values else None

    def leave(self) -> None:
        """The loops that were followed were left before their end."""
        self.tensors = None
        if self.later is not None:
            self.later.leave()

    def end(self) -> None:
        """The loops that were followed are over: computes what was put off."""
        self.catch_up()
        self.tensors = self.later = None

    def catch_up(self) -> None:
        """Computes what was put off."""
        if self.later is not None:
            self.later.catch_up()

    def switch(self, core: int) -> None:
        """Another core of the launch runs from here on."""
        self.core_index = self.executor.core = core

    def forget(self, costs: int) -> None:
        """Forgets what was looked up since there were so many costs, which are gone."""
        self.entries = {k: entry for k, entry in self.entries.items() if entry.number < costs}
        self._lines.clear()

    def _compute(self, entry: Entry, operands: tuple[Any, ...], mask: Any) -> None:
        try:
            self.executor.compute(entry, operands, mask)
        except OutOfBounds as error:
            error.given |= described(type(entry.model), operands)
            raise
        except ERRORS as error:
            if entry.broken:  # its rules were reported; what it would give is not defined
                raise Violations(self.found.values()) from None
            raise self._nonsense(type(entry.model), operands, error) from error

    def finish(self) -> None:
        """Begins to compute what still waits, and checks what only the whole program shows."""
        self.executor.groups.start()
        for name in self.executor.unfollowed:
            self.note(f"{name} was not computed in higher precision: its results count as right")
        for (function, place), (wrong, of) in self.doubts.items():
            self.note(
                f"{function} at {place}: {wrong:,} of {of:,} arguments are outside of "
                f"{function.limits}, where the device's results are not valid"
            )
        if self.api == "nki":
            for error in psum_warnings(self.program, self.entries.values(), self.core):
                self.tell(error, warning=True)
        for key, error in found_in(self.program, self.core, self.api, self.executor.witness):
            self.found.setdefault(key, error)
