"""Loops of the older API: what their iterations may not do to each other.

Iterations of a parallel loop (`nl.affine_range`) may run in any order, so what one of them writes
no other may write or read, except where the order does not show: sums and other associative
updates in place. And what an iteration makes exists in that iteration alone.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from trnlab.errors import OrderDependence, OutOfScope, ProgramError
from trnlab.isa.dma import DmaCompute
from trnlab.isa.elementwise import TensorScalar, TensorTensor
from trnlab.isa.indirect import DmaScatter
from trnlab.isa.instruction import Instruction
from trnlab.isa.matmul import NcMatmul
from trnlab.isa.tile import LAYOUTS
from trnlab.sim.program import Loop, Program
from trnlab.sim.timing.regions import number_regions, overlap, rectangle_of

LOOKED_AT = 16  # runs of the loop on one line; what is wrong with it shows in the first ones
ANY_ORDER = {
    "add", "multiply", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor",
    "logical_and", "logical_or", "logical_xor",
}  # fmt: skip


def order_free(model: Instruction) -> tuple[str, bool] | None:
    """By which operation an instruction may update its destination in place, in any order.

    And whether it does so by itself; else only where its destination is an operand as well.
    """
    if isinstance(model, NcMatmul):
        return ("add", True) if model.accumulate else None
    if isinstance(model, DmaScatter):
        return ("add", True) if model.add else None
    if isinstance(model, DmaCompute):
        return "add", False
    name = None
    if isinstance(model, TensorTensor):
        name = model.op.name
    elif isinstance(model, TensorScalar) and model.op1 is None:
        name = model.op0.name
    return (name, False) if name in ANY_ORDER else None


def faults(program: Program) -> Iterator[ProgramError]:
    """What is wrong with the loops of a program: all of it, each once."""
    loops = list(_looked_at(program.loops)) if program.count else []
    if loops:
        yield from _escapes(program, loops)
    parallel = [loop for loop in loops if loop.parallel and len(loop.starts) > 2]
    if parallel:
        operands = _Operands(program)
        for loop in parallel:
            yield from _dependences(program, loop, operands)


def _looked_at(loops: list[Loop]) -> Iterator[Loop]:
    seen: dict[tuple[int, bool], int] = {}
    for loop in loops:
        key = (loop.place, loop.parallel)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= LOOKED_AT and len(loop.starts) > 1:
            yield loop


def _escapes(program: Program, loops: list[Loop]) -> Iterator[ProgramError]:
    """Tensors that are used outside of the iteration that made them."""
    last = program.lifetimes()[1]
    places = np.frombuffer(program.heads, np.int64)[1::3]
    for loop in loops:
        made = np.arange(loop.tensors[0], loop.tensors[-1])
        turns = np.searchsorted(loop.tensors, made, "right")
        for tensor in made[last[made] >= np.array(loop.starts)[turns]].tolist():
            facts = program.buffers[tensor]
            if facts.space == "register":
                continue
            yield OutOfScope(
                "a tensor is used outside of the iteration that made it",
                {"made": f"{facts.space} {program.place(facts.place)}",
                 "loop": str(program.place(loop.place))},
                place=program.place(int(places[last[tensor]])),
                fix="make it before the loop and assign to it inside",
                see="nki.language.ndarray",
            )  # fmt: skip


class _Operands:
    """Every operand of a program, as columns."""

    def __init__(self, program: Program) -> None:
        kinds = program.kinds()
        starts, counts, _ = program.spans()
        self.region, keys = number_regions(program)
        self.keys = list(map(tuple, keys.tolist()))
        self.first = np.append(starts, counts.sum())
        self.instruction, self.written = program.accesses()
        self.tensor = np.frombuffer(program.operands, np.int64)[::3]
        self.place = np.frombuffer(program.heads, np.int64)[1::3][self.instruction]
        self.update = self._updates(program, kinds)[self.instruction]

    def _updates(self, program: Program, kinds: np.ndarray) -> np.ndarray:
        """For each instruction the operation of its update in place, as a number; 0 for none."""
        names = {name: number + 1 for number, name in enumerate(sorted(ANY_ORDER))}
        known = [program.updates.get(kind, ("", True)) for kind in range(len(program.costs))]
        found = np.array([names.get(name, 0) for name, _ in known])[kinds]
        itself = np.array([alone for _, alone in known])[kinds]
        same = self.region == self.region[self.first[self.instruction]]
        inside = np.bincount(self.instruction[same], minlength=len(kinds)) > 1
        found[~(itself | inside)] = 0
        found[list(program.reduced)] = len(names) + 1
        return found


class Access(NamedTuple):
    """How one line touches a region, and in which iterations: the first and the last."""

    place: int
    writes: bool
    update: int
    first: int
    last: int

    def clashes(self, other: "Access") -> bool:
        """Whether the order of two iterations shows."""
        if not (self.writes or other.writes) or (self.update and self.update == other.update):
            return False
        return not self.first == self.last == other.first == other.last


def _dependences(program: Program, loop: Loop, operands: _Operands) -> Iterator[ProgramError]:
    """Places that several iterations of a parallel loop touch, one of them writing."""
    told = set()
    for tensor, a, b in _clashes(program, _accesses(loop, operands), operands):
        write, other = (a, b) if a.writes else (b, a)
        lines = frozenset((write.place, other.place))
        if lines in told:
            continue
        told.add(lines)
        does = "write" if other.writes else "read"
        yield OrderDependence(
            f"iterations of a parallel loop write what others {does}",
            {"tensor": program.tensor(tensor).name,
             "loop": str(program.place(loop.place)),
             f"{does}s": str(program.place(other.place))},
            "sums and other updates in place that any order gives the same result",
            program.place(write.place),
            "index the destination with the loop variable, or use nl.sequential_range",
            "nki.language.affine_range",
        )  # fmt: skip


def _accesses(loop: Loop, operands: _Operands) -> dict[int, list[Access]]:
    """By region, how tensors are touched that the loop writes and several iterations use."""
    here = slice(*operands.first[[loop.starts[0], loop.starts[-1]]])
    tensor, written = operands.tensor[here], operands.written[here]
    turn = np.searchsorted(loop.starts, operands.instruction[here], "right") - 1
    outer = tensor < loop.tensors[0]
    count = loop.tensors[0] + 1
    first, last = np.full(count, len(loop.starts)), np.full(count, -1)
    writes = np.zeros(count, bool)
    home = np.where(outer, tensor, count - 1)
    np.minimum.at(first, home, turn)
    np.maximum.at(last, home, turn)
    writes[home[written]] = True
    chosen = outer & (writes & (first < last))[home]
    columns = [operands.region, operands.place, operands.written, operands.update]
    rows = np.stack([column[here][chosen] for column in columns], axis=1).astype(np.int64)
    groups, back = np.unique(rows, axis=0, return_inverse=True)
    begin, end = np.full(len(groups), len(loop.starts)), np.full(len(groups), -1)
    np.minimum.at(begin, back.reshape(-1), turn[chosen])
    np.maximum.at(end, back.reshape(-1), turn[chosen])
    found: dict[int, list[Access]] = {}
    for (region, place, wrote, update), low, high in zip(
        groups.tolist(), begin.tolist(), end.tolist(), strict=True
    ):
        found.setdefault(region, []).append(Access(place, bool(wrote), update, low, high))
    return {region: sorted(held, key=lambda a: not a.writes) for region, held in found.items()}


def _clashes(
    program: Program, accesses: dict[int, list[Access]], operands: _Operands
) -> Iterator[tuple[int, Access, Access]]:
    """Pairs of accesses to the same elements whose order shows, and their tensor."""
    homes: dict[int, list[int]] = {}
    for region in accesses:
        homes.setdefault(operands.keys[region][0], []).append(region)
    for tensor, regions in homes.items():
        for one, other in _neighbours(program, regions, operands):
            for a in accesses[one]:
                for b in accesses[other]:
                    if a.clashes(b) and _meet(operands.keys[one], operands.keys[other]):
                        yield tensor, a, b


def _neighbours(
    program: Program, regions: list[int], operands: _Operands
) -> Iterator[tuple[int, int]]:
    """Regions of one tensor whose rectangles overlap, and each with itself."""
    boxes = []
    for region in regions:
        tensor, layout, offset = operands.keys[region]
        boxes.append((rectangle_of(program.buffers[tensor], layout, offset), region))
    boxes.sort()
    for number, (box, region) in enumerate(boxes):
        yield region, region
        for other, neighbour in boxes[number + 1 :]:
            if other[0] >= box[1]:
                break
            if overlap(box, other):
                yield region, neighbour


def _meet(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """Whether two accesses to one tensor have an element in common."""
    (_, layout, offset), (_, second, start) = one, other
    if LAYOUTS[layout].itemsize != LAYOUTS[second].itemsize:
        return True  # a view of another width: nothing finer than rectangles is looked at
    same = layout == second and offset == start
    return same or _share(layout, second, start - offset)


@lru_cache(maxsize=4096)
def _share(layout: int, other: int, apart: int) -> bool:
    return bool(np.isin(_elements(layout, 0), _elements(other, apart)).any())


def _elements(layout: int, offset: int) -> np.ndarray:
    """Every element that an access touches, by its number in the tensor."""
    here = LAYOUTS[layout]
    out = np.array(offset)
    for size, stride in zip(here.shape, here.strides, strict=True):
        out = out[..., None] + np.arange(size if stride else 1) * stride
    return out.reshape(-1)
