"""The manual: what every instruction and function is, from its class and from running it."""

import enum
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from trnlab.errors import NotModelled, UnknownName
from trnlab.isa.instruction import ISA, Instruction
from trnlab.isa.ops import ACTIVATIONS, OPS, Op
from trnlab.machine.catalogue import CHIPS
from trnlab.machine.catalogue import chip as find_chip
from trnlab.machine.chip import Chip
from trnlab.nki import collectives as _collectives
from trnlab.nki import isa as _families
from trnlab.nki import language as nl
from trnlab.nki.legacy import isa as _older
from trnlab.report.terminal import table
from trnlab.sim.timing.cost import Cost, cost
from trnlab.studies.reference import functions
from trnlab.studies.reference.samples import sample, sample_text
from trnlab.studies.reference.sentences import kinds, sentences

APIS = ("nki", "neuronxcc.nki")
LANGUAGE = ("nki.language.", "nl.")
TOGETHER = "nki.collectives."
PREFIXES = ("nki.isa.", "nisa.", TOGETHER, *LANGUAGE)
WIDTH = 98
DEFAULT_FIRST = (find_chip("trn2"), *CHIPS)


@dataclass(frozen=True)
class Sentence:
    """A rule: what it says, the generations that have it, the API versions that enforce it."""

    text: str
    chips: str  # empty: all that have the instruction
    when: str  # empty: all versions

    def __str__(self) -> str:
        limits = "; ".join(part for part in (self.chips, self.when) if part)
        return f"{self.text} ({limits})" if limits else self.text


def generations(kind: type[Instruction] | None = None) -> list[tuple[str, Chip]]:
    """The generations of chip that have an instruction: names of their chips, and one of them."""
    found: dict[int, list[Chip]] = {}
    for chip in CHIPS:
        if kind is None or kind.needs is None or kind.needs in chip.core.can:
            found.setdefault(chip.generation, []).append(chip)
    return [(", ".join(c.key for c in chips), chips[0]) for chips in found.values()]


def signature(name: str, home: Any = _families) -> str:
    """The published signature of a function, as text."""
    function = getattr(home, name)
    given = [
        p.name if p.default is p.empty else f"{p.name}={_default(p.default)}"
        for p in inspect.signature(function).parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    module = {_families: "nki.isa", _collectives: "nki.collectives"}.get(home, "nki.language")
    return f"{module}.{name}({', '.join(given)})"


def _default(value: Any) -> str:
    if isinstance(value, enum.Enum):
        homes = [name for name, known in vars(_families).items() if known is type(value)]
        return f"{homes[0]}.{value.name}" if homes else f"nl.{value.name}"
    return f"nl.{value.name}" if isinstance(value, Op) else repr(value)


def rules_of(kind: type[Instruction]) -> list[Sentence]:
    """The rules that the sample of an instruction is held to, less those of every instruction."""
    found: dict[tuple[str, str], list[str]] = {}
    places: dict[tuple[str, str], int] = {}
    here = generations(kind)
    for keys, chip in here:
        for place, (text, _, *when) in enumerate(sample(kind).rules(chip.core)):
            rule = (text, str(when[0]) if when else "")
            found.setdefault(rule, []).append(keys)
            places.setdefault(rule, place)
    return [
        Sentence(rule[0], "" if len(found[rule]) == len(here) else ", ".join(found[rule]), rule[1])
        for rule in sorted(found, key=lambda rule: places[rule])
    ]


def costs_of(kind: type[Instruction]) -> list[tuple[str, Cost, str]]:
    """For each generation: what the sample costs, and the figures that this is made of."""
    made = sample(kind)
    return [
        (keys, c := cost(made, chip.core), _figures(made, c, chip))
        for keys, chip in generations(kind)
    ]


def _figures(made: Any, price: Cost, chip: Chip) -> str:
    if price.is_transfer:
        packets, each = made.packets(chip.core)
        count = f"{packets:,} packet{'s' if packets > 1 else ''} of {each:,.0f} B"
        return f"{count} on {price.engines} DMA engine{'s' if price.engines > 1 else ''}"
    engine = chip.core.engine(price.queue)
    passes, elements = made.passes(chip.core), made.elements()
    return f"{_number(passes)} x {_number(elements)} at {engine.hz / 1e9:g} GHz"


def _number(value: float) -> str:
    return (
        f"1/{round(1 / value)}"
        if 0 < value < 1
        else f"{value:,.3g}"
        if value % 1
        else f"{value:,.0f}"
    )


def time_of(price: Cost) -> str:
    """When the queue is free again, and when the result is visible, from the start."""
    after = price.busy + (price.latency + price.moving if price.is_transfer else price.fixed)
    return f"{price.busy * 1e9:,.0f} ns busy, result after {after * 1e9:,.0f} ns"


def values_of(kind: type[Instruction]) -> str:
    """How the values of the sample are computed, in one line."""
    if not kind.writes or not kind.moves:
        return "none are written"
    made = sample(kind)
    how = "taken as they are stored" if made.keeps_bits else "computed in fp32, rounded once to dst"
    if kind.updates:
        how += "; what is not written stays"
    if kind.accumulator in ("scalar", "vector"):
        how += f"; uses the 128 reduction registers of the {kind.accumulator} engine"
    return how


def spelled_sample(kind: type[Instruction]) -> str:
    """The operands of the sample, as the manual writes them."""
    return ", ".join(
        f"{kind.spelled.get(name, name)}={_operand(value)}"
        for name, value in sample_text(kind).items()
    )


def _operand(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_operand, value))}]"
    if isinstance(value, tuple) and len(value) > 8:
        return f"({value[0]}, {value[1]}, ..., {value[-1]})"
    return str(getattr(value, "name", value))


