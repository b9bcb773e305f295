"""What users get wrong, as they see it: the rule, the limit, what was given, their file and line.

Every case is a script of its own that runs under `trnlab run`. None may show a traceback of ours.
"""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trnlab
from tests.report.make import trace_of
from tests.support import command, load, nisa, nl, same, store, value
from trnlab.nki.clients import artifacts

HEAD = """\
import nki
import nki.language as nl
import nki.isa as nisa
import numpy as np

A = np.ones((128, 128), np.float32)


def stored(tile):
    out = nl.ndarray(tile.shape, tile.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(out, tile)
    return out


def loaded(a):
    tile = nl.ndarray(a.shape, a.dtype)
    nisa.dma_copy(tile, a)
    return tile


"""
WRONG = "# <- wrong"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEURON_PLATFORM_TARGET_OVERRIDE", raising=False)
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] in ("nki", "neuronxcc")]:
        del sys.modules[name]


@pytest.fixture
def failing(tmp_path, capsys, monkeypatch):
    """Runs a script that must fail, and gives its error text and the line that is wrong."""

    def run(text, *more, name="script.py"):
        (tmp_path / name.partition(":")[0]).write_text(text)
        said = command(["run", name, *more], capsys, monkeypatch)
        assert said.code == 1, said.out + said.err
        assert said.err.startswith("error: ")
        assert "Traceback" not in said.err
        assert "/trnlab/" not in said.err.replace(str(tmp_path), "")
        assert not list(tmp_path.glob("trnlab-traces/*"))
        assert not list(tmp_path.glob("*.part"))
        lines = [n for n, line in enumerate(text.splitlines(), 1) if WRONG in line]
        return said.err, [f"{tmp_path / name.partition(':')[0]}:{n}" for n in lines]

    return run


