"""What functions of the language do in one version of nki and not in another."""

import numpy as np
import pytest

import trnlab
from trnlab.errors import BadArguments, Violations
from trnlab.nki import isa as nisa
from trnlab.nki import language as nl
from trnlab.nki.entry import jit

A = np.ones((32, 32), np.float32)


def stored(tile):
    out = nl.ndarray(tile.shape, tile.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(out, tile)
    return out


def taken(a, space=nl.sbuf):
    tile, there = nl.ndarray(a.shape, a.dtype), nl.ndarray(a.shape, a.dtype, buffer=space)
    nisa.dma_copy(tile, a)
    nisa.tensor_copy(there, tile)
    return there


def loads(a):
    return stored(nl.load(a))


def counts(a):
    tile = taken(a)
    nl.fori_loop(0, 2, print)
    return stored(tile)


def compares(a):
    return stored(nl.abs_max(taken(a), taken(a)))


def adds(a):
    return stored(nl.add(taken(a), 1.0))


def broken(kernel, version, chip="trn2"):
    try:
        trnlab.run(jit(kernel), chip, api_version=version)(A)
    except Violations as wrong:
        return [(error.what, error.place.line) for error in wrong.found if error.place]
    return []


@pytest.mark.parametrize(
    ("kernel", "below", "early", "came"),
    [(loads, 1, "0.2", "0.3"), (counts, 2, "0.5", "0.6"), (adds, 1, None, "0.2")],
)
def test_functions_come_with_a_version(kernel, below, early, came):
    assert broken(kernel, came) == []
    if early:
        what = f"Python: function that came with nki {came} is not known to the compiler of nki"
        (found,) = [f for f in broken(kernel, early) if f[0].startswith(what)]
        assert found[1] == kernel.__code__.co_firstlineno + below


def test_operators_of_version_04():
    assert broken(compares, "0.4", "trn3") == []
    assert any("came with nki 0.4 is not known" in what for what, _ in broken(compares, "0.3"))


KNOWN = [
    (lambda a: stored(nl.rsqrt(taken(a, nl.psum))), "0.5", "0.4", "GpSimd cannot reach it"),
    (lambda a: stored(nl.copy(taken(a, nl.psum))), "0.5", "0.6", "crosses from PSUM to SBUF"),
    (lambda a: stored(nl.power(taken(a), 2.0)), "0.3", "0.2", "nl.power is given a number"),
    (lambda a: stored(nl.copy(nl.matmul(taken(a), taken(a)))), "0.6", None, "without transpose_x"),
    (lambda a: stored(nl.power(taken(a), taken(a))), None, "0.6", ""),
]


@pytest.mark.parametrize(("kernel", "bad", "good", "what"), KNOWN)
def test_known_issues_of_versions(kernel, bad, good, what):
    if bad:
        assert any(what in said for said, _ in broken(kernel, bad))
    if good:
        assert broken(kernel, good) == []


def test_addresses_came_with_version_03():
    def kernel(a):
        tile = nl.ndarray(a.shape, a.dtype, address=(0, 0))
        nisa.dma_copy(tile, a)
        return stored(tile)

    assert broken(kernel, "0.3") == []
    assert [what for what, _ in broken(kernel, "0.2")] == ["nl.ndarray has an address"]


def test_memories_by_name_until_version_03():
    def kernel(a):
        tile = nl.ndarray(a.shape, a.dtype, buffer="sbuf")  # type: ignore[arg-type]
        nisa.dma_copy(tile, a)
        return stored(tile)

    assert broken(kernel, "0.2") == []
    with pytest.raises(BadArguments, match="is not a memory"):
        broken(kernel, "0.3")
