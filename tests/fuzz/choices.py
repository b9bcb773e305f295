"""Random steps: one function for each kind, and how often it is taken."""

from tests.fuzz.arrays import BINARY, BITWISE, CURVES, FLOATS, FP8, INTEGERS, UNARY
from tests.fuzz.making import Maker, Retry
from tests.fuzz.programs import Program
from tests.fuzz.steps import Step

COMPARISONS = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
ANY = (*FLOATS, *FP8, *INTEGERS)
WHOLE32 = ("int32", "uint32")


def load(m: Maker) -> Step:
    name = m.one([n for n, f in m.spaces.items() if "hbm" in f.space and n not in m.program.loose])
    high, wide = m.spaces[name].shape
    rows, columns = min(high, m.one(m.heights)), min(wide, m.one(m.widths))
    row, start = int(m.rng.integers(high - rows + 1)), int(m.rng.integers(wide - columns + 1))
    src = m.hbm(name, row, start, rows, columns)
    if not m.is_written(src):
        raise Retry
    same = m.spaces[name].dtype
    dtypes = (same,) if m.chance(0.7) else ANY
    dst, fresh = m.target(rows, columns, dtypes, (src,))
    return m.finished("load", dst, (src,), fresh)


def output(m: Maker, name: str = "") -> Step:
    """A tile, or a part of it, to a new output or a part of an old one."""
    here = [n for n, f in m.spaces.items() if f.space == "sbuf"]
    if not here and not name:
        raise Retry
    name = name or m.one(here)
    rows, *free = m.spaces[name].shape
    count = 1
    for n in free:
        count *= n
    loose = name in m.program.loose
    if not m.chance(0.6) and not loose:
        rows, count = m.sizes()
    src = m.view(name, rows, count)
    if src is None or not m.is_written(src):
        raise Retry
    if m.spaces[name].space == "psum":
        if loose:
            raise Retry
        dst, fresh = m.fresh("sbuf", m.spaces[name].dtype, (rows, count))
        step = m.finished("tensor_copy", dst, (src,), fresh)
        m.program.add(step)
        m.spaces |= dict(fresh)
        src, name = dst, dst.name
    dtype = m.spaces[name].dtype
    old = [
        n
        for n, f in m.spaces.items()
        if "hbm" in f.space and f.shape[0] >= rows and f.shape[1] >= count and f.dtype == dtype
    ]
    args = {"dtype": dtype, "shape": (rows, count)}
    if old and m.chance(0.3) and not loose:
        target = m.one(old)
        high, wide = m.spaces[target].shape
        row, start = int(m.rng.integers(high - rows + 1)), int(m.rng.integers(wide - count + 1))
        return Step("store", (m.hbm(target, row, start, rows, count),), (src,), args)
    cast = m.one(FLOATS) if m.chance(0.1) and not loose and not m.portable else dtype
    ref, fresh = m.fresh("shared_hbm", cast, (rows, count))
    target = m.hbm(ref.name, 0, 0, rows, count)
    if loose:
        m.program.loose.add(ref.name)
    return Step("store", (target,), (src,), args, fresh)


def memset(m: Maker) -> Step:
    rows, count = m.sizes()
    dst, fresh = m.target(rows, count, ANY, ())
    kind = {**m.spaces, **dict(fresh)}[dst.name].dtype
    whole = int(m.rng.integers(0, 100))
    value = m.number() if kind not in INTEGERS else whole
    return m.finished("memset", dst, (), fresh, value=value)


def tensor_copy(m: Maker) -> Step:
    rows, count = m.sizes()
    src = m.readable(rows, count, ANY)
    psum = m.spaces[src.name].space == "psum"
    dtypes = ANY if m.chance(0.5) else (m.spaces[src.name].dtype,)
    dst, fresh = m.target(rows, count, dtypes, (src,))
    engine = "" if psum or m.portable else m.one(("", "vector", "gpsimd"))
    return m.finished("tensor_copy", dst, (src,), fresh, engine=engine)


def _pair(m: Maker, dtypes) -> tuple:
    rows, count = m.sizes()
    a = m.readable(rows, count, dtypes)
    spaces = ("sbuf",) if m.spaces[a.name].space == "psum" else ("sbuf", "psum")
    return rows, count, a, m.readable(rows, count, dtypes, spaces)


