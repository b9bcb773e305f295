# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""A first breath: the public names, on the smallest kernel that touches values, time and rules."""

import numpy as np
import pytest

import trnlab

trnlab.activate()

import nki
import nki.isa as nisa
import nki.language as nl

X = np.arange(8, dtype=np.float32).reshape(2, 4)


@nki.jit
def negated(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    tile = nl.ndarray(x.shape, dtype=x.dtype)
    nisa.dma_copy(tile, x)
    nisa.tensor_scalar(tile, tile, nl.multiply, -1.0)
    nisa.dma_copy(out, tile)
    return out


@nki.jit
def unwritten(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(out, nl.ndarray(x.shape, dtype=x.dtype))
    return out


def test_a_call_gives_values_and_leaves_a_trace():
    np.testing.assert_array_equal(negated(X), -X)
    trace = trnlab.last_trace()
    assert isinstance(trace, trnlab.Trace)
    assert [span.name for span in trace if span.lane == "scalar"] == ["tensor_scalar"]


def test_run_gives_both():
    out, trace = trnlab.run(negated, chip="trn1")(X)
    np.testing.assert_array_equal(out, -X)
    assert trace.seconds > 0
    assert trace.meta["chip"] == "trn1"
    assert trace.totals["hbm_read_bytes"] == trace.totals["hbm_write_bytes"] == X.nbytes


def test_time_without_values_is_the_same_time():
    out, trace = trnlab.run(negated, values=False)(X)
    assert np.isnan(out).all()
    assert trace.seconds == trnlab.run(negated)(X)[1].seconds


def test_values_without_time():
    out, trace = trnlab.run(negated, time=False)(X)
    np.testing.assert_array_equal(out, -X)
    assert trace is None


def test_a_broken_rule_raises_or_warns_as_asked():
    with pytest.raises(trnlab.Violations, match="1 rule broken"):
        unwritten(X)
    out, _ = trnlab.run(unwritten, strict=False)(X)
    assert np.isnan(out).all()


def test_what_is_not_there_says_so():
    with pytest.raises(trnlab.TrnlabError, match="did you mean 'trn2'"):
        trnlab.chip("trn22")
    with pytest.raises(trnlab.NotModelled, match="needs"):
        nl.average()
    with pytest.raises(AttributeError):
        _ = trnlab.no_such_name


def test_the_public_names_exist():
    assert all(getattr(trnlab, name) is not None for name in trnlab.__all__)
    assert {chip.key for chip in trnlab.CHIPS} >= {"trn1", "trn2", "trn3"}
