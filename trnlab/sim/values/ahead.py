"""Products that are computed while the kernel goes on.

BLAS leaves Python alone, so that both can run at once. What such a product reads does not change
before it is asked for, and nobody sees it until then.
"""

from collections.abc import Iterator
from threading import Thread
from typing import Generic, TypeVar

import numpy as np

from trnlab.sim.values.blocks import Block, product

T = TypeVar("T")
WORTH = 2**30  # multiplications that are worth a thread


class Ahead(Generic[T]):
    """Blocks on their way, in a thread of their own."""

    def __init__(self, blocks: list[Block[T]]) -> None:
        self.blocks = blocks
        self.totals: list[np.ndarray] = []
        self.failed: BaseException | None = None
        self.thread = Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        try:
            self.totals = products(self.blocks)
        except BaseException as error:
            self.failed = error

    def results(self) -> Iterator[tuple[Block[T], np.ndarray]]:
        """Waits for the products and returns them."""
        self.thread.join()
        if self.failed is not None:
            raise self.failed
        return zip(self.blocks, self.totals, strict=True)


def products(blocks: list[Block[T]]) -> list[np.ndarray]:
    """The products of blocks; infinities and NaN are nothing special."""
    with np.errstate(all="ignore"):
        return [product(block.pairs, block.target) for block in blocks]


def worth_it(blocks: list[Block[T]]) -> bool:
    """Whether products take long enough."""
    return sum(block.multiplications for block in blocks) >= WORTH
