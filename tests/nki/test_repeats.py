"""Loops whose iterations are written instead of run: nobody can tell the difference."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import trnlab.nki.isa as nisa
import trnlab.nki.language as nl
import trnlab.nki.legacy.isa as old_isa
import trnlab.nki.legacy.language as old
from benchmarks import kernels
from tests.fuzz import choices
from trnlab.errors import OutOfBounds
from trnlab.nki import entry, jit
from trnlab.nki.legacy import entry as older
from trnlab.sim.core import Run
from trnlab.sim.progression import Progression

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("[0-9]*.py"))
X = np.zeros((1024, 1024), np.float32)


@pytest.fixture
def runs(monkeypatch):
    """Every run that finishes."""
    found = []
    finish = Run.finish
    monkeypatch.setattr(Run, "finish", lambda run: found.append(run) or finish(run))
    return found


@pytest.fixture
def written(monkeypatch):
    """How many iterations were written, loop by loop."""
    found = []
    write = Progression.write
    monkeypatch.setattr(
        Progression,
        "write",
        lambda self, program, count, loop: found.append(count) or write(self, program, count, loop),
    )
    return found


def rows(run):
    program = run.program
    return {
        "heads": program.heads.tolist(),
        "operands": program.operands.tolist(),
        "buffers": program.buffers,
        "costs": program.costs,
        "places": list(program.places),
        "loops": program.loops,
        "updates": program.updates,
        "reduced": program.reduced,
        "edges": program.edges,
        "named": run.named,
        "notes": program.notes,
        "found": list(run.found),
        "warned": list(run.warned),
    }


def both_ways(kernel, args, runs, **how):
    """Records a kernel iteration by iteration and followed; the two must be the same.

    And compute the same, where values are wanted: whole numbers, whose sums are exact.
    """
    whole = [
        np.random.default_rng(0).integers(-4, 5, a.shape).astype(a.dtype)
        if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args
    ]  # fmt: skip
    plain, followed = (told(kernel, whole, runs, True, loops, how) for loops in (False, True))
    assert plain == followed
    plain, followed = (told(kernel, args, runs, False, loops, how) for loops in (False, True))
    assert plain == followed
    return runs[-1].program if runs else None


def told(kernel, args, runs, values, loops, how):
    """All that can be known of a run: an error, what was recorded and what was computed."""
    runs.clear()
    settings = jit.Settings(values=values, timed=False, strict=False, loops=loops, **how)
    mine, computed, error = [np.copy(a) for a in args], None, None
    try:
        computed = jit.simulate(kernel, mine, {}, settings).outputs
    except Exception as raised:
        error = f"{type(raised).__name__} {raised}"
    return error, rows(runs[-1]) if runs else None, values and repr_of([*mine, computed])


def repr_of(value):
    """Arrays by their bytes, wherever they are."""
    if isinstance(value, (list, tuple)):
        return [repr_of(part) for part in value]
    return np.asarray(value).tobytes()


@entry.jit
def tiled(x):
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    for i in range(8):
        for j in nl.affine_range(8):
            tile = nl.ndarray((128, 128), x.dtype)
            nisa.dma_copy(tile, x[i * 128 : (i + 1) * 128, nl.ds(j * 128, 128)])
            nisa.activation(tile, nl.exp, tile, name="exp")
            nisa.dma_copy(out[i * 128 : (i + 1) * 128, nl.ds(j * 128, 128)], tile)
    return out


def test_iterations_between_the_first_and_the_last_are_written(runs, written):
    program = both_ways(tiled, (X,), runs)
    assert program is not None
    assert program.count == 3 * 64
    # The inner loop in three turns of the outer one, and that; with values and without.
    assert written == 2 * [6, 6, 6, 6]


@entry.jit
def branches(x):
    tile = nl.ndarray((128, 128), x.dtype)
    for i in range(8):
        if i == 5:
            nisa.memset(tile, 0.0)
        nisa.dma_copy(tile, x[i * 128 : (i + 1) * 128, 0:128])


@entry.jit
def chooses(x):
    tiles = []
    for _ in range(8):
        tile = nl.ndarray((128, 128), x.dtype)
        tiles.append(tile)
    order = [0, 1, 5, 3, 4, 2, 6, 7]
    for i in range(8):
        nisa.dma_copy(tiles[order[i]], x[i * 128 : (i + 1) * 128, 0:128])


@entry.jit
def counts(x):
    done = 0
    for i in range(8):
        tile = nl.ndarray((128, 128), x.dtype)
        nisa.dma_copy(tile, x[i * 128 : (i + 1) * 128, 0:128])
        done = done + 1
        if done == 4:
            nisa.memset(tile, 0.0)


@entry.jit
def carries(x):
    before = nl.ndarray((128, 128), x.dtype)
    nisa.memset(before, 0.0)
    for i in range(8):
        tile = nl.ndarray((128, 128), x.dtype)
        nisa.dma_copy(tile, x[i * 128 : (i + 1) * 128, 0:128])
        nisa.tensor_tensor(tile, tile, before, nl.add)
        before = tile


@entry.jit
def wraps(x):
    tile = nl.ndarray((1, 128), x.dtype)
    for i in range(8):
        nisa.dma_copy(tile, x[i - 4, 0:128].reshape((1, 128)))


@entry.jit
def divides(x):
    tile = nl.ndarray((128, 128), x.dtype)
    for i in range(8):
        row = (i // 4) * 128
        nisa.dma_copy(tile, x[row : row + 128, 0:128])


@entry.jit
def bends(x):
    for i in range(8):
        size = min(128, 1000 - i * 128)
        tile = nl.ndarray((128, 128), x.dtype)
        nisa.dma_copy(tile[0:size, 0:128], x[i * 128 : i * 128 + size, 0:128])


@entry.jit
def grows(x):
    for i in range(8):
        tile = nl.ndarray((128, 1024), x.dtype)
        nisa.dma_copy(tile[0:128, 0 : (i + 1) * 128], x[0:128, 0 : (i + 1) * 128])


@entry.jit
def depends(x):
    tile = nl.ndarray((128, 128), x.dtype)
    for i in range(8):
        for j in range(i, 8):
            nisa.dma_copy(tile, x[j * 128 : (j + 1) * 128, 0:128])


@entry.jit
def leaves(x):
    tile = nl.ndarray((128, 128), x.dtype)
    for i in range(9):
        nisa.dma_copy(tile, x[i * 128 : (i + 1) * 128, 0:128])


@entry.jit
def names(x):
    for i in range(8):
        tile = nl.ndarray((128, 128), x.dtype, name=f"tile{i}")
        nisa.dma_copy(tile, x[i * 128 : (i + 1) * 128, 0:128])


@entry.jit
def numbers(x):
    tile = nl.ndarray((128, 128), x.dtype)
    for i in range(8):
        nisa.memset(tile, i * 2.0)
        nisa.tensor_scalar(tile, tile, nl.add, i)


@entry.jit
def stops(x):
    tile = nl.ndarray((128, 128), x.dtype)
    for i in range(8):
        nisa.dma_copy(tile, x[i * 128 : (i + 1) * 128, 0:128])
        if x.shape[0] == 1024:
            break
    return


@entry.jit
def backwards(x):
    tile = nl.ndarray((128, 128), x.dtype)
    i = 0
    for i in range(7, -1, -1):
        nisa.dma_copy(tile, x[i * 128 : (i + 1) * 128, 0:128])
    nisa.dma_copy(x[i * 128 : (i + 1) * 128, 0:128], tile)


class Counter:
    def __init__(self):
        self.count = 0

    def next(self):
        self.count += 1
        return self.count


@entry.jit
def asks_an_object(x):
    counter = Counter()
    tile = nl.ndarray((128, 128), x.dtype)
    for i in range(8):
        nisa.dma_copy(tile, x[i * 128 : (i + 1) * 128, 0:128])
        if counter.next() == 5:
            nisa.memset(tile, 0.0)


SEEN = []


def remembered(tile):
    SEEN.append(tile)
    if len(SEEN) % 5 == 0:
        nisa.memset(tile, 0.0)


def loaded(x, i):
    parts = []
    for j in range(8):
        part = nl.ndarray((128, 128), x.dtype)
        nisa.dma_copy(part, x[i * 128 : (i + 1) * 128, j * 128 : (j + 1) * 128])
        parts.append(part)
    return parts


@entry.jit
def calls_what_remembers(x):
    SEEN.clear()
    tile = nl.ndarray((128, 128), x.dtype)
    for i in range(8):
        nisa.dma_copy(tile, x[i * 128 : (i + 1) * 128, 0:128])
        remembered(tile)


@entry.jit
def calls_what_loads(x):
    for i in range(8):
        parts = loaded(x, i)
        for part in parts:
            nisa.activation(part, nl.exp, part)


@entry.jit
def waits(x):
    tile = nl.ndarray((128, 128), x.dtype)
    for i in range(8):
        first = nisa.dma_copy(tile, x[i * 128 : (i + 1) * 128, 0:128])
        nisa.memset(tile, 0.0).depends_on(first)


@entry.jit
def half_written(x):
    """Reads what nobody wrote, and writes its argument."""
    for i in range(8):
        tile = nl.ndarray((128, 128), x.dtype)
        nisa.dma_copy(tile[0:64, 0:128], x[i * 128 : i * 128 + 64, 0:128])
        nisa.dma_copy(x[i * 128 : (i + 1) * 128, 128:256], tile)
    return x


@entry.jit
def left_early(x):
    """What the loop put off comes before what follows it."""
    out = nl.ndarray((128, 128), x.dtype, buffer=nl.shared_hbm)
    tile = nl.ndarray((128, 128), x.dtype)
    for i in range(8):
        nisa.dma_copy(tile, x[i * 128 : (i + 1) * 128, 0:128])
        break
    nisa.tensor_scalar(tile, tile, nl.add, 1.0)
    nisa.dma_copy(out, tile)
    return out


@entry.jit
def asks(x):
    """Where rows are loaded from is a value, which the loop has computed."""
    out = nl.ndarray((128, 128), x.dtype, buffer=nl.shared_hbm)
    rows = nl.ndarray((128, 1), nl.int32)
    total = nl.ndarray((128, 128), x.dtype)
    nisa.iota(rows, [[1, 1]], 0, 1)
    nisa.memset(total, 0.0)
    for _ in range(8):
        nisa.tensor_scalar(rows, rows, nl.add, 2)
        tile = nl.ndarray((128, 128), x.dtype)
        nisa.dma_copy(tile, x.ap([[1024, 128], [1, 128]], vector_offset=rows))
        nisa.tensor_tensor(total, total, tile, nl.add)
    nisa.dma_copy(out, total)
    return out


@pytest.mark.parametrize(
    "kernel",
    [branches, chooses, counts, carries, wraps, divides, bends, grows, depends, leaves, names,
     numbers, stops, backwards, asks_an_object, calls_what_remembers, calls_what_loads, waits,
     half_written, left_early, asks, kernels.add, kernels.matmul_tiled, kernels.matmul_blocked],
    ids=lambda kernel: kernel.function.__name__,
)  # fmt: skip
def test_a_kernel_is_recorded_alike_both_ways(kernel, runs):
    args = (X,) * kernel.function.__code__.co_argcount
    assert both_ways(kernel, args, runs) is not None or kernel is leaves


@entry.jit
def leaves_after_writing(x):
    tile = nl.ndarray((128, 128), x.dtype)
    for i in range(4):
        rows = slice(i * 128, (i + 1) * 128)
        nisa.dma_copy(tile, x[rows, 0:128])
        nisa.tensor_scalar(tile, tile, nl.add, 1.0)
        nisa.dma_copy(x[rows, 0:128], tile)
    for i in range(12):
        nisa.dma_copy(tile, x[i * 128 : (i + 1) * 128, 0:128])


def test_a_kernel_that_has_written_its_arguments_is_not_run_again():
    x = np.zeros((1024, 128), np.float32)
    with pytest.raises(OutOfBounds, match="leaves dimension 0"):
        leaves_after_writing(x)
    assert np.array_equal(x, np.repeat(np.array([1, 0], np.float32), 512)[:, None] + 0 * x)


def test_the_loops_of_helpers_are_followed_too(runs, written):
    both_ways(calls_what_loads, (X,), runs)
    assert len(written) == 2 * 1  # `parts` is the helper's own; its loop keeps a list and runs


@older.jit
def masked(x):
    out = old.ndarray((1000, 1024), x.dtype, buffer=old.shared_hbm)
    i_p, i_f = old.arange(128)[:, None], old.arange(1024)[None, :]
    for i in old.affine_range(8):
        rows = i * 128 + i_p
        tile = old.load(x[rows, i_f], mask=(rows < 1000))
        old.store(out[rows, i_f], tile, mask=(rows < 1000))
    return out


@older.jit
def summed(x):
    out = old.ndarray((128, 512), x.dtype, buffer=old.shared_hbm)
    for _ in old.affine_range(1):
        total = old.zeros((128, 512), old.float32, buffer=old.psum)
        for k in old.affine_range(8):
            left = old.load(x[old.ds(k * 128, 128), 0:128])
            right = old.load(x[old.ds(k * 128, 128), 0:512])
            total += old_isa.nc_matmul(left, right)
        old.store(out, old.copy(total, dtype=x.dtype))
    return out


@older.jit
def triangular(x):
    out = old.ndarray((1024, 1024), x.dtype, buffer=old.shared_hbm)
    i_p, i_f = old.arange(128)[:, None], old.arange(128)[None, :]
    for i in old.affine_range(8):
        for j in old.sequential_range(8):
            tile = old.load(x[i * 128 + i_p, j * 128 + i_f])
            above = i * 128 + i_p >= j * 128 + i_f
            old.store(out[i * 128 + i_p, j * 128 + i_f], tile, mask=above)
    return out


@older.jit
def picked(x):
    tile = old.ndarray((128, 1024), x.dtype, buffer=old.sbuf)
    i_p, i_f = old.arange(128)[:, None], old.arange(128)[None, :]
    for i in old.affine_range(8):
        where = ((i + old.arange(1)[None, :]) % 4) // 3
        tile[i_p, where * 128 + i_f] = old.load(x[i_p, i_f])


@older.jit
def blocks(x):
    out = old.ndarray((8, 128, 1024), x.dtype, buffer=old.shared_hbm)
    kept = old.ndarray((8, old.par_dim(128), 1024), x.dtype, buffer=old.sbuf)
    for i in old.affine_range(8):
        kept[i] = old.load(x[i * 128 : (i + 1) * 128, :])
    for i in old.affine_range(8):
        for j in old.sequential_range(8):
            kept[i, :, j * 128 : (j + 1) * 128] *= 2.0
        old.store(out[i], kept[7 - i])
    return out


@older.jit
def reduced(x):
    most = old.ndarray((128, 1), x.dtype, buffer=old.sbuf)
    out = old.ndarray((128, 1), x.dtype, buffer=old.shared_hbm)
    for i in old.affine_range(8):
        tile = old.load(x[i * 128 : (i + 1) * 128, :])
        part = old_isa.tensor_reduce(np.max, tile, axis=[1], keepdims=True)
        most[...] = old.loop_reduce(part, op=np.max, loop_indices=[i])
    old.store(out, most)
    return out


@older.jit
def meets_itself(x):
    kept = old.ndarray((8, old.par_dim(128), 1024), x.dtype, buffer=old.sbuf)
    for i in old.affine_range(8):
        kept[i] = old.load(x[0:128, :])
    for i in old.sequential_range(8):
        kept[i] = kept[3]


@older.jit
def used_later(x):
    out = old.ndarray((128, 1024), x.dtype, buffer=old.shared_hbm)
    tile = last = old.load(x[0:128, :])
    for i in old.affine_range(4):
        for j in old.affine_range(3):
            tile = old.load(x[i * 128 + j : i * 128 + j + 128, :])
            last = old.exp(tile)
    old.store(out, old.add(tile, last))
    return out


@pytest.mark.parametrize(
    ("kernel", "times"),
    [
        (meets_itself, 1),
        (used_later, 3),
        (masked, 1),
        (summed, 1),
        (triangular, 0),
        (picked, 0),
        (blocks, 4),
        (reduced, 1),
    ],
    ids=lambda value: value.function.__name__ if isinstance(value, jit.Kernel) else "",
)
def test_an_older_kernel_is_recorded_alike_both_ways(kernel, times, runs, written):
    both_ways(kernel, (X,), runs, chip="trn1")
    assert len(written) >= times


def test_range_is_what_it_was_after_a_run(runs):
    both_ways(tiled, (X,), runs)
    assert "range" not in tiled.function.__globals__
    assert isinstance(nl.affine_range(8), range)


def test_errors_are_told_as_if_every_iteration_had_run():
    told = []
    for loops in (False, True):
        with pytest.raises(OutOfBounds) as found:
            jit.simulate(leaves, (X,), {}, jit.Settings(values=False, loops=loops))
        told.append((str(found.value), found.value.place))
    assert told[0] == told[1]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_recorded_alike_both_ways(path, runs, monkeypatch):
    simulate = jit._simulate

    def compared(kernel, args, kwargs, how, chip):
        told = []
        for loops in (False, True):
            runs.clear()
            changed = replace(how, values=False, timed=False, strict=False, loops=loops)
            try:
                simulate(kernel, args, kwargs, changed, chip)
            except Exception as raised:
                told.append(str(raised))
            told.append(rows(runs[-1]) if runs else None)
        assert told[: len(told) // 2] == told[len(told) // 2 :]
        return simulate(kernel, args, kwargs, how, chip)

    monkeypatch.setattr(jit, "_simulate", compared)
    monkeypatch.setattr(sys, "argv", [str(path)])
    monkeypatch.syspath_prepend(path.parent)
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("api", ["nki", "neuronxcc.nki"])
def test_random_kernels_in_loops_are_recorded_alike_both_ways(seed, api, runs, tmp_path):
    program = choices.program(seed, 12)
    if program.instances > 1 or (api != "nki" and not program.portable):
        return
    head, body = program.source(api).split("kernel", 1)
    signature, *steps, returned = body.rstrip().split("\n")
    turned = ["    for turn in range(7):", *("    " + step for step in steps)]
    file = tmp_path / "kernel.py"
    lines = [f"{head}kernel{signature}", *(turned if steps else []), returned]
    file.write_text("\n".join(lines) + "\n")
    kernel = runpy.run_path(str(file))["kernel"]
    both_ways(kernel, [given.array() for given in program.inputs], runs, chip=program.chip)
