"""Indexing and views of tensors against NumPy's: the same elements, or a clear refusal."""

import re
from math import prod

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.support import load, nisa, nl, same, store, value
from trnlab import NotModelled, Violations
from trnlab.errors import BadArguments, OutOfBounds

SHAPES = [(5, 7), (4, 3, 5), (2, 3, 4, 5), (9,), (1, 6), (6, 1, 4)]


def numbers(*shape):
    return np.arange(prod(shape), dtype=np.float32).reshape(shape)


def seen(view, *shape):
    """What a view of an HBM tensor shows: its shape, and its elements in order."""
    shapes = []

    def kernel(a):
        found = view(a)
        shapes.append(found.shape)
        out = nl.ndarray((1, found.size), nl.float32, buffer=nl.shared_hbm)
        nisa.dma_copy(out, found)
        return out

    out = value(kernel, numbers(*shape), time=False)
    return shapes[0], out.reshape(shapes[0])


def on_chip(view, *shape):
    """The same of a tile in SBUF."""
    shapes = []

    def kernel(a):
        found = view(load(a))
        shapes.append(found.shape)
        return store(found)

    out = value(kernel, numbers(*shape), time=False)
    return shapes[0], out


def refused(view, *shape):
    """The error of a view."""
    with pytest.raises(OutOfBounds) as caught:
        seen(view, *shape)
    return caught.value


# --- indexing


@st.composite
def keys(draw, shape, steps=3):
    """An index expression of slices, integers and at most one ellipsis that stays inside."""
    key = []
    for size in shape[: draw(st.integers(0, len(shape)))]:
        if draw(st.booleans()):
            key.append(draw(st.integers(-size, size - 1)))
            continue
        start = draw(st.integers(0, size - 1))
        stop = draw(st.integers(start + 1, size))
        step = draw(st.integers(1, steps))
        spelled = draw(st.sampled_from(["plain", "negative", "open"]))
        if spelled == "negative":
            start, stop = start - size, (stop - size or None)
        elif spelled == "open":
            start, stop = (start or None), (None if stop == size else stop)
        key.append(slice(start, stop, draw(st.sampled_from([step, None if step == 1 else step]))))
    if draw(st.booleans()):
        key.append(...)
    return tuple(key)


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_indexing_hbm_is_numpys(shape, data):
    key = data.draw(keys(shape))
    expected = numbers(*shape)[key]
    assume(expected.ndim > 0)  # a single element keeps a dimension of size 1
    found_shape, found = seen(lambda t: t[key], *shape)
    assert found_shape == expected.shape
    assert same(found, expected)


@pytest.mark.parametrize("shape", [(5, 7), (4, 3, 5), (2, 3, 4, 5), (6, 1, 4)])
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_indexing_sbuf_keeps_the_partition_and_two_dimensions(shape, data):
    """An integer keeps size 1 on the partitions, and where one dimension would be left."""
    key = data.draw(keys(shape))
    plain = [k for k in key if k is not ...]
    kept = [slice(None)] * len(shape)
    for axis, k in enumerate(plain):
        kept[axis] = slice(k % shape[axis], k % shape[axis] + 1) if isinstance(k, int) else k
    whole = numbers(*shape)[tuple(kept)]
    dropped = [a for a, k in enumerate(plain) if isinstance(k, int) and a > 0]
    while dropped and len(shape) - len(dropped) < 2:
        dropped.pop()
    expected = whole.reshape([n for a, n in enumerate(whole.shape) if a not in dropped])
    found_shape, found = on_chip(lambda t: t[key], *shape)
    assert found_shape == expected.shape
    assert same(found, expected)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_indexing_a_view_of_a_view(data):
    shape = (4, 6, 5)
    one = data.draw(keys(shape))
    middle = numbers(*shape)[one]
    assume(middle.ndim > 0)
    other = data.draw(keys(middle.shape))
    expected = middle[other]
    assume(expected.ndim > 0)
    assert same(seen(lambda t: t[one][other], *shape)[1], expected)


