"""Functions of `nki.language`: which instructions each becomes, found by running it on a sample."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trnlab.errors import NotModelled
from trnlab.machine.chip import Chip
from trnlab.nki import composite, math, registers
from trnlab.nki import language as nl
from trnlab.nki.jit import Kernel, Settings, simulate

SQUARE, WIDE = (128, 128), (128, 512)
HOMES = tuple(module.__name__ for module in (nl, math, composite, registers))
NOT_NKI = ("constant_tensor", "counted")  # what the language is made with
BITS = ("bitwise_and", "bitwise_or", "bitwise_xor", "invert", "left_shift", "right_shift")
NUMBERS = {
    "axis": 1, "n": 128, "rate": 0.5, "shape": WIDE, "dtype": nl.float32, "fill_value": 0.5,
    "constant": np.zeros(WIDE, np.float32),
}  # fmt: skip
TILES: dict[Any, tuple[tuple[int, ...], Any]] = {
    ("matmul", "x"): (SQUARE, nl.bfloat16),
    ("matmul", "y"): (WIDE, nl.bfloat16),
    ("transpose", "x"): (SQUARE, nl.bfloat16),
    ("broadcast_to", "x"): ((128, 1), nl.float32),
    ("load_transpose2d", "src"): ((512, 128), nl.bfloat16),
    "indices": (WIDE, nl.uint32),
    "seed": ((1, 1), nl.uint32),
}
TRACED = (
    "affine_range", "device_print", "ds", "dynamic_range", "fori_loop", "is_hbm", "is_on_chip",
    "is_psum", "is_sbuf", "no_reorder", "num_programs", "program_id", "program_ndim",
    "sequential_range", "static_range", "while_loop",
)  # fmt: skip


@dataclass(frozen=True)
class Expansion:
    """What a function became: (instruction, queue) pairs, and the time they took together.

    ``refused`` is the first rule that they break where every chip refuses them.
    """

    steps: tuple[tuple[str, str], ...]
    seconds: float
    chip: str
    refused: str = ""


def names() -> list[str]:
    """The functions of `nki.language`, by name."""
    return sorted(
        name
        for name, value in vars(nl).items()
        if inspect.isfunction(value)
        and value.__module__ in HOMES
        and name[0] != "_"
        and name not in NOT_NKI
    )


def expansion(name: str, chips: tuple[Chip, ...]) -> Expansion | None:
    """What a function becomes on the first chip that accepts it; None: it names an operator."""
    if name in TRACED:
        return Expansion((), 0.0, "")
    refused: Expansion | None = None
    for chip in chips:
        try:
            made = _expanded(name, chip)
        except NotModelled:
            return None
        if not made.refused:
            return made
        refused = refused or made
    return refused


def _expanded(name: str, chip: Chip) -> Expansion:
    how = Settings(values=False, strict=False, without=frozenset({"launch"}))
    result = simulate(_kernel(name), (), {}, how, chip)
    assert result.trace is not None
    steps = tuple((s.name, s.lane) for s in result.trace if not s.lane.startswith("dma/"))
    broken = result.violations[0].limit if result.violations else ""
    return Expansion(steps, result.trace.seconds, chip.key, broken)


def _kernel(name: str) -> Kernel:
    function = getattr(nl, name)

    def kernel() -> None:
        function(**arguments(name, function))

    return Kernel(kernel)


def arguments(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """The sample that a function is run on: fp32 [128, 512] tiles, made inside a kernel."""
    parameters = inspect.signature(function).parameters.values()
    made = {p.name: _argument(name, p.name) for p in parameters if p.default is p.empty}
    return made | ({"transpose_x": True} if name == "matmul" else {})


def _argument(name: str, parameter: str) -> Any:
    if parameter in NUMBERS:
        return NUMBERS[parameter]
    hbm = parameter in ("src", "dst")
    shape, dtype = WIDE, nl.int32 if name in BITS else nl.float32
    shape, dtype = TILES.get((name, parameter)) or TILES.get(parameter) or (shape, dtype)
    return nl.ndarray(shape, dtype, buffer=nl.shared_hbm if hbm else nl.sbuf)
