"""Random steps that move or arrange elements."""

from tests.fuzz.arrays import FLOATS, FP8, INTEGERS
from tests.fuzz.making import Maker, Retry
from tests.fuzz.steps import Step
from tests.fuzz.views import Ref

ANY = (*FLOATS, *FP8, *INTEGERS)


def no_overlap(dst, extra) -> None:
    if dst.name in {r.name for r in extra}:
        raise Retry


def load(m: Maker) -> Step:
    name = m.one([n for n, f in m.spaces.items() if "hbm" in f.space and n not in m.program.loose])
    high, wide = m.spaces[name].shape
    rows, columns = min(high, m.one(m.heights)), min(wide, m.one(m.widths))
    row, start = int(m.rng.integers(high - rows + 1)), int(m.rng.integers(wide - columns + 1))
    src = m.hbm(name, row, start, rows, columns)
    if m.program.instances == 1 and not m.portable and m.chance(0.3):
        src = placed_by_data(m, name, row, start, rows, columns)
    if not m.is_written(src):
        raise Retry
    same = m.spaces[name].dtype
    dtypes = (same,) if m.chance(0.7) else ANY
    dst, fresh = m.target(rows, columns, dtypes, (src,))
    return m.finished("load", dst, (src,), fresh)


def placed_by_data(m: Maker, name: str, row: int, start: int, rows: int, columns: int) -> Ref:
    """A box of a tensor in HBM at a row that a register holds, or of rows that a tile lists."""
    high, wide = m.spaces[name].shape
    if m.chance(0.5):
        return Ref(name, (("register", row, start, (rows, columns), wide),))
    last = row + rows - 1
    step = m.one([n for n in (-1, 0, 1, 2) if row + n * (rows - 1) < high])
    first = last if step == -1 else row
    return Ref(name, (("rows", first, step, start, (rows, columns), wide),))


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
    no_overlap(dst, (src,))
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


def nc_stream_shuffle(m: Maker) -> Step:
    count = m.one(m.widths)
    src = m.readable(32, count, ANY, ("sbuf",))
    dst, fresh = m.fresh("sbuf", m.spaces[src.name].dtype, (32, count))
    mask = [int(n) for n in m.rng.integers(0, 32, 32)]
    return m.finished("nc_stream_shuffle", dst, (src,), fresh, mask=mask)


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


def core_barrier(m: Maker) -> Step:
    """Both cores have come as far as the last store of this output."""
    stores = [step for step in m.program.steps if step.kind == "store"]
    if m.program.instances == 1 or m.portable or not stores:
        raise Retry
    return Step("core_barrier", (), (m.one(stores).dsts[0],))
