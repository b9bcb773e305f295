"""Instructions that move data inside the chip."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from trnlab import formats
from trnlab.isa.elementwise import fast_passes
from trnlab.isa.instruction import Instruction, Queue, Rule, same_rows
from trnlab.isa.rules import since
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

KEEP = 255  # in a shuffle mask: leave this partition of dst as it is


class TensorCopy(Instruction, engines=("vector", "scalar", "gpsimd"), page="nki.isa.tensor_copy"):
    """dst = src, cast through fp32 when the dtypes differ, bit for bit otherwise."""

    dst: Tile
    src: Tile
    engine: Queue = Queue.unknown

    indirect = frozenset({"dst", "src"})

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst and src span the same partitions, with equally long rows",
            same_rows(self.dst, self.src),
        )
        if self.queue == "scalar":
            yield "the scalar engine copies", "scalar_tensor_copy" in core.can, since("0.2")

    def passes(self, core: Core) -> float:
        return fast_passes(core, self.dst, self.src) if self.queue == "vector" else 1

    def operations(self) -> float:
        return 0.0

    @property
    def keeps_bits(self) -> bool:
        return self.dst.dtype == self.src.dtype

    def value(self, src: np.ndarray) -> np.ndarray:
        return src


class Memset(Instruction, engines=("vector", "gpsimd"), page="nki.isa.memset"):
    """dst = value, everywhere."""

    dst: Tile
    fill: Any
    engine: Queue = Queue.unknown

    spelled: ClassVar[dict[str, str]] = {"fill": "value"}

    def rules(self, core: Core) -> Iterator[Rule]:
        whole = isinstance(self.fill, (int, np.integer)) or float(self.fill).is_integer()
        yield "an integer dst takes a whole number", formats.is_float(self.dst.dtype) or whole
        written = isinstance(self.fill, (int, np.integer))
        yield (
            "an integer dst takes a value that is written as an integer",
            formats.is_float(self.dst.dtype) or written,
            since("0.3"),
        )
        packed = formats.name(self.dst.dtype).endswith("_x4")
        yield "packed numbers are filled with 0", not packed or self.fill == 0
        if formats.is_integer(self.dst.dtype):
            limits = np.iinfo(formats.storage(self.dst.dtype))
            yield (
                "an integer dst has room for the value",
                bool(limits.min <= self.fill <= limits.max),
            )

    def passes(self, core: Core) -> float:
        """Zeros in 16-bit data go in pairs (NKI API reference 2.21 to 2.26, cost note)."""
        return 0.5 if self.fill == 0 and self.dst.itemsize == 2 else 1

    def operations(self) -> float:
        return 0.0

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self) -> np.ndarray:
        return formats.constant(self.fill, self.dst.dtype)


class NcStreamShuffle(Instruction, engines=("vector",), page="nki.isa.nc_stream_shuffle"):
    """dst partition i = src partition mask[i], inside each group of 32; 255 keeps dst."""

    dst: Tile
    src: Tile
    shuffle_mask: tuple[int, ...]

    updates = True

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "dst and src have equally long rows", self.dst.free == self.src.free
        yield "dst and src have one dtype", self.dst.dtype == self.src.dtype
        tall = max(self.dst.partitions, self.src.partitions)
        starts = (self.dst.start_partition, self.src.start_partition)
        step = 128 if tall > 64 else 64 if tall > 32 else 32
        yield "both start where the taller one may", all(start % step == 0 for start in starts)
        yield "shuffle_mask has 32 entries", len(self.shuffle_mask) == 32
        inside = all(0 <= i < 32 or i == KEEP for i in self.shuffle_mask)
        yield "every entry of shuffle_mask is 0 to 31, or 255", inside

    def operations(self) -> float:
        return 0.0

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, dst: np.ndarray, src: np.ndarray) -> np.ndarray:
        out = dst.copy()
        for start in range(0, out.shape[0], 32):
            for row in range(start, min(start + 32, out.shape[0])):
                source = self.shuffle_mask[row - start]
                if source != KEEP:
                    out[row] = src[start + source].reshape(out[row].shape)
        return out
