"""Random nests of loops of the older API are recorded alike whether their iterations run or not."""

import random
import runpy

import numpy as np
import pytest

from tests.nki.test_repeats import both_ways, runs

__all__ = ["runs"]

X = np.zeros((2048, 2048), np.float32)
HEAD = """
from trnlab.nki.legacy import isa as nisa, language as nl
from trnlab.nki.legacy.entry import jit

def made(x, row, column):
    tile = nl.ndarray((nl.par_dim(64), 64), nl.float32, buffer=nl.sbuf)
    put(tile, x, row, column)
    return tile

def put(tile, x, row, column):
    tile[...] = nl.load(x[nl.ds(row, 64), nl.ds(column, 64)])

@jit
def kernel(x):
    out = nl.ndarray((2048, 2048), nl.float32, buffer=nl.shared_hbm)
    p, f = nl.arange(64)[:, None], nl.arange(64)[None, :]
    q = nl.ndarray((6, 6, nl.par_dim(64), 64), nl.float32, buffer=nl.sbuf)
    s = nl.zeros((64, 2048), nl.float32, buffer=nl.sbuf)
    total = nl.zeros((64, 64), nl.float32, buffer=nl.psum)
    kept = nl.load(x[p, f])
"""
LOOPS = ("affine_range", "sequential_range", "static_range")
BOUNDS = ("1", "2", "3", "4", "5", "6", "1, 6", "5, -1, -1")


class Writer:
    """Writes the body of a kernel, one random statement after the other."""

    def __init__(self, seed):
        self.random, self.lines = random.Random(seed), []
        for depth in (3, 4, 4):
            self.loop("", [], depth)

    def loop(self, pad, indices, depth):
        index = f"i{len(self.lines)}"
        kind, bounds = self.random.choice(LOOPS), self.random.choice(BOUNDS)
        self.lines.append(f"{pad}    for {index} in nl.{kind}({bounds}):")
        self.body(pad + "    ", [*indices, index], depth - 1)

    def body(self, pad, indices, depth):
        tiles = ["kept"]
        for _ in range(self.random.randint(1, 4)):
            if depth and self.random.random() < 0.4:
                self.loop(pad, indices, depth)
            else:
                self.statement(pad, indices, tiles)

    def statement(self, pad, indices, tiles):
        tile, made = self.random.choice(tiles), f"t{len(self.lines)}"
        mask = f", mask={self.place(indices, 64)} + p < {self.random.choice([600, 700, 900])}"
        mask = self.random.choice(["", "", "", mask])
        load = f"nl.load(x[{self.place(indices, 32)} + p, {self.place(indices, 16)} + f]{mask})"
        line = self.random.choice([
            f"{made} = {load}",
            f"{made} = nl.exp({tile}{mask})",
            f"{made} = nl.add({tile}, q[{self.block(indices)}])",
            f"q[{self.block(indices)}, p, f] = {load}",
            f"{made} = made(x, {self.place(indices, 32)}, {self.place(indices, 16)})",
            f"put(q[{self.block(indices)}], x, {self.place(indices, 32)}, 64)",
            f"q[{self.block(indices)}] = q[{self.block(indices)}]",
            f"s[p, {self.place(indices, 16)} + f] = nl.copy({tile}{mask})",
            f"total[...] += nisa.nc_matmul({tile}, q[{self.block(indices)}])",
            f"nl.store(out[{self.place(indices, 32)} + p, {self.place(indices, 64)} + f], {tile})",
        ])  # fmt: skip
        if line.startswith(made):
            tiles.append(made)
        self.lines.append(f"{pad}    {line}")

    def place(self, indices, scale):
        chosen = [f"{self.random.choice([1, 1, 2, -1]) * scale} * {i}" for i in indices]
        fixed = str(self.random.choice([512, 512, 600, 0]))
        return " + ".join([*(c for c in chosen if self.random.random() < 0.5), fixed])

    def block(self, indices):
        plain = [*indices[-2:], *(f"5 - {i}" for i in indices[-1:]), "0", "3", "-1"]
        return ", ".join(self.random.choices(plain, k=2))


@pytest.mark.parametrize("seed", range(40))
def test_random_nests_are_recorded_alike_both_ways(seed, runs, tmp_path):
    file = tmp_path / "kernel.py"
    file.write_text(HEAD + "\n".join(Writer(seed).lines) + "\n    return out\n")
    both_ways(runpy.run_path(str(file))["kernel"], (X,), runs, chip="trn1")
