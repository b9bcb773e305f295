"""What every instruction has: operands, rules, an amount of work, a value.

A subclass is one page of the NKI manual. Its fields are the operands in NKI's order, so that its
constructor is the published signature, and it answers three questions: is it legal (`rules`), how
much work is it (`passes`, `elements`), what is the value (`value`). Time, energy, documentation and
error texts are derived from these.
"""

import enum
import types
from collections.abc import Iterator
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments
from trnlab.isa.limits import access_rules, size_rules
from trnlab.isa.ops import Activation, Op, activation_of, op_of
from trnlab.isa.rules import ALWAYS, LATEST, Compiler, Rule, Verdict, When, only, since
from trnlab.isa.tile import PSUM, SBUF, Tile
from trnlab.machine.chip import Core

# Cycles from the reduction registers to memory (NKI API reference 2.21 to 2.26, cost notes).
READ_OUT = 64


class Queue(enum.Enum):
    """The instruction queues of a core, as ``nki.isa.engine`` names them."""

    tensor = "tensor"
    vector = "vector"
    scalar = "scalar"
    gpsimd = "gpsimd"
    sync = "sync"
    dma = "dma"
    unknown = "unknown"

    def __repr__(self) -> str:
        return f"nisa.engine.{self.name}"

    __hash__ = object.__hash__  # by identity: enum's own is slow, and every call is looked up by it


# Truth values may be given as 0 and 1, NumPy's or Python's, as comparisons give them.
PLAIN: dict[Any, tuple[type, ...]] = {
    bool: (bool,), bool | None: (bool, type(None)), int: (int,), int | None: (int, type(None)),
}  # fmt: skip

ISA: dict[str, type["Instruction"]] = {}