@pytest.mark.parametrize("key", [np.int64(3), np.int32(-1), np.uint8(0), True])
def test_whole_numbers_of_any_kind_are_indices(key):
    assert same(seen(lambda t: t[key], 5, 7)[1], numbers(5, 7)[int(key)])


@pytest.mark.parametrize("start", [np.int64(2), np.uint8(2)])
def test_slices_take_whole_numbers_of_any_kind(start):
    expected = numbers(8, 16)[2:6, 2:9]
    stop = start + start * 2
    assert same(seen(lambda t: t[start:stop, start : start + 7], 8, 16)[1], expected)


@pytest.mark.parametrize(
    "key",
    [
        slice(0, 9), slice(9, 10), slice(-9, None), slice(5, 2),
        slice(None, None, 0), slice(0, 8, -1), 8, -9, slice(0, 4.5), slice(0.5, 4), slice(0, "3"),
        (slice(0, 8), slice(0, 9)), (slice(0, 8), slice(0, 4.0)), (slice(0.0, 4.0), slice(0, 8)),
        (0, 0, 0), (..., 0, 0, 0),
    ],
)  # fmt: skip
def test_what_leaves_the_tensor_is_refused(key):
    error = refused(lambda t: t[key], 8, 8)
    assert "shared_hbm float32 [8, 8] a" in error.given["tensor"]
    assert error.limit in ("0 to 8", "2 dimensions")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (slice(0, 9), "a: [0:9] leaves dimension 0"),
        ((0, slice(2, 12, 3)), "a: [2:12:3] leaves dimension 1"),
        (slice(None, 40), "a: [:40] leaves dimension 0"),
        ((slice(0, 8), 11), "a: index 11 leaves dimension 1"),
        ((slice(0, 8), slice(0, 4.5)), "a: [0:4.5] is not made of whole numbers"),
    ],
)
def test_a_refusal_says_what_was_asked_for(key, said):
    assert refused(lambda t: t[key], 8, 8).what == said


@pytest.mark.parametrize("key", [0.5, "a", None, [0, 1]])
def test_other_kinds_of_index_are_not_modelled(key):
    with pytest.raises(NotModelled, match="indexing with"):
        seen(lambda t: t[key], 8, 8)


@pytest.mark.parametrize("key", [slice(None, None, -1), slice(6, 1, -2), slice(None, 3, -1)])
def test_slices_may_run_backwards(key):
    assert same(seen(lambda t: t[:, key], 4, 8)[1], numbers(4, 8)[:, key])


def test_dynamic_slices_are_a_start_and_a_size():
    assert same(seen(lambda t: t[nl.ds(2, 3), nl.ds(0, 4)], 8, 8)[1], numbers(8, 8)[2:5, 0:4])
    assert refused(lambda t: t[nl.ds(6, 3)], 8, 8).what == "a: [6:9] leaves dimension 0"


def test_a_single_element_keeps_a_dimension():
    assert seen(lambda t: t[3, 4], 5, 7)[0] == (1,)
    assert on_chip(lambda t: t[3, 4], 5, 7)[0] == (1, 1)


@pytest.mark.parametrize("key", [slice(2, 2), slice(5, 5), (slice(None), slice(0, 0))])
def test_a_slice_that_ends_where_it_starts_is_a_view_without_elements(key):
    shapes = []

    def kernel(a):
        for tensor in (a, load(a)):
            view = tensor[key]
            shapes.append((view.shape, view.size, view[0:0].size))
        assert a[0:0].reshape((0, 1, 7)).shape == (0, 1, 7)
        return store(load(a))

    value(kernel, numbers(5, 7), time=False)
    assert shapes == [(numbers(5, 7)[key].shape, 0, 0)] * 2


@pytest.mark.parametrize("key", [slice(None), (slice(0, 4), slice(1, 3)), (0, ...)])
def test_a_part_is_assigned_a_tile_or_a_number(key):
    def kernel(a, b):
        tile = load(a)
        tile[key] = load(b)[key]
        filled = load(a)
        filled[key] = 5.0
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        out[...] = tile
        return out, store(filled)

    a, b = numbers(5, 7), -numbers(5, 7)
    expected, filled = a.copy(), a.copy()
    expected[key], filled[key] = b[key], 5
    out = value(kernel, a, b)
    assert same(out[0], expected)
    assert same(out[1], filled)


