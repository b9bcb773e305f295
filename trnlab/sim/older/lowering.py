"""Where the older compiler places what a kernel leaves open: queues, engines, shared triggers."""

from dataclasses import dataclass, field, replace

from trnlab.isa.tile import LAYOUTS
from trnlab.machine.chip import Core
from trnlab.sim.program import Program
from trnlab.sim.timing.cost import Cost


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
    kinds: dict[tuple[int, str], int] = field(default_factory=dict)  # cost, variant -> cost
    filled: dict[tuple[int, int], int] = field(default_factory=dict)  # bytes a trigger has so far

    def run(self) -> Program:
        program = self.program
        self.costs = list(program.costs)
        external = self._external()
        queues = "hardware_dge" in self.core.can and "queue_choice" not in self.without
        scalar = "scalar_tensor_copy" not in self.core.can
        engines = "engine_choice" not in self.without
        heads, operands = program.heads[:], program.operands
        at = 0
        for number in range(program.count):
            kind = heads[3 * number]
            cost = program.costs[kind]
            if cost.is_transfer and cost.reads == cost.writes == 1:
                ends = operands[at], operands[at + 3]
                hbm = next((i for i, b in enumerate(ends) if self._in_hbm(b)), -1)
                if hbm >= 0:
                    variant = self._queue(ends[hbm] in external, hbm == 0) if queues else ""
                    joins = self._joins(ends[hbm], operands[at + 3 * hbm + 1])
                    heads[3 * number] = self._variant(kind, variant, joins)
            elif cost.also is not None and engines and scalar:
                heads[3 * number] = self._variant(kind, "also")
            elif cost.also is not None and not engines:
                heads[3 * number] = self._variant(kind, "only")
            at += 3 * (cost.reads + cost.writes)
        return replace(program, heads=heads, costs=self.costs)

    def _in_hbm(self, buffer: int) -> bool:
        return self.program.buffers[buffer].space == "hbm"

    def _external(self) -> set[int]:
        """Tensors in HBM that the kernel only reads or only writes: arguments and results."""
        program = self.program
        reads: set[int] = set()
        writes: set[int] = set()
        at = 0
        for kind in program.kinds().tolist():
            cost = program.costs[kind]
            if cost.is_transfer:
                for i in range(cost.reads + cost.writes):
                    (writes if i < cost.writes else reads).add(program.operands[at + 3 * i])
            at += 3 * (cost.reads + cost.writes)
        return reads ^ writes

    @staticmethod
    def _queue(external: bool, stores: bool) -> str:
        return "gpsimd" if external else "scalar" if stores else "sync"

    def _joins(self, buffer: int, number: int) -> bool:
        """Whether a transfer shares the trigger of the ones before it between the same tensors."""
        if "dma_merging" in self.without or not self.core.dma.merged:
            return False
        here = LAYOUTS[number]
        size = here.size * here.itemsize
        before = self.filled.get((buffer, number), 0)
        joins = before > 0 and before + size <= self.core.dma.merged
        self.filled[buffer, number] = before + size if joins else size
        return joins

    def _variant(self, kind: int, variant: str, joins: bool = False) -> int:
        key = kind, variant + "+" * joins
        if key not in self.kinds:
            cost = self.program.costs[kind]
            if variant in ("also", "gpsimd") and cost.also is not None:
                cost = cost.also
            elif variant in ("scalar", "sync"):
                cost = replace(cost, queue=variant)
            cost = replace(cost, also=None)
            if joins:
                cost = replace(cost, busy=0.0)
            self.kinds[key] = len(self.costs)
            self.costs.append(cost)
        return self.kinds[key]