@dataclass_transform(frozen_default=True)
@dataclass(frozen=True)
class Instruction:
    """One instruction with its operands."""

    name: ClassVar[str]
    page: ClassVar[str]
    engines: ClassVar[tuple[str, ...]]
    needs: ClassVar[str | None]
    since: ClassVar[str] = ""  # API version it came with, where it is not as old as `nki`
    writes: ClassVar[tuple[str, ...]] = ("dst",)
    moves: ClassVar[bool] = True  # whether bytes are read and written, not only waited for
    updates: ClassVar[bool] = False  # whether the first written operand is read as well
    parameters: ClassVar[tuple[Field[Any], ...]]
    operands: ClassVar[tuple[str, ...]]  # fields that may hold tiles
    scalars: ClassVar[frozenset[str]]  # of these, the ones that may hold a number instead
    optional: ClassVar[frozenset[str]]  # the ones that may be left out
    numbers: ClassVar[frozenset[str]]  # fields that may be a number
    lists: ClassVar[frozenset[str]]  # the ones that hold several tiles
    spelled: ClassVar[dict[str, str]] = {}  # NKI's name of a field, where it differs
    partial: ClassVar[frozenset[str]] = frozenset()  # read operands of which only a part counts
    raw: ClassVar[frozenset[str]] = frozenset()  # read operands that are never widened
    unaligned: ClassVar[frozenset[str]] = frozenset()  # operands that start at any partition
    indirect: ClassVar[frozenset[str]] = frozenset()  # operands that may be .indirect() views
    packed: ClassVar[frozenset[str]] = frozenset()  # operands whose packed numbers are computed on
    converters: ClassVar[dict[str, Any]]  # fields that users may give in several spellings
    plain: ClassVar[dict[str, tuple[type, ...]]]  # truth values and whole numbers: their types
    choices: ClassVar[dict[str, type[enum.Enum]]]  # fields that are one of a few
    numbered: ClassVar[tuple[str, ...]] = ()  # of these, the ones given as numbers
    accumulator: ClassVar[str | None] = None  # what lasts from one to the next, given to `value`

    def __init_subclass__(
        cls,
        page: str = "",
        engines: tuple[str, ...] = (),
        needs: str | None = None,
        since: str = "",
        listed: bool = True,
    ) -> None:
        if not page:
            return
        cls.page, cls.engines, cls.needs, cls.since = page, engines, needs, since
        cls.name = page.rpartition(".")[2]
        dataclass(frozen=True)(cls)
        hints = get_type_hints(cls)
        cls.parameters = fields(cls)
        own = [f.name for f in cls.parameters]
        cls.operands = tuple(n for n in own if _may_hold_tile(hints[n]))
        cls.scalars = frozenset(n for n in cls.operands if hints[n] is not Tile)
        cls.optional = frozenset(n for n in cls.operands if type(None) in get_args(hints[n]))
        cls.numbers = frozenset(n for n in own if _may_be_number(hints[n]))
        cls.lists = frozenset(n for n in cls.operands if get_origin(hints[n]) is list)
        cls.converters = {n: c for n in own if (c := _converter(hints[n]))}
        cls.plain = {n: PLAIN[hints[n]] for n in own if hints[n] in PLAIN}
        cls.choices = {n: hints[n] for n in own if isinstance(hints[n], enum.EnumType)}
        if listed:
            ISA[cls.name] = cls

    def __post_init__(self) -> None:
        for name, kinds in self.plain.items():
            check_plain(self.page, self.spelled.get(name, name), getattr(self, name), kinds)
        for name, choices in self.choices.items():
            if not isinstance(getattr(self, name), choices):
                self._choose(name, choices)
        for name, convert in self.converters.items():
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, convert(given))

    def _choose(self, name: str, choices: type[enum.Enum]) -> None:
        """Replaces a number by what it stood for in NKI 0.2; raises BadArguments for the rest."""
        given = getattr(self, name)
        known = choices is not Queue and given in [choice.value for choice in choices]
        if not isinstance(given, int) or not known:
            raise BadArguments(
                f"{self.name}: {name} is {given!r}"[:100],
                limit=f"one of {', '.join(choice.name for choice in choices)} of nki.isa",
                see=self.page,
            )
        object.__setattr__(self, name, choices(given))
        object.__setattr__(self, "numbered", (*self.numbered, name))

    def rules(self, core: Core) -> Iterator[Rule]:
        """What must hold for the device to accept this: sentences with a truth each.

        A third item, such as ``since("0.3")``, says which compilers insist, where not all do.
        """
        yield from ()

    def passes(self, core: Core) -> float:
        """How many times each element goes through the engine."""
        return 1

    def elements(self) -> float:
        """How many elements each lane handles: the longest row among the tiles."""
        return max((t.free for t in self.tiles().values()), default=1)

    def overhead(self, core: Core) -> float:
        """Seconds this takes beyond what every instruction of its engine takes."""
        return 0.0

    def operations(self) -> float:
        """Arithmetic operations, for energy and rooflines."""
        return float(max((t.size for t in self.tiles().values()), default=0))

    def touched(self, name: str) -> int:
        """How many elements of an operand are read or written."""
        return self.tiles()[name].size

    def value(self, *arrays: Any, **registers: Any) -> Any:
        """The result, from the read operands in field order; one array per written operand."""
        raise NotImplementedError(self.name)

    def fresh_registers(self) -> np.ndarray:
        """What the `accumulator` holds at first, a row for each lane."""
        return np.zeros(128, np.float32)

    @property
    def keeps_bits(self) -> bool:
        """Whether data passes unconverted; otherwise it is widened to fp32 and rounded once."""
        return False

    @property
    def queue(self) -> str:
        """The instruction queue this runs on."""
        chosen = getattr(self, "engine", Queue.unknown)
        return self.engines[0] if chosen is Queue.unknown else chosen.value

    def tiles(self) -> dict[str, Tile]:
        """The operands that are tiles, by name."""
        found: dict[str, Tile] = {}
        for name in self.operands:
            held = getattr(self, name)
            if isinstance(held, Tile):
                found[name] = held
            elif name in self.lists:
                found |= {f"{name}[{i}]": tile for i, tile in enumerate(held)}
        return found

    def reads(self) -> tuple[str, ...]:
        """Names of the tiles this reads, in the order `value` takes them."""
        here = self.tiles()
        first = self.writes[:1] if self.updates else ()
        return tuple(n for n in here if n not in self.writes or n in first)

    def written(self) -> tuple[str, ...]:
        """Names of the tiles this writes."""
        here = self.tiles()
        return tuple(n for n in self.writes if n in here)

    def broken(self, core: Core, compiler: Compiler = LATEST) -> list[str]:
        """The sentences that do not hold on this core."""
        return [v.sentence for v in self.verdicts(core, compiler) if not v.holds]

    def verdicts(self, core: Core, compiler: Compiler) -> Iterator[Verdict]:
        """What each rule that this compiler enforces says."""
        for rule in self._all_rules(core):
            sentence, holds, when = rule if len(rule) == 3 else (*rule, ALWAYS)
            if when is ALWAYS or when.covers(compiler):
                yield Verdict(sentence, holds, when)

    def _all_rules(self, core: Core) -> Iterator[Rule]:
        if self.needs:
            yield f"needs a core with '{self.needs}'", self.needs in core.can
        if self.since:
            yield f"came with nki {self.since}", False, only("0.2", self.since)
        for operator in (getattr(self, name) for name in self.converters):
            need, version = getattr(operator, "needs", None), getattr(operator, "since", "")
            if need:
                yield f"{operator} needs a core with '{need}'", need in core.can
            if version:
                yield f"{operator} came with nki {version}", False, only("0.2", version)
        for name in self.numbered:
            yield f"{name} is no number but a member of its enumeration", False, since("0.3")
        yield from self._shared_rules(core)
        yield from self.rules(core)

    def _shared_rules(self, core: Core) -> Iterator[Rule]:
        yield f"runs on {' or '.join(self.engines)}", self.queue in self.engines
        for name, tile in self.tiles().items():
            if not tile.layout.on_chip:
                continue
            yield (
                f"{name} spans at most {core.lanes} partitions",
                tile.start_partition + tile.partitions <= core.lanes,
            )
            if self.queue in ("vector", "scalar", "gpsimd", "tensor"):
                well = name in self.unaligned or _starts_well(tile)
                yield f"{name} {_START_RULE}", well
            if self.queue in ("vector", "scalar", "gpsimd", "tensor"):
                yield f"{name} {_ROWS_RULE}", _rows_in_order(tile)
                yield from access_rules(name, tile)
                if self.queue != "tensor":
                    yield from size_rules(name, tile, core)
            if self.queue == "gpsimd":
                yield f"{name} is not in PSUM: GpSimd cannot reach it", tile.space is not PSUM
            if formats.name(tile.dtype).endswith("_x4") and not self.keeps_bits:
                yield f"{name} is not packed: it would have to be unpacked", name in self.packed
        if self.queue in ("vector", "scalar", "gpsimd", "tensor"):
            for name, tile in self.tiles().items():
                yield f"{name} is on chip", tile.layout.on_chip