def tensor_tensor(m: Maker) -> Step:
    op = m.one(BITWISE) if m.chance(0.15) else m.one(BINARY)
    if op in BITWISE:
        kind = (m.one(INTEGERS),)
        rows, count, a, b = _pair(m, kind)
        dst, fresh = m.target(rows, count, kind, (a, b))
        return m.finished("tensor_tensor", dst, (a, b), fresh, op=op, whole=False)
    rows, count, a, b = _pair(m, WHOLE32 if m.chance(0.1) else ANY)
    dst, fresh = m.target(rows, count, ANY, (a, b))
    kinds = [{**m.spaces, **dict(fresh)}[r.name] for r in (dst, a, b)]
    arithmetic = op in ("add", "subtract", "multiply")
    whole = all(k.dtype in WHOLE32 and k.space == "sbuf" for k in kinds) and arithmetic
    engine = ""
    if arithmetic and not whole and all(k.space == "sbuf" for k in kinds) and not m.portable:
        engine = m.one(("", "vector", "gpsimd"))
        whole = False
    return m.finished("tensor_tensor", dst, (a, b), fresh, op=op, whole=whole, engine=engine)


def _operand(m: Maker, rows: int, extra: list) -> float | None:
    """A number, or None for one value a partition, which is added to the operands."""
    if m.chance(0.6):
        return m.number()
    extra.append(m.readable(rows, 1, ("float32",), ("sbuf",)))
    return None


def tensor_scalar(m: Maker) -> Step:
    rows, count = m.sizes()
    if m.chance(0.1):
        kind = (m.one(INTEGERS),)
        src = m.readable(rows, count, kind)
        dst, fresh = m.target(rows, count, kind, (src,))
        args = {"op0": m.one(BITWISE), "operand0": int(m.rng.integers(0, 128)), "op1": None}
        return m.finished("tensor_scalar", dst, (src,), fresh, reverse0=False, **args)
    src, extra = m.readable(rows, count, ANY), []
    args = {"op0": m.one(BINARY), "operand0": _operand(m, rows, extra), "op1": None}
    if m.chance(0.6):
        args |= {"op1": m.one(BINARY), "operand1": _operand(m, rows, extra)}
    args |= {"reverse0": m.chance(0.3), "reverse1": m.chance(0.3)}
    dst, fresh = m.target(rows, count, ANY, (src, *extra))
    _no_overlap(dst, extra)
    return m.finished("tensor_scalar", dst, (src, *extra), fresh, **args)


def _no_overlap(dst, extra) -> None:
    if dst.name in {r.name for r in extra}:
        raise Retry


def scalar_tensor_tensor(m: Maker) -> Step:
    rows, count, a, b = _pair(m, ANY)
    extra: list = []
    operand0 = _operand(m, rows, extra)
    args = {"op0": m.one(BINARY), "operand0": operand0, "op1": m.one(BINARY)}
    args |= {"reverse0": m.chance(0.3), "reverse1": m.chance(0.3)}
    dst, fresh = m.target(rows, count, ANY, (a, *extra, b))
    _no_overlap(dst, extra)
    return m.finished("scalar_tensor_tensor", dst, (a, *extra, b), fresh, **args)


def _activated(m: Maker) -> tuple:
    rows, count = m.sizes()
    src, extra = m.readable(rows, count, ANY), []
    args = {"op": m.one(UNARY), "scale": _operand(m, rows, extra), "bias": m.chance(0.4)}
    if args["bias"]:
        extra.append(m.readable(rows, 1, ("float32",), ("sbuf",)))
    return rows, count, [src, *extra], args


def activation(m: Maker) -> Step:
    rows, count, srcs, args = _activated(m)
    dst, fresh = m.target(rows, count, ANY, srcs)
    _no_overlap(dst, srcs[1:])
    return m.finished("activation", dst, srcs, fresh, **args)


def curve(m: Maker) -> Step:
    rows, count = m.sizes()
    src = m.readable(rows, count, (*FLOATS, *INTEGERS))
    dst, fresh = m.fresh("sbuf", "float32", (rows, count))
    args = {"op": m.one(CURVES), "scale": m.one((1.0, 0.25)), "bias": False}
    return m.finished("activation", dst, (src,), fresh, **args)