def kernel(body, call="kernel(A)"):
    """A script with one kernel, its body indented, called with an array of ones."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"{HEAD}@nki.jit\ndef kernel(a):\n{lines}\n\n\nprint({call})\n"


CASES = {
    "a misspelled parameter": (
        "nisa.memset(loaded(a), valu=0.0)  # <- wrong",
        ["memset has no parameter 'valu'", "memset(dst, value,", "did you mean 'value'?"],
    ),
    "a tile over 128 partitions": (
        "tile = nl.ndarray((129, 4), nl.float32, name='tall')  # <- wrong\n"
        "nisa.memset(tile, 0.0)",
        ["tall spans 129 partitions", "limit", "128 partitions", "[129, 4]"],
    ),
    "a matmul into SBUF": (
        "tile = loaded(a)\n"
        "out = nl.ndarray((128, 128), nl.float32)\n"
        "nisa.nc_matmul(out, tile, tile)  # <- wrong",
        ["nc_matmul breaks a rule of NeuronCore-v3", "dst is in PSUM", "dst", "sbuf float32"],
    ),
    "a matmul across PSUM banks": (
        "tile = loaded(a)\n"
        "out = nl.ndarray((128, 640), nl.float32, buffer=nl.psum)\n"
        "nisa.nc_matmul(out[:, 448:576], tile, tile)  # <- wrong",
        ["dst stays inside one PSUM bank of 2048 bytes", "psum float32 [128, 128]"],
    ),
    "a matmul that streams too much": (
        "tile = loaded(a)\n"
        "wide = nl.zeros((128, 640), nl.float32)\n"
        "out = nl.ndarray((128, 640), nl.float32, buffer=nl.psum)\n"
        "nisa.nc_matmul(out, tile, wide)  # <- wrong",
        ["moving streams at most 512 columns", "sbuf float32 [128, 640]"],
    ),
    "more SBUF than there is": (
        "tiles = []\n"
        "for i in range(60):\n"
        "    tile = nl.ndarray((128, 1024), nl.float32, name=f'tile{i}')  # <- wrong\n"
        "    nisa.memset(tile, 0.0)\n"
        "    tiles.append(tile)\n"
        "for tile in tiles:\n"
        "    nisa.tensor_tensor(tiles[0], tiles[0], tile, nl.add)",
        ["sbuf is over capacity by 32,776 bytes a partition", "212,984 bytes a partition",
         "245,760 bytes", "tile0 4,096 B", "tile3 4,096 B"],
    ),
    "one tile that is larger than SBUF": (
        "tile = nl.ndarray((128, 60000), nl.float32, name='wide')  # <- wrong\n"
        "nisa.memset(tile, 0.0)",
        ["wide", "27,016 bytes a partition", "212,984 bytes a partition", "[128, 60000]"],
    ),
    "more PSUM than there is": (
        "one = {'shape': (128, 512), 'dtype': nl.float32, 'buffer': nl.psum}\n"
        "banks = [nl.ndarray(**one) for _ in range(9)]  # <- wrong\n"
        "for bank in banks:\n"
        "    nisa.memset(bank, 0.0)\n"
        "for bank in banks:\n"
        "    nisa.tensor_copy(nl.ndarray((128, 512), nl.float32), bank)",
        ["psum is over capacity by 2,048 bytes a partition", "16,384 bytes a partition"],
    ),
    "a dtype the tensor engine does not take": (
        "tile = nl.zeros((128, 128), nl.int32)\n"
        "out = nl.ndarray((128, 128), nl.float32, buffer=nl.psum)\n"
        "nisa.nc_matmul(out, tile, tile)  # <- wrong",
        ["stationary is one of bfloat16, float16", "moving is one of", "sbuf int32 [128, 128]"],
    ),
    "bits of a float": (
        "tile = loaded(a)\n"
        "nisa.tensor_tensor(tile, tile, tile, nl.bitwise_and)  # <- wrong",
        ["bitwise operators take integers", "sbuf float32 [128, 128]"],
    ),
    "GpSimd in PSUM": (
        "bank = nl.ndarray((128, 128), nl.float32, buffer=nl.psum)\n"
        "nisa.memset(bank, 0.0, engine=nisa.engine.gpsimd)  # <- wrong",
        ["GpSimd cannot reach it", "psum float32 [128, 128]"],
    ),
    "DMA from PSUM": (
        "bank = nl.zeros((128, 128), nl.float32, buffer=nl.psum)\n"
        "out = nl.ndarray((128, 128), nl.float32, buffer=nl.shared_hbm)\n"
        "nisa.dma_copy(out, bank)  # <- wrong",
        ["src is not in PSUM", "psum float32 [128, 128]"],
    ),
    "HBM in an engine": (
        "nisa.tensor_copy(nl.ndarray((128, 128), nl.float32), a)  # <- wrong",
        ["src is on chip", "shared_hbm float32 [128, 128] a"],
    ),
    "the wrong engine": (
        "nisa.memset(nl.ndarray((128, 4), nl.float32), 0.0, engine=nisa.engine.tensor)  # <- wrong",
        ["runs on vector or gpsimd"],
    ),
    "an engine by its name as text": (
        "nisa.memset(nl.ndarray((128, 4), nl.float32), 0.0, engine='vector')  # <- wrong",
        ["engine"],
    ),
    "partitions that start in between": (
        "tile = loaded(a)\n"
        "nisa.tensor_copy(nl.ndarray((64, 4), nl.float32), tile[16:80, 0:4])  # <- wrong",
        ["src starts at a partition its height allows", "sbuf float32 [64, 4]"],
    ),
    "reading what was never written": (
        "tile, copy = (nl.ndarray((128, 4), nl.float32, name=n) for n in ('empty', 'copy'))\n"
        "nisa.tensor_copy(copy, tile)  # <- wrong",
        ["empty is read before all of it is written", "sbuf float32 [128, 4] empty"],
    ),
    "a slice out of bounds": (
        "tile = nl.ndarray((128, 128), nl.float32)\n"
        "nisa.dma_copy(tile, a[0:128, 64:192])  # <- wrong",
        ["a: [64:192] leaves dimension 1", "0 to 128", "shared_hbm float32 [128, 128] a"],
    ),
    "an index out of bounds": (
        "nisa.memset(nl.ndarray((4, 8), nl.float32)[:, 8], 0.0)  # <- wrong",
        ["index 8 leaves dimension 1", "0 to 8"],
    ),
    "half an index": (
        "n = 128\n"
        "tile = loaded(a)\n"
        "nisa.memset(tile[:, n / 4 : n], 0.0)  # <- wrong",
        ["is not made of whole numbers"],
    ),
    "shapes that do not meet in a copy": (
        "tile = nl.ndarray((128, 128), nl.float32)\n"
        "nisa.dma_copy(tile, a[:, 0:64])  # <- wrong",
        ["dst and src have equally many elements", "[128, 128]", "[128, 64]"],
    ),
    "shapes that do not meet in arithmetic": (
        "tile = loaded(a)\n"
        "nisa.tensor_tensor(tile, tile, tile[:, 0:64], nl.add)  # <- wrong",
        ["equally long rows", "[128, 128]", "[128, 64]"],
    ),
    "shapes that do not meet in a matmul": (
        "tile = loaded(a)\n"
        "bank = nl.ndarray((64, 128), nl.float32, buffer=nl.psum)\n"
        "nisa.nc_matmul(bank, tile, tile)  # <- wrong",
        ["dst has a row for every stationary column", "psum float32 [64, 128]"],
    ),
    "a shape without elements": (
        "nisa.memset(nl.ndarray((128, 0), nl.float32), 0.0)  # <- wrong",
        ["memset: dst has no elements", "every dimension is at least 1"],
    ),
    "a shape of negative numbers": (
        "nl.ndarray((128, -4), nl.float32)  # <- wrong",
        ["cannot have the shape (128, -4)", "none below 0"],
    ),
    "a shape that is not whole": (
        "nl.ndarray((128, 4.5), nl.float32)  # <- wrong",
        ["shape", "4.5"],
    ),
    "a shape that is no shape": (
        "nl.ndarray('wide', nl.float32)  # <- wrong",
        ["shape", "wide"],
    ),
    "a dtype that does not exist": (
        "nl.ndarray((128, 4), 'float33')  # <- wrong",
        ["no number format is called 'float33'", "did you mean 'float32'?"],
    ),
    "a dtype that the chip does not have": (
        "nl.ndarray((128, 4), np.float64)  # <- wrong",
        ["no number format is called 'float64'"],
    ),
    "a memory by its name as text": (
        "nl.ndarray((128, 4), nl.float32, buffer='sbuf')  # <- wrong",
        ["buffer='sbuf' is not a memory", "nl.sbuf"],
    ),
    "an operator that does not exist": (
        "tile = loaded(a)\n"
        "nisa.tensor_tensor(tile, tile, tile, 'ad')  # <- wrong",
        ["no operator is called 'ad'", "did you mean 'add'?"],
    ),
    "a function that does not exist": (
        "tile = loaded(a)\n"
        "nisa.activation(tile, 'exq', tile)  # <- wrong",
        ["no activation function is called 'exq'", "did you mean 'exp'?"],
    ),
    "a number for a tile": (
        "nisa.tensor_copy(loaded(a), 3.0)  # <- wrong",
        ["src is not a tile", "float 3.0"],
    ),
    "nothing for a tile": (
        "nisa.tensor_copy(loaded(a), None)  # <- wrong",
        ["src is not a tile", "None"],
    ),
    "an array of the host for a tile": (
        "nisa.tensor_copy(loaded(a), A)  # <- wrong",
        ["src is a ndarray, not a tensor of this kernel"],
    ),
    "a branch on data": (
        "tile = loaded(a)\n"
        "if tile:  # <- wrong\n"
        "    pass",
        ["a branch on a tensor's value", "sbuf float32 [128, 128]", "nl.where"],
    ),
    "a value of the device in Python": (
        "print(float(loaded(a)[0, 0]))  # <- wrong",
        ["where Python needs a number", "nl.device_print"],
    ),
    "a division that leaves the whole numbers": (
        "stored(loaded(a)[:, 0 : 128 / 2])  # <- wrong",
        ["[0:64.0] is not made of whole numbers", "divide with // instead of /"],
    ),
    "a shape that a division made": (
        "nl.ndarray((128, 64), nl.float32)\n"
        "nl.ndarray((128, 128 / 2), nl.float32)  # <- wrong",
        ["cannot have the shape (128, 64.0)", "all of them whole numbers"],
    ),
    "a dtype of 64 bits": (
        "nl.ndarray((128, 64), np.float64)  # <- wrong",
        ["no number format is called 'float64'; did you mean 'float32'?"],
    ),
    "a parameter of the older API": (
        "nl.load(a, mask=None)  # <- wrong",
        ["signature  load(src, dtype=None)\n", "neuronxcc.nki has 'mask': trnlab migrate FILE"],
    ),
    "the first of two parameters that are as near": (
        "tile = loaded(a)\n"
        "nisa.tensor_scalar(tile, tile, op=nl.add, operand0=1.0)  # <- wrong",
        ["has no parameter 'op'", "did you mean 'op0'?"],
    ),
    "a tensor beyond any machine": (
        "nl.ndarray((2**20, 2**21), nl.float32, buffer=nl.hbm)  # <- wrong",
        ["would take 8,796,093,022,208 bytes", "1,099,511,627,776 bytes"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_error_says_what_where_and_by_how_much(case, failing):
    body, said = CASES[case]
    error, places = failing(kernel(body))
    for part in (*said, *places):
        assert part in error, error


def test_an_instruction_that_a_generation_lacks(failing):
    body = (
        "tile, bound, out = loaded(a), nl.zeros((128, 1), nl.float32), loaded(a)\n"
        "nisa.range_select(out, tile, nl.greater, nl.less, bound, bound)  # <- wrong"
    )
    error, places = failing(kernel(body), "--chip", "trn1")
    assert "range_select breaks a rule of NeuronCore-v2 (trn1)" in error
    assert "needs a core with 'range_select'" in error
    assert places[0] in error


def test_all_broken_rules_are_listed_at_once(failing):
    body = (
        "tile = nl.ndarray((128, 128), nl.float32)\n"
        "out = nl.ndarray((128, 128), nl.float32)\n"
        "nisa.nc_matmul(out, tile, tile)  # <- wrong\n"
        "nisa.memset(nl.ndarray((129, 2), nl.float32), 0.0)  # <- wrong\n"
        "return stored(out)"
    )
    error, places = failing(kernel(body))
    assert error.startswith("error: 3 rules broken\n")
    for part in ("dst is in PSUM", "is read before all of it is written", "spans 129", *places):
        assert part in error


def test_an_index_out_of_bounds_ends_the_list(failing):
    """What lies behind it is undefined; what was found before is still said."""
    body = (
        "tile = loaded(a)\n"
        "nisa.nc_matmul(nl.ndarray((128, 128), nl.float32), tile, tile)  # <- wrong\n"
        "nisa.memset(tile[:, 100:200], 0.0)  # <- wrong"
    )
    error, places = failing(kernel(body))
    for part in ("dst is in PSUM", "[100:200] leaves dimension 1", *places):
        assert part in error, error


# --- how a kernel is called


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("kernel()", ["missing a required argument: 'a'", "kernel(a)"]),
        ("kernel(A, A)", ["too many positional arguments", "kernel(a)"]),
        ("kernel(A, b=1)", ["unexpected keyword argument 'b'"]),
        ("kernel(np.ones((4, 4)))", ["argument a is float64", "[4, 4]", "astype(np.float32)"]),
        ("kernel(np.arange(4))", ["argument a is int64", "astype(np.int32)"]),
        ("kernel(np.ones((4, 4), complex))", ["argument a is complex128"]),
        ("kernel(np.array([['x']]))", ["argument a is an array of <U1, not of numbers"]),
        ("kernel(np.array([[None]]))", ["argument a is an array of object, not of numbers"]),
        ("kernel(np.array(1, np.float32))", ["argument a has no dimensions"]),
    ],
)
def test_wrong_arguments(call, said, failing):
    script = kernel("return stored(loaded(a))", call)
    error, _ = failing(script)
    line = len(script.splitlines())
    for part in (*said, f"script.py:{line}"):
        assert part in error, error


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nisa.dma_copy(tile, a)", ["dma_copy: src has no elements", "float32 [0, 4] a"]),
        ("nisa.memset(tile[:, 3:3], 0.0)", ["memset: dst has no elements", "[128, 0] tile"]),
        ("nisa.tensor_copy(tile, tile[128:128])", ["tensor_copy: src has no elements", "[0, 4]"]),
        ("tile[:, 3:2]", ["tile: [3:2] leaves dimension 1", "0 to 4"]),
        ("tile[:, 5:5]", ["tile: [5:5] leaves dimension 1", "0 to 4"]),
    ],
)
def test_nothing_to_work_on(line, said, failing):
    """What has no elements may be passed and cut, but no instruction takes it."""
    body = f"tile = nl.zeros((128, 4), nl.float32, name='tile')\n{line}  # <- wrong"
    error, places = failing(kernel(body, "kernel(np.zeros((0, 4), np.float32))"))
    for part in (*said, *places):
        assert part in error, error


@pytest.mark.parametrize("shape", ["(64, 128)", "(128, 64)", "(128,)", "(1, 128, 128)"])
def test_arrays_of_another_shape_than_the_kernel_expects(shape, failing):
    body = (
        "tile = nl.ndarray((128, 128), nl.float32)\n"
        "nisa.dma_copy(tile, a[0:128, 0:128])  # <- wrong\n"
        "return stored(tile)"
    )
    script = kernel(body, f"kernel(np.ones({shape}, np.float32))")
    if shape == "(1, 128, 128)":
        error, _ = failing(script)
        assert "leaves dimension 0" in error
        return
    error, places = failing(script)
    assert places[0] in error
    assert "dimension" in error


def test_a_result_on_chip(failing):
    error, _ = failing(kernel("return loaded(a)"))
    assert "the kernel returns sbuf float32 [128, 128]" in error
    assert "buffer=nl.shared_hbm" in error


def test_an_instruction_outside_of_a_kernel(failing):
    error, places = failing(HEAD + f"nl.ndarray((4, 4), nl.float32)  {WRONG}\n")
    assert "outside of a kernel" in error
    assert places[0] in error


# --- the user's own mistakes


def test_an_exception_of_the_kernel_shows_the_users_lines_only(failing):
    body = "def inner():\n    raise ValueError('mine')  # <- wrong\ninner()"
    error, places = failing(kernel(body))
    assert error.startswith("error: the script raised an exception of its own\n")
    assert error.rstrip().endswith("ValueError: mine")
    file, _, line = places[0].rpartition(":")
    assert f'File "{file}", line {line}, in inner' in error
    assert error.count('File "') == 3  # the call, the kernel, the function inside


@pytest.mark.parametrize("folder", ["clickhouse", "typer-notes", "trnlab_kernels"])
def test_the_users_lines_are_shown_wherever_their_file_is(folder, tmp_path, failing):
    (tmp_path / folder).mkdir()
    text = kernel("raise ValueError('mine')  # <- wrong")
    (tmp_path / folder / "k.py").write_text(text)
    error, _ = failing(text, name=f"{folder}/k.py")
    assert 'k.py", line' in error


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("nisa.frobnicate(a)  # <- wrong", "AttributeError"),
        ("nl.multiplyy(a, 2)  # <- wrong", "did you mean 'multiply'?"),
        ("a.shap  # <- wrong", "has no attribute 'shap'"),
        ("undefined_name  # <- wrong", "NameError"),
        ("np.ones(3) @ np.ones(4)  # <- wrong", "ValueError"),
        ("assert a.shape[0] == 64, 'rows'  # <- wrong", "AssertionError: rows"),
    ],
)
def test_mistakes_in_the_users_python(body, said, failing):
    error, places = failing(kernel(body))
    file, _, line = places[0].rpartition(":")
    assert f'File "{file}", line {line}, in kernel' in error
    assert said in error


def test_what_an_instruction_was_not_given(failing):
    error, places = failing(kernel("nisa.memset(loaded(a))  # <- wrong"))
    assert error.startswith("error: memset needs value\n")
    assert places[0] in error
    assert "nki.isa.memset(dst, value" in error


def test_a_syntax_error(failing):
    error, _ = failing(HEAD + "def kernel(:\n    pass\n")
    assert "SyntaxError" in error
    assert f"line {len(HEAD.splitlines()) + 1}" in error
    assert "script.py" in error


def test_a_syntax_error_in_a_kernel_file(failing):
    error, _ = failing(HEAD + "def kernel(:\n    pass\n", name="script.py:kernel")
    assert "SyntaxError" in error


def test_an_import_that_does_not_exist(failing):
    error, places = failing(f"import no_such_module_here  {WRONG}\n")
    assert "No module named 'no_such_module_here'" in error
    assert f"line {places[0].rpartition(':')[2]}" in error


# --- files and flags


def test_a_file_without_kernels(failing):
    error, _ = failing("x = 1\n")
    assert "script.py called no kernel" in error
    assert "none with @nki.jit" in error


def test_a_file_that_calls_none_of_its_kernels(failing):
    error, _ = failing(HEAD + "@nki.jit\ndef kernel(a):\n    return stored(loaded(a))\n")
    assert "called no kernel" in error
    assert "kernels" in error
    assert "kernel" in error
    assert "--in 'f32[128,512]'" in error


GOOD = kernel("return stored(loaded(a))", "'main'")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "scrip.py"], "no file is called 'scrip.py'; did you mean 'script.py'?"),
        (["run", "."], "no file is called '.'"),
        (["run", "script.py", "--chip", "tron2"], "did you mean 'trn2'?"),
        (["run", "script.py:kernle", "--in", "f32[4,4]"], "did you mean 'kernel'?"),
        (["run", "script.py:kernel"], "missing a required argument: 'a'"),
        (["run", "script.py:kernel", "--in", "f33[4,4]"], "no number format is called 'f33'"),
        (["run", "script.py:kernel", "--in", "f32[4,0]"], "has no elements"),
        (["run", "script.py:kernel", "--in", "f32[4,]x"], "neither an array nor a number"),
        (["run", "script.py:kernel", "--in", "f32[]"], "neither an array nor a number"),
        (["run", "script.py:kernel", "--in", "f32[,]"], "neither an array nor a number"),
        (["run", "script.py:kernel", "--in", "f32[4 4]"], "neither an array nor a number"),
        (["run", "script.py:kernel", "--in", "b=f32[4,4]"], "known: a"),
        (["run", "script.py:kernel", "--in", "f32[4,4]", "--seeds", "3"], "'--seeds'"),
        (["run", "script.py:kernel", "--in", "f32[4,4]", "--trace", "t.txt"], "'.txt'"),
        (["run", "script.py:kernel", "--in", "f32[4,4]", "--trace", "no/t.json"], "no folder 'no'"),
        (["run", "script.py:kernel", "--in", "f32[4,4]", "--trace", "."], "trace format"),
        (["run", "script.py:kernel", "--in", "f32[4,4]", "--trace", "d.json"], "it is a folder"),
        (["run", "script.py:kernel", "--in", "f32[4,4]", "--no-time", "--trace", "t.json"],
         "there is no timeline to write"),
        (["run", "script.py", "--parquet", "out", "--no-time"], "--parquet explain a time"),
        (["run", "script.py", "--parquet", "script.py"], "'script.py' is a file"),
        (["run", "script.py", "--parquet", "."], "holds 'd.json'"),
        (["isa", "nc_matmull"], "did you mean 'nc_matmul'?"),
        (["chips", "tron2"], "did you mean 'trn2'?"),
    ],
)  # fmt: skip
def test_wrong_words_on_the_command_line(words, said, tmp_path, capsys, monkeypatch):
    (tmp_path / "script.py").write_text(GOOD)
    (tmp_path / "d.json").mkdir()
    before = sorted(tmp_path.rglob("*"))
    told = command(words, capsys, monkeypatch)
    assert told.code == 1, told.out + told.err
    assert said in told.err
    assert "Traceback" not in told.err
    assert told.out in ("", "main\n")
    after = [p for p in sorted(tmp_path.rglob("*")) if "__pycache__" not in p.parts]
    assert after == before


@pytest.mark.parametrize("name", ["GEN5", "trn22", ""])
def test_the_chip_of_the_environment(name, tmp_path, capsys, monkeypatch):
    (tmp_path / "script.py").write_text(kernel("return stored(loaded(a))"))
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", name)
    told = command(["run", "script.py"], capsys, monkeypatch)
    assert told.code == (1 if name else 0)
    assert not name or f"no chip is called '{name}'" in told.err


def test_a_file_that_is_no_text(tmp_path, capsys, monkeypatch):
    (tmp_path / "script.py").write_bytes(b"\x00\xff\xfe\x00")
    told = command(["run", "script.py"], capsys, monkeypatch)
    assert told.code == 1
    assert "Traceback" not in told.err


# --- what is no mistake


def test_nan_and_infinity_are_data():
    def add_one(a):
        tile = load(a)
        nisa.tensor_scalar(tile, tile, nl.add, 1.0)
        nisa.activation(tile, nl.copy, tile)
        return store(tile)

    a = np.array([[np.nan, np.inf, -np.inf, 1.0]], np.float32)
    assert same(value(add_one, a), a + 1)


def test_nan_and_infinity_in_every_reduction():
    def reduced(a):
        tile = load(a)
        out = nl.ndarray((2, 1), nl.float32)
        nisa.tensor_reduce(out, nl.add, tile, 1)
        return store(out)

    a = np.array([[np.inf, -np.inf, 1.0], [np.nan, 1.0, 2.0]], np.float32)
    assert np.isnan(value(reduced, a)).all()


def test_overflow_is_no_error():
    def squared(a):
        tile = load(a)
        nisa.tensor_tensor(tile, tile, tile, nl.multiply)
        half = nl.ndarray(tile.shape, nl.float16)
        nisa.tensor_copy(half, tile)
        return store(half)

    out = value(squared, np.array([[1e30, 300.0, -1e30]], np.float32))
    assert same(out, np.array([[np.inf, np.inf, np.inf]], np.float16))


def test_a_file_beside_the_package_is_the_users():
    """Its path begins as ours does, up to the name of the folder."""
    file = f"{Path(trnlab.__file__).parent}_mine.py"
    scope = {"nl": nl, "store": store}
    text = "def kernel(a):\n    tile = nl.ndarray((128, 4), nl.float32)\n    nl.copy(tile)\n"
    exec(compile(text, file, "exec"), scope)
    with pytest.raises(trnlab.Violations) as caught:
        value(scope["kernel"], np.ones((1, 1), np.float32))
    (found,) = caught.value.found
    assert str(found.place) == f"{file}:3"


# --- operands that make no sense, one call each: an error of ours, never Python's or NumPy's

SQUARE = np.ones((128, 16), np.float32)
SENSELESS = {
    "axis of a reduction": lambda t: nisa.tensor_reduce(column(), nl.add, t, 5),
    "longer pattern than dst": lambda t: nisa.iota(nl.ndarray((128, 4), nl.int32), [[1, 5]]),
    "shorter pattern": lambda t: nisa.affine_select(t, [[1, 3]], 0, t, 0.0),
    "no operand": lambda t: nisa.tensor_scalar(t, t, nl.add, None),
    "text as operand": lambda t: nisa.tensor_scalar(t, t, nl.add, "x"),
    "text as fill": lambda t: nisa.memset(t, "x"),
    "NaN in integers": lambda t: nisa.memset(nl.ndarray((4, 4), nl.int32), float("nan")),
    "engine as text": lambda t: nisa.memset(t, 0.0, engine="vector"),
    "engine as number": lambda t: nisa.tensor_copy(t, t, engine=5),
    "mode as text": lambda t: nisa.nc_matmul(bank(), t, t, perf_mode="double_row"),
    "tile size of one number": lambda t: nisa.nc_matmul(
        bank(), t, t, tile_position=(0,), tile_size=(32,)
    ),
    "axes that are not there": lambda t: nisa.dma_transpose(
        nl.ndarray((16, 128), nl.float32), t, axes=(0, 5)
    ),
    "transposed shape": lambda t: nisa.nc_transpose(
        nl.ndarray((128, 16), nl.float32, buffer=nl.psum), t
    ),
    "short shuffle": lambda t: nisa.nc_stream_shuffle(t, t, [0] * 31),
    "far shuffle": lambda t: nisa.nc_stream_shuffle(t, t, [40] * 32),
    "no sources": lambda t: nisa.dma_compute(t, [], nl.add),
    "one source, not in a list": lambda t: nisa.dma_compute(t, t, nl.add),
    "five statistics": lambda t: nisa.bn_stats(nl.ndarray((128, 5), nl.float32), t),
    "four of the largest eight": lambda t: nisa.max8(nl.ndarray((128, 4), nl.float32), t),
    "values to find": lambda t: nisa.nc_find_index8(t, t, t),
    "no start of a scan": lambda t: nisa.tensor_tensor_scan(t, t, t, None, nl.add, nl.add),
    "choice among rows": lambda t: nisa.select_reduce(t, t, t, t),
    "indices of fp32": lambda t: nisa.local_gather(t, t, t),
    "fp32 to quantize": lambda t: nisa.quantize_mx(t, t, t),
    "text as probability": lambda t: nisa.dropout(t, t, "x"),
    "sum over rows that stay": lambda t: nisa.activation_reduce(t, nl.exp, t, nl.add, t),
    "operator of nothing": lambda t: nisa.tensor_tensor(t, t, t, None),
    "negative offset": lambda t: nisa.tensor_copy(t, t.ap([[16, 128], [1, 16]], offset=-1)),
}


def column():
    return nl.ndarray((128, 1), nl.float32)


def bank():
    return nl.ndarray((16, 16), nl.float32, buffer=nl.psum)


@pytest.mark.parametrize("case", SENSELESS)
@pytest.mark.parametrize("values", [True, False])
def test_operands_that_make_no_sense(case, values):
    with pytest.raises(trnlab.TrnlabError):
        value(lambda a: SENSELESS[case](load(a)), SQUARE, values=values)


# --- saved runs


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a saved run with other columns."""
    head, _, body = path.read_bytes().partition(b"\n")
    with np.load(io.BytesIO(body)) as held:
        columns = {name: held[name] for name in held.files}
    change(columns)
    packed = io.BytesIO()
    np.savez_compressed(packed, **columns)
    other = path.with_name("other.run")
    other.write_bytes(head + b"\n" + packed.getvalue())
    return other


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    trace = trace_of()
    trace.meta["chip"] = "trn2"
    return artifacts.write(tmp_path / "good.run", artifacts.RUN, "k", "trn2", trace)


