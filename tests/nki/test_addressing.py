"""Operands whose place data decides: which instructions take them, on which engines, and where."""

import numpy as np
import pytest

import trnlab
from trnlab.errors import Violations
from trnlab.nki import isa as nisa
from trnlab.nki import language as nl

A = np.zeros((32, 16), np.float32)
ENGINE = nisa.engine


def broken(body, chip="trn3", **how):
    """What is wrong with a kernel that runs a body."""

    def kernel(a):
        body()
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        nisa.dma_copy(out, a)
        return out

    try:
        trnlab.run(kernel, chip, **how)(A)
    except Violations as wrong:
        return [error.what for error in wrong.found]
    return []


def plain(*shape, dtype="bfloat16", space=nl.sbuf, address=None):
    tile = nl.ndarray(shape, dtype, buffer=space, address=address)
    nisa.memset(tile, 0)
    return tile


def view(rows=32, dtype="bfloat16", space=nl.sbuf, at=None, index_at=None):
    """Sixteen columns of a tile by index."""
    index = plain(rows, 1, dtype="uint16", address=index_at)
    return plain(rows, 64, dtype=dtype, space=space, address=at).indirect(index, 16)


def tile():
    return plain(32, 16)


def product(stationary, moving, dtype="float32", **how):
    nisa.nc_matmul(nl.ndarray((16, 16), dtype, buffer=nl.psum), stationary, moving, **how)


GOOD = {
    "tensor_copy": lambda: nisa.tensor_copy(view(), view(), engine=ENGINE.scalar),
    "tensor_tensor": lambda: nisa.tensor_tensor(tile(), view(), tile(), nl.add),
    "activation": lambda: nisa.activation(view(), nl.exp, view()),
    "activation by vector": lambda: nisa.tensor_reduce(plain(32, 1), nl.add, view(), 1),
    "nc_matmul": lambda: product(view(), view()),
    "predicated": lambda: nisa.tensor_copy_predicated(view(), tile(), view(dtype="uint8")),
    "placed": lambda: nisa.tensor_copy(tile(), view(at=(32, 64), index_at=(32, 0))),
    "to PSUM": lambda: nisa.tensor_copy(view(space=nl.psum), tile(), engine=ENGINE.vector),
}
BAD = {
    "tensor_tensor takes no indirect view as data2": lambda: nisa.tensor_tensor(
        tile(), tile(), view(), nl.add
    ),
    "tensor_copy_predicated takes no indirect view as src": lambda: nisa.tensor_copy_predicated(
        tile(), view(), plain(32, 16, dtype="uint8")
    ),
    "reciprocal takes no indirect view as data": lambda: nisa.reciprocal(tile(), view()),
    "memset takes no indirect view as dst": lambda: nisa.memset(view(), 0.0),
    "tensor_copy copies indirect columns on GpSimd": lambda: nisa.tensor_copy(
        tile(), view(), engine=ENGINE.gpsimd
    ),
    "activation scatters to PSUM on the scalar engine": lambda: nisa.activation(
        view(space=nl.psum), nl.exp, tile()
    ),
    "nc_matmul tiles the array for an indirect operand": lambda: product(
        view(), tile(), tile_position=(32, 0), tile_size=(32, 128)
    ),
    "nc_matmul takes a wide indirect stationary": lambda: product(
        view(dtype="float32"), plain(32, 16, dtype="float32")
    ),
    "nc_matmul transposes with an indirect moving": lambda: product(
        tile(), view(), "bfloat16", is_transpose=True
    ),
    "tensor_copy has src beside its index": lambda: nisa.tensor_copy(
        tile(), view(at=(0, 64), index_at=(32, 0))
    ),
    "tensor_copy has the index of dst elsewhere": lambda: nisa.tensor_copy(
        view(index_at=(32, 0)), plain(32, 16, address=(0, 0))
    ),
}


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD)
def test_columns_that_engines_take(body):
    assert broken(body) == []
    assert "takes no" not in str(broken(body, "trn2"))
    assert any("cannot take indirect columns" in what for what in broken(body, "trn2"))


@pytest.mark.parametrize(("what", "body"), BAD.items(), ids=BAD)
def test_columns_that_engines_do_not_take(what, body):
    assert broken(body) == [what]


def test_columns_came_with_a_version():
    assert broken(GOOD["activation"], api_version="0.5") == []
    came = "activation came with no indirect views"
    assert set(broken(GOOD["activation"], api_version="0.4")) == {came}


def transposed(rows, height, columns=1, dtype="uint32"):
    """A transpose of rows that an index of this height lists."""
    src = nl.ndarray((128, 32), "bfloat16", buffer=nl.hbm)
    nisa.dma_copy(src, plain(128, 32))
    index = plain(height, columns, dtype=dtype)
    listed = src.ap([[32, rows], [1, 32]], vector_offset=index, indirect_dim=0)
    nisa.dma_transpose(nl.ndarray((32, rows), "bfloat16"), listed)


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ((16, 16), None),
        ((128, 128, 2), None),
        ((16, 16, 1, "int32"), "gathers by another index"),
        ((16, 24), "gathers by an index of another height"),
        ((128, 64, 2), "gathers by an index that is too low"),
    ],
)
def test_the_index_of_a_transpose(how, what):
    assert broken(lambda: transposed(*how)) == ([f"dma_transpose {what}"] if what else [])


def test_software_descriptors_transpose_by_index_only():
    def direct():
        src = nl.ndarray((16, 32), "bfloat16", buffer=nl.hbm)
        nisa.dma_copy(src, plain(16, 32))
        dst = nl.ndarray((32, 16), "bfloat16")
        nisa.dma_transpose(dst, src, dge_mode=nisa.dge_mode.swdge)

    assert "swdge for an indexed src" in str(broken(direct))
