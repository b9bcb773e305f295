"""Migration: what is found in a kernel's text, and what is not."""

import json
from pathlib import Path

import pytest

from tests.support import command
from trnlab.errors import BadArguments, UnknownName
from trnlab.isa.rules import RELEASES
from trnlab.nki import isa as nisa
from trnlab.studies.migration import drift
from trnlab.studies.migration.migrate import migrate, report

OLDER = """
import numpy as np
import neuronxcc.nki as nki
import neuronxcc.nki.isa as nisa
import neuronxcc.nki.language as nl
import neuronxcc.nki.compiler as ncc
"""
CURRENT = """
import numpy as np
import nki
import nki.isa as nisa
import nki.language as nl
import nki.collectives as nccl
"""


def found(tmp_path: Path, head: str, body: str, to: str = "0.6") -> list[tuple[str, str, str]]:
    """Everything found below the imports: what, kind and version."""
    file = tmp_path / "kernel.py"
    file.write_text(head + "@nki.jit\ndef kernel(x, y, reg):\n    " + body.replace("\n", "\n    "))
    first = len(head.splitlines())
    return [(f.what, f.kind, f.version) for f in migrate(str(file), to) if f.line > first]


@pytest.mark.parametrize(
    ("body", "what", "when"),
    [
        ("i = nl.arange(128)[:, None]", "nl.arange", "gone 0.2"),
        ("i = nl.mgrid[0:128, 0:4].p", "nl.mgrid", "gone 0.2"),
        ("t = nl.ndarray((nl.par_dim(128), 4), nl.float32)", "nl.par_dim", "gone 0.2"),
        (
            "t = nl.ndarray((4, nl.par_dim(128), 4), nl.float32)",
            "block dimensions: par_dim is not the first dimension",
            "gone 0.2",
        ),
        ("nl.store(x, y, mask=y)", "mask=", "gone 0.2"),
        ("nl.store(x, y, mask=None)", "mask=None", "gone 0.2"),
        ("t = nisa.activation(np.exp, y)", "nisa.activation(...) returned a tile", "changed 0.2"),
        ("x[0] = nisa.reciprocal(y)", "nisa.reciprocal(...) returned a tile", "changed 0.2"),
        ("nl.store(x, nisa.iota(y, np.int32))", "nisa.iota(...) returned a tile", "changed 0.2"),
        ("t = nisa.activation(np.exp, y)", "a NumPy function as operator", "changed 0.2"),
        ("t = nisa.bn_stats(y, dtype=nl.float32)", "dtype= of an instruction", "gone 0.2"),
        ("nisa.nc_stream_shuffle(x, y, [0])",
         "nisa.nc_stream_shuffle(src, dst, mask)", "changed 0.2"),
        ("t = nl.zeros((4, 4), np.float32, lazy_initialization=True)",
         "lazy_initialization=", "gone 0.2"),
        ("t = nl.load(x)\nt += y", "+= and its like on a tile", "gone 0.2"),
        ("t = nl.load(x)\nz = 2 * t[0:4]", "Python operators on tiles", "gone 0.2"),
        ("t = nl.load(x)\nz = t.broadcast_to((8, 4))", ".broadcast_to() of a tile", "changed 0.2"),
        ("nl.loop_reduce(y, op=np.add, loop_indices=[x])", "nl.loop_reduce", "gone 0.2"),
        ("nl.atomic_rmw(x, y, np.add)", "nl.atomic_rmw", "gone 0.2"),
        ("for i in nl.affine_range(4): pass", "nl.affine_range", "deprecated 0.3"),
        ("for i in nl.static_range(4): pass", "nl.static_range", "deprecated 0.6"),
        ("nki.simulate_kernel(kernel, x)", "nki.simulate_kernel(kernel, *args)", "gone 0.2"),
        ("b = ncc.sbuf.alloc(x)", "nki.compiler: allocators and directives", "gone 0.2"),
        (
            "nisa.tensor_copy_dynamic_src(src=x)",
            "nisa.tensor_copy_dynamic_src",
            "gone 0.4",
        ),
        ("t = nl.load(x, dtype=np.float32)",
         "dtype= of NumPy: documented for the older API only", "check 0.2"),
        ("m = nl.equal(x, y)", "comparisons without dtype=", "check 0.3"),
        ("kernel[4, 2](x)", "a launch grid of several dimensions or many instances", "changed 0.2"),
    ],
)  # fmt: skip
def test_what_the_older_api_had(tmp_path: Path, body: str, what: str, when: str):
    kind, version = when.split()
    assert (what, kind, version) in found(tmp_path, OLDER, body)


