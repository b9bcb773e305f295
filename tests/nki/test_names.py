"""Import names on request: there after `activate`, and never in front of an installed package.

Each test has an interpreter of its own, because what is imported there must not stay here.
"""

import subprocess
import sys
from pathlib import Path

import pytest

import trnlab

ROOT = Path(trnlab.__file__).parents[1]


def run(code: str, tmp_path: Path, *paths: Path) -> str:
    """What an interpreter prints that runs code in an empty folder."""
    lines = ["import sys", f"sys.path[:0] = {[str(p) for p in (*paths, ROOT)]!r}", code]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(lines)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr.strip().rpartition("\n")[2]


NAMES = [
    "import nki",
    "import nki.isa as nisa",
    "import nki.language as nl",
    "import nki.typing as nt",
    "from nki.isa import nc_matmul, tensor_copy, constants",
    "from nki.isa.constants import dge_mode, oob_mode",
    "from nki.language import float32, bfloat16, sbuf, psum, shared_hbm, tile_size",
    "from nki import jit, simulate",
    "import nki.collectives as ncc",
    "from nki.collectives import ReplicaGroup, all_reduce, rank_id",
    "from nki.simulator import simulate_kernel",
    "import nki.tensor as ntensor; ntensor.identity, ntensor.NkiTensor",
    "import nki.dtype; nki.dtype.float8_e4m3, nki.language.dtypes.bfloat16",
    "from nki_cpu_simulator import nki as simulated; simulated.cpu_simulate",
    "from nki_cpu_simulator.nki import builtin, compiler, isa, language, tensor, typing",
    "from nki_cpu_simulator.nki.isa import constants; constants.dge_mode",
    "from nki_cpu_simulator.nki.language import dtypes; dtypes.float32",
    "from neuron_dtypes import static_cast, sizeinbytes, finfo, is_float_type, bfloat16",
    "from neuron_dtypes import float8_e4m3fn_x4, float8_e5m2_x4, float4_e2m1fn_x4",
    "import neuronxcc",
    "import neuronxcc.nki as nki",
    "import neuronxcc.nki.isa as nisa",
    "import neuronxcc.nki.language as nl",
    "import neuronxcc.nki.typing as nt",
    "import neuronxcc.nki.compiler as ncc",
    "from neuronxcc import nki",
    "from neuronxcc.nki import jit, benchmark, baremetal, profile, simulate_kernel, trace",
    "from neuronxcc.nki.language import par_dim, mgrid, arange, affine_range, load, store",
    "from neuronxcc.nki.isa import nc_matmul, activation, tensor_reduce",
    "from neuronxcc.nki.typing import tensor, mutable_tensor",
]


def test_every_name_that_clients_import(tmp_path):
    code = ["import trnlab", "trnlab.activate()", *NAMES, "print('fine')"]
    assert run("\n".join(code), tmp_path) == "fine\n"


def test_nothing_is_there_before_it_is_asked_for(tmp_path):
    code = """
import trnlab.nki.language
try:
    import nki
except ImportError as error:
    print(error)
"""
    assert run(code, tmp_path) == "No module named 'nki'\n"


def test_asking_twice_is_fine(tmp_path):
    code = (
        "import trnlab\ntrnlab.activate()\nimport nki\ntrnlab.activate()\nimport nki\nprint('fine')"
    )
    assert run(code, tmp_path) == "fine\n"


def test_submodules_are_attributes_too(tmp_path):
    code = """
import trnlab
trnlab.activate()
import nki, neuronxcc.nki
print(nki.language.float32, repr(nki.isa.engine.vector), nki.isa.constants.dge_mode.swdge.name)
print(neuronxcc.nki.language.float32, neuronxcc.nki.isa.nc_matmul.__name__)
"""
    out = run(code, tmp_path)
    assert out.splitlines()[0] == "float32 nisa.engine.vector swdge"
    assert out.splitlines()[1] == "float32 nc_matmul"


def test_what_is_missing_is_an_attribute_error(tmp_path):
    code = """
import trnlab
trnlab.activate()
import nki.language as nl
print(hasattr(nl, "no_such_function"))
nl.multiplyy
"""
    out = run(code, tmp_path)
    assert out.startswith("False\nAttributeError:")
    assert "did you mean 'multiply'?" in out


ASK = """
import trnlab
try:
    trnlab.activate()
except trnlab.TrnlabError as error:
    print(error)
"""


@pytest.fixture
def vendor(tmp_path):
    """Makes a folder with an installed package of that name."""

    def install(top):
        (tmp_path / "site" / top).mkdir(parents=True)
        (tmp_path / "site" / top / "__init__.py").write_text("MAKER = 'vendor'\n")
        return tmp_path / "site"

    return install


