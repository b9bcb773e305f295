"""Random choices: tensors, views of them that instructions take, steps."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from tests.fuzz.arrays import CURVES, FLOATS, FP8, INTEGERS, Inexact
from tests.fuzz.programs import Input, Program
from tests.fuzz.steps import Fresh, Step
from tests.fuzz.views import Ref

LEGAL_STARTS = ((32, (0, 32, 64, 96)), (64, (0, 64)), (128, (0,)))
MASKABLE = ("tensor_copy", "tensor_tensor", "tensor_scalar", "activation")


class Retry(Exception):
    """This choice leads nowhere; make another one."""


class Maker:
    """Adds random steps to a program."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.portable = self.chance(0.4)
        chips = ("trn1", "trn2") if self.portable else ("trn1", "trn2", "trn2", "trn3")
        self.chip = self.one(chips)
        instances = 2 if self.chance(0.2) and self.chip != "trn1" else 1
        self.program = Program(seed, self.chip, instances, self.portable)
        self.sums = self.chance(0.35)  # mostly matmuls and copies of them
        sizes = 1 if self.sums else 2
        self.heights = [self.one((1, 5, 16, 32, 48, 64, 96, 128)) for _ in range(sizes)]
        self.widths = [self.one((1, 4, 8, 12, 24, 32, 40)) for _ in range(sizes)]
        self.spaces: dict[str, Fresh] = {}
        self.pipe = 0
        for _ in range(self.one((1, 2, 3))):
            self.input()

    def attempt(self, make: Callable[["Maker"], Step]) -> None:
        """Makes a step and runs it, unless that is not possible."""
        try:
            step = make(self)
            self.program.add(step)
        except (Retry, Inexact):
            return
        self.spaces |= dict(step.fresh)
        if step.args.get("op") in CURVES:
            self.program.loose.add(step.dsts[0].name)

    def chance(self, p: float) -> bool:
        """Whether something of this probability happens."""
        return bool(self.rng.random() < p)

    def one(self, among: Collection[Any]) -> Any:
        """One of several things."""
        return list(among)[int(self.rng.integers(len(among)))]

    def number(self) -> float:
        """A small number that fp32 holds."""
        return float(self.rng.integers(-8, 9)) / self.one((1, 2, 4))

    def dtype(self, among=FLOATS) -> str:
        """A dtype; fp32 more often than others."""
        return "float32" if "float32" in among and self.chance(0.4) else self.one(among)

    def any_dtype(self) -> str:
        """Mostly floats, at times fp8 or integers."""
        return self.dtype(self.one((FLOATS, FLOATS, FLOATS, FP8, INTEGERS)))

    def input(self, rows: int = 0, columns: int = 0, dtype: str = "") -> str:
        """A new array that the kernel is called with."""
        rows, columns = rows or self.one(self.heights), columns or self.one(self.widths)
        if not dtype:
            rows, columns = rows + self.one((0, 0, 3)), columns + self.one((0, 0, 5))
        shape = (rows, columns)
        if self.program.instances > 1:
            shape = (self.program.instances, *shape)
        name = f"x{len(self.program.inputs)}"
        seed, reach = int(self.rng.integers(1000)), self.one((1, 4, 9))
        given = Input(name, dtype or self.any_dtype(), shape, seed, reach, self.one((1.0, 0.25)))
        self.program.add_input(given)
        self.spaces[name] = Fresh("shared_hbm", given.dtype, (rows, columns))
        return name

    def fresh(self, space: str, dtype: str, shape: tuple[int, ...]) -> tuple[Ref, tuple]:
        """A tensor that the next step makes."""
        name = f"t{sum(n[0] == 't' for n in self.spaces) + self.pipe}"
        while name in self.spaces:
            name += "b"
        return Ref(name), ((name, Fresh(space, dtype, shape)),)

    def cells(self, ref: Ref, shape: tuple[int, ...]) -> np.ndarray:
        """The numbers of the elements that a view shows."""
        return ref.of(np.arange(int(np.prod(shape))).reshape(shape))

    def is_written(self, ref: Ref) -> bool:
        """Whether every instance has written all of a view."""
        return all(ref.of(s.written[ref.name]).all() for s in self.program.states)

    def readable(self, rows: int, count: int, dtypes, spaces=("sbuf", "psum")) -> Ref:
        """A view of something written: so many partitions with so many elements each."""
        names = [
            n
            for n, f in self.spaces.items()
            if f.space in spaces and f.dtype in dtypes and n not in self.program.loose
        ]
        for _ in range(6):
            if not names:
                break
            ref = self.view(self.one(names), rows, count)
            if ref is not None and self.is_written(ref):
                return ref
        if "sbuf" not in spaces:
            raise Retry
        return self.supply(rows, count, self.dtype(tuple(dtypes)))

    def supply(self, rows: int, count: int, dtype: str) -> Ref:
        """A new tile with something in it."""
        ref, fresh = self.fresh("sbuf", dtype, (rows, count))
        args = {"dtype": dtype, "shape": (rows, count)}
        if self.chance(0.3):
            whole = self.number() if dtype in FLOATS + FP8 else int(self.rng.integers(0, 5))
            step = Step("memset", (ref,), (), args | {"value": whole}, fresh)
        else:
            name = self.input(rows, count, dtype)
            source = self.hbm(name, 0, 0, rows, count)
            step = Step("load", (ref,), (source,), args, fresh)
        self.program.add(step)
        self.spaces |= dict(fresh)
        return ref

    def hbm(self, name: str, row: int, start: int, rows: int, columns: int) -> Ref:
        """A box of a tensor in HBM."""
        box = ((row, row + rows, 1), (start, start + columns, 1))
        return Ref(name, (("index", box),), instance=self.program.instances > 1)

    def view(self, name: str, rows: int, count: int, *, dense: bool = False) -> Ref | None:
        """A random view of a tensor with these sizes, if it is large enough."""
        high, *free = self.spaces[name].shape
        fits = next(starts for height, starts in LEGAL_STARTS if rows <= height)
        starts = [s for s in fits if s + rows <= high]
        wide = int(np.prod(free))
        if not starts or (wide < count and dense):
            return None
        start = self.one(starts)
        if self.portable:
            return self._box(name, start, rows, wide, count)
        ways = [self._box, self._box, self._pattern, self._split]
        ways += [] if dense else [self._repeated]
        return self.one(ways)(name, start, rows, wide, count)

    def _box(self, name: str, start: int, rows: int, wide: int, count: int) -> Ref | None:
        ref, shape = Ref(name), self.spaces[name].shape
        if len(shape) > 2:
            ref = ref.cut("flatten_dims", 1, len(shape) - 1)
        if wide < count:
            return None
        if (rows, count) == (self.spaces[name].shape[0], wide) and self.chance(0.6):
            return ref
        step = self.one([s for s in (1, 1, 2, 3) if (count - 1) * s < wide])
        first = int(self.rng.integers(wide - (count - 1) * step))
        spelling = self.one(("slice", "slice", "arange", "mgrid"))
        box = ((start, start + rows, 1), (first, first + (count - 1) * step + 1, step))
        return Ref(ref.name, (*ref.cuts, ("index", box)), spelling=spelling)

    def _pattern(self, name: str, start: int, rows: int, wide: int, count: int) -> Ref | None:
        inner = self.one([n for n in (1, 2, 3, 4, count) if count % n == 0])
        outer = count // inner
        steps = [s for s in (1, 2) if (inner - 1) * s < wide]
        step = self.one(steps) if steps else 0
        span = (inner - 1) * step
        if not step or span >= wide:
            return None
        far = [s for s in (0, 1, inner, inner * step, 5) if (outer - 1) * s + span < wide]
        if not far:
            return None
        stride = self.one(far)
        first = int(self.rng.integers(wide - span - (outer - 1) * stride))
        pattern = ((wide, rows), (stride, outer), (step, inner))
        return Ref(name).cut("ap", pattern, start * wide + first)

    def _split(self, name: str, start: int, rows: int, wide: int, count: int) -> Ref | None:
        ref = self._box(name, start, rows, wide, count)
        factors = [n for n in range(2, count) if count % n == 0]
        if ref is None or not factors:
            return ref
        inner = self.one(factors)
        ref = ref.cut("reshape_dim", 1, (count // inner, inner))
        if self.chance(0.5):
            ref = ref.cut("permute", (0, 2, 1))
        elif self.chance(0.3):
            ref = ref.cut("expand_dim", 2)
        return ref

    def _repeated(self, name: str, start: int, rows: int, wide: int, count: int) -> Ref | None:
        one = int(self.rng.integers(wide))
        shape = self.spaces[name].shape
        ref = Ref(name) if len(shape) == 2 else Ref(name).cut("flatten_dims", 1, len(shape) - 1)
        box = ((start, start + rows, 1), (one, one + 1, 1))
        return ref.cut("index", box).cut("broadcast", 1, count)

    def target(self, rows: int, count: int, dtypes, srcs, spaces=("sbuf",), apart=False):
        """A destination: new, or a part of a tile; with the tensors that it makes."""
        held = [
            n
            for n, f in self.spaces.items()
            if f.space in spaces and f.dtype in dtypes and n not in self.program.loose
        ]
        if held and self.chance(0.45):
            ref = self.view(self.one(held), rows, count, dense=True)
            if ref is not None and self._may_write(ref, srcs, apart):
                return ref, ()
        space = self.one(spaces)
        shape: tuple[int, ...] = (rows, count)
        factors = [n for n in range(2, count) if count % n == 0]
        if factors and not self.portable and self.chance(0.3):
            inner = self.one(factors)
            shape = (rows, count // inner, inner)
        return self.fresh(space, self.dtype(tuple(dtypes)), shape)

    def _may_write(self, ref: Ref, srcs, apart: bool) -> bool:
        shape = self.spaces[ref.name].shape
        mine = self.cells(ref, shape).reshape(-1)
        if len(set(mine.tolist())) < mine.size:
            return False
        for src in srcs:
            if src.name == ref.name:
                theirs = self.cells(src, shape).reshape(-1)
                same = mine.shape == theirs.shape and (mine == theirs).all() and not apart
                if not same and set(mine.tolist()) & set(theirs.tolist()):
                    return False
        return True

    def sizes(self) -> tuple[int, int]:
        """Partitions and elements in each."""
        return self.one(self.heights), self.one(self.widths)

    def finished(self, kind, dst, srcs, fresh, **args) -> Step:
        """A step with what the older API wants to know."""
        shapes = {**self.spaces, **dict(fresh)}
        args |= {"dtype": shapes[dst.name].dtype}
        args |= {"shape": self.cells(dst, shapes[dst.name].shape).shape}
        args |= {"declare": self.chance(0.5)}
        mask = None
        apart = dst.name not in {s.name for s in srcs}
        if self.portable and not fresh and kind in MASKABLE and apart:
            mask = self._mask(args["shape"]) if self.chance(0.3) else None
        return Step(kind, (dst,), tuple(srcs), args, fresh, mask)

    def _mask(self, shape) -> tuple[int, int, int] | None:
        """A mask that leaves something of the first row: engines start at few partitions."""
        rows, columns = shape
        a, b = self.one(((0, -1), (-1, 0), (1, -1), (-1, 1), (0, 1), (-2, 1)))
        c = int(self.rng.integers(-max(rows, columns), max(rows, columns) + 1))
        return (a, b, c) if max(c, c + b * (columns - 1)) >= 0 else None
