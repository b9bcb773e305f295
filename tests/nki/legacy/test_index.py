"""Index expressions and masks, against what NumPy does with the same expressions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trnlab import formats
from trnlab.errors import BadArguments, NotModelled, OutOfBounds, Violations
from trnlab.isa.tile import Buffer, Space, whole
from trnlab.nki.legacy import entry
from trnlab.nki.legacy import language as nl
from trnlab.nki.legacy.index import Index, Mask, where_all
from trnlab.nki.legacy.tensor import OldTensor
from trnlab.sim import memory

SIZES = (4, 6, 5)
NUMBERS = st.integers(-3, 3)


def grids(namespace):
    """One arange a dimension, broadcast against each other, and the dense ones."""
    a, b, c = (namespace.arange(n) for n in SIZES)
    thin = [a[:, None, None], b[None, :, None], c[None, None, :]]
    return [*thin, *namespace.mgrid[0:4, 0:6, 0:5]]


@st.composite
def expressions(draw):
    """A function that makes an affine expression of six indices, in NumPy or here."""
    factors, offset = draw(st.lists(NUMBERS, min_size=6, max_size=6)), draw(NUMBERS)
    divisor = draw(st.sampled_from([None, 1, 2, 3]))

    def make(namespace):
        out = offset
        for index, factor in zip(grids(namespace), factors, strict=True):
            out = out + index * factor if factor >= 0 else out - index * -factor
        return -(out * divisor) // divisor if divisor else out

    return make


@given(expressions())
def test_arithmetic(make):
    want = make(np)
    got = make(nl)
    assert (got.array() == want).all()
    assert got.shape == want.shape
    assert got.bounds() == (want.min(), want.max())


@given(expressions(), st.slices(4), st.slices(6))
def test_a_part_of_an_expression(make, rows, columns):
    want = make(np)[rows, None, columns, ..., None]
    got = make(nl)[rows, None, columns, ..., None]
    assert got.shape == want.shape
    assert (got.array() == want).all()


@given(st.lists(expressions(), min_size=1, max_size=3), st.lists(NUMBERS, min_size=3, max_size=3))
def test_a_mask_is_a_box_and_what_a_box_cannot_say(makes, limits):
    mask, want = True, np.ones(SIZES, bool)
    for make, limit in zip(makes, limits, strict=False):
        mask, want = mask & (make(nl) >= limit), want & (make(np) >= limit)
    ranges, rest = mask.box(SIZES)
    got = np.zeros(SIZES, bool)
    if all(low < high for low, high in ranges):
        got[tuple(slice(*r) for r in ranges)] = where_all(rest, ranges)
    assert (got == want).all()
    assert mask.always in (None, bool(want.all()))


COMPARISONS = [
    lambda a, b: a < b,
    lambda a, b: a <= b,
    lambda a, b: a > b,
    lambda a, b: a >= b,
    lambda a, b: a == b,
]


@given(expressions(), expressions(), st.sampled_from(COMPARISONS))
def test_comparisons(one, other, compare):
    mask = compare(one(nl), other(nl))
    want = compare(one(np), other(np))
    got = np.broadcast_to(np.all([t.array() >= 0 for t in mask.terms], axis=0), SIZES)
    assert (got == want).all()
    assert mask.is_equality == (len(mask.terms) == 2)


def test_masks_joined_with_known_conditions():
    mask = nl.arange(8)[None, :] < 5
    assert (mask & True) is mask
    assert (mask & None) is mask
    assert (True & mask) is mask
    assert (mask & False).always is False
    assert (nl.arange(8)[None, :] >= 0).always is True


@pytest.mark.parametrize(
    ("mask", "shape", "fits"),
    [
        ((128, 1), (128, 512), (128, 1)),
        ((1, 512), (128, 512), (1, 512)),
        ((128, 512), (128, 512), (128, 512)),
        ((1,), (128, 512), (1, 1)),
        ((128, 1), (128, 4, 5), (128, 1, 1)),  # the partition dimension stays first
        ((4, 5), (128, 4, 5), (1, 4, 5)),
        ((128, 1, 1), (128, 7), (128, 1)),
        ((128, 1), (64, 512), None),
        ((128, 4, 5), (128, 20), None),
    ],
)
def test_what_a_mask_fits(mask, shape, fits):
    given_mask = Mask((Index.over(0, mask, (1,) * len(mask)),))
    fitted = given_mask.fitted(shape)
    assert (fitted.shape if fitted is not None else None) == fits


def tensor(space, *shape):
    kind = formats.format_of("int32")
    made = Buffer(0, "x", space, kind, shape)
    memory.adopt(made, np.arange(np.prod(shape), dtype=np.int32).reshape(shape))
    return whole(made, OldTensor)


def inside(values, size):
    """Values moved so that they are indices of a dimension of this size."""
    return (values - values.min()) * (values.max() - values.min() < size)


@settings(max_examples=60)
@given(st.lists(expressions(), min_size=3, max_size=3), st.sampled_from([Space.hbm, Space.sbuf]))
def test_an_advanced_subscript_is_fancy_indexing(makes, space):
    shape = (40, 41, 42)
    x = tensor(space, *shape)
    here, there = [], []
    for make, size in zip(makes, shape, strict=True):
        values, index = make(np), make(nl)
        moved = inside(values, size)
        there.append(moved)
        here.append(index - values.min() if moved.any() else index * 0)
    assert (memory.array(x[tuple(here)]) == memory.array(x)[tuple(there)]).all()


KEYS = st.one_of(st.integers(-3, 2), st.slices(3).filter(lambda s: len(range(3)[s]) > 0))


@given(st.lists(KEYS, min_size=1, max_size=3))
def test_a_basic_subscript_of_hbm_is_numpys(key):
    key = tuple(slice(k.start, k.stop, None) if isinstance(k, slice) else k for k in key)
    if any(isinstance(k, slice) and not len(range(3)[k]) for k in key):
        return
    x = tensor(Space.hbm, 3, 3, 3)
    want = memory.array(x)[key]
    assert (memory.array(x[key]) == (want if want.ndim else want.reshape(1))).all()


def test_tiles_keep_their_partition_dimension_and_a_free_one():
    x = tensor(Space.sbuf, 4, 5, 6)
    assert x[1].shape == (1, 5, 6)
    assert x[:, 2].shape == (4, 6)
    assert x[:, 2, 3].shape == (4, 1)
    assert x[1, 2, 3].shape == (1, 1)
    assert x[..., 3].shape == (4, 5)
    assert x[:, nl.ds(1, 3), 2:4].shape == (4, 3, 2)


def test_a_view_may_leave_its_tensor_until_it_is_used():
    x = tensor(Space.sbuf, 8, 8)
    i, j = nl.mgrid[0:8, 0:6]
    view = x[i, j + 4]
    assert view.axes is not None
    part = view.cut([(0, 8), (0, 4)])
    assert part.axes is None
    assert (memory.array(part) == memory.array(x)[:, 4:8]).all()
    sliced = x[6:10, 2:4]  # slices too
    assert (memory.array(sliced.cut([(0, 2), (0, 2)])) == memory.array(x)[6:8, 2:4]).all()
    again = sliced[1:3]
    assert (memory.array(again.cut([(0, 1), (0, 2)])) == memory.array(x)[7:8, 2:4]).all()


def test_dimensions_in_another_order():
    x = tensor(Space.sbuf, 4, 5, 6)
    turned = x[:, :, 2:9].transposed([0, 2, 1])
    part = turned.cut([(0, 4), (0, 4), (0, 5)])
    assert (memory.array(part) == memory.array(x)[:, :, 2:6].transpose(0, 2, 1)).all()


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda x: x[nl.arange(4), 0], BadArguments, "1-D nl.arange"),
        (lambda x: x[nl.arange(4)[:, None], :], BadArguments, "mixed in one subscript"),
        (lambda x: x[nl.arange(4)[:, None]], BadArguments, "1 indices for 2 dimensions"),
        (lambda x: x[0, 0, 0], OutOfBounds, "3 indices for 2 dimensions"),
        (lambda x: x[2:2], OutOfBounds, "is empty"),
        (lambda x: x[:, ::-1], OutOfBounds, "is empty"),
        (
            lambda x: x[nl.mgrid[0:4, 0:4].p, nl.mgrid[0:4, 2:6].x].reshape((2, 8)),
            OutOfBounds,
            "indices 2 to 5 leave dimension 1",
        ),
        (lambda x: x[0.5], NotModelled, "indexing with float"),
        (lambda x: nl.arange(4)[:, None] + nl.arange(3)[:, None], BadArguments, "do not broadcast"),
        (lambda x: nl.arange(4) * nl.arange(4), NotModelled, "product of two indices"),
        (lambda x: nl.arange(8) // 3, NotModelled, "dividing an index"),
        (lambda x: nl.arange(8) % 3, NotModelled, "modulo"),
        (lambda x: list(nl.arange(4)), NotModelled, "a Python loop"),
        (lambda x: int(nl.arange(4)), NotModelled, "used as a number"),
        (lambda x: bool(nl.arange(4)), BadArguments, "a branch depends on nl.arange"),
        (lambda x: nl.arange(4) > 2 or None, Violations, "a branch depends on a mask"),
        (lambda x: (nl.arange(4) > 2) | (nl.arange(4) < 1), BadArguments, "joined with |"),
    ],
)
def test_what_is_no_index(wrong, error, text):
    @entry.jit
    def kernel():
        wrong(nl.ndarray((4, 4), nl.float32))

    with pytest.raises(error) as raised:
        kernel()
    assert text in str(raised.value)


def test_indices_divided_and_split():
    i = nl.arange(8)[None, :]
    assert (((i * 4 + 8) // 4).array() == np.arange(8) + 2).all()
    assert (((i + 16) // 8).array() == 2).all()
    assert (((i + 16) % 8).array() == np.arange(8)).all()
    assert ((i * 8 + 3) % 8).constant == 3
    assert int(nl.arange(3, 4)) == 3
