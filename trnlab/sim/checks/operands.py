"""The operands of one instruction: whether they are any, and how messages name them."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from trnlab.errors import IllegalInstruction, Place
from trnlab.isa.instruction import Instruction
from trnlab.isa.tile import Tile


def check_operands(model: Instruction, here: Callable[[], Place]) -> None:
    """Raises IllegalInstruction for an operand that is of another kind, or has no elements."""
    for name in model.operands:
        value = getattr(model, name)
        if name in model.lists or isinstance(value, Tile):
            continue
        number = isinstance(value, (int, float, np.number)) and name in model.scalars
        if not number and not (value is None and name in model.optional):
            wanted = "a tile or a number" if name in model.scalars else "a tile"
            raise IllegalInstruction(
                f"{model.name}: {name} is not {wanted}",
                {name: f"{type(value).__name__} {value!r}"[:80]},
                place=here(),
                see=model.page,
            )
    for name, tile in model.tiles().items():
        if not tile.size:
            raise IllegalInstruction(
                f"{model.name}: {name} has no elements",
                {name: tile.describe()},
                "every dimension is at least 1",
                here(),
                "leave out what there is nothing to do for",
                model.page,
            )


def described(kind: type[Instruction], operands: tuple[Any, ...]) -> dict[str, str]:
    """The operands by name, as messages list them."""
    return {
        f.name: value.describe() if isinstance(value, Tile) else repr(value)[:60]
        for f, value in zip(fields(kind), operands, strict=False)
    }


def pick(name: str, names: list[str]) -> tuple[int, int]:
    """Where an operand such as ``src`` or ``srcs[2]`` is: its field, and its place in a list."""
    field_name, _, item = name.partition("[")
    return names.index(field_name), int(item[:-1]) if item else -1