@pytest.mark.parametrize("made", [True, False])
def test_a_tensor_without_elements_comes_back_without_elements(made):
    given = np.zeros((3, 0), np.float32)

    def kernel(a):
        return nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm) if made else a

    assert same(value(kernel, given), given)


# --- views


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_permute_is_transpose(shape, data):
    order = data.draw(st.permutations(range(len(shape))))
    expected = numbers(*shape).transpose(order)
    assert same(seen(lambda t: t.permute(order), *shape)[1], expected)
    assert same(seen(lambda t: t.permute(*order), *shape)[1], expected)


RESHAPES = [
    ((4, 6), (24,)), ((4, 6), (2, 2, 6)), ((4, 6), (3, 8)), ((2, 3, 4), (6, 4)), ((24,), (2, -1)),
    ((2, 3, 4), (2, -1)), ((4, 6), (-1,)), ((1, 1, 5), (5, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "new"), RESHAPES)
def test_reshape(shape, new):
    expected = numbers(*shape).reshape(new)
    assert same(seen(lambda t: t.reshape(new), *shape)[1], expected)
    assert same(seen(lambda t: t.reshape(*new), *shape)[1], expected)


@pytest.mark.parametrize("new", [(5, 5), (0, -1), (-1, -1), (25,), (-2, -12)])
def test_reshape_must_keep_the_elements(new):
    assert "cannot reshape" in refused(lambda t: t.reshape(new), 4, 6).what


@settings(max_examples=60, deadline=None)
@given(st.data())
@example(None)
def test_reshaping_strided_views_is_numpys_or_refused(data):
    shape, key, new = (4, 6, 2), (slice(0, 4, 2),), (2, 12)
    if data is not None:
        key = data.draw(keys(shape, steps=2))
        assume(numbers(*shape)[key].ndim > 0)
        size = numbers(*shape)[key].size
        first = data.draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
        new = (first, size // first)
    base = numbers(*shape)[key]
    try:
        expected = np.reshape(base, new, copy=False)
    except ValueError:
        assert "cannot reshape" in refused(lambda t: t[key].reshape(new), *shape).what
        return
    assert same(seen(lambda t: t[key].reshape(new), *shape)[1], expected)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_broadcasts_are_numpys(data):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple))
    grown = tuple(data.draw(st.integers(1, 4)) if n == 1 else n for n in shape)
    lead = tuple(data.draw(st.lists(st.integers(1, 3), max_size=4 - len(shape))))
    expected = np.broadcast_to(numbers(*shape), lead + grown)
    assert same(seen(lambda t: t.broadcast_to(lead + grown), *shape)[1], expected)


def test_broadcast_repeats_one_dimension():
    expected = np.broadcast_to(numbers(3, 1, 2), (3, 5, 2))
    assert same(seen(lambda t: t.broadcast(1, 5), 3, 1, 2)[1], expected)
    assert "cannot broadcast" in refused(lambda t: t.broadcast(0, 5), 3, 1, 2).what
    assert "cannot broadcast" in refused(lambda t: t.broadcast_to((4, 1, 2)), 3, 1, 2).what
    assert "cannot broadcast" in refused(lambda t: t.broadcast_to((2,)), 3, 1, 2).what


@pytest.mark.parametrize("order", [(0, 0), (0,), (0, 1, 2), (0, 3)])
def test_permute_takes_each_dimension_once(order):
    assert "cannot permute" in refused(lambda t: t.permute(order), 3, 4).what


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -3])
def test_dimensions_of_size_one_come_and_go(dim):
    expected = np.expand_dims(numbers(3, 4), dim)
    assert same(seen(lambda t: t.expand_dim(dim), 3, 4)[1], expected)
    assert same(seen(lambda t: t.expand_dim(dim).squeeze_dim(dim), 3, 4)[1], numbers(3, 4))