@pytest.mark.parametrize(
    "change",
    [
        lambda held: held.pop("lane"),
        lambda held: held.update(lane=held["lane"][:1]),
        lambda held: held.update(lane=held["lane"] + 99),
        lambda held: held.update(lane=held["lane"].astype(float)),
        lambda held: held.update(start=np.zeros((3, 3))),
        lambda held: held.update(start=held["start"].astype(str)),
        lambda held: held.update(stop=held["stop"] * np.nan),
        lambda held: held.update(blocker=np.zeros_like(held["blocker"])),
        lambda held: held.update(blocker=held["blocker"] + 1000),
        lambda held: held.update(texts=held["texts"][:-9]),
    ],
)
def test_a_damaged_run_is_refused(change, saved, capsys, monkeypatch):
    other = changed(saved, change)
    view = ["neuron-profile", "view", "--output-format", "summary-json", "-s", str(other)]
    for words in (["diff", str(saved), str(other)], view):
        told = command(words, capsys, monkeypatch)
        assert told.code == 1
        assert "the trace in 'other.run' is damaged" in told.err
        assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda head, body: (head, body[: len(body) // 2]), "is damaged"),
        (lambda head, body: (head, b"PK\x03\x04" + bytes(100)), "is damaged"),
        (lambda head, body: (head | {"version": "0.0.1"}, body[:99]), "trnlab 0.0.1"),
        (lambda head, body: (head | {"chip": "trn9"}, body), "no chip is called 'trn9'"),
        (lambda head, body: (head | {"chip": 3}, body), "was not written by trnlab"),
        (lambda head, body: ({"made_by": "trnlab"}, body), "was not written by trnlab"),
        (lambda head, body: (head, b""), "holds no times"),
    ],
)
def test_files_that_are_no_run_of_this_version(edit, said, saved, capsys, monkeypatch):
    head, _, body = saved.read_bytes().partition(b"\n")
    head, body = edit(json.loads(head), body)
    other = saved.with_name("other.run")
    other.write_bytes(json.dumps(head).encode() + b"\n" + body)
    told = command(["diff", str(saved), str(other)], capsys, monkeypatch)
    assert told.code == 1
    assert said in told.err
    assert "Traceback" not in told.err
