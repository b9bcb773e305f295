"""`neuronxcc.nki`: decorators and runners, and the modules that clients import besides."""

import json
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import pytest

import trnlab
from tests.support import same, whole_numbers
from trnlab.errors import UnknownName
from trnlab.nki import entry as newer
from trnlab.nki.arguments import Shaped
from trnlab.nki.legacy import entry
from trnlab.nki.legacy import language as nl

A = whole_numbers(128, 64)


def doubled(a):
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    nl.store(out, nl.multiply(nl.load(a), 2.0, dtype=a.dtype))
    return out


DECORATED = [
    entry.jit(doubled),
    entry.jit(mode="trace")(doubled),
    entry.trace(doubled),
    entry.jit(entry.jit(doubled), mode="simulation"),
    entry.baremetal(doubled),
    entry.baremetal()(entry.jit(doubled)),
    entry.benchmark(warmup=1, iters=1)(doubled),
    entry.jit(doubled, mode="benchmark"),
    lambda *arrays: entry.simulate_kernel(doubled, *arrays),
    lambda *arrays: entry.simulate_kernel(entry.jit(doubled), *arrays),
]


@pytest.mark.parametrize("call", DECORATED)
def test_ways_to_run_a_kernel(call):
    assert same(call(A), A * 2)


def test_a_kernel_that_calls_another():
    inner = entry.jit(doubled)

    def outer(a):
        return inner(a)

    assert same(entry.jit(outer)(A), A * 2)


def test_a_benchmark_keeps_its_latency():
    timed = entry.benchmark(warmup=5, iters=10)(doubled)
    timed(A)
    latency = timed.benchmark_result.nc_latency
    _, trace = trnlab.run(entry.jit(doubled))(A)
    assert latency.get_latency_percentile(50) == trace.seconds * 1e6
    assert latency.get_latency_percentile(99) == latency.get_latency_percentile(0)
    with pytest.raises(ValueError, match="101"):
        latency.get_latency_percentile(101)


def test_a_benchmark_of_an_array_that_is_only_described():
    timed = entry.benchmark(doubled)
    timed(entry.tensor[[128, 64], nl.float32])
    one = timed.benchmark_result.nc_latency.get_latency_percentile(50)
    timed(A)
    assert timed.benchmark_result.nc_latency.get_latency_percentile(50) == one
    assert same(timed(A), A * 2)  # values are back
    assert entry.tensor[128, 64] == Shaped((128, 64))
    assert entry.tensor[entry.mutable] is entry.mutable_tensor


def test_files_that_a_compiler_would_leave_say_what_they_are(tmp_path):
    options = {"save_neff_name": "file.neff", "save_trace_name": "profile.ntff"}
    entry.baremetal(doubled, artifacts_dir=str(tmp_path / "out"), **options)(A)
    entry.profile(working_directory=str(tmp_path), **options)(doubled)(A)
    for path in (tmp_path / "out" / "file.neff", tmp_path / "profile.ntff"):
        told = json.loads(path.read_bytes().partition(b"\n")[0])
        assert told["made_by"] == "trnlab"
        assert told["kernel"] == "doubled"


def test_arrays_that_agree():
    half = A.astype(ml_dtypes.bfloat16)
    assert entry.allclose(half, A)
    assert not entry.allclose(A, A + 1)
    assert entry.allclose(A, A + 1, atol=2)


IMPORTS = """
import trnlab
trnlab.activate()
import numpy as np
import neuronxcc.nki.compiler as ncc
import neuronxcc.nki.nccl as nccl
from neuronxcc.nki._private.private_api import core_barrier
from neuronxcc.nki._private_kernels.mlp import mlp_isa_kernel
from neuronxcc.nki._private_kernels.qkv import rmsnorm_qkv_isa_kernel
from neuronxcc.nki.compiler.backends.neuron.indexing import TileIndex
from neuronxcc.nki.isa.constants import oob_mode
from neuronxcc.nki.isa.neuron_isa import dma_copy
from neuronxcc.nki.kernels.attention import flash_fwd
from neuronxcc.nki.language.constants import sizeinbytes
from neuronxcc.nki.language.iterators import sync_program
from neuronxcc.nki.nccl.collectives import collective_permute_implicit
from neuronxcc.nki.typing import mutable, scalar
from neuronxcc.starfish.support.dtype import static_cast
from neuronxcc.starfish.support.util import allclose
from nki.language.constants import sizeinbytes as newer

assert sizeinbytes("bfloat16") == newer("bfloat16") == 2
assert static_cast(np.ones(2), "float16").dtype == np.float16
assert ncc.sbuf.auto_alloc().name == "sbuf"
assert ncc.skip_middle_end_transformations(len) is ncc.enable_stack_allocator(log_level=1)(len)
with ncc.no_reorder():
    pass
assert all(map(callable, (flash_fwd, rmsnorm_qkv_isa_kernel, collective_permute_implicit)))
for call in (core_barrier, mlp_isa_kernel, nccl.send, TileIndex):
    try:
        call(1, x=2)
    except trnlab.NotModelled as error:
        print(error.what)
"""


def test_modules_that_clients_import(tmp_path):
    lines = [
        "import sys",
        f"sys.path.insert(0, {str(Path(trnlab.__file__).parents[1])!r})",
        IMPORTS,
    ]
    code = [sys.executable, "-W", "error", "-c", "\n".join(lines)]
    done = subprocess.run(code, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == [
        "neuronxcc.nki._private.private_api.core_barrier",
        "neuronxcc.nki._private_kernels.mlp.mlp_isa_kernel",
        "neuronxcc.nki.nccl.send",
        "neuronxcc.nki.compiler.backends.neuron.indexing.TileIndex",
    ]


@pytest.mark.parametrize("api", [entry, newer])
@pytest.mark.parametrize("name", ["jit", "baremetal", "benchmark", "profile"])
def test_options_that_nobody_has_are_errors(api, name):
    options = {"working_directory": "x"} if name == "profile" else {}
    with pytest.raises(UnknownName, match=f"option of nki.{name} .* did you mean 'warmup'"):
        getattr(api, name)(warm_up=3, **options)
