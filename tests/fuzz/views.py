"""Parts of tensors: as NumPy views here, and as text in either generation of the API."""

from dataclasses import dataclass, replace

import numpy as np

Range = tuple[int, int, int]  # start, stop, step


@dataclass(frozen=True)
class Ref:
    """A tensor by name, and what is done to it: each cut is the name of a view and its arguments.

    ``instance`` says that the first dimension is the instance of the launch grid; ``spelling`` is
    how the older API writes an index.
    """

    name: str
    cuts: tuple[tuple, ...] = ()
    instance: bool = False
    spelling: str = "slice"

    def cut(self, *cut) -> "Ref":
        """The same with one more view."""
        return replace(self, cuts=(*self.cuts, cut))

    def of(self, array: np.ndarray) -> np.ndarray:
        """The view of an array; never a copy."""
        for kind, *given in self.cuts:
            array = VIEWS[kind](array, *given)
        return array

    def text(self, older: bool = False) -> str:
        """How a kernel writes it."""
        if self.instance:
            kind, ranges = self.cuts[0]
            assert kind == "index"
            return f"{self.name}[i, {', '.join(_slice(r) for r in ranges)}]"
        out = self.name
        for kind, *given in self.cuts:
            out += _old(self.spelling, *given) if older else SPELLED[kind](*given)
        return out


def _slice(part: Range) -> str:
    start, stop, step = part
    return f"{start}:{stop}" if step == 1 else f"{start}:{stop}:{step}"


def _index(array: np.ndarray, ranges: tuple[Range, ...]) -> np.ndarray:
    return array[tuple(slice(*r) for r in ranges)]


def _ap(array: np.ndarray, pattern: tuple[tuple[int, int], ...], offset: int) -> np.ndarray:
    assert array.flags.c_contiguous
    strides = [step * array.itemsize for step, _ in pattern]
    return _strided(array.reshape(-1)[offset:], [n for _, n in pattern], strides)


def _strided(array: np.ndarray, shape, strides) -> np.ndarray:
    """What as_strided does, for the dtypes of ml_dtypes too."""
    as_bytes = array.view(f"u{array.itemsize}")
    return np.lib.stride_tricks.as_strided(as_bytes, shape, strides).view(array.dtype)


def _broadcast(array: np.ndarray, dim: int, size: int) -> np.ndarray:
    shape = list(array.shape)
    shape[dim] = size
    return np.broadcast_to(array, shape)


def _split(array: np.ndarray, dim: int, sizes: tuple[int, ...]) -> np.ndarray:
    shape = (*array.shape[:dim], *sizes, *array.shape[dim + 1 :])
    strides = list(array.strides)
    inner = [strides[dim] * int(np.prod(sizes[i + 1 :])) for i in range(len(sizes))]
    strides[dim : dim + 1] = inner
    return _strided(array, shape, strides)


def _at_register(row: int, start: int, sizes: tuple[int, int], width: int) -> str:
    """A box of a tensor of that width whose first row is in a register."""
    pattern = [[width, sizes[0]], [1, sizes[1]]]
    held = f"nisa.register_alloc({row})"
    return f".ap({pattern}, offset={start}, scalar_offset={held}, indirect_dim=0)"


def _by_index(row: int, step: int, start: int, sizes: tuple[int, int], width: int) -> str:
    """Columns of rows whose numbers are in a tile: row, row + step, ..."""
    pattern = [[width, sizes[0]], [1, sizes[1]]]
    listed = f"numbers({row}, {step}, {sizes[0]})"
    return f".ap({pattern}, offset={start}, vector_offset={listed})"


def _rows_at(
    array: np.ndarray, row: int, step: int, start: int, sizes: tuple[int, int], _: int
) -> np.ndarray:
    return array[row + step * np.arange(sizes[0]), start : start + sizes[1]]


def _box_at(array: np.ndarray, row: int, start: int, sizes: tuple[int, int], _: int) -> np.ndarray:
    return array[row : row + sizes[0], start : start + sizes[1]]


VIEWS = {
    "index": _index,
    "ap": _ap,
    "register": _box_at,
    "rows": _rows_at,
    "broadcast": _broadcast,
    "reshape_dim": _split,
    "permute": lambda array, dims: array.transpose(dims),
    "expand_dim": np.expand_dims,
    "squeeze_dim": np.squeeze,
    "reshape": lambda array, shape: array.reshape(shape),
    "flatten_dims": lambda array, a, b: array.reshape(*array.shape[:a], -1, *array.shape[b + 1 :]),
}
SPELLED = {
    "index": lambda ranges: f"[{', '.join(_slice(r) for r in ranges)}]",
    "ap": lambda pattern, offset: f".ap({[list(p) for p in pattern]}, offset={offset})",
    "register": _at_register,
    "rows": _by_index,
    "broadcast": lambda dim, size: f".broadcast({dim}, {size})",
    "reshape_dim": lambda dim, sizes: f".reshape_dim({dim}, {tuple(sizes)})",
    "permute": lambda dims: f".permute({tuple(dims)})",
    "expand_dim": lambda dim: f".expand_dim({dim})",
    "squeeze_dim": lambda dim: f".squeeze_dim({dim})",
    "reshape": lambda shape: f".reshape({tuple(shape)})",
    "flatten_dims": lambda a, b: f".flatten_dims({a}, {b})",
}


def _old(spelling: str, ranges: tuple[Range, ...]) -> str:
    if spelling == "slice":
        return f"[{', '.join(_slice(r) for r in ranges)}]"
    parts = []
    for axis, (start, stop, step) in enumerate(ranges):
        count = len(range(start, stop, step))
        if spelling == "mgrid":
            sizes = ", ".join(f"0:{len(range(*r))}" for r in ranges)
            expression = f"nl.mgrid[{sizes}][{axis}]"
        else:
            places = ", ".join(":" if d == axis else "None" for d in range(len(ranges)))
            expression = f"nl.arange({count})[{places}]"
        scaled = f"{step} * {expression}" if step != 1 else expression
        parts.append(f"{start} + {scaled}" if start else scaled)
    return f"[{', '.join(parts)}]"
