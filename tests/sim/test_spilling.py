"""Programs that are made to fit compute what they computed: contents are followed through moves."""

from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest

from trnlab.isa.tile import LAYOUTS
from trnlab.machine.catalogue import chip as find_chip
from trnlab.nki import jit
from trnlab.nki.jit import Settings
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl
from trnlab.sim.older import crowding
from trnlab.sim.older import passes as older
from trnlab.sim.older.spilling import fitted_in
from trnlab.sim.timing.capacity import needs
from trnlab.sim.timing.rooms import heirs

WIDTH, PARTS = 4, 4  # elements of a part, parts of a tile
TILE = 4 * WIDTH * PARTS  # bytes a partition


def random_kernel(seed):
    """Loads, sums, copies and stores of whole tiles and of parts, in any order."""
    random = np.random.default_rng(seed)
    count = int(random.integers(3, 9))
    highest = (6, count, count, count, PARTS, PARTS)
    steps = random.integers((0, 0, 0, 0, 0, 1), highest, (int(random.integers(10, 80)), 6)).tolist()

    @nki.jit
    def kernel(x):
        out = nl.ndarray((len(steps) + count, *x.shape[1:]), x.dtype, buffer=nl.shared_hbm)
        tiles = [nl.zeros((nl.par_dim(128), WIDTH * PARTS), np.float32) for _ in range(count)]
        for number, (what, a, b, c, first, parts) in enumerate(steps):
            here = nl.ds(min(first, PARTS - parts) * WIDTH, parts * WIDTH)
            one, two, three = tiles[a], tiles[b], tiles[c]
            match what:
                case 0:
                    one[...] = nl.load(x[number % len(x)])
                case 1:
                    one[:, here] = nl.load(x[number % len(x), :, here])
                case 2:
                    one[:, here] = nl.add(two[:, here], three[:, here])
                case 3:
                    one[:, here] = nl.add(one[:, here], two[:, here])
                case 4:
                    nl.store(out[number, :, here], one[:, here])
                case _:
                    one[...] = nisa.tensor_copy(two[...])
        for number in range(count):
            nl.store(out[len(steps) + number], tiles[number])
        return out

    return kernel


def recorded(monkeypatch, kernel, *arrays):
    """What the older compiler has to fit in."""
    found = []
    monkeypatch.setattr(older, "fitted_in", lambda program, core: found.append(program) or program)
    jit.simulate(kernel, list(arrays), {}, Settings(values=False, strict=False), "trn1")
    return found[0]


def cells(number, offset):
    """Rows and columns of an access."""
    here = LAYOUTS[number]
    at = np.full(here.shape, offset)
    for axis, (size, stride) in enumerate(zip(here.shape, here.strides, strict=True)):
        at += np.expand_dims(np.arange(size) * stride, [n for n in range(at.ndim) if n != axis])
    return np.divmod(at.ravel(), here.pitch)


def contents(program):
    """What lies in the tensors of HBM in the end, as numbers that tell how it came about."""
    held = [
        np.arange(f.rows * f.row_bytes // 4).reshape(f.rows, -1) if f.space == "hbm"
        else np.zeros((f.rows, f.row_bytes // 4), np.int64)
        for f in program.buffers
    ]  # fmt: skip
    operands = np.frombuffer(program.operands, np.int64).reshape(-1, 3).tolist()
    at = 0
    for kind in program.kinds().tolist():
        cost = program.costs[kind]
        written, read = np.split(operands[at : at + cost.writes + cost.reads], [cost.writes])
        at += cost.writes + cost.reads
        if cost.name.startswith("spill_"):
            held[written[0][0]] = held[read[0][0]].copy()
            continue
        recipe = crc32(cost.name.encode())
        for tensor, *where in read:
            recipe = crc32(held[tensor][cells(*where)].tobytes(), recipe)
        for tensor, *where in written:
            here = cells(*where)
            held[tensor][here] = (recipe << 20) + np.arange(len(here[0]))
    return [
        held[n] for n, f in enumerate(program.buffers) if f.space == "hbm" and f.name != "spill"
    ]


@pytest.mark.parametrize("seed", range(24))
def test_random_programs(seed, monkeypatch):
    x = np.zeros((5, 128, WIDTH * PARTS), np.float32)
    program = recorded(monkeypatch, random_kernel(seed), x)
    core = find_chip("trn1").core
    for room in (4, 6):
        small = replace(core, sbuf=replace(core.sbuf, usable=room * TILE))
        made = fitted_in(program, small)
        pairs = zip(contents(program), contents(made), strict=True)
        assert all((before == after).all() for before, after in pairs)
        peak = next(n.peak for n in needs(made, small, heirs(made)) if n.space == "sbuf")
        assert peak <= (room + 1) * TILE  # parts that die do not always leave a gap that fits


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_whose_results_wait(seed, monkeypatch):
    x = np.zeros((5, 128, WIDTH * PARTS), np.float32)
    program = recorded(monkeypatch, random_kernel(seed), x)
    monkeypatch.setattr(crowding, "_lag", lambda *_: 1e9)
    made = fitted_in(program, find_chip("trn1").core)
    pairs = zip(contents(program), contents(made), strict=True)
    assert all((before == after).all() for before, after in pairs)
