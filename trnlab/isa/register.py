"""Instructions of the sequencers: the registers that steer loops and addresses."""

from collections.abc import Iterator

import numpy as np

from trnlab.isa.instruction import Instruction, Rule
from trnlab.isa.ops import Op
from trnlab.isa.tile import HBM_SPACES, SBUF, Space, Tile
from trnlab.machine.chip import Core


class Control(Instruction):
    """An instruction of one value that a sequencer handles itself."""

    def _shared_rules(self, core: Core) -> Iterator[Rule]:
        yield from ()

    def elements(self) -> float:
        return 1

    def operations(self) -> float:
        return 0.0

    @property
    def keeps_bits(self) -> bool:
        return True


class RegisterMove(Control, engines=("sync",), page="nki.isa.register_move"):
    """dst = a constant or another register."""

    dst: Tile
    src: Tile | int

    def value(self, *src: np.ndarray) -> np.ndarray:
        return src[0] if src else np.array([self.src], np.int32)


class RegisterLoad(Control, engines=("sync",), page="nki.isa.register_load"):
    """dst = the one element of a tensor in SBUF or HBM."""

    dst: Tile
    src: Tile

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "src has one element", self.src.size == 1
        yield "src has at most 32 bits", self.src.itemsize <= 4
        reachable = (SBUF, *HBM_SPACES)
        yield "src is in SBUF or HBM", self.src.space in reachable

    def value(self, src: np.ndarray) -> np.ndarray:
        return src.reshape(1)


class RegisterStore(Control, engines=("sync",), page="nki.isa.register_store"):
    """The one element of a tensor in SBUF or HBM = src."""

    dst: Tile
    src: Tile

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "dst has one element", self.dst.size == 1
        reachable = (SBUF, *HBM_SPACES)
        yield "dst is in SBUF or HBM", self.dst.space in reachable
        yield "src is a register", self.src.space is Space.register

    def value(self, src: np.ndarray) -> np.ndarray:
        return src


class RegisterCompute(Control, engines=("sync",), page="nki.isa.register_alloc", listed=False):
    """dst = left op right, in the integer arithmetic of a sequencer."""

    dst: Tile
    left: Tile | int
    op: Op
    right: Tile | int

    def value(self, *arrays: np.ndarray) -> np.ndarray:
        held = iter(arrays)
        left, right = (
            np.asarray(next(held) if isinstance(part, Tile) else part, np.int64)
            for part in (self.left, self.right)
        )
        return np.asarray(self.op.value(left, right)).astype(np.int32)
