"""`neuronxcc.nki.nccl` between ranks, against NumPy."""

import numpy as np
import pytest

import trnlab
from trnlab import NotModelled
from trnlab.nki.legacy import entry, nccl
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

RANKS = 4
ALL = [list(range(RANKS))]
XS = [np.arange(8, dtype=np.float32)[None] + 10 * i for i in range(RANKS)]


def hbm(*shape):
    return nl.ndarray(shape, np.float32, buffer=nl.shared_hbm)


@entry.jit
def exchanged(x, call, columns):
    """Twice x, exchanged, and 1 added by an instruction that nothing waits for but the end."""
    src, dst, out = hbm(*x.shape), hbm(1, columns), hbm(1, columns)
    nl.store(src, nl.load(x) * 2.0)
    call(src, dst)
    nisa.dma_copy(dst=out, src=dst)
    return out


def run(call, columns=8, xs=XS):
    outs, traces = trnlab.run_ranks(exchanged, [(x, call, columns) for x in xs])
    assert all("older compiler" in str(trace.meta["notes"]) for trace in traces)
    return outs


WHOLE = np.concatenate(XS, 1) * 2
TOTAL = np.sum(XS, 0) * 2


def test_all_gather_beside_each_other():
    outs = run(
        lambda s, d: nccl.all_gather(np.add, [s], [d], replica_groups=ALL, all_gather_dim=1), 32
    )
    assert all(np.array_equal(out, WHOLE) for out in outs)


def test_all_reduce_over_one_flat_list():
    outs = run(
        lambda s, d: nccl.all_reduce(
            op=np.add, srcs=[s], dsts=[d], replica_groups=ALL[0], dtype=np.float32
        )
    )
    assert all(np.array_equal(out, TOTAL) for out in outs)


def test_reduce_scatter_of_columns():
    outs = run(lambda s, d: nccl.reduce_scatter(np.add, [s], [d], ALL, reduce_scatter_dim=1), 2)
    for rank, out in enumerate(outs):
        assert np.array_equal(out, TOTAL[:, 2 * rank : 2 * rank + 2])


def test_all_to_all_as_called_by_position():
    outs = run(lambda s, d: nccl.all_to_all(np.add, [s], [d], ALL, 1, 1))
    for rank, out in enumerate(outs):
        parts = [2 * x[:, 2 * rank : 2 * rank + 2] for x in XS]
        assert np.array_equal(out, np.concatenate(parts, 1))


@pytest.mark.parametrize(
    "call",
    [
        lambda s, d: nccl.collective_permute(
            dst=d[:, :], src=s[:, :], source_target_pairs=[(0, 1), (1, 2), (2, 3), (3, 0)]
        ),
        lambda s, d: nccl.collective_permute_implicit(
            dst=d, src=s, replica_groups=ALL, channel_id=1, num_channels=2
        ),
    ],
)
def test_permutes_send_to_the_next(call):
    outs = run(call)
    for rank, out in enumerate(outs):
        assert np.array_equal(out, 2 * XS[(rank - 1) % RANKS])


def test_arguments_and_results_may_be_exchanged_as_the_older_kernels_do():
    @entry.jit
    def kernel(x, out):
        nccl.all_reduce(np.add, [x], [out], ALL)
        return out

    outs, _ = trnlab.run_ranks(kernel, [(x, np.zeros_like(x)) for x in XS])
    assert all(np.array_equal(out, TOTAL / 2) for out in outs)


REFUSED = [
    (lambda s, d: nccl.all_to_all(np.add, [s], [d], ALL, 0, 1), "turns its tensors"),
    (lambda s, d: nccl.all_reduce(np.add, [s], [d], ALL, dtype=nl.bfloat16), "casts"),
    (lambda s, d: nccl.all_gather(np.add, [s], [d], ALL, 1), "along dimension 1"),
    (lambda s, d: nccl.collective_permute_implicit(d, s, ALL, mask=False), "mask"),
]


@pytest.mark.parametrize(("call", "said"), REFUSED)
def test_what_is_not_modelled_says_so(call, said):
    with pytest.raises(NotModelled, match=said):
        run(call, xs=[np.concatenate([x, x]) for x in XS])


def test_a_grid_on_ranks_is_not_modelled():
    with pytest.raises(NotModelled, match="launch grid on ranks"):
        trnlab.run_ranks(exchanged[2, 2], [(XS[0], lambda s, d: None, 8)])
