"""`blockwise_mm`: a mixture of experts over blocks of tokens, each block for one expert.

Arguments as neuronx-distributed passes them and nkilib documents its successor (moe_cte, 2.32).
"""

from typing import Any

from trnlab.errors import NotModelled
from trnlab.kernels.shipped.tiles import BANK, LANES, cuts, need, sums, tile, turned
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl


def check_blockwise_mm_kernel_compatibility(
    hidden_size: int, block_size: int, intermediate_size_tp: int
) -> None:
    """Raises AssertionError for sizes that `blockwise_mm` does not take."""
    for size in (hidden_size, block_size, intermediate_size_tp):
        assert size % LANES == 0, f"{size} is not a multiple of {LANES}"


@nki.trace
def blockwise_mm(
    hidden_states: Any,
    expert_affinities_masked: Any,
    gate_up_proj_weight: Any,
    down_proj_weight: Any,
    block_size: int,
    token_position_to_id: Any,
    block_to_expert: Any,
    output: Any,
    skip_dma: Any = False,
    gate_up_proj_scale: Any = None,
    down_proj_scale: Any = None,
) -> Any:
    """output[t] += affinity[t, e] * ((silu(x[t] @ gate[e]) * (x[t] @ up[e])) @ down[e]).

    x [T + 1, H] with a row for padding, affinities [(T + 1) * E, 1], gate and up [E, H, 2, I], down
    [E, I, H]; the tokens of block n are ``token_position_to_id[n * block_size:]``, its expert is
    ``block_to_expert[n]``, both int32; output [T + 1, H]. Raises NotModelled for skipped transfers
    and quantised weights.
    """
    if skip_dma or gate_up_proj_scale is not None or down_proj_scale is not None:
        raise NotModelled(
            "blockwise_mm with skipped transfers or quantised weights", "skip_dma=False, no scales"
        )
    depth, inner, experts = (
        hidden_states.shape[1],
        down_proj_weight.shape[1],
        down_proj_weight.shape[0],
    )
    need(nl.program_ndim() == 0, "blockwise_mm: a launch grid", nl.program_ndim(), "one core")
    need(depth % LANES == 0, "blockwise_mm: H", depth, "a multiple of 128")
    need(inner % LANES == 0, "blockwise_mm: I", inner, "a multiple of 128")
    need(block_size % LANES == 0, "blockwise_mm: block_size", block_size, "a multiple of 128")
    blocks = block_to_expert.shape[0]
    extra = token_position_to_id.shape[0] - blocks * block_size  # older callers lead with one more
    gates = gate_up_proj_weight.reshape((experts * depth, 2 * inner))
    downs = down_proj_weight.reshape((experts * inner, depth))
    for block in nl.sequential_range(blocks):
        expert = nl.copy(
            nl.load(block_to_expert[nl.ds(block, 1), 0:1]).broadcast_to((LANES, 1)),
            dtype=nl.float32,
        )
        for start, _ in cuts(block_size, LANES):
            first = extra + block * block_size + start
            tokens = nl.load(token_position_to_id.reshape((extra + blocks * block_size, 1))[
                nl.ds(first, LANES), 0:1
            ])  # fmt: skip
            rows = _rows(hidden_states, tokens, depth)
            gated = _gated(rows, gates, expert, depth, inner)
            places = nisa.tensor_scalar(tokens, nl.multiply, float(experts), dtype=nl.float32)
            listed = nisa.tensor_tensor(places, expert, nl.add, dtype=nl.int32)
            shares = nl.copy(_rows(expert_affinities_masked, listed, 1), dtype=nl.float32)
            _down(gated, downs, expert, shares, tokens, output)
    return output


def _rows(source: Any, index: Any, width: int, first: int = 0) -> Any:
    """The rows of an HBM tensor that a tile [128, 1] lists, ``width`` columns from the first."""
    i_p, i_f = nl.arange(LANES)[:, None], nl.arange(width)[None, :]
    return nl.load(source[index[i_p, 0], first + i_f])


def _listed(expert: Any, depth: int, start: int) -> Any:
    """The rows start to start + 128 of an expert's weights, in a list of all experts' rows."""
    i_p, i_f = nl.arange(LANES)[:, None], nl.arange(1)[None, :]
    row = nisa.iota(i_p + i_f + start, dtype=nl.float32)
    return nisa.scalar_tensor_tensor(
        data=expert,
        op0=nl.multiply,
        operand0=float(depth),
        op1=nl.add,
        operand1=row,
        dtype=nl.int32,
    )


def _gated(rows: Any, gates: Any, expert: Any, depth: int, inner: int) -> Any:
    """silu(x @ gate) * (x @ up) of 128 tokens, transposed: [128, I / 128, 128]."""
    kind, steps = rows.dtype, depth // LANES
    left = tile(LANES, steps, LANES, dtype=kind)
    for k in nl.static_range(steps):
        left[:, k, :] = turned(rows[:, nl.ds(k * LANES, LANES)], kind)
    kept = tile(LANES, inner // LANES, LANES, dtype=kind)
    for part in nl.static_range(inner // LANES):
        gate, up = sums(LANES, LANES), sums(LANES, LANES)
        for k in nl.static_range(steps):
            listed = _listed(expert, depth, k * LANES)
            gate += nisa.nc_matmul(_rows(gates, listed, LANES, part * LANES), left[:, k, :])
            up += nisa.nc_matmul(_rows(gates, listed, LANES, inner + part * LANES), left[:, k, :])
        active = nisa.activation(nl.silu, gate, dtype=nl.float32)
        kept[:, part, :] = nisa.tensor_tensor(active, up, nl.multiply, dtype=kind)
    return kept


def _down(gated: Any, downs: Any, expert: Any, shares: Any, tokens: Any, output: Any) -> None:
    """Adds the projected tokens, times their shares, to their rows of the output."""
    inner, depth = gated.shape[1] * LANES, downs.shape[1]
    i_p = nl.arange(LANES)[:, None]
    for start, size in cuts(depth, BANK):
        total, i_f = sums(LANES, size), nl.arange(size)[None, :]
        for k in nl.static_range(inner // LANES):
            listed = _listed(expert, inner, k * LANES)
            total += nisa.nc_matmul(gated[:, k, :], _rows(downs, listed, size, start))
        before = _rows(output, tokens, size, start)
        after = nisa.scalar_tensor_tensor(
            data=total, op0=nl.multiply, operand0=shares, op1=nl.add, operand1=before,
            dtype=output.dtype,
        )  # fmt: skip
        nl.store(output[tokens[i_p, 0], start + i_f], after)
