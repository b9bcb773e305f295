"""The manual: what every instruction is, from its class."""

import inspect
from typing import Any

from trnlab.errors import UnknownName
from trnlab.isa.instruction import ISA, Instruction
from trnlab.machine.catalogue import CHIPS
from trnlab.nki import isa as _families  # noqa: F401 - registers every instruction
from trnlab.nki.issue import signature
from trnlab.report.terminal import table


def index() -> Any:
    """A table of all instructions."""
    rows = [
        (name, "/".join(kind.engines), chips_with(kind), first_sentence(kind))
        for name, kind in sorted(ISA.items())
    ]
    header = ("instruction", "engine", "chips", "what it does")
    return table(f"{len(ISA)} instructions", header, rows)


def chips_with(kind: type[Instruction]) -> str:
    """The chips whose cores have an instruction."""
    keys = [c.key for c in CHIPS if kind.needs is None or kind.needs in c.core.can]
    return "all" if len(keys) == len(CHIPS) else " ".join(keys)


def first_sentence(kind: type[Instruction]) -> str:
    """What an instruction does, in one line."""
    return inspect.getdoc(kind).splitlines()[0]  # type: ignore[union-attr]


def page(name: str) -> str:
    """The manual page of one instruction; raises UnknownName for others."""
    if name not in ISA:
        raise UnknownName("instruction", name, ISA)
    kind = ISA[name]
    lines = [signature(kind), "", inspect.getdoc(kind) or "", ""]
    lines += [f"engine    {' or '.join(kind.engines)}", f"chips     {chips_with(kind)}"]
    for part, title in (("passes", "passes"), ("elements", "elements"), ("overhead", "overhead")):
        method = getattr(kind, part)
        note = inspect.getdoc(method) if part in vars(kind) else None
        if note:
            lines.append(f"{title:<10}{note.splitlines()[0]}")
    return "\n".join(lines)