def test_only_dimensions_of_size_one_are_squeezed():
    assert "has size 4" in refused(lambda t: t.squeeze_dim(1), 3, 4).what


@pytest.mark.parametrize(
    ("dim", "new"), [(0, (2, 3)), (1, (4, 2)), (1, (-1, 4)), (0, (3, -1, 1)), (-1, (2, 4))]
)
def test_one_dimension_is_split(dim, new):
    shape = (6, 8)
    axis = dim % 2
    expected = numbers(*shape).reshape([*shape[:axis], *new, *shape[axis + 1 :]])
    assert same(seen(lambda t: t.reshape_dim(dim, new), *shape)[1], expected)


def test_splitting_keeps_the_size():
    assert "cannot split" in refused(lambda t: t.reshape_dim(0, (4, 2)), 6, 8).what
    assert "cannot split" in refused(lambda t: t.reshape_dim(0, (-1, 4)), 6, 8).what
    assert "cannot split" in refused(lambda t: t.reshape_dim(0, (-1, 0)), 6, 8).what


@pytest.mark.parametrize(
    ("start", "end", "shape"), [(0, 1, (6, 4)), (1, -1, (2, 12)), (-3, 2, (24,))]
)
def test_dimensions_are_joined(start, end, shape):
    expected = numbers(2, 3, 4).reshape(shape)
    assert same(seen(lambda t: t.flatten_dims(start, end), 2, 3, 4)[1], expected)


def test_slice_and_select_name_a_dimension():
    assert same(seen(lambda t: t.slice(1, 1, 6, 2), 4, 8)[1], numbers(4, 8)[:, 1:6:2])
    assert same(seen(lambda t: t.select(1, 3), 4, 8)[1], numbers(4, 8)[:, 3])


# --- access patterns