@pytest.mark.parametrize(
    ("body", "what", "when"),
    [
        ("nisa.dma_copy(x, y, dst_rmw_op=nl.add)",
         "nisa.dma_copy(dst_rmw_op=..., unique_indices=...)", "gone 0.3"),
        ("p = nl.ndarray((4, 4), nl.float32, buffer=nl.psum)\nnisa.dma_copy(x, p[0:4])",
         "nisa.dma_copy from PSUM", "gone 0.3"),
        ("nisa.dma_compute(x, [y, y], [1.0, 1.0], nl.add)",
         "nisa.dma_compute(dst, srcs, scales, reduce_op)", "changed 0.3"),
        ("nisa.affine_select(x, y, 0, 1, x, 0.0)",
         "nisa.affine_select with offset in third place", "changed 0.3"),
        ("nisa.sendrecv(x, y, 0, 1, 0, use_gpsimd_dma=True)",
         "nisa.sendrecv(use_gpsimd_dma=...)", "changed 0.3"),
        ("nisa.register_move(reg, imm=42)", "nisa.register_move(imm=...)", "changed 0.3"),
        ("nccl.collective_permute_implicit(num_channels=2)", "num_channels=", "gone 0.3"),
        ("nisa.dma_copy(x, y, dge_mode=2)", "dge_mode=2", "changed 0.3"),
        ("t = nl.ndarray((4, 4), nl.float32, buffer='sbuf')", "buffer= as text", "changed 0.3"),
        ("t = nl.ndarray((4, 4), nl.int32)\nnisa.memset(t, 2.0)",
         "nisa.memset of an integer tensor with a float", "changed 0.3"),
        ("o = nl.ndarray((4, 4), nl.float32, buffer=nl.hbm)\nreturn o",
         "an output in nl.hbm", "changed 0.3"),
        ("t = nl.ndarray((4, 4, 4), nl.float32)\nnisa.tensor_reduce(x, nl.add, t, axis=1)",
         "nisa.tensor_reduce of 3 or more dimensions with axis=1", "check 0.3"),
        ("if x is None: pass", "is, is not", "gone 0.3"),
        ("n = nl.num_programs()", "nl.num_programs() without axes", "check 0.3"),
        ("r = nisa.register_alloc(5)\nwhile r: pass", "while on a register", "deprecated 0.6"),
        ("for i in nl.dynamic_range(reg): pass", "nl.dynamic_range", "deprecated 0.6"),
        ("n = nl.tile_size.psum_fmax", "nl.tile_size.psum_fmax", "deprecated 0.4"),
        ("t = nl.rsqrt(x)", "nl.rsqrt", "check 0.5"),
        ("nl.random_seed(42)", "nl.random_seed of a number", "changed 0.3"),
        ("x[0:4] = nisa.reciprocal(y)", "nisa.reciprocal(...) returned a tile", "changed 0.2"),
    ],
)  # fmt: skip
def test_what_later_versions_changed(tmp_path: Path, body: str, what: str, when: str):
    kind, version = when.split()
    assert (what, kind, version) in found(tmp_path, CURRENT, body)


@pytest.mark.parametrize(
    "body",
    [
        "t = nl.ndarray((128, 4), nl.float32, buffer=nl.psum)\nnisa.tensor_copy(t, x)",
        "handle = nisa.tensor_copy(dst=x, src=y)",
        "handle = nisa.tensor_copy(x, y)",
        "nisa.activation(x, nl.exp, y, bias=None)",
        "t = nl.zeros((4, 4), nl.int32)\nnisa.memset(t, 2)",
        "nisa.dma_copy(x, y, dge_mode=nisa.dge_mode.hwdge)",
        "nisa.dma_compute(x, [y], nl.add)",
        "n = x.shape[0] * 2\nn += 1",
        "arange = np.arange(4)",
        "mask = np.add(np.ones(4), 1)",
        "def arange(n): return n\nt = arange(4)",
        "while len(x.shape) > 9: pass",
    ],
)
def test_what_is_right_stays_unsaid(tmp_path: Path, body: str):
    assert found(tmp_path, CURRENT, body) == []


def test_an_older_number_of_an_enumeration_is_the_member_it_was(tmp_path: Path):
    file = tmp_path / "kernel.py"
    for head, member in ((OLDER, "none"), (CURRENT, "unknown")):
        file.write_text(f"{head}\ndef kernel(x):\n    nisa.dma_copy(dst=x, src=x, dge_mode=0)\n")
        instead = {f.instead for f in migrate(str(file))}
        assert f"dge_mode=nisa.dge_mode.{member}" in instead


def test_signatures_and_sub_kernels(tmp_path: Path):
    file = tmp_path / "kernel.py"
    file.write_text(
        f"{CURRENT}\n@nki.jit\ndef inner(x):\n    return x\n\n"
        "@nki.jit(mode='jax', platform_target='trn2')\n"
        "def outer(x, *, flags=[1]):\n    return inner(x)\n\n"
        "def helper(x, *, flag=True):\n    return x is None\n"
    )
    what = {f.what for f in migrate(str(file))}
    assert what == {
        "a kernel called by a kernel has @nki.jit",
        "nki.jit(mode=...) is ignored",
        "nki.jit(platform_target=...)",
        "a * in the signature of a kernel",
    }