def activation_reduce(m: Maker) -> Step:
    rows, count, srcs, args = _activated(m)
    dst, fresh = m.target(rows, count, FLOATS, srcs, apart=True)
    _no_overlap(dst, srcs)
    res, more = m.fresh("sbuf", "float32", (rows, 1))
    if res.name in dict(fresh):
        raise Retry
    step = m.finished("activation_reduce", dst, srcs, (*fresh, *more), **args)
    return Step(step.kind, (dst, res), step.srcs, step.args, step.fresh)


def tensor_reduce(m: Maker) -> Step:
    rows, count = m.sizes()
    src = m.readable(rows, count, ANY)
    shape = m.cells(src, m.spaces[src.name].shape).shape
    taken = m.one(range(1, len(shape)))
    kept = 1
    for n in shape[1 : len(shape) - taken]:
        kept *= n
    dst, fresh = m.target(rows, kept, ANY, (src,), apart=True)
    _no_overlap(dst, (src,))
    args = {"op": m.one(("add", "maximum", "minimum")), "negate": m.chance(0.3)}
    return m.finished("tensor_reduce", dst, (src,), fresh, rank=len(shape), count=taken, **args)


def tensor_tensor_scan(m: Maker) -> Step:
    rows, count, a, b = _pair(m, FLOATS)
    extra: list = []
    initial = _operand(m, rows, extra)
    dst, fresh = m.target(rows, count, FLOATS, (a, b, *extra), apart=True)
    _no_overlap(dst, (a, b, *extra))
    args = {"initial": initial, "op0": m.one(("multiply", "add", "maximum"))}
    args |= {"op1": m.one(("add", "subtract", "minimum")), "reverse0": m.chance(0.3)}
    args |= {"reverse1": m.chance(0.3)}
    return m.finished("tensor_tensor_scan", dst, (a, b, *extra), fresh, **args)


def nc_matmul(m: Maker) -> Step:
    kinds = ("float32",) if m.chance(0.4) else ("bfloat16", "float16", *FP8)
    deep, wide, tall = m.one(m.heights), m.one((*m.widths, 64)), m.one((1, 16, 32, 64, *m.widths))
    if m.sums and m.chance(0.8):
        tall, wide = m.heights[0], m.widths[0]
    left = m.readable(deep, tall, kinds, ("sbuf",))
    right = m.readable(deep, wide, kinds, ("sbuf",))
    results = ("float32", "bfloat16") if m.chip == "trn3" else ("float32",)
    dst, fresh = m.target(tall, wide, results, (), ("psum",))
    shape = {**m.spaces, **dict(fresh)}[dst.name].shape
    if m.portable and len(shape) > 2:
        raise Retry
    old = [] if fresh else [dst.of(s.summed[dst.name]) for s in m.program.states]
    choices = [False] if m.portable else [None, None, False]
    if old and all(o.all() for o in old):
        choices.append(True)
        choices.append(True)
    return m.finished("nc_matmul", dst, (left, right), fresh, accumulate=m.one(choices))


def again(m: Maker) -> Step:
    """The next matmul of an accumulation group."""
    for step in reversed(m.program.steps[-4:]):
        if step.kind == "nc_matmul":
            ref, name = step.dsts[0], step.dsts[0].name
            if not all(ref.of(s.summed[name]).all() for s in m.program.states):
                continue
            tall, wide = (m.cells(ref, m.spaces[name].shape).shape[0], step.args["shape"])
            count = 1
            for n in wide[1:]:
                count *= n
            deep = m.one(m.heights)
            kinds = (m.spaces[step.srcs[0].name].dtype,)
            left = m.readable(deep, tall, kinds, ("sbuf",))
            right = m.readable(deep, count, kinds, ("sbuf",))
            accumulate = True if m.portable else m.one((None, True))
            return m.finished("nc_matmul", ref, (left, right), (), accumulate=accumulate)
    raise Retry


def sum_copy(m: Maker) -> Step:
    """A copy of a sum, which trnlab makes late."""
    for step in reversed(m.program.steps[-6:]):
        if step.kind == "nc_matmul" and m.chance(0.8):
            src = step.dsts[0]
            shape = m.cells(src, m.spaces[src.name].shape).shape
            count = 1
            for n in shape[1:]:
                count *= n
            spaces = ("sbuf",)
            dtypes = ("float32",) if m.chance(0.7) else FLOATS
            dst, fresh = m.target(shape[0], count, dtypes, (src,), spaces)
            return m.finished("tensor_copy", dst, (src,), fresh)
    raise Retry


