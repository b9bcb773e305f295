"""A first kernel: a * x + y on arrays that do not fit in one tile.

A kernel is an ordinary Python function with `@nki.jit`. Its arguments live in HBM, the memory
beside the chip. Engines cannot reach HBM: DMA copies a tile into SBUF, the memory on the chip,
engines compute there, and DMA copies the result back. A tile has at most 128 partitions, so that a
longer array is a loop.

Calling the kernel gives values, as on a device. `trnlab.run` gives the same values and a trace:
when every instruction ran, and what it waited for.
"""

import trnlab

trnlab.activate()

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

from trnlab.report.summary import summarise

ROWS, COLUMNS, A = 1024, 2048, 0.5


@nki.jit
def axpy(x, y, a):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    rows, columns = x.shape
    for row in range(0, rows, nl.tile_size.pmax):
        # Made inside the loop: every turn has tiles of its own, so turns can overlap.
        tx = nl.ndarray((nl.tile_size.pmax, columns), dtype=x.dtype, buffer=nl.sbuf)
        ty = nl.ndarray((nl.tile_size.pmax, columns), dtype=x.dtype, buffer=nl.sbuf)
        result = nl.ndarray((nl.tile_size.pmax, columns), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(tx, x[row : row + nl.tile_size.pmax, :])
        nisa.dma_copy(ty, y[row : row + nl.tile_size.pmax, :])
        nisa.scalar_tensor_tensor(result, tx, nl.multiply, a, nl.add, ty)
        nisa.dma_copy(out[row : row + nl.tile_size.pmax, :], result)
    return out


def main():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, COLUMNS), dtype=np.float32)
    y = rng.standard_normal((ROWS, COLUMNS), dtype=np.float32)

    out, trace = trnlab.run(axpy)(x, y, A)
    np.testing.assert_array_equal(out, np.float32(A) * x + y)  # one rounding each: exactly equal
    print(f"{ROWS} x {COLUMNS} results agree with NumPy, bit for bit")

    moved = trace.totals["hbm_read_bytes"] + trace.totals["hbm_write_bytes"]
    chip = str(trace.meta["chip"])
    print(
        f"{trace.seconds * 1e6:.1f} us on one core of {chip}, {moved / 1e6:.1f} MB of HBM traffic"
    )
    print(f"{trace.totals['instructions']:.0f} instructions; each lane was busy for\n")
    for lane, seconds in trace.busy().items():
        if seconds:
            share = seconds / trace.seconds
            print(f"  {lane:9} {share:6.1%}  {'#' * round(share * 50)}")
    limit = summarise(trace, trnlab.chip(chip))["limit"]["sentence"]
    print("", *limit.split("; "), sep="\n")


if __name__ == "__main__":
    main()