@st.composite
def patterns(draw, size):
    """Pairs of (step, count) that stay inside ``size`` elements from an offset."""
    offset = draw(st.integers(0, size - 1))
    pattern, low, high = [], offset, offset
    for _ in range(draw(st.integers(1, 4))):
        step = draw(st.integers(-(size // 2), size // 2))
        room = size - 1 - high if step > 0 else low
        count = draw(st.integers(1, min(room // abs(step) + 1 if step else 4, 6)))
        pattern.append([step, count])
        low, high = low + min(step * (count - 1), 0), high + max(step * (count - 1), 0)
    return pattern, offset


@settings(max_examples=100, deadline=None)
@given(patterns(60))
def test_patterns_address_the_storage(drawn):
    pattern, offset = drawn
    index = np.full([count for _, count in pattern], offset)
    for axis, (step, count) in enumerate(pattern):
        along = [1] * len(pattern)
        along[axis] = count
        index = index + (step * np.arange(count)).reshape(along)
    found = seen(lambda t: t.ap(pattern, offset=offset), 3, 4, 5)[1]
    assert same(found, numbers(60)[index])


def test_a_pattern_starts_where_the_view_does_unless_told():
    expected = numbers(8, 8).reshape(-1)[[19, 20, 21]].reshape(3)
    assert same(seen(lambda t: t[2:4, 3:6].ap([[1, 3]]), 8, 8)[1], expected)
    assert same(seen(lambda t: t[2:4, 3:6].ap([[1, 3]], offset=0), 8, 8)[1], numbers(3))


@pytest.mark.parametrize(
    ("pattern", "offset"),
    [([[1, 65]], 0), ([[8, 9]], 0), ([[1, 1]], 64), ([[1, 1]], -1), ([[-1, 2]], 0), ([[1, 0]], 0)],
)
def test_patterns_that_leave_the_storage_are_refused(pattern, offset):
    error = refused(lambda t: t.ap(pattern, offset=offset), 8, 8)
    assert "the pattern" in error.what
    assert error.limit == "0 to 64"


def test_a_pattern_of_a_narrower_view_reaches_all_of_it():
    def kernel(a):
        octets = load(a).view(nl.uint8)
        return store(octets.ap([[32, 4], [1, 32]]))

    a = numbers(4, 8)
    assert same(value(kernel, a), a.view(np.uint8))


def test_a_pattern_of_a_wider_view_may_not_leave_it():
    with pytest.raises(OutOfBounds, match="the pattern"):
        value(lambda a: a.view(nl.float32).ap([[1, 17]]), np.zeros((4, 16), np.uint8))


# --- other dtypes


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "float16", "int32", "float32"])
@pytest.mark.parametrize("source", ["uint8", "uint16", "float32"])
def test_view_reads_the_same_bytes(source, dtype):
    def kernel(a):
        return store(load(a).view(dtype))

    a = np.random.default_rng(0).integers(0, 250, (4, 48)).astype(source)
    assert same(value(kernel, a), a.view(dtype))


def test_a_slice_of_a_view():
    def kernel(a):
        return store(load(a).view(nl.uint16)[:, 2:10:3])

    a = numbers(4, 8)
    assert same(value(kernel, a), np.ascontiguousarray(a.view(np.uint16)[:, 2:10:3]))


def test_a_view_of_a_slice():
    def kernel(a):
        return store(load(a)[:, 2:6].view(nl.uint16))

    a = numbers(4, 8)
    assert same(value(kernel, a), np.ascontiguousarray(a[:, 2:6]).view(np.uint16))


@pytest.mark.parametrize(
    "view",
    [
        lambda t: t[:, 0:3].view(nl.float32),  # three bytes are no word
        lambda t: t[:, 2:6].view(nl.float32),  # a word may not start in the middle of one
        lambda t: t[:, 0:8:2].view(nl.float32),  # bytes that do not lie together
    ],
)
def test_a_view_that_would_cut_elements_is_refused(view):
    with pytest.raises(OutOfBounds):
        value(lambda a: view(load(a)), np.zeros((4, 8), np.uint8))


def test_bytes_that_do_not_lie_together_have_no_narrower_view():
    with pytest.raises(OutOfBounds):
        value(lambda a: load(a)[:, 0:8:2].view(nl.uint8), numbers(4, 8))


# --- what a tensor says of itself


def test_properties():
    told = {}

    def kernel(a):
        tile = nl.ndarray((128, 4, 8), nl.bfloat16, name="mine")
        part = tile[:, 1:3, 0:8:2]
        told.update(
            shape=part.shape, ndim=part.ndim, size=part.size, dtype=part.dtype, name=part.name,
            strides=part.strides, offset=part.offset, pattern=part.get_pattern(),
            contiguous=(tile.is_contiguous(), part.is_contiguous()), hbm=(a.is_hbm, tile.is_hbm),
            length=len(part), text=repr(part), itemsize=part.itemsize,
        )  # fmt: skip

    value(kernel, numbers(1))
    assert told == {
        "shape": (128, 2, 4), "ndim": 3, "size": 1024, "dtype": nl.bfloat16, "name": "mine",
        "strides": (32, 8, 2), "offset": 8, "pattern": [[32, 128], [8, 2], [2, 4]],
        "contiguous": (True, False), "hbm": (True, False), "length": 128,
        "text": "<sbuf bfloat16 [128, 2, 4] mine>", "itemsize": 2,
    }  # fmt: skip


@pytest.mark.parametrize("use", [bool, float, int])
def test_a_tensor_is_no_number_of_python(use):
    with pytest.raises(BadArguments) as caught:
        value(lambda a: use(load(a)), numbers(4, 4))
    assert "exist on the device only" in caught.value.limit


def test_a_tensor_says_where_its_partitions_start():
    def kernel(a):
        tile = load(a)
        assert tile[17:40].describe() == "sbuf float32 [23, 4] t1 from partition 17"
        return store(tile)

    value(kernel, numbers(64, 4))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("T", "has no attribute 'T'; write nl.transpose, or an instruction of nisa"),
        ("sum", "has no attribute 'sum'; write nl.sum, or an instruction of nisa"),
        ("shap", "has no attribute 'shap'; did you mean 'shape'?"),
        ("cpu", "has no attribute 'cpu'; write the functions of nl or nisa"),
    ],
)
def test_attributes_of_other_libraries_say_what_to_write(name, said):
    with pytest.raises(AttributeError, match=re.escape(said)):
        value(lambda a: getattr(load(a), name), numbers(4, 4))


# --- what engines cannot address


@pytest.mark.parametrize(
    "view",
    [
        lambda t: t.permute(1, 0),  # partitions are not the first dimension
        lambda t: t.reshape((64, 256)),  # two partitions in a row
        lambda t: t[0:128:2],  # every second partition
        lambda t: t[0:1].broadcast(0, 128),  # one partition for all
        lambda t: t.expand_dim(0),
    ],
    ids=["permute", "reshape", "step", "broadcast", "expand"],
)
def test_engines_see_partitions_first_one_after_the_other(view):
    """A lane reads the partition it belongs to: nothing else is on the device."""

    def kernel(a):
        source = view(load(a))
        copy = nl.ndarray(source.shape, nl.float32)
        nisa.tensor_copy(copy, source, engine=nisa.engine.vector)
        return store(copy)

    with pytest.raises(Violations):
        value(kernel, numbers(128, 128))


# --- the partition dimension


CHANGES = {
    "reshape": lambda t: t.reshape((2, 2, 6)),
    "permute": lambda t: t.permute((1, 0, 2)),
    "broadcast": lambda t: t[:1].broadcast(0, 4),
    "expand_dim": lambda t: t.expand_dim(-4),
    "squeeze_dim": lambda t: t[:1].squeeze_dim(0),
    "reshape_dim": lambda t: t.reshape_dim(0, (2, -1)),
    "flatten_dims": lambda t: t.flatten_dims(0, 1),
}
KEPT = (
    lambda t: t.reshape((4, 6)),
    lambda t: t.reshape((-1, 3, 2)),
    lambda t: t.permute((0, 2, 1)),
    lambda t: t[:, :1].broadcast(1, 4),
    lambda t: t.expand_dim(1),
    lambda t: t.expand_dim(-1),
    lambda t: t[:, :1].squeeze_dim(1),
    lambda t: t.reshape_dim(0, (4,)),
    lambda t: t.reshape_dim(-1, (3, 1)),
    lambda t: t.flatten_dims(1, -1),
)


@pytest.mark.parametrize("name", CHANGES)
def test_views_that_change_the_partition_dimension_are_reported(name):
    def kernel(a):
        tile = load(a)
        for _ in range(2):  # said once a line
            CHANGES[name](tile)
        CHANGES[name](a)  # HBM has no partitions
        return store(tile)

    with pytest.raises(Violations, match=f"{name} changes the partition dimension") as raised:
        value(kernel, numbers(4, 2, 3))
    assert len(raised.value.found) == 1
    assert raised.value.found[0].given["tensor"].startswith("sbuf float32")
    value(kernel, numbers(4, 2, 3), strict=False)


@pytest.mark.parametrize("view", KEPT)
def test_views_of_free_dimensions_are_fine(view):
    assert same(on_chip(view, 4, 2, 3)[1].ravel(), seen(view, 4, 2, 3)[1].ravel())


@pytest.mark.parametrize(
    "view",
    [
        lambda t: t.expand_dim(17), lambda t: t.expand_dim(-5), lambda t: nl.expand_dims(t, 99),
        lambda t: t.squeeze_dim(3), lambda t: t.broadcast(-4, 2), lambda t: t.reshape_dim(3, (3,)),
        lambda t: t.flatten_dims(1, 3), lambda t: t.flatten_dims(2, 1), lambda t: t.select(3, 0),
        lambda t: t.slice(-4, 0, 1), lambda t: t.broadcast(0, 0), lambda t: t[0, 0].squeeze_dim(0),
        lambda t: t.reshape_dim(1, (-2, -1)),
    ],
)  # fmt: skip
def test_dimensions_that_are_not_there_are_refused(view):
    refused(view, 1, 2, 3)
