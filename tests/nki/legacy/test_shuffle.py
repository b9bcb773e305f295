"""Another order for the iterations of parallel loops, from Python and from the command line."""

from random import Random

import numpy as np
import pytest

import trnlab
from tests.support import command
from trnlab.nki.legacy import entry
from trnlab.nki.legacy import language as nl

SCRIPT = """
import numpy as np
import neuronxcc.nki as nki
import neuronxcc.nki.language as nl

@nki.jit
def kernel(a):
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    order = [i for i in nl.affine_range(8)]
    nl.store(out, nl.add(nl.load(a), float(order[-1])))
    return out

print("last", kernel(np.zeros((8, 8), np.float32))[0, 0])
"""


def last_of_eight(seed):
    order = list(range(8))
    if seed is not None:
        Random(seed).shuffle(order)
    return order[-1]


@entry.jit
def last(a):
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    order = list(nl.affine_range(8))
    nl.store(out, nl.add(nl.load(a), float(order[-1])))
    return out


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_run_takes_a_seed(seed):
    out, trace = trnlab.run(last, shuffle=seed)(np.zeros((8, 8), np.float32))
    assert (out == last_of_eight(seed)).all()
    assert ("another order" in str(trace.meta["notes"])) == (seed is not None)


@pytest.mark.parametrize("seed", [None, 0])
def test_so_does_the_command_line(seed, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)
    options = [] if seed is None else ["--shuffle", str(seed)]
    said = command(["run", "script.py", *options], capsys, monkeypatch)
    assert said.code == 0
    assert f"last {last_of_eight(seed)}.0" in said.out
    assert ("ran in another order" in said.out) == bool(options)
