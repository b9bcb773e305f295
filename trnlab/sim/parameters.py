"""What stands in an instruction besides tiles, as JSON and back: numbers, names, nothing that runs.

Whatever was written by somebody else is looked up by name in the instruction set, or refused.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator, Sequence
from enum import Enum
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np

from trnlab import formats, isa
from trnlab.errors import BadArguments, NotModelled, UnknownName
from trnlab.isa.activation import ReduceCmd
from trnlab.isa.collective import Collective
from trnlab.isa.dma import DgeMode, OobMode
from trnlab.isa.indirect import DmaGather, DmaScatter
from trnlab.isa.instruction import Instruction, Queue
from trnlab.isa.matmul import PerfMode
from trnlab.isa.ops import Activation, Op, activation_of, op_of
from trnlab.isa.pair import dma_engine
from trnlab.isa.tile import Tile

ENUMS: dict[str, type[Enum]] = {
    kind.__name__: kind for kind in (Queue, ReduceCmd, DgeMode, OobMode, PerfMode, dma_engine)
}
PLAIN = (bool, int, float, str, type(None))
LONGEST = 4096  # entries of a list among the parameters


def written(value: Any, tiles: Iterator[int]) -> Any:
    """A parameter as JSON; a tile becomes the next of ``tiles``.

    Raises NotModelled for what has no such form.
    """
    if isinstance(value, Tile):
        return {"tile": next(tiles)}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [written(part, tiles) for part in value]}
    if isinstance(value, (Op, Activation)):
        return {"op" if isinstance(value, Op) else "activation": value.name}
    if isinstance(value, Enum) and type(value).__name__ in ENUMS:
        return {"enum": [type(value).__name__, value.name]}
    if type(value) in PLAIN:
        return value
    if isinstance(value, np.generic):
        return {"number": packed(np.asarray(value))}
    return _dtype_or_op(value)


def _dtype_or_op(value: Any) -> dict[str, str]:
    try:
        return {"dtype": formats.name(value)}
    except (UnknownName, TypeError):
        pass
    try:
        return {"op": op_of(value).name}
    except (UnknownName, TypeError):
        raise NotModelled(
            f"a program as data with {value!r:.60}", "a form in which it can be written"
        ) from None


def read(value: Any, tiles: Sequence[Tile]) -> Any:
    """The parameter that `written` wrote; raises BadArguments for anything else."""
    if type(value) in PLAIN:
        return value
    if not isinstance(value, dict) or len(value) != 1:
        raise malformed("a parameter is neither a number nor a name")
    kind, held = next(iter(value.items()))
    if kind == "tile":
        return tiles[whole_number(held, 0, len(tiles) - 1)]
    if kind in ("tuple", "list"):
        if not isinstance(held, list) or len(held) > LONGEST:
            raise malformed(f"a {kind} is no list of at most {LONGEST:,}")
        parts = [read(part, tiles) for part in held]
        return parts if kind == "list" else tuple(parts)
    if kind == "number":
        return unpacked(held)[()]
    return _named(kind, held)


def _named(kind: str, held: Any) -> Any:
    if kind == "enum" and isinstance(held, list) and len(held) == 2:
        made = ENUMS.get(str(held[0]))
        if made is not None and str(held[1]) in made.__members__:
            return made[str(held[1])]
    look = {"op": op_of, "activation": activation_of, "dtype": formats.format_of}.get(kind)
    if look is None or not isinstance(held, str):
        raise malformed(f"unknown parameter {kind!r:.40}")
    return look(held)


def packed(values: np.ndarray, dtype: Any = None) -> list[Any]:
    """An array as its format, its shape and its bytes."""
    kind = formats.name(values.dtype if dtype is None else dtype)
    data = b64encode(np.ascontiguousarray(values).tobytes()).decode()
    return [kind, list(values.shape), data]


def unpacked(held: Any) -> np.ndarray:
    """The array that `packed` wrote; raises BadArguments for anything else."""
    if not (isinstance(held, list) and len(held) == 3 and isinstance(held[2], str)):
        raise malformed("an array is not a format, a shape and bytes")
    kind = formats.storage(named_format(held[0]))
    shape = tuple(whole_numbers(held[1], 0, 2**40))
    try:
        return np.frombuffer(b64decode(held[2], validate=True), kind).reshape(shape)
    except (NotBase64, ValueError):
        raise malformed("an array's bytes do not fit its shape") from None


def named_format(name: Any) -> Any:
    """The number format of that name; raises BadArguments where it is not even text."""
    if not isinstance(name, str):
        raise malformed("a format is not a name")
    return formats.format_of(name)


def whole_number(value: Any, low: int, high: int) -> int:
    """A whole number between two others; raises BadArguments for anything else."""
    if type(value) is not int or not low <= value <= high:
        raise malformed(f"{value!r:.40} is not a whole number between {low:,} and {high:,}")
    return value


def whole_numbers(values: Any, low: int, high: int) -> list[int]:
    """A list of whole numbers between two others; raises BadArguments for anything else."""
    if not isinstance(values, list):
        raise malformed(f"{values!r:.40} is not a list of numbers")
    for value in values:
        if type(value) is not int or not low <= value <= high:
            whole_number(value, low, high)
    return values


def malformed(what: str) -> BadArguments:
    """The error for a program that no recorder has written."""
    return BadArguments(f"malformed program: {what}")


def recordable(kind: type[Instruction], values: Sequence[Any]) -> None:
    """Raises NotModelled for an instruction that does more than its class can say."""
    if issubclass(kind, Collective):
        raise NotModelled(f"a program as data with {kind.name}", "the programs of other ranks")
    names = [field.name for field in kind.parameters]
    skips = kind is DmaGather and values[names.index("skip")] is not False
    if kind is DmaScatter or skips:
        raise NotModelled(
            f"a program as data with {kind.name} where indices decide what is written",
            "the mask as an operand of the data",
        )


def opcodes() -> dict[str, type[Instruction]]:
    """Every instruction by the name of its class, also those without a page of their own."""
    for module in iter_modules(isa.__path__, isa.__name__ + "."):
        import_module(module.name)
    found: dict[str, type[Instruction]] = {}
    waiting = [Instruction]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if "page" in vars(kind):
            found[kind.__name__] = kind
    return found
