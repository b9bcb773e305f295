"""`neuronxcc.nki.isa`: instructions that make a pattern or choose between two values."""

from typing import Any

import numpy as np

from trnlab.errors import BadArguments
from trnlab.isa.activation import ReduceCmd as reduce_cmd
from trnlab.isa.select import FP32_MIN, AffineSelect, Iota, RangeSelect, SelectReduce
from trnlab.nki.jit import running
from trnlab.nki.legacy import masking
from trnlab.nki.legacy.index import Index, Mask
from trnlab.nki.legacy.issuing import emit
from trnlab.nki.legacy.pending import result, settle
from trnlab.nki.tensors import given


def iota(expr: Index, dtype: Any, *, mask: Any = None, name: Any = None) -> Any:
    """The values of an index expression, as a tile."""
    pattern, multiplier = _pattern(expr, expr.sizes)
    return result(Iota, expr.sizes, dtype, pattern, expr.offset, multiplier, mask=mask)


def affine_select(
    pred: Any, on_true_tile: Any, on_false_value: Any, *, mask: Any = None, dtype: Any = None,
    name: Any = None,
) -> Any:  # fmt: skip
    """on_true_tile where the predicate holds, on_false_value elsewhere."""
    if not isinstance(pred, Mask):  # its value is known
        pred = Mask((Index.number(0 if masking.settled(pred) else -1),))
    fitted = pred.fitted(on_true_tile.shape)
    equal = pred.is_equality
    if fitted is None or (len(pred.terms) > 1 and not equal):
        raise BadArguments(
            "affine_select takes one comparison over the dimensions of its tile",
            {"pred": f"{len(pred.terms)} comparisons over {pred.shape}",
             "on_true_tile": on_true_tile.describe()},
            fix="use nl.where, or one affine_select a comparison",
            place=running().here(),
            see="nki.isa.affine_select",
        )  # fmt: skip
    term = fitted.terms[0]
    pattern, multiplier = _pattern(term, on_true_tile.shape)
    return result(
        AffineSelect, on_true_tile.shape, given(dtype, on_true_tile.dtype), pattern, multiplier,
        on_true_tile, float(on_false_value), "equal" if equal else "greater_equal", term.offset,
        mask=mask,
    )  # fmt: skip


def _pattern(index: Index, shape: tuple[int, ...]) -> tuple[tuple[tuple[int, int], ...], int]:
    """Steps of the free dimensions, and of the partition dimension."""
    if len(shape) < 2:
        raise BadArguments(
            "an index expression of one dimension is no tile",
            fix="add a dimension: nl.arange(n)[None, :]",
            place=running().here(),
        )
    steps = index.padded(len(shape)).steps
    return tuple(zip(steps[1:], shape[1:], strict=True)), steps[0]


def range_select(
    *, on_true_tile: Any, comp_op0: Any, comp_op1: Any, bound0: Any, bound1: Any,
    reduce_cmd: Any = reduce_cmd.idle, reduce_res: Any = None, reduce_op: Any = np.amax,
    range_start: int = 0, on_false_value: float = FP32_MIN, mask: Any = None, dtype: Any = None,
    name: Any = None,
) -> Any:  # fmt: skip
    """on_true_tile where its column is within both bounds, the lowest fp32 number elsewhere."""
    kind = given(dtype, on_true_tile.dtype)
    return result(
        RangeSelect, on_true_tile.shape, kind, on_true_tile, comp_op0, comp_op1, bound0, bound1,
        _started(reduce_cmd, reduce_res), reduce_res, reduce_op, int(range_start), on_false_value,
        mask=mask,
    )  # fmt: skip


def select_reduce(
    *, dst: Any, predicate: Any, on_true: Any, on_false: Any, reduce_res: Any = None,
    reduce_cmd: Any = reduce_cmd.idle, reduce_op: Any = np.amax, reverse_pred: bool = False,
    mask: Any = None, dtype: Any = None, name: Any = None,
) -> None:  # fmt: skip
    """dst = on_true where predicate is not 0, else on_false; on request the largest of each row."""
    settle()
    emit(
        SelectReduce, dst, predicate, on_true, on_false, reduce_res,
        _started(reduce_cmd, reduce_res), reduce_op, reverse_pred, mask=mask,
    )  # fmt: skip


def _started(cmd: Any, reduce_res: Any) -> Any:
    """A result that is asked for without a command is that of this instruction alone."""
    return reduce_cmd.reset_reduce if cmd is reduce_cmd.idle and reduce_res is not None else cmd
