"""What holds for operands whatever the instruction: access patterns, operators, numbers."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.ops import Op
from trnlab.isa.rules import Rule, since
from trnlab.isa.tile import PSUM, Layout, Tile
from trnlab.machine.chip import Core

# Trainium/Inferentia2 architecture guide, "Accessing SBUF/PSUM tensors" and "Vector Engine".
FREE_DIMENSIONS = 4
STRIDE_MAX = 2**15 - 1  # elements; a stride is an int16
SBUF_ELEMENTS = 2**16
PSUM_ELEMENTS = 4096

# What the pages of exponential and rand2 list for both; tfloat32 and uint32 come with some.
NUMBERS = (
    "float8_e4m3", "float8_e5m2", "float16", "bfloat16", "float32",
    "int8", "int16", "int32", "uint8", "uint16",
)  # fmt: skip


def access_rules(name: str, tile: Tile) -> Iterator[Rule]:
    """The rules of an operand that an engine reads or writes itself."""
    pattern = free_pattern(tile.layout)
    yield (
        f"{name} steps through at most {FREE_DIMENSIONS} free dimensions",
        len(pattern) <= FREE_DIMENSIONS,
        since("0.2"),  # the older compiler cuts: 6 in the vendor's interpolation, seen on devices
    )
    far = max((abs(stride) for _, stride in pattern), default=0)
    yield f"{name} has strides of at most {STRIDE_MAX} elements", far <= STRIDE_MAX


def size_rules(name: str, tile: Tile, core: Core) -> Iterator[Rule]:
    """The longest row of an engine other than the tensor engine, which has limits of its own."""
    if tile.space is PSUM:
        wide = "wide_psum" in core.can
        limit = max(PSUM_ELEMENTS, core.psum.size // tile.itemsize if wide else 0)
    else:
        limit = SBUF_ELEMENTS
    yield f"{name} has at most {limit} elements a partition", tile.free <= limit


def free_pattern(layout: Layout) -> list[tuple[int, int]]:
    """Sizes and strides inside a partition, with dimensions joined that step as one."""
    joined: list[tuple[int, int]] = []
    for size, stride in zip(layout.shape[1:], layout.strides[1:], strict=True):
        if size == 1:
            continue
        if joined and joined[-1][1] == size * stride:
            joined[-1] = (joined[-1][0] * size, stride)
        else:
            joined.append((size, stride))
    return joined


def dtype_rules(name: str, tile: Tile, legal: tuple[str, ...]) -> Iterator[Rule]:
    """The rule that an operand has one of a few dtypes."""
    yield f"{name} is one of {', '.join(legal)}", formats.name(tile.dtype) in legal


def binary_rules(**operators: Op | None) -> Iterator[Rule]:
    """The rule that operators take two operands."""
    for name, op in operators.items():
        if op is not None:
            yield f"{name} takes two operands", op.kind != "unary" and op.name != "invert"


def operand_rules(op: Op, operand: Any) -> Iterator[Rule]:
    """The rule that an operator of two operands gets its second, and one of one gets none."""
    if op.kind == "unary":
        idle = operand is None or (not isinstance(operand, Tile) and not operand)
        yield "operand0 of an operator of one operand is None or 0", idle
    else:
        yield "operand0 is given", op.alone or operand is not None


def priority_rules(priority: int | None, core: Core) -> Iterator[Rule]:
    """The rules of a transfer's priority, which only some cores know."""
    if priority is not None:
        yield "priority is 0 to 3", priority in range(4)
        yield "priority needs a core with 'dma_priority'", "dma_priority" in core.can


def int32_rules(**numbers: Any) -> Iterator[Rule]:
    """The rule that GpSimd counts in int32."""
    for name, value in numbers.items():
        if isinstance(value, (int, np.integer)):
            yield f"{name} fits 32 bits", -(2**31) <= value < 2**31
