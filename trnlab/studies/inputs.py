"""Made-up inputs for a bare kernel: ``bf16[128,512]`` is an array, ``3`` a number."""

import ast
import inspect
import re
from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, UnknownName

Maker = Callable[[tuple[int, ...], Any], np.ndarray]
DIMENSIONS, LARGEST = 16, 1 << 40
ARRAY = re.compile(r"^(?P<dtype>\w+)\[(?P<shape>\s*\d+\s*(,\s*\d+\s*)*,?\s*)\]$")


def make_inputs(texts: list[str], seed: int = 0) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments; ``name=bf16[128,512]`` makes a named one.

    Floats are uniform in [-1, 1), integers in [0, 8): the same for the same seed.
    """
    generator = np.random.default_rng(seed)
    return _arguments(texts, lambda shape, dtype: _random(shape, dtype, generator))


def make_shapes(texts: list[str]) -> tuple[list[Any], dict[str, Any]]:
    """As `make_inputs`, but arrays without values: zeros that take no memory."""
    return _arguments(texts, lambda shape, dtype: np.broadcast_to(_zero(dtype), shape))


def check_names(names: Iterable[str], function: Any) -> None:
    """Raises UnknownName for ``--in y=...`` where the kernel has no parameter y."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in names:
        if name not in parameters:
            raise UnknownName(f"parameter of {function.__name__}", name, parameters)


def _arguments(texts: list[str], array: Maker) -> tuple[list[Any], dict[str, Any]]:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if equals and name.strip().isidentifier():
            kwargs[name.strip()] = _make(value.strip(), array)
        else:
            args.append(_make(text.strip(), array))
    return args, kwargs


def _make(text: str, array: Maker) -> Any:
    found = ARRAY.match(text)
    if found is None:
        return _literal(text)
    shape = tuple(int(n) for n in found["shape"].strip(" ,").split(","))
    dtype = formats.format_of(found["dtype"])
    if min(shape) < 1:
        raise BadArguments(f"--in '{text}' has no elements", limit="every dimension is at least 1")
    if len(shape) > DIMENSIONS or prod(shape) * formats.itemsize(dtype) > LARGEST:
        limit = f"{DIMENSIONS} dimensions and {LARGEST:,} bytes"
        raise BadArguments(f"--in '{text}' is no tensor of a chip", limit=limit)
    try:
        return array(shape, dtype)
    except MemoryError:
        raise BadArguments(f"--in '{text}' does not fit into the memory of this machine") from None


def _random(shape: tuple[int, ...], dtype: Any, generator: np.random.Generator) -> np.ndarray:
    if formats.is_integer(dtype):
        return generator.integers(0, 8, shape).astype(formats.storage(dtype))
    return formats.narrow(generator.uniform(-1, 1, shape).astype(np.float32), dtype)


def _zero(dtype: Any) -> np.ndarray:
    return np.zeros((), formats.storage(dtype))


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise BadArguments(
            f"--in '{text}' is neither an array nor a number",
            fix="write a dtype and a shape, such as 'bf16[128,512]', or a Python literal",
        ) from None
