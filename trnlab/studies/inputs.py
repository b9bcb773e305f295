"""Made-up inputs for a bare kernel: ``bf16[128,512]`` is an array, ``3`` a number."""

import ast
import inspect
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, UnknownName

ARRAY = re.compile(r"^(?P<dtype>\w+)\[(?P<shape>\s*\d+\s*(,\s*\d+\s*)*,?\s*)\]$")


def make_inputs(texts: list[str], seed: int = 0) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments; ``name=bf16[128,512]`` makes a named one.

    Floats are uniform in [-1, 1), integers in [0, 8): the same for the same seed.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    generator = np.random.default_rng(seed)
    for text in texts:
        name, equals, value = text.partition("=")
        if equals and name.strip().isidentifier():
            kwargs[name.strip()] = _make(value.strip(), generator)
        else:
            args.append(_make(text.strip(), generator))
    return args, kwargs


def check_names(names: Iterable[str], function: Any) -> None:
    """Raises UnknownName for ``--in y=...`` where the kernel has no parameter y."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in names:
        if name not in parameters:
            raise UnknownName(f"parameter of {function.__name__}", name, parameters)


def _make(text: str, generator: np.random.Generator) -> Any:
    array = ARRAY.match(text)
    if array is None:
        return _literal(text)
    shape = tuple(int(n) for n in array["shape"].strip(" ,").split(","))
    dtype = formats.format_of(array["dtype"])
    if min(shape) < 1:
        raise BadArguments(f"--in '{text}' has no elements", limit="every dimension is at least 1")
    if formats.is_integer(dtype):
        return generator.integers(0, 8, shape).astype(formats.storage(dtype))
    return formats.narrow(generator.uniform(-1, 1, shape).astype(np.float32), dtype)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise BadArguments(
            f"--in '{text}' is neither an array nor a number",
            fix="write a dtype and a shape, such as 'bf16[128,512]', or a Python literal",
        ) from None
