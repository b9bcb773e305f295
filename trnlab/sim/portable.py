"""The form of a program as data: what of it is checked before anything of it runs."""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from types import CodeType
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import OutOfMemory, ProgramError
from trnlab.isa.instruction import Instruction
from trnlab.isa.tile import Buffer, Space
from trnlab.sim import memory
from trnlab.sim.core import Run
from trnlab.sim.parameters import (
    malformed,
    named_format,
    opcodes,
    recordable,
    whole_number,
    whole_numbers,
)
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
