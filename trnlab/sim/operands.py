"""The operands of an instruction: which is which, and what they are."""

from dataclasses import fields
from typing import Any

from trnlab.isa.instruction import Instruction
from trnlab.isa.tile import Tile


def described(kind: type[Instruction], operands: tuple[Any, ...]) -> dict[str, str]:
    """What an instruction was given, for an error."""
    return {
        f.name: value.describe() if isinstance(value, Tile) else repr(value)[:60]
        for f, value in zip(fields(kind), operands, strict=False)
    }


def pick(name: str, names: list[str]) -> tuple[int, int]:
    """Which operand a name such as ``data[1]`` means, and which tile of it; -1 for no list."""
    field_name, _, item = name.partition("[")
    return names.index(field_name), int(item[:-1]) if item else -1
