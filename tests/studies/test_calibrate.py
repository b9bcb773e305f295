"""Constants fitted to timings; timings that make no sense are refused."""

import re

import pytest

from trnlab.errors import BadArguments, TrnlabError, UnknownName
from trnlab.machine.catalogue import chip as find_chip
from trnlab.studies.validation.calibrate import calibrate, fitted_paths, report, with_constants
from trnlab.studies.validation.measurements import Measurement, read
from trnlab.studies.validation.timed import KERNELS, seconds, traces

HEAD = "kernel,shape,dtype,chip,seconds\n"


def row(kernel, shape, value, chip="trn2"):
    return Measurement(
        kernel, kernel, shape, "fp32", chip, "seconds", value, "s", "device", "fit", ""
    )


def test_what_is_fitted_is_named():
    assert fitted_paths(find_chip("trn2")) == [
        "core.dma.wake_software",
        "core.timing.reciprocal",
        "core.timing.launch",
        "core.timing.profiler",
    ]
    assert fitted_paths(find_chip("trn3")) == []


def test_a_constant_is_found_again():
    """Timings made by a chip whose launch takes 12 us lead back to 12 us."""
    path = "core.timing.launch"
    slower = with_constants(find_chip("trn2"), {path: 12e-6})
    rows = []
    for kernel, shape in (("attention_fused", "length=512"), ("add_columns", "n=25600 width=50")):
        empty = row(kernel, shape, 1.0)
        rows.append(row(kernel, shape, seconds(empty, traces(empty, slower), slower)))
    fit = calibrate(rows, "trn2", [path])
    assert fit.after[path] == pytest.approx(12e-6, rel=0.01)
    assert fit.chip.core.timing.launch == fit.after[path]
    assert all(abs(after) < 0.01 < abs(before) for _, before, after in fit.residuals)
    assert re.search(rf"{path} +7.90 us +12.\d us\n", report(fit))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rows"),
        ("kernel,shape\nsilu,M=128\n", "no column dtype"),
        (HEAD, "no rows"),
        (HEAD.replace(",", ";") + "silu;M=128 N=1024;fp32;trn2;1e-3\n", "columns with commas"),
        ("kernel," + HEAD + "silu,silu,M=128 N=1024,fp32,trn2,1\n", "the column kernel twice"),
        (HEAD + "silu,M=128 N=1024,fp32\n", "line 2: 3 cells and 5 columns"),
        (HEAD + "silu,M=128 N=1024,fp32,trn2,1e-3,device\n", "line 2: 6 cells and 5 columns"),
        (HEAD + '"silu,M=128 N=1024,fp32,trn2,1e-3\n', "not a CSV file"),
        (HEAD + "silu,M=0 N=1024,fp32,trn2,1e-3\n", "line 2: M is 0"),
        (HEAD + "silu,M=-128 N=1024,fp32,trn2,1e-3\n", "line 2: M is -128"),
        (HEAD + "silu,M=9999999999 N=1024,fp32,trn2,1e-3\n", "line 2: M is 9,999,999,999"),
        (HEAD + "silu,M=128 M=256,fp32,trn2,1e-3\n", "shape is"),
        ("\ufeff" + HEAD.title() + "silu,M=128 N=1024,fp32,trn2,1e-3\n\n" * 2, None),
        (HEAD + "silu,M=128 N=1024,fp32,trn2,fast\n", "seconds is 'fast'"),
        (HEAD + "silu,M=128 N=1024,fp32,trn2,-1\n", "seconds is '-1'"),
        (HEAD + "silu,M=128 N=1024,fp32,trn2,nan\n", "seconds is 'nan'"),
        (HEAD + "silu,big,fp32,trn2,1e-3\n", "shape is 'big'"),
        (HEAD + "silu,M=many,fp32,trn2,1e-3\n", "shape is 'M=many'"),
        (HEAD + "silu,M=128 N=1024,fp32,trn9,1e-3\n", "trn9"),
        (HEAD + "sillu,M=128 N=1024,fp32,trn2,1e-3\n", "silu"),
        (HEAD + "silu,M=128 N=1024,int4,trn2,1e-3\n", "int4"),
        (HEAD + "silu,M=128 N=1024,fp32,trn2,1e-3\n" * 2, None),
        (HEAD + "".join(f"silu,M=128 N=1024,fp32,trn2,{s}\n" for s in (1, 2)), "the same thing"),
    ],
)
def test_timings_that_make_no_sense_say_where(text, said, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(text, encoding="utf-8")
    if said is None:
        assert len(read(str(file), KERNELS)) == 2
        return
    with pytest.raises(TrnlabError) as caught:
        read(str(file), KERNELS)
    assert said in str(caught.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(BadArguments, match="there is no file"):
        read(str(tmp_path / "none.csv"), KERNELS)
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00kernel")
    with pytest.raises(BadArguments, match="not a CSV file"):
        read(str(tmp_path / "bytes.csv"), KERNELS)


def test_timings_of_other_chips_other_shapes_and_other_units():
    path = ["core.timing.launch"]
    with pytest.raises(BadArguments, match="all are on trn1"):
        calibrate([row("attention_fused", "length=512", 1e-5, "trn1")], "trn2", path)
    with pytest.raises(BadArguments, match="trn3 has no fitted constants"):
        calibrate([row("attention_fused", "length=512", 1e-5, "trn3")], "trn3")
    with pytest.raises(BadArguments, match="attention_fused cannot run with length=500 in fp32"):
        calibrate([row("attention_fused", "length=500", 1e-5)], "trn2", path)
    with pytest.raises(BadArguments, match="took 20 s, and the model says"):
        calibrate([row("attention_fused", "length=512", 20.0)], "trn2", path)


def test_too_few_timings_and_unknown_constants():
    with pytest.raises(BadArguments, match="cannot fix 4 constants"):
        calibrate([row("attention_fused", "length=512", 1e-5)], "trn2")
    with pytest.raises(UnknownName, match="launch"):
        calibrate([row("attention_fused", "length=512", 1e-5)], "trn2", ["core.timing.lunch"])
    with pytest.raises(BadArguments, match="lacks 'length'"):
        calibrate([row("attention_fused", "n=512", 1e-5)], "trn2", ["core.timing.launch"])


KERNEL = """
import nki
import nki.isa as nisa
import nki.language as nl


@nki.jit
def scaled(a, scale):
    assert a.shape[1] > 1
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    tile = nl.ndarray(a.shape, a.dtype)
    nisa.dma_copy(tile, a)
    nisa.tensor_scalar(tile, tile, nl.multiply, scale)
    nisa.dma_copy(out, tile)
    return out
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "mine.py").write_text(KERNEL)

    def timings(*rows):
        path = tmp_path / "mine.csv"
        path.write_text(HEAD + "".join(f"{tmp_path}/mine.py:{row}\n" for row in rows))
        return read(str(path), KERNELS)

    return timings


def test_kernels_of_users_are_timed_too(own):
    path = "core.timing.launch"
    slower = with_constants(find_chip("trn2"), {path: 12e-6})
    shapes = ["f32[128,64]; scale=2.0", "bf16[128,2048]; 3"]
    rows = own(*(f'scaled,"{shape}",,trn2,1' for shape in shapes))
    assert [row.shape for row in rows] == shapes
    times = [seconds(row, traces(row, slower), slower) for row in rows]
    rows = own(*(f'scaled,"{s}",,trn2,{t}' for s, t in zip(shapes, times, strict=True)))
    fit = calibrate(rows, "trn2", [path])
    assert fit.after[path] == pytest.approx(12e-6, rel=0.01)
    assert "scaled f32[128,64]; scale=2.0 (device)" in report(fit)


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        ('scale,"f32[128,64]; 2.0",,trn2,1', UnknownName, "did you mean 'scaled'?"),
        ('scaled,"f32[200,64]; 2.0",,trn2,1', BadArguments, "because  .* spans 200 partitions"),
        ('scaled,"f99[128,64]; 2.0",,trn2,1', BadArguments, "line 2: no number format"),
        ('scaled,"f32[128,64]",,trn2,1', BadArguments, "missing a required argument: 'scale'"),
    ],
)
def test_kernels_of_users_that_cannot_run(own, row, kind, said):
    with pytest.raises(kind, match=said):
        calibrate(own(row), "trn2", ["core.timing.launch"])


def test_what_a_users_kernel_raises_names_the_line_of_the_timing(own):
    with pytest.raises(AssertionError) as caught:
        calibrate(own('scaled,"f32[128,1]; 2.0",,trn2,1'), "trn2", ["core.timing.launch"])
    (note,) = caught.value.__notes__
    assert note.endswith("mine.csv, line 2: with f32[128,1]; 2.0")
