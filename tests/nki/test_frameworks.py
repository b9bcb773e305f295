"""Names of frameworks that client scripts import, where the framework is not installed.

Each test has an interpreter of its own, because what is imported there must not stay here.
"""

import pytest

from tests.nki.test_names import run

START = "import trnlab\ntrnlab.activate()\n"


def test_a_device_and_a_step(tmp_path):
    pytest.importorskip("torch")
    code = """
import torch, torch_xla, torch_xla.core.xla_model as xm
from torch_xla.core import xla_model
import neuronxcc.nki as nki, neuronxcc.nki.language as nl

@nki.jit
def double(a):
    out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
    nl.store(out, value=nl.multiply(nl.load(a), 2.0))
    return out

device = xm.xla_device()
a = torch.ones(4, 4, dtype=torch.bfloat16).to(device=device)
print(device, torch_xla.device(), xla_model.mark_step(), double(a).dtype, double(a).sum().item())
"""
    assert run(START + code, tmp_path) == "cpu cpu None torch.bfloat16 32.0\n"


def test_a_device_needs_torch(tmp_path):
    out = run(START + "import torch_xla.core.xla_model as xm\nxm.xla_device()", tmp_path)
    assert "pip install 'trnlab[torch]'" in out


def test_what_the_stand_in_lacks_is_not_modelled_and_no_attribute(tmp_path):
    code = "import torch_xla\nprint(hasattr(torch_xla, 'launch'))\ntorch_xla.launch"
    out = run(START + code, tmp_path)
    assert out.startswith("False\n")
    assert "not modelled: torch_xla.launch" in run(
        START + "import torch_xla, sys\ntry:\n    torch_xla.launch\n"
        "except trnlab.NotModelled as error:\n    print(error)", tmp_path)  # fmt: skip


def test_tracing_a_function_of_the_host_is_said(tmp_path):
    code = """
import warnings, torch_neuronx
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    print(torch_neuronx.trace(len, ([],)) is len, said[0].message)
"""
    assert run(START + code, tmp_path).startswith("True torch_neuronx.trace: the function runs on")


def test_an_installed_framework_stays(tmp_path):
    (tmp_path / "torch_xla").mkdir()
    (tmp_path / "torch_xla" / "__init__.py").write_text("MAKER = 'vendor'\n")
    code = "import torch_xla\nprint(torch_xla.MAKER)"
    assert run(START + code, tmp_path, tmp_path) == "vendor\n"


def test_a_tutorial_that_imports_itself_from_the_vendors_package(tmp_path):
    (tmp_path / "layernorm_kernel.py").write_text("NAME = __name__\n")
    code = """
from neuronxcc.nki.docs.examples.layernorm.layernorm_kernel import NAME
import layernorm_kernel
print(NAME, layernorm_kernel.NAME)
import neuronxcc.nki.docs.examples.layernorm.no_such_file
"""
    out = run(START + code, tmp_path, tmp_path)
    assert out.startswith("layernorm_kernel layernorm_kernel\n")
    assert "No module named 'neuronxcc.nki.docs.examples.layernorm.no_such_file'" in out


def test_frameworks_are_there_on_request_only(tmp_path):
    out = run("import trnlab.nki.names\nimport torch_xla", tmp_path)
    assert out == "ModuleNotFoundError: No module named 'torch_xla'"


def test_the_vendors_own_way_to_compile(tmp_path):
    code = """
import numpy as np, nki.isa as nisa, nki.language as nl
from nki.framework.compiled import CompileKernel
from nki.framework.kernel import Kernel
from nki.simulator import simulate_kernel
import nki

def double(a):
    tile = nl.ndarray(a.shape, a.dtype)
    nisa.dma_copy(tile, a)
    nisa.tensor_scalar(tile, tile, nl.multiply, 2.0)
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(out, tile)
    return out

a = np.ones((4, 4), np.float32)
ready = CompileKernel(func=nki.jit(double), artifacts_dir="made", _enable_simulation=True)
print(ready(a).sum(), simulate_kernel(double, (a,), {}, 2).sum())
print(isinstance(nki.jit(double), Kernel))
print(nki.simulate(nki.jit(double)[2])(a).sum(), nki.simulate_kernel(double, a).sum())
"""
    assert run(START + code, tmp_path) == "32.0 32.0\nTrue\n32.0 32.0\n"
    assert (tmp_path / "made" / "kernel.neff").exists()