def test_names_may_be_imported_in_any_way(tmp_path: Path):
    file = tmp_path / "kernel.py"
    file.write_text(
        "from neuronxcc import nki\nfrom neuronxcc.nki.language import arange as a, par_dim\n"
        "def kernel(x):\n    return nki.language.mgrid[0:4], a(4), x[par_dim(4), 2]\n"
    )
    assert {f.what for f in migrate(str(file)) if f.line == 4} == {
        "nl.arange",
        "nl.mgrid",
        "nl.par_dim",
    }


def test_an_older_target_names_what_it_did_not_have(tmp_path: Path):
    body = "t = nl.load(x)\nnisa.topk(x, y, t, 8)\nnisa.activation(x, nl.exp, y)"
    assert found(tmp_path, CURRENT, body, "0.2") == [
        ("nl.load", "new", "0.3"),
        ("nisa.topk", "new", "0.6"),
    ]
    assert found(tmp_path, CURRENT, body, "0.5") == [("nisa.topk", "new", "0.6")]
    assert found(tmp_path, CURRENT, body, "0.6.0") == []


def test_what_comes_after_the_target_is_not_said(tmp_path: Path):
    body = "for i in nl.static_range(4): pass"
    assert found(tmp_path, CURRENT, body, "0.5") == []


def test_a_report_groups_the_places_of_one_change(tmp_path: Path):
    file = tmp_path / "kernel.py"
    file.write_text(f"{OLDER}i = nl.arange(4)\n" + "j = nl.arange(4)\n" * 9)
    text = report("kernel.py", migrate(str(file)), "0.6")
    assert "kernel.py:7  nl.arange  (gone in 0.2)\n" in text
    assert "    also: 8, 9, 10, 11, 12, 13 and 3 more\n" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def broken(:\n", "is not Python: invalid syntax"),
        ("print('no kernel')\n", "imports no NKI"),
        ("", "imports no NKI"),
        ("x = '\0'\n", "is not Python"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, message: str):
    file = tmp_path / "kernel.py"
    file.write_text(text)
    with pytest.raises(BadArguments, match=message):
        migrate(str(file))


def test_bytes_that_are_not_text_are_refused(tmp_path: Path):
    file = tmp_path / "kernel.py"
    file.write_bytes(bytes(range(128, 256)))
    with pytest.raises(BadArguments, match="is not Python"):
        migrate(str(file))


def test_a_file_that_is_not_there_and_a_version_that_is_not(tmp_path: Path):
    with pytest.raises(UnknownName, match="no file is called"):
        migrate(str(tmp_path / "nothing.py"))
    file = tmp_path / "kernel.py"
    file.write_text(CURRENT)
    with pytest.raises(UnknownName, match=r"did you mean '0\.6'"):
        migrate(str(file), "0.66")


def test_the_command(tmp_path: Path, capsys, monkeypatch):
    (tmp_path / "old.py").write_text(f"{OLDER}i = nl.arange(4)\n")
    (tmp_path / "host.py").write_text("import os\n")
    monkeypatch.chdir(tmp_path)
    said = command(["migrate", "old.py", "host.py"], capsys, monkeypatch)
    assert (said.code, said.err) == (0, "")
    assert "old.py:7  nl.arange  (gone in 0.2)" in said.out
    said = command(["migrate", "old.py", "--json"], capsys, monkeypatch)
    records = json.loads(said.out)
    assert records[-1] == {
        "file": "old.py", "line": 7, "what": "nl.arange", "kind": "gone", "version": "0.2",
        "instead": drift.CHANGES["arange"].instead,
    }  # fmt: skip
    said = command(["migrate", "host.py"], capsys, monkeypatch)
    assert said.code == 1
    assert "imports no NKI" in said.err


def test_every_change_is_in_use_and_of_a_known_version():
    sources = Path(drift.__file__).parent
    text = "".join((sources / name).read_text() for name in ("finders.py", "tensors.py"))
    unused = [key for key in drift.CHANGES if f'"{key}"' not in text]
    assert not unused
    kinds = {drift.GONE, drift.CHANGED, drift.DEPRECATED, drift.CHECK}
    assert {c.kind for c in drift.CHANGES.values()} == kinds
    assert {c.version for c in drift.CHANGES.values()} <= set(RELEASES)


def test_names_that_are_said_to_be_gone_are_gone():
    from trnlab.nki import language as nl

    assert not [name for name in drift.LANGUAGE_GONE if hasattr(nl, name)]
    assert not [name for name in drift.ISA_GONE if hasattr(nisa, name)]
    assert all(hasattr(nl, name.partition(".")[0]) for name in drift.LANGUAGE_DEPRECATED)
    assert all(hasattr(nl, name) for name in drift.LANGUAGE_SINCE)
    assert all(hasattr(nisa, name) for name in drift.ISA_SINCE)
