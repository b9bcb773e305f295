"""Random steps that compute."""

from tests.fuzz.arrays import BINARY, BITWISE, CURVES, FLOATS, FP8, INTEGERS, UNARY
from tests.fuzz.making import Maker, Retry
from tests.fuzz.moving import ANY, no_overlap
from tests.fuzz.steps import Step

COMPARISONS = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
WHOLE32 = ("int32", "uint32")


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
    no_overlap(dst, extra)
    return m.finished("tensor_scalar", dst, (src, *extra), fresh, **args)


def scalar_tensor_tensor(m: Maker) -> Step:
    rows, count, a, b = _pair(m, ANY)
    extra: list = []
    operand0 = _operand(m, rows, extra)
    args = {"op0": m.one(BINARY), "operand0": operand0, "op1": m.one(BINARY)}
    args |= {"reverse0": m.chance(0.3), "reverse1": m.chance(0.3)}
    dst, fresh = m.target(rows, count, ANY, (a, *extra, b))
    no_overlap(dst, extra)
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
    no_overlap(dst, srcs[1:])
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
    no_overlap(dst, srcs)
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
    no_overlap(dst, (src,))
    args = {"op": m.one(("add", "maximum", "minimum")), "negate": m.chance(0.3)}
    return m.finished("tensor_reduce", dst, (src,), fresh, rank=len(shape), count=taken, **args)


def tensor_tensor_scan(m: Maker) -> Step:
    rows, count, a, b = _pair(m, FLOATS)
    extra: list = []
    initial = _operand(m, rows, extra)
    dst, fresh = m.target(rows, count, FLOATS, (a, b, *extra), apart=True)
    no_overlap(dst, (a, b, *extra))
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


def reciprocal(m: Maker) -> Step:
    rows, count = m.sizes()
    src = m.readable(rows, count, FLOATS)
    dst, fresh = m.target(rows, count, FLOATS, (src,))
    return m.finished("reciprocal", dst, (src,), fresh)


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
    no_overlap(dst, (src, predicate))
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
