"""The selective scan of a Mamba layer: a recurrence in time, for many channels side by side.

    h[s, t] = exp(delta[t] * a[s]) * h[s, t - 1] + delta[t] * u[t] * b[s, t]
    y[t]    = sum over s of h[s, t] * c[s, t]         for each channel

Channels lie across the partitions and time along them, where `tensor_tensor_scan` does a whole
recurrence in one instruction: it keeps the last result and goes on from it. Time is cut into chunks
that fit in SBUF; a chunk starts from the last column of the one before.

The scan takes two cycles an element and cannot be divided. What else the vector engine would do can
move: exponentials run on the scalar engine anyway, and both products can run on GpSimd. Engines
take instructions in order, so that the order matters: the inputs of the next state are prepared
before the output of this one is multiplied, and added up one state late, lest one engine hold up
the other.
"""

import trnlab

trnlab.activate()

import course
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

CHANNELS, STATES, TIME, P = 256, 16, 2048, 128


@nki.jit
def selective_scan(u, delta, a, b, c, chunk, helper):
    channels, time = u.shape
    states = a.shape[1]
    y = nl.ndarray((channels, time), dtype=u.dtype, buffer=nl.shared_hbm)
    for first in range(0, channels, P):
        rates = nl.ndarray((P, states), dtype=nl.float32)
        last = nl.zeros((P, states), dtype=nl.float32)
        nisa.dma_copy(rates, a[first : first + P, :])
        for begin in range(0, time, chunk):
            steps = nl.ndarray((P, chunk), dtype=nl.float32)
            inputs = nl.ndarray((P, chunk), dtype=nl.float32)
            nisa.dma_copy(steps, delta[first : first + P, begin : begin + chunk])
            nisa.dma_copy(inputs, u[first : first + P, begin : begin + chunk])
            nisa.tensor_tensor(inputs, inputs, steps, nl.multiply)
            total = nl.zeros((P, chunk), dtype=nl.float32)
            product = nl.zeros((P, chunk), dtype=nl.float32)
            decay, gained = prepare(rates, steps, inputs, b, 0, begin, helper)
            for s in range(states):
                history = nl.ndarray((P, chunk), dtype=nl.float32)
                column = last[:, s : s + 1]
                nisa.tensor_tensor_scan(history, decay, gained, column, nl.multiply, nl.add)
                nisa.tensor_copy(column, history[:, chunk - 1 : chunk], engine=nisa.engine.scalar)
                if s + 1 < states:
                    decay, gained = prepare(rates, steps, inputs, b, s + 1, begin, helper)
                nisa.tensor_tensor(total, total, product, nl.add)
                row = repeated(c, s, begin, chunk)
                product = nl.ndarray((P, chunk), dtype=nl.float32)
                nisa.tensor_tensor(product, history, row, nl.multiply, engine=helper)
            nisa.tensor_tensor(total, total, product, nl.add)
            nisa.dma_copy(y[first : first + P, begin : begin + chunk], total)
    return y


def prepare(rates, steps, inputs, b, s, begin, helper):
    """exp(delta * a) and delta * u * b of one state."""
    decay = nl.ndarray(steps.shape, dtype=nl.float32)
    gained = nl.ndarray(steps.shape, dtype=nl.float32)
    nisa.activation(decay, nl.exp, steps, scale=rates[:, s : s + 1])
    row = repeated(b, s, begin, steps.shape[1])
    nisa.tensor_tensor(gained, inputs, row, nl.multiply, engine=helper)
    return decay, gained


def repeated(matrix, s, begin, chunk):
    """A piece of one row, which serves all channels: DMA repeats it across the partitions."""
    row = nl.ndarray((P, chunk), dtype=nl.float32)
    nisa.dma_copy(row, matrix[s : s + 1, begin : begin + chunk].broadcast(0, P))
    return row


def reference(u, delta, a, b, c):
    h, y = np.zeros(a.shape), np.zeros(u.shape)
    u, delta, a, b, c = (array.astype(np.float64) for array in (u, delta, a, b, c))
    for t in range(u.shape[1]):
        step = delta[:, t : t + 1]
        h = np.exp(step * a) * h + step * u[:, t : t + 1] * b[:, t]
        y[:, t] = h @ c[:, t]
    return y


def main():
    rng = np.random.default_rng(0)
    u = rng.standard_normal((CHANNELS, TIME), dtype=np.float32)
    delta = rng.uniform(0.001, 0.1, (CHANNELS, TIME)).astype(np.float32)
    a = -np.tile(np.arange(1, STATES + 1, dtype=np.float32), (CHANNELS, 1))
    b = rng.standard_normal((STATES, TIME), dtype=np.float32)
    c = rng.standard_normal((STATES, TIME), dtype=np.float32)
    want = reference(u, delta, a, b, c)

    print(f"{CHANNELS} channels, {STATES} states, {TIME} steps in time")
    vector, gpsimd = nisa.engine.vector, nisa.engine.gpsimd
    for chunk, helper in ((256, vector), (1024, vector), (1024, gpsimd)):
        out, trace = trnlab.run(selective_scan)(u, delta, a, b, c, chunk, helper)
        print(f"\nchunks of {chunk}, products on {helper.name}: {trace.seconds * 1e6:,.0f} us")
        course.check(out, want, tolerance=1e-5)  # fp32 against fp64
        course.engines(trace)


if __name__ == "__main__":
    main()