def apis_of(kind: type[Instruction]) -> list[str]:
    """The API generations through which an instruction can be issued here."""
    try:
        older = callable(getattr(_older, kind.name))
    except (AttributeError, NotModelled):
        older = False
    return list(APIS if older else APIS[:1])


def collectives() -> dict[str, type[Instruction]]:
    """The instructions that ranks take part in together, by name."""
    return {k.name: k for k in kinds() if callable(getattr(_collectives, k.name, None))}


def index() -> Any:
    """A table of all instructions, and of the collectives after them."""
    both = [*sorted(ISA.items()), *collectives().items()]
    rows = [
        (name, "/".join(kind.engines), chips_with(kind), first_sentence(kind))
        for name, kind in both
    ]
    header = ("instruction", "engine", "chips", "what it does")
    return table(f"{len(both)} instructions", header, rows)


def chips_with(kind: type[Instruction]) -> str:
    """The chips whose cores have an instruction."""
    keys = [c.key for c in CHIPS if kind.needs is None or kind.needs in c.core.can]
    return "all" if len(keys) == len(CHIPS) else " ".join(keys)


def first_sentence(kind: type[Instruction]) -> str:
    """What an instruction does, in one line."""
    return inspect.getdoc(kind).splitlines()[0]  # type: ignore[union-attr]


def page(name: str) -> str:
    """The manual page of an instruction or of a function of `nl`; raises UnknownName for others."""
    prefix = next((p for p in PREFIXES if name.startswith(p)), "")
    short, language = name.removeprefix(prefix), prefix in LANGUAGE
    if short in ISA and not language:
        return "\n".join(_instruction_lines(ISA[short]))
    if short in functions.names() and (language or not prefix):
        return "\n".join(_function_lines(short))
    if short in collectives() and prefix in ("", TOGETHER):
        return "\n".join(_collective_lines(collectives()[short]))
    known = [*ISA, *collectives(), *(f"nl.{n}" for n in functions.names())]
    raise UnknownName("instruction", name, known)


def _collective_lines(kind: type[Instruction]) -> Iterator[str]:
    """A collective has no sample: its operands are those of a whole group of ranks."""
    yield from wrap(signature(kind.name, _collectives), WIDTH, subsequent_indent="    ")
    yield from ("", inspect.getdoc(kind) or "", "")
    yield from _row("engine", "cc: it starts when the last rank of the group has come")
    yield from _row("run", "trnlab.run_ranks(kernel, [arguments of each rank], system)")
    yield from _row("rules", "as the class writes them; what varies is in braces")
    for sentence, _ in sentences(kind):
        yield from _row("", f"- {sentence}", "  ")
    yield from _row("time", "steps x latency and bytes over the links of the system")
    yield from _row("", "(docs/design.md, `trnlab systems`)")


def _instruction_lines(kind: type[Instruction]) -> Iterator[str]:
    yield from wrap(signature(kind.name), WIDTH, subsequent_indent="    ")
    yield from ("", inspect.getdoc(kind) or "", "")
    yield from _row("engine", " or ".join(kind.engines))
    yield from _row("chips", chips_with(kind))
    yield from _row("import", " or ".join(apis_of(kind)))
    yield from _row("values", values_of(kind))
    yield from _row("sample", spelled_sample(kind))
    yield from _row("rules", "for the sample; other operands may meet others")
    for rule in rules_of(kind):
        yield from _row("", f"- {rule}", "  ")
    yield from _row("", "- and those of every instruction: docs/isa.md")
    yield from _row("time", "for the sample: passes x elements at the clock of the engine")
    for keys, price, figures in costs_of(kind):
        yield from _row("", f"{keys:<11} {time_of(price)} ({price.queue}: {figures})", " " * 12)
    for part in ("passes", "elements", "overhead"):
        note = inspect.getdoc(getattr(kind, part)) if part in vars(kind) else None
        if note and note != inspect.getdoc(getattr(Instruction, part)):
            yield from _row(part, note.splitlines()[0])


def _function_lines(name: str) -> Iterator[str]:
    function = getattr(nl, name)
    made = functions.expansion(name, DEFAULT_FIRST)
    yield from wrap(signature(name, nl), WIDTH, subsequent_indent="    ")
    yield from ("", inspect.getdoc(function) or "", "")
    yield from _row("becomes", becomes(made))
    if made and made.steps:
        alone = f"{made.seconds * 1e6:,.2f} us alone on {made.chip}"
        yield from _row("time", f"{alone}, for fp32 [128, 512] tiles or what comes nearest")
    tag = getattr(function, "__trnlab_op__", None)
    if tag in OPS:
        yield from _row("operator", f"op={tag} of instructions on {', '.join(OPS[tag].engines)}")
    if tag in ACTIVATIONS:
        valid = ACTIVATIONS[tag].valid
        limits = f", right for inputs from {valid[0]:.4g} to {valid[1]:.4g}" if valid else ""
        yield from _row("function", f"op={tag} of the scalar engine{limits}")


def _row(label: str, text: str, deeper: str = "") -> list[str]:
    indent = " " * 10
    return wrap(f"{label:<10}{text}", WIDTH, subsequent_indent=indent + deeper) or [""]


def becomes(made: functions.Expansion | None) -> str:
    """The instructions of a function, in one line."""
    if made is None:
        return "nothing: it names an operator"
    steps = [f"{name} ({queue})" for name, queue in made.steps]
    if made.refused:
        return f"{', '.join(steps)}, refused by every chip: {made.refused}"
    return ", ".join(steps) or "no instruction of its own"
