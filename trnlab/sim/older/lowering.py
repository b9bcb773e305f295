"""Where the older compiler places what a kernel leaves open: queues, engines, shared triggers."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from trnlab.machine.chip import Core
from trnlab.sim.program import Program, layout_bytes
from trnlab.sim.timing.cost import Cost

VARIANTS = ("as it is", "gpsimd", "scalar", "sync", "also", "only")
_, GPSIMD, SCALAR, SYNC, ALSO, ONLY = range(len(VARIANTS))


def placed(program: Program, core: Core, without: frozenset[str]) -> Program:
    """The program with every instruction on the queue that the older compiler gives it.

    Transfers of the arguments and results of a kernel have their descriptors written by GpSimd, the
    others by the hardware of the Sync queue (loads) and the Scalar queue (stores), where there is
    such hardware. Neighbours share a trigger. Copies and arithmetic with numbers go to the scalar
    engine on cores that do not tell the two engines apart, else to whichever ends first.
    """
    return _Placing(program, core, without).run()


@dataclass
class _Placing:
    program: Program
    core: Core
    without: frozenset[str]
    costs: list[Cost] = field(default_factory=list)

    def run(self) -> Program:
        program = self.program
        self.costs = list(program.costs)
        heads = np.frombuffer(program.heads, np.int64).reshape(-1, 3).copy()
        numbers, ends, stores = self._transfers()
        chosen, joins = self._engines()[heads[:, 0]], np.zeros(len(heads), bool)
        chosen[numbers], joins[numbers] = self._queues(ends, stores), self._joins(ends)
        moved = np.flatnonzero(chosen >= 0)
        keys = (heads[moved, 0] * len(VARIANTS) + chosen[moved]) * 2 + joins[moved]
        found, which = np.unique(keys, return_inverse=True)
        heads[moved, 0] = np.array([self._variant(*key) for key in _unpacked(found)], int)[which]
        return replace(program, heads=array("q", heads.tobytes()), costs=self.costs)

    def _transfers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Transfers from or to HBM, which operand is there, and whether that is written."""
        moves = np.array([c.is_transfer and c.reads == c.writes == 1 for c in self.program.costs])
        numbers = np.flatnonzero(moves[self.program.kinds()])
        at, in_hbm = self.program.spans()[0][numbers], self.program.tensors().memory < 0
        tensors = np.frombuffer(self.program.operands, np.int64)[::3]
        stores, loads = in_hbm[tensors[at]], in_hbm[tensors[at + 1]]
        either = stores | loads
        return numbers[either], np.where(stores, at, at + 1)[either], stores[either]

    def _engines(self) -> np.ndarray:
        """The variant of each cost that a kernel leaves to the compiler; -1 for others."""
        choice, variant = "engine_choice" not in self.without, -1
        if not choice:
            variant = ONLY
        elif "scalar_tensor_copy" not in self.core.can:
            variant = ALSO
        either = [
            c.also is not None and not (c.is_transfer and c.reads == c.writes == 1)
            for c in self.program.costs
        ]
        return np.where(either, variant, -1)

    def _queues(self, ends: np.ndarray, stores: np.ndarray) -> np.ndarray:
        """The variant of each transfer."""
        if "hardware_dge" not in self.core.can or "queue_choice" in self.without:
            return 0 * ends
        tensors = np.frombuffer(self.program.operands, np.int64)[::3]
        return np.where(self._external()[tensors[ends]], GPSIMD, np.where(stores, SCALAR, SYNC))

    def _external(self) -> np.ndarray:
        """Tensors in HBM that the kernel only reads or only writes: arguments and results."""
        program = self.program
        tensors = np.frombuffer(program.operands, np.int64)[::3]
        number, written = program.accesses()
        moves = np.array([c.is_transfer for c in program.costs])[program.kinds()][number]
        reads, writes = np.zeros((2, len(program.buffers)), bool)
        reads[tensors[moves & ~written]] = writes[tensors[moves & written]] = True
        return reads ^ writes

    def _joins(self, ends: np.ndarray) -> np.ndarray:
        """Whether transfers share the trigger of those before them between the same tensors."""
        if "dma_merging" in self.without or not self.core.dma.merged:
            return np.zeros(len(ends), bool)
        rows = np.frombuffer(self.program.operands, np.int64).reshape(-1, 3)[ends]
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        fresh = np.ones(len(rows), bool)
        fresh[1:] = (rows[order[1:], :2] != rows[order[:-1], :2]).any(axis=1)
        place = np.arange(len(rows))
        before = np.empty(len(rows), np.int64)  # how many like it came before
        before[order] = place - np.maximum.accumulate(np.where(fresh, place, 0))
        sizes = layout_bytes(rows[:, 1])
        together = np.where(sizes > 0, self.core.dma.merged // np.maximum(sizes, 1), 1)
        return before % np.maximum(together, 1) > 0

    def _variant(self, kind: int, variant: int, joins: int) -> int:
        """The number of a cost as it is placed."""
        cost = self.program.costs[kind]
        if variant in (ALSO, GPSIMD) and cost.also is not None:
            cost = cost.also
        elif variant in (SCALAR, SYNC):
            cost = replace(cost, queue=VARIANTS[variant])
        cost = replace(cost, also=None)
        self.costs.append(replace(cost, busy=0.0) if joins else cost)
        return len(self.costs) - 1


def _unpacked(keys: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Cost, variant, and whether it shares a trigger."""
    kinds, joins = np.divmod(keys, 2)
    return zip(*(part.tolist() for part in (*np.divmod(kinds, len(VARIANTS)), joins)), strict=True)