@pytest.mark.parametrize("top", ["nki", "neuronxcc"])
def test_an_installed_package_is_not_hidden(tmp_path, vendor, top):
    out = run(f"{ASK}\nimport {top}\nprint({top}.MAKER)", tmp_path, vendor(top))
    assert f"a package called '{top}' is installed here" in out
    assert out.endswith("vendor\n")


@pytest.mark.parametrize("top", ["nki", "neuronxcc"])
def test_an_imported_package_is_not_replaced(tmp_path, vendor, top):
    out = run(f"import {top}\n{ASK}\nprint({top}.MAKER)", tmp_path, vendor(top))
    assert out.endswith("vendor\n")


def test_a_refusal_puts_no_name_anywhere(tmp_path, vendor):
    out = run(f"{ASK}\nprint('nki' in sys.modules)", tmp_path, vendor("neuronxcc"))
    assert out.endswith("False\n")


def test_standing_in_for_an_installed_package_is_said(tmp_path, vendor):
    code = """
import warnings, trnlab
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    trnlab.activate(shadow=True)
import nki
print([str(w.message) for w in said], hasattr(nki, "MAKER"))
"""
    expected = "[\"trnlab stands in for the installed package 'nki'\"] False\n"
    assert run(code, tmp_path, vendor("nki")) == expected


def test_a_folder_that_happens_to_be_called_nki_is_no_package(tmp_path):
    """Python prefers any package to a plain folder, and so does this."""
    (tmp_path / "nki").mkdir()
    (tmp_path / "nki" / "notes.txt").write_text("kernels of ours\n")
    code = """
sys.path.insert(0, '')
import trnlab
trnlab.activate()
import nki
print(nki.jit.__name__)
"""
    assert run(code, tmp_path) == "jit\n"


def test_kernels_of_both_generations_run_under_their_names(tmp_path):
    code = """
import trnlab
trnlab.activate()
import numpy as np
import nki, nki.language as nl, nki.isa as nisa
import neuronxcc.nki as old, neuronxcc.nki.language as old_nl

@nki.jit
def new_double(a):
    t = nl.ndarray(a.shape, a.dtype)
    nisa.dma_copy(t, a)
    nisa.tensor_scalar(t, t, nl.multiply, 2.0)
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(out, t)
    return out

@old.jit
def old_double(a):
    out = old_nl.ndarray(a.shape, dtype=a.dtype, buffer=old_nl.shared_hbm)
    t = old_nl.load(a)
    old_nl.store(out, value=old_nl.multiply(t, 2.0))
    return out

a = np.ones((4, 4), np.float32)
print(new_double(a).sum(), old_double(a).sum(), trnlab.last_trace().meta["api"])
"""
    assert run(code, tmp_path) == "32.0 32.0 neuronxcc.nki\n"


def test_importing_is_quick_and_loads_no_extra(tmp_path):
    code = """
import trnlab
trnlab.activate()
print(sorted({"rich", "typer", "torch", "jax", "numba", "perfetto"} & set(sys.modules)))
"""
    assert run(code, tmp_path) == "[]\n"


def test_names_of_the_compiler_are_data_and_compiling_says_what_it_needs(tmp_path):
    code = """
import dataclasses
import trnlab
trnlab.activate()
from nki.compiler.driver import compile_to_bir
from nki.compiler.frontend import NKIFrontend, ParserFrontend, TracerFrontend
from nki.compiler.kernel_builder import compile_kernel
from nki.compiler.ncc_driver import CompilationMode, CompiledKernel, CompileOptions
options = CompileOptions(target="trn2", lnc=2, output_path="a.neff", artifacts_dir=".")
options = dataclasses.replace(options, mode=CompilationMode.INTEGRATION)
print(options.disable_backend_optimizations().lnc, issubclass(ParserFrontend, NKIFrontend))
for attempt in (
    lambda: compile_to_bir(None, frontend=TracerFrontend(), inputs={}, compile_opts=options),
    lambda: compile_kernel(None, inputs={}, outputs={}, compile_opts=options),
    lambda: CompiledKernel.from_frontend(None),
):
    try:
        attempt()
    except trnlab.NotModelled as error:
        print(str(error).splitlines()[0], "nki.simulate" in str(error))
"""
    assert run(code, tmp_path).splitlines() == [
        "2 True",
        "not modelled: nki.compiler.driver.compile_to_bir True",
        "not modelled: nki.compiler.kernel_builder.compile_kernel True",
        "not modelled: nki.compiler.ncc_driver.CompiledKernel True",
    ]
