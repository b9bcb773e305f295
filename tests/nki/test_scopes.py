"""What the older compiler reads off the source about blocks and annotations."""

import ast

import numpy as np
import pytest

from trnlab.errors import Violations
from trnlab.nki.legacy import entry
from trnlab.nki.legacy import language as nl
from trnlab.nki.scopes import branches, leaks, misnamed
from trnlab.nki.subset import LEAK, MISNAMED, SHARED

nt = entry
A = np.ones((128, 64), np.float32)


def parsed(body: str) -> ast.FunctionDef:
    (function,) = ast.parse("def kernel(a, b, flag):\n" + body).body
    assert isinstance(function, ast.FunctionDef)
    return function


IN_BRANCH = """
 for i in nl.affine_range(4):
  if i < 2:
   tmp = nl.load(a)
  else:
   tmp = nl.load(b)
  nl.store(c, tmp)
"""


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (IN_BRANCH, [8]),
        (IN_BRANCH.replace("i < 2", "flag"), []),  # Python knows which
        (IN_BRANCH.replace("affine_range", "static_range"), []),
        (IN_BRANCH.replace("i < 2", "nl.program_id(0) == 1"), [8]),
        (IN_BRANCH.replace("i < 2", "j < 2").replace("  if", "  j = 2 * i\n  if"), [9]),
        (IN_BRANCH.replace("tmp = nl", "tmp[...] = nl"), []),
        (IN_BRANCH.replace("  nl.store", "   nl.store"), []),
        (IN_BRANCH.replace("tmp = nl.load(b)", "continue"), [8]),
        (IN_BRANCH.replace("tmp = nl.load(a)", "continue"), [8]),
        (IN_BRANCH.replace("nl.load(a)", "i").replace("nl.load(b)", "2 * i"), []),
        (IN_BRANCH.replace("  nl.store", "  tmp = nl.load(a)\n  nl.store"), []),
    ],
)
def test_tensors_of_a_branch_that_the_device_takes(body: str, lines: list[int]):
    assert list(leaks(parsed(body))) == lines
    assert len(branches(parsed(body))) == ("flag:" not in body and "static" not in body)


@pytest.mark.parametrize(
    ("annotated", "wrong"),
    [
        ("nt.tensor[128, 512] = nl.zeros((nl.par_dim(128), 128))", True),
        ("nt.tensor[128, 128] = nl.zeros((nl.par_dim(128), 128))", False),
        ("nt.tensor[128, n] = nl.zeros((nl.par_dim(128), 128))", False),
        ("nt.tensor = nl.zeros((128, 128))", False),
        ("nt.tensor[128, 512] = other((128, 128))", False),
    ],
)
def test_annotations_of_another_shape(annotated: str, wrong: bool):
    assert bool(list(misnamed(parsed(f" data: {annotated}")))) == wrong


@entry.jit
def leaking(a):
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    for i in nl.affine_range(2):
        if i < 1:
            tmp = nl.load(a)
            tmp = nl.exp(tmp)
        else:
            tmp = nl.multiply(nl.load(a), 2)
        nl.store(out, tmp)
    return out


@entry.jit
def annotating(a):
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    data: nt.tensor[128, 512] = nl.zeros((nl.par_dim(128), 64), nl.float32)
    nl.store(out, data)
    return out


@pytest.mark.parametrize(("kernel", "name"), [(leaking, LEAK), (annotating, MISNAMED)])
def test_both_are_errors_of_the_older_api(kernel, name: str):
    with pytest.raises(Violations, match=name):
        kernel(A)


@entry.jit
def declaring(a):
    if nl.program_id(0) == 0:
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        nl.store(out, nl.load(a))
        return out
    return None


def test_shared_memory_that_a_branch_declares_is_a_warning():
    result = entry.core.simulate(declaring[1], (A,), {}, entry.settings())
    assert [SHARED in str(warning) for warning in result.warnings] == [True]