def restore(m: Maker) -> Step:
    """The last copy once more: to the same output, or a part of it."""
    stores = [step for step in m.program.steps[-6:] if step.kind == "store"]
    if not stores:
        raise Retry
    step = m.one(stores)
    target, dtype = step.dsts[0], m.spaces[step.dsts[0].name].dtype
    if target.name in m.program.loose:
        raise Retry
    (row, last, _), (start, stop, _) = target.cuts[0][1]
    rows, columns = m.one((last - row, max(1, (last - row) // 2))), stop - start
    src = None
    copies = [s.dsts[0] for s in m.program.steps[-8:] if s.kind == "tensor_copy"]
    if copies and m.chance(0.7):
        name = m.one(copies).name
        src = m.view(name, rows, columns) if m.spaces[name].dtype == dtype else None
    if src is None or not m.is_written(src):
        src = m.readable(rows, columns, (dtype,), ("sbuf",))
    args = {"dtype": dtype, "shape": (rows, columns)}
    low = row + m.one((0, last - row - rows))
    return Step("store", (m.hbm(target.name, low, start, rows, columns),), (src,), args)


def nc_transpose(m: Maker) -> Step:
    rows, count = m.sizes()
    small = rows <= 32 and count <= 32
    if small and m.chance(0.5):
        src = m.readable(rows, count, FLOATS, ("sbuf",))
        spaces = ("sbuf",)
    else:
        src = m.readable(rows, count, FLOATS, ("sbuf",))
        spaces = ("psum",)
    if m.portable and (spaces == ("sbuf",)) != small:
        raise Retry
    dst, fresh = m.target(count, rows, (m.spaces[src.name].dtype,), (src,), spaces, apart=True)
    _no_overlap(dst, (src,))
    return m.finished("nc_transpose", dst, (src,), fresh)


def dma_transpose(m: Maker) -> Step:
    name = m.one([n for n, f in m.spaces.items() if "hbm" in f.space and n not in m.program.loose])
    high, wide = m.spaces[name].shape
    if max(high, wide) > 128 or m.spaces[name].dtype not in ("bfloat16", "float16", "float32"):
        raise Retry
    src = m.hbm(name, 0, 0, high, wide)
    if not m.is_written(src):
        raise Retry
    dst, fresh = m.fresh("sbuf", m.spaces[name].dtype, (wide, high))
    return m.finished("dma_transpose", dst, (src,), fresh)


def reciprocal(m: Maker) -> Step:
    rows, count = m.sizes()
    src = m.readable(rows, count, FLOATS)
    dst, fresh = m.target(rows, count, FLOATS, (src,))
    return m.finished("reciprocal", dst, (src,), fresh)


def nc_stream_shuffle(m: Maker) -> Step:
    count = m.one(m.widths)
    src = m.readable(32, count, ANY, ("sbuf",))
    dst, fresh = m.fresh("sbuf", m.spaces[src.name].dtype, (32, count))
    mask = [int(n) for n in m.rng.integers(0, 32, 32)]
    return m.finished("nc_stream_shuffle", dst, (src,), fresh, mask=mask)


def iota(m: Maker) -> Step:
    rows, count = m.sizes()
    inner = m.one([n for n in (1, 2, 4) if count % n == 0])
    pattern = [[m.one((0, 1, 3, -2)), count // inner], [m.one((1, 2, -1)), inner]]
    dst, fresh = m.target(rows, count, ("float32", "int32"), ())
    args = {"offset": m.one((0, 5, -7)), "multiplier": m.one((0, 1, 8))}
    return m.finished("iota", dst, (), fresh, pattern=pattern, **args)


def affine_select(m: Maker) -> Step:
    rows, count = m.sizes()
    src = m.readable(rows, count, FLOATS, ("sbuf",))
    dst, fresh = m.target(rows, count, FLOATS, (src,))
    args = {"pattern": [[m.one((1, -1, 2)), count]], "multiplier": m.one((0, 1, -1))}
    args |= {"offset": m.one((0, 3, -3)), "op": m.one(COMPARISONS), "other": m.number()}
    return m.finished("affine_select", dst, (src,), fresh, **args)


def tensor_copy_predicated(m: Maker) -> Step:
    rows, count = m.sizes()
    kind = (m.dtype(),)
    src = m.readable(rows, count, kind, ("sbuf",))
    predicate = m.readable(rows, count, ("uint8", "uint16", "uint32"), ("sbuf",))
    dst, _ = m.target(rows, count, kind, (src, predicate))
    if dst.name not in m.spaces or not m.is_written(dst):
        raise Retry
    _no_overlap(dst, (src, predicate))
    return m.finished("tensor_copy_predicated", dst, (src, predicate), (), reverse=m.chance(0.5))


def select_reduce(m: Maker) -> Step:
    rows, count = m.sizes()
    src = m.readable(rows, count, FLOATS, ("sbuf",))
    predicate = m.readable(rows, count, ("uint8", "int8", "uint16"), ("sbuf",))
    dst, fresh = m.target(rows, count, FLOATS, (src, predicate))
    return m.finished("select_reduce", dst, (predicate, src), fresh, other=m.number())


def max8(m: Maker) -> Step:
    rows = m.one(m.heights)
    src = m.readable(rows, m.one([w for w in (*m.widths, 16) if w >= 8]), FLOATS, ("sbuf",))
    if len(m.cells(src, m.spaces[src.name].shape).shape) > 3:
        raise Retry
    dst, fresh = m.fresh("sbuf", m.dtype(), (rows, 8))
    return m.finished("max8", dst, (src,), fresh)


def tensor_partition_reduce(m: Maker) -> Step:
    rows, count = m.sizes()
    src = m.readable(rows, count, FLOATS, ("sbuf",))
    dst, fresh = m.fresh("sbuf", "float32", (1, count))
    return m.finished("tensor_partition_reduce", dst, (src,), fresh, op=m.one(("add", "maximum")))


def dma_compute(m: Maker) -> Step:
    rows, count = m.sizes()
    kind = (m.dtype(),)
    srcs = [m.readable(rows, count, kind, ("sbuf",)) for _ in range(m.one((2, 3)))]
    dst, fresh = m.fresh("sbuf", kind[0], (rows, count))
    return m.finished("dma_compute", dst, srcs, fresh)


def sendrecv(m: Maker) -> Step:
    if m.program.instances == 1:
        raise Retry
    rows, count = m.sizes()
    src = m.readable(rows, count, FLOATS, ("sbuf",))
    dst, fresh = m.target(rows, count, (m.spaces[src.name].dtype,), (src,), apart=True)
    return m.finished("sendrecv", dst, (src,), fresh, pipe=m.one((0, 1)))


PORTABLE = (
    (load, 3), (output, 3), (memset, 1), (tensor_copy, 2), (tensor_tensor, 3), (tensor_scalar, 3),
    (scalar_tensor_tensor, 2), (activation, 2), (curve, 0.5), (tensor_reduce, 1),
    (tensor_tensor_scan, 1), (nc_matmul, 2), (again, 3), (nc_transpose, 1), (reciprocal, 0.5),
)  # fmt: skip
CURRENT = (
    *PORTABLE, (activation_reduce, 1), (dma_transpose, 1), (nc_stream_shuffle, 1), (iota, 1),
    (affine_select, 1), (tensor_copy_predicated, 1), (select_reduce, 1), (max8, 0.5),
    (tensor_partition_reduce, 0.5), (dma_compute, 1), (sendrecv, 4), (nc_matmul, 2), (again, 3),
)  # fmt: skip


SUMS = (
    (load, 2), (nc_matmul, 4), (again, 6), (sum_copy, 6), (output, 4), (restore, 3), (memset, 1),
    (tensor_copy, 1), (tensor_scalar, 2),
)  # fmt: skip


def program(seed: int, steps: int = 12) -> Program:
    """A random program, the same for the same seed."""
    m = Maker(seed)
    kinds = SUMS if m.sums else PORTABLE if m.portable else CURRENT
    total = sum(weight for _, weight in kinds)
    odds = [weight / total for _, weight in kinds]
    for _ in range(20 * steps):
        m.attempt(kinds[m.rng.choice(len(kinds), p=odds)][0])
        if len(m.program.steps) >= steps:
            break
    for name in [n for n, f in m.spaces.items() if f.space in ("sbuf", "psum")]:
        if m.chance(0.7):
            m.attempt(lambda maker, name=name: output(maker, name))
    return m.program