def check_plain(page: str, name: str, value: Any, kinds: tuple[type, ...]) -> None:
    """Raises BadArguments where a truth value or a whole number is neither, nor None if allowed."""
    whole = isinstance(value, (int, np.integer, np.bool_))
    if (value is None and type(None) in kinds) or (whole and (int in kinds or value in (0, 1))):
        return
    kind = "True or False" if bool in kinds else "a whole number"
    raise BadArguments(
        f"{page.rpartition('.')[2]}: {name} is {value!r}"[:100],
        limit=f"{kind}, or None" if type(None) in kinds else kind,
        see=page,
    )


_START_RULE = "starts at a partition its height allows (0 above 64, 0/64 above 32, else 0/32/64/96)"


def _starts_well(tile: Tile) -> bool:
    start, height = tile.start_partition, tile.partitions
    if height > 64:
        return start == 0
    return start % (64 if height > 32 else 32) == 0


_ROWS_RULE = "has its partitions first, one after the other"


def _rows_in_order(tile: Tile) -> bool:
    """Whether the first dimension steps through partitions one by one, and no other does."""
    here = tile.layout
    step = here.strides[0] if here.shape and here.shape[0] > 1 else here.pitch
    inside = sum(
        abs(stride) * (size - 1)
        for size, stride in zip(here.shape[1:], here.strides[1:], strict=True)
    )
    return step == here.pitch and inside < here.pitch


def _may_hold_tile(hint: Any) -> bool:
    if hint is Tile:
        return True
    if get_origin(hint) in (Union, types.UnionType, list):
        return any(_may_hold_tile(part) for part in get_args(hint))
    return False


def _may_be_number(hint: Any) -> bool:
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return any(part in (Any, int, float) for part in parts)


def _converter(hint: Any) -> Any:
    if hint in (Op, Op | None):
        return op_of
    if hint is Activation:
        return activation_of
    return None


def in_sbuf(tile: Tile) -> bool:
    """Whether a tile lives in SBUF."""
    return tile.space is SBUF


def in_psum(tile: Tile) -> bool:
    """Whether a tile lives in PSUM."""
    return tile.space is PSUM


def same_rows(*tiles: Tile) -> bool:
    """Whether tiles span equally many partitions with equally many elements in each."""
    return len({(t.partitions, t.free) for t in tiles}) == 1


def column_rules(name: str, value: Any, data: Tile, taller: When = ALWAYS) -> Iterator[Rule]:
    """The rule that an operand, if it is a tile, has one element for every partition of data.

    ``taller`` says which compilers mind more partitions than data has.
    """
    if isinstance(value, Tile):
        if value.partitions <= data.partitions or value.free != 1:
            fits = value.partitions == data.partitions and value.free == 1
            yield f"{name} has shape [{data.partitions}, 1]", fits
        else:
            yield f"{name} has shape [{data.partitions}, 1]", False, taller


def float32_rules(name: str, value: Any) -> Iterator[Rule]:
    """The rule that an operand, if it is a tile, is float32."""
    if isinstance(value, Tile):
        yield f"{name} is float32", formats.name(value.dtype) == "float32"


def column(value: Any, like: np.ndarray) -> Any:
    """A scalar or one value a partition, shaped to combine with ``like``."""
    if not isinstance(value, np.ndarray):
        return value
    return value.reshape(value.shape[0], *(1,) * (like.ndim - 1))
