"""Reading a trace: a softmax, drawn, with what every engine waited for.

A run leaves a trace: a row for every instruction and transfer, with its lane (an engine, or a DMA
queue), its times, the line of source it comes from, why it did not start earlier and which row it
waited for. This script draws one from those rows. The same trace, saved, opens at ui.perfetto.dev.
"""

import trnlab

trnlab.activate()

from pathlib import Path

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

from trnlab.report.perfetto import save
from trnlab.report.waiting import by_line, engine_waits, grouped

P, COLUMNS = 128, 1024
WIDTH = 76


@nki.jit
def softmax(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    rows, columns = x.shape
    for row in range(0, rows, P):
        tile = nl.ndarray((P, columns), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(tile, x[row : row + P, :])

        minus_top = nl.ndarray((P, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_reduce(minus_top, nl.maximum, tile, axis=1, negate=True)

        # exp(x - top) on the scalar engine, which sums its results on the way.
        raised = nl.ndarray((P, columns), dtype=nl.float32, buffer=nl.sbuf)
        total = nl.ndarray((P, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation_reduce(raised, nl.exp, tile, nl.add, total, bias=minus_top)

        nisa.reciprocal(total, total)
        result = nl.ndarray((P, columns), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_scalar(result, raised, nl.multiply, total)
        nisa.dma_copy(out[row : row + P, :], result)
    return out


def draw(trace):
    """A row for each lane, time from left to right, a mark where the lane is busy."""
    for lane, name in enumerate(trace.lanes):
        rows = np.flatnonzero(trace.lane == lane)
        if not len(rows):
            continue
        cells = [" "] * WIDTH
        for count, row in enumerate(rows):
            first = int(trace.start[row] / trace.seconds * (WIDTH - 1))
            last = int(trace.busy_until[row] / trace.seconds * (WIDTH - 1))
            cells[first : last + 1] = "=#"[count % 2] * (last + 1 - first)  # neighbours differ
        print(f"  {name:9}|{''.join(cells)}|")
    print(f"  {'':9} 0{trace.seconds * 1e6:>{WIDTH - 4}.1f} us")


def main():
    x = np.random.default_rng(0).standard_normal((4 * P, COLUMNS), dtype=np.float32)
    out, trace = trnlab.run(softmax)(x)
    want = np.exp(x - x.max(axis=1, keepdims=True))
    want /= want.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(out, want, rtol=1e-5)  # sums and exp round differently
    print(f"softmax of {x.shape[0]} rows of {COLUMNS} agrees with NumPy to 1e-5\n")

    draw(trace)

    print("\nWhat each engine waited for, longest first:")
    for lane, found in engine_waits(trace).items():
        for (cause, blocker), seconds in list(found.items())[:2]:
            print(f"  {lane:8} {seconds * 1e6:6.2f} us  {cause:12} {blocker and 'from ' + blocker}")

    print("\nThe path that decided the time, last eight steps:")
    for row in trace.critical_path()[-8:]:
        span = trace[row]
        line = span.where.rpartition(":")[2]
        print(
            f"  {span.start * 1e6:6.2f} to {span.stop * 1e6:6.2f} us  {span.lane:9} "
            f"{span.name:18} line {line:4} {span.cause}"
        )

    print("\nThe lines that cost most:")
    source = Path(__file__).read_text().splitlines()
    for cost in by_line(grouped(trace), 3):
        text = source[int(cost.where.rpartition(":")[2]) - 1].strip()
        print(f"  {cost.seconds * 1e6:6.2f} us on {cost.lane:8} {text}")

    folder = Path("trnlab-traces")
    folder.mkdir(exist_ok=True)
    print(f"\nsaved as {save(trace, folder / 'softmax.json')}: open it at ui.perfetto.dev")


if __name__ == "__main__":
    main()
