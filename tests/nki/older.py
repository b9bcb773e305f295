"""Kernels of the older API, for tests that compare the generations."""

from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl
from trnlab.nki.legacy.entry import jit


@jit
def drawn(seed):
    nl.random_seed(nl.load(seed))
    out = nl.ndarray((64, 32), nl.float32, buffer=nl.shared_hbm)
    nl.store(out, nl.rand((64, 32)))
    return out


@jit
def converted(a):
    out = nl.ndarray(a.shape, nl.int8, buffer=nl.shared_hbm)
    nl.store(out, nisa.tensor_copy(nl.load(a), dtype=nl.int8))
    return out
