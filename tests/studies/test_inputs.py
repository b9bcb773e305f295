"""Made-up inputs of a bare kernel: what the texts of --in mean."""

import numpy as np
import pytest

from tests.support import nl, same
from trnlab.errors import BadArguments, UnknownName
from trnlab.studies.inputs import make_inputs


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("f32[4,8]", (4, 8)), ("f32[4]", (4,)), ("f32[ 4 , 8 ]", (4, 8)), ("f32[4,8,]", (4, 8)),
        ("float32[1,2,3,4]", (1, 2, 3, 4)), ("a=f32[4,8]", (4, 8)), (" f32[2,2] ", (2, 2)),
    ],
)  # fmt: skip
def test_an_array_is_a_dtype_and_a_shape(text, shape):
    args, kwargs = make_inputs([text])
    (made,) = args or kwargs.values()
    assert (made.shape, made.dtype) == (shape, np.float32)
    assert list(kwargs) == (["a"] if "=" in text else [])


@pytest.mark.parametrize(
    ("short", "dtype"),
    [("f32", "float32"), ("bf16", "bfloat16"), ("f16", "float16"), ("int32", "int32"),
     ("uint8", "uint8"), ("float8_e4m3", "float8_e4m3")],
)  # fmt: skip
def test_dtypes_have_short_names(short, dtype):
    (made,), _ = make_inputs([f"{short}[2,2]"])
    assert made.dtype == getattr(nl, dtype)


def test_floats_lie_between_minus_one_and_one_and_integers_below_eight():
    (floats, whole), _ = make_inputs(["f32[100,100]", "int32[100,100]"])
    assert -1 <= floats.min() < -0.99
    assert 0.99 < floats.max() < 1
    assert set(np.unique(whole)) == set(range(8))


def test_the_seed_decides():
    one, again, other = (make_inputs(["f32[8,8]", "bf16[8]"], seed)[0] for seed in (0, 0, 1))
    assert all(same(a, b) for a, b in zip(one, again, strict=True))
    assert not same(one[0], other[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", 3), ("0.5", 0.5), ("-1e-6", -1e-6), ("True", True), ("None", None), ("'text'", "text"),
     ("(1, 2)", (1, 2)), ("[1, 2]", [1, 2])],
)  # fmt: skip
def test_other_texts_are_python(text, expected):
    assert make_inputs([text]) == ([expected], {})
    assert make_inputs([f"x={text}"]) == ([], {"x": expected})


def test_order_is_kept():
    args, kwargs = make_inputs(["1", "b=2", "3", "a=4"])
    assert (args, kwargs) == ([1, 3], {"b": 2, "a": 4})


@pytest.mark.parametrize("text", ["", "f32", "f32[", "f32[]", "f32[,]", "f32[4 4]", "f32[a]", "a="])
def test_what_is_neither_is_refused(text):
    with pytest.raises(BadArguments, match="neither an array nor a number"):
        make_inputs([text])


def test_unknown_dtypes_suggest_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'float32'"):
        make_inputs(["float31[2,2]"])


@pytest.mark.parametrize("text", ["f32[0]", "f32[4,0,4]"])
def test_arrays_have_elements(text):
    with pytest.raises(BadArguments, match="has no elements"):
        make_inputs([text])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("f32[99999999999,99999999999]", "no tensor of a chip"),
        (f"f32[{'1,' * 20}]", "no tensor of a chip"),
        ("f32[99999999,1024]", "does not fit into the memory"),
    ],
)
def test_arrays_that_no_machine_has(text: str, said: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(np.random, "default_rng", lambda _: Full())
    with pytest.raises(BadArguments, match=said):
        make_inputs([text])


class Full:
    """A generator on a machine without memory."""

    def uniform(self, *_: object) -> None:
        raise MemoryError
