"""Random products of scaled and of paired 8-bit numbers: legal ones against NumPy, others refused.

Inputs are small whole numbers, so that sums are exact in any order; `ml_dtypes` rounds for both.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import trnlab
from trnlab.errors import TrnlabError
from trnlab.nki import isa as nisa
from trnlab.nki import language as nl
from trnlab.nki.entry import jit

PACKED = {"float8_e4m3fn": ml_dtypes.float8_e4m3fn, "float8_e5m2": ml_dtypes.float8_e5m2}
LARGEST = {"float8_e4m3fn": 8, "float8_e5m2": 15}  # exponent
COUNT = 40  # programs of each kind; `random_case` takes any seed


@dataclass(frozen=True)
class Case:
    """What a product is made of; a field that is spoiled makes it illegal."""

    rows: int
    left: int
    right: int
    kinds: tuple[str, str]
    slot: int = 0  # partitions into a quadrant where the scales lie
    source: str = "bfloat16"
    scales: str = "float8_e8m0fnu"
    result: str = "float32"
    chip: str = "trn3"
    times: int = 1


def random_case(seed: int) -> Case:
    rng = np.random.default_rng(seed)

    def one(*among: Any) -> Any:
        return among[int(rng.integers(len(among)))]

    return Case(
        one(32, 64, 96, 128),
        2 * int(rng.integers(1, 33)),
        int(rng.integers(1, 65)),
        (one(*PACKED), one(*PACKED)),
        one(0, 4, 8, 12),
        one("bfloat16", "float16"),
        one("float8_e8m0fnu", "uint8"),
        times=one(1, 2),
    )


def numbers(case: Case, columns: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(-8, 9, (case.rows, columns)).astype(np.float32)


def scaled(case: Case) -> Callable[..., Any]:
    """A kernel that quantises two tiles and multiplies them."""

    def quantised(array: Any, kind: str) -> tuple[Any, Any]:
        wide, count = nl.ndarray(array.shape, case.source), array.shape[1] // 4
        nisa.dma_copy(wide, array)
        data = nl.ndarray((case.rows, count), f"{kind}_x4")
        held = nl.ndarray((128, count), case.scales)
        height = (case.rows - 1) // 32 * 32 + 4
        part = held[case.slot : case.slot + height, :]
        nisa.quantize_mx(data, wide, part)
        return data, part

    def kernel(a: Any, b: Any) -> Any:
        left, left_scale = quantised(a, case.kinds[0])
        right, right_scale = quantised(b, case.kinds[1])
        total = nl.ndarray((case.left, case.right), case.result, buffer=nl.psum)
        for _ in range(case.times):
            nisa.nc_matmul_mx(total, left, right, left_scale, right_scale)
        return copied(total)

    return jit(kernel)


def paired(case: Case) -> Callable[..., Any]:
    """A kernel that multiplies two rows of 8-bit numbers at a time."""

    def kernel(a: Any, b: Any) -> Any:
        tiles = []
        for array, count, kind in zip((a, b), (case.left, case.right), case.kinds, strict=True):
            tile = nl.ndarray((case.rows, 2, count), kind)
            nisa.dma_copy(tile, array.reshape((case.rows, 2, count)))
            tiles.append(tile)
        total = nl.ndarray((case.left, case.right), case.result, buffer=nl.psum)
        for _ in range(case.times):
            nisa.nc_matmul(total, *tiles, perf_mode=nisa.matmul_perf_mode.double_row)
        return copied(total)

    return jit(kernel)


def copied(total: Any) -> Any:
    tile = nl.ndarray(total.shape, nl.float32)
    nisa.tensor_copy(tile, total)
    out = nl.ndarray(total.shape, nl.float32, buffer=nl.shared_hbm)
    nisa.dma_copy(out, tile)
    return out


def rounded(values: np.ndarray, kind: str) -> np.ndarray:
    """Numbers as a group of 32 keeps them: in 8 bits, times a power of two."""
    groups = values.reshape(len(values) // 8, 8, -1, 4)
    top = np.abs(groups).max(axis=(1, 3), keepdims=True)
    scale = np.exp2(np.floor(np.log2(np.where(top == 0, 1, top))) - LARGEST[kind] + 1)
    return ((groups / scale).astype(PACKED[kind]).astype(np.float32) * scale).reshape(values.shape)


def run(case: Case, make: Callable[[Case], Any], each: int, seed: int) -> tuple[Any, Any, Any]:
    a, b = (numbers(case, each * n, seed + i) for i, n in enumerate((case.left, case.right)))
    return trnlab.run(make(case), case.chip)(a, b)[0], a, b


@pytest.mark.parametrize("seed", range(COUNT))
def test_scaled_products(seed):
    case = random_case(seed)
    out, a, b = run(case, scaled, 4, seed)
    left, right = (
        rounded(x, kind).reshape(case.rows, -1, 4)
        for x, kind in zip((a, b), case.kinds, strict=True)
    )
    assert np.array_equal(out, case.times * np.einsum("kmq,knq->mn", left, right))


@pytest.mark.parametrize("seed", range(COUNT))
def test_products_of_two_rows_at_a_time(seed):
    case = random_case(seed)
    kinds = {"float8_e4m3fn": "float8_e4m3", "float8_e5m2": "float8_e5m2"}
    case = replace(case, chip=("trn2", "trn3")[seed % 2], kinds=tuple(map(kinds.get, case.kinds)))
    out, a, b = run(case, paired, 2, seed)
    left, right = (
        x.astype(getattr(ml_dtypes, kind)).astype(np.float32).reshape(2 * case.rows, -1)
        for x, kind in zip((a, b), case.kinds, strict=True)
    )
    assert np.array_equal(out, case.times * left.T @ right)


SPOILED: list[dict[str, Any]] = [
    {"rows": 48}, {"left": 7}, {"slot": 2}, {"slot": 16}, {"source": "float32"},
    {"scales": "float8_e4m3"}, {"result": "float16"}, {"chip": "trn2"}, {"chip": "trn1"},
    {"kinds": ("float4_e2m1fn", "float8_e5m2")},
]  # fmt: skip


@pytest.mark.parametrize("changes", SPOILED, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_scaled_products_that_are_wrong(seed, changes):
    with pytest.raises(TrnlabError):
        run(replace(random_case(seed), **changes), scaled, 4, seed)


@pytest.mark.parametrize(
    "changes",
    [{"chip": "trn1"}, {"kinds": ("bfloat16", "float8_e5m2")}, {"kinds": ("int8", "int8")},
     {"kinds": ("float8_e4m3fn", "float8_e4m3fn"), "chip": "trn2"},
     {"kinds": ("float8_e4m3", "float8_e4m3fn"), "chip": "trn3"}],
    ids=str,
)  # fmt: skip
def test_pairs_that_are_wrong(changes):
    case = replace(random_case(0), kinds=("float8_e4m3", "float8_e5m2"))
    with pytest.raises(TrnlabError):
        run(replace(case, **changes), paired, 2, 0)
