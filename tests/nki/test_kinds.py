"""Arrays of NumPy, torch and JAX: the kind that comes in goes out, and is updated in place."""

import ml_dtypes
import numpy as np
import pytest

import trnlab
from tests.support import load, nisa, nl, same, store
from trnlab.errors import BadArguments, NotModelled
from trnlab.nki import entry
from trnlab.nki.legacy import entry as old_entry
from trnlab.nki.legacy import language as old_nl

FORMATS = ["float32", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2", "int32", "uint8"]


@entry.jit
def copied(a):
    return store(load(a))


@old_entry.jit
def old_copied(a):
    out = old_nl.ndarray(a.shape, a.dtype, buffer=old_nl.shared_hbm)
    old_nl.store(out, old_nl.load(a))
    return out


@entry.jit
def updated(a, b):
    tile = load(b)
    nisa.dma_copy(a, tile)
    return {"both": [a, store(tile)]}


@entry.jit
def halves(a):
    """Each core copies the rows that are its own."""
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    half = a.shape[0] // nl.num_programs(0)
    rows = slice(nl.program_id(0) * half, (nl.program_id(0) + 1) * half)
    nisa.dma_copy(out[rows, :], load(a[rows, :]))
    return out


def ineffective(a):
    load(a)


WAYS = [
    copied, old_copied, entry.simulate(copied), entry.simulate(copied[1]), halves[2],
    entry.simulate(halves[2]), lambda a: entry.simulate_kernel(copied, a),
    lambda a: old_entry.simulate_kernel(old_copied, a), entry.baremetal(copied),
]  # fmt: skip


def numbers(dtype: str) -> np.ndarray:
    return np.arange(32).reshape(4, 8).astype(getattr(ml_dtypes, dtype, dtype))


@pytest.mark.parametrize("way", WAYS)
def test_numpy_in_numpy_out(way):
    assert same(way(numbers("float32")), numbers("float32"))


@pytest.mark.parametrize("way", WAYS)
def test_torch_in_torch_out(way):
    torch = pytest.importorskip("torch")
    given = torch.arange(32, dtype=torch.bfloat16).reshape(4, 8)
    got = way(given)
    assert isinstance(got, torch.Tensor)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, given)


@pytest.mark.parametrize("dtype", FORMATS)
def test_every_format_of_torch(dtype):
    torch = pytest.importorskip("torch")
    given = torch.from_numpy(numbers("float32").copy()).to(getattr(torch, dtype))
    got = copied(given.requires_grad_(dtype == "float32"))
    assert got.dtype == given.dtype
    assert torch.equal(got.float(), given.float())
    turned = copied(given.T)
    assert torch.equal(turned.float(), given.T.float())


def test_torch_tensors_are_updated_in_place():
    torch = pytest.importorskip("torch")
    a, b = torch.zeros(4, 8, dtype=torch.bfloat16), torch.ones(4, 8, dtype=torch.bfloat16)
    got = updated(a, b)
    assert torch.equal(a, b)
    assert all(torch.equal(part, b) for part in got["both"])


@pytest.mark.parametrize("way", WAYS)
def test_jax_in_jax_out(way):
    jax = pytest.importorskip("jax")
    given = jax.numpy.arange(32, dtype=jax.numpy.bfloat16).reshape(4, 8)
    got = way(given)
    assert isinstance(got, jax.Array)
    assert got.dtype == jax.numpy.bfloat16
    assert (got == given).all()


@pytest.mark.parametrize("dtype", FORMATS)
def test_every_format_of_jax(dtype):
    jax = pytest.importorskip("jax")
    got = copied(jax.numpy.asarray(numbers(dtype)))
    assert isinstance(got, jax.Array)
    assert same(np.asarray(got), numbers(dtype))


def test_an_array_of_jax_that_is_written_comes_back_as_a_result():
    jax = pytest.importorskip("jax")
    a, b = jax.numpy.zeros((4, 8)), jax.numpy.ones((4, 8))
    got = updated(a, b)
    assert all((part == 1).all() for part in got["both"])
    assert (a == 0).all()

    def only_written(a, b):
        nisa.dma_copy(a, load(b))

    with pytest.raises(BadArguments, match="JAX cannot be updated in place") as error:
        trnlab.run(only_written)(a, b)
    assert "return a" in error.value.fix


def test_a_kernel_inside_of_jax_jit_is_not_modelled():
    jax = pytest.importorskip("jax")
    with pytest.raises(NotModelled, match=r"inside of jax\.jit"):
        jax.jit(copied)(jax.numpy.ones((4, 8)))


# --- effects, platforms


def test_a_kernel_without_an_effect_says_so():
    said = "the kernel returns no tensor and writes none of its arguments"
    a, b = np.ones((4, 8), np.float32), np.zeros((4, 8), np.float32)
    _, trace = trnlab.run(entry.jit(ineffective))(a)
    assert said in trace.meta["notes"]
    for kernel, arrays in ((updated, (a, b)), (copied, (a,))):
        _, trace = trnlab.run(kernel)(*arrays)
        assert said not in trace.meta["notes"]


def test_time_only_knows_effects_too():
    a, b = np.ones((4, 8), np.float32), np.zeros((4, 8), np.float32)
    _, trace = trnlab.run(updated, values=False)(a, b)
    assert trace.meta["notes"] == ()


@pytest.mark.parametrize(
    ("asked", "chip"),
    [("trn1", "trn1"), ("gen2", "trn1"), ("inf2", "inf2"), ("trn2", "trn2"), ("gen3", "trn2"),
     ("trn3", "trn3"), ("gen4", "trn3"), ("TRN3", "trn3")],
)  # fmt: skip
def test_the_environment_chooses_the_chip(asked, chip, monkeypatch):
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", asked)
    monkeypatch.setenv("NKI_SIMULATOR", "1")
    copied(numbers("float32"))
    assert trnlab.last_trace().meta["chip"] == chip
