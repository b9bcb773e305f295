"""Attention forward: `flash_fwd`, the fused kernels of small heads, and `attention_isa_kernel`.

Layouts as nki-samples documents them (attention, allocated_attention, July 2025).
"""

from dataclasses import dataclass
from typing import Any

from trnlab.errors import NotModelled
from trnlab.isa.tile import Tile
from trnlab.kernels.shipped.flash import Sight, attend
from trnlab.kernels.shipped.tiles import (
    BANK,
    LANES,
    cuts,
    mine,
    need,
    rows_of,
    tile,
    turned,
    turned_rows,
)
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

SMALL_HEADS_SCALE = 0.125  # of the two kernels for Stable Diffusion, whatever the head's size
DROPOUT = "random numbers of which the vendor documents neither state nor order"


@dataclass(frozen=True)
class FlashConfig:
    """How `flash_fwd` goes over the keys; ``attn_core_tile_size`` has no meaning here."""

    seq_tile_size: int = 2048
    attn_core_tile_size: int = 256
    training: bool = True
    should_transpose_v: bool = False
    lse_dtype: str = ""


@nki.jit
def flash_fwd(
    q: Any,
    k: Any,
    v: Any,
    seed: Any,
    logit_bias: Any = None,
    softmax_scale: Any = None,
    use_causal_mask: bool = True,
    sliding_window: int = -1,
    mixed_precision: bool = True,
    dropout_p: float = 0.0,
    config: Any = None,
) -> Any:
    """softmax(scale q.T k + bias) v, launched as ``flash_fwd[batch, kv_heads]``.

    q [b, heads, d, n], k [b, kv_heads, d, m], v [b, kv_heads, m, d] ([..., d, m] where the config
    transposes it), logit_bias [b, heads, n, m]; out [b, heads, n, d], and in training also
    log(sum(exp)) as [b, heads, 128, n / 128]. n and m are multiples of 128, m of the config's
    ``seq_tile_size``. Raises NotModelled for dropout.
    """
    config = config or FlashConfig()
    heads, depth, length = q.shape[1:]
    group, width = heads // k.shape[1], config.seq_tile_size
    if dropout_p:
        raise NotModelled("dropout in flash_fwd", DROPOUT)
    need(depth <= LANES, "flash_fwd: heads are too wide", depth, "d at most 128")
    need(length % LANES == 0, "flash_fwd: queries", length, "a multiple of 128")
    need(k.shape[3] % width == 0, "flash_fwd: keys", k.shape[3], f"a multiple of {width}")
    need(width % BANK == 0, "flash_fwd: seq_tile_size", width, "a multiple of 512")
    scale = depth**-0.5 if softmax_scale is None else softmax_scale
    kind = nl.bfloat16 if mixed_precision else q.dtype
    lse_kind = getattr(nl, config.lse_dtype) if config.lse_dtype else _exact(mixed_precision, q)
    sight = Sight(use_causal_mask or sliding_window > 0, sliding_window)
    out = nl.ndarray((q.shape[0], heads, length, depth), dtype=q.dtype, buffer=nl.shared_hbm)
    logs = nl.ndarray(
        (q.shape[0], heads, LANES, length // LANES), dtype=lse_kind, buffer=nl.shared_hbm
    ) if config.training else None  # fmt: skip
    for batch in mine(0, q.shape[0]):
        for head in mine(1, k.shape[1]):
            keys = nl.load(k[batch, head], dtype=kind)
            values = (
                _turned_values(v[batch, head], kind)
                if config.should_transpose_v
                else rows_of(v[batch, head], kind)
            )
            for member in nl.affine_range(group):
                here = head * group + member
                kept = tile(LANES, length // LANES, dtype=lse_kind)
                for q0 in nl.affine_range(0, length, LANES):
                    row = nl.load(q[batch, here, 0:depth, nl.ds(q0, LANES)])
                    row = nisa.tensor_scalar(row, nl.multiply, scale, dtype=kind)
                    bias = logit_bias[batch, here] if logit_bias is not None else None
                    done = attend(row, keys, values, sight, q0, width, bias)
                    nl.store(
                        out[batch, here, nl.ds(q0, LANES), 0:depth], _shared_out(done, q.dtype)
                    )
                    if logs is not None:
                        total = nisa.activation(nl.log, done.total)
                        kept[:, nl.ds(q0 // LANES, 1)] = nisa.tensor_tensor(
                            total, done.top, nl.add, dtype=lse_kind
                        )
                if logs is not None:
                    nl.store(logs[batch, here], kept)
    return out if logs is None else (out, logs)


def _exact(mixed: bool, q: Any) -> Any:
    return nl.float32 if mixed else q.dtype


def _turned_values(v: Any, kind: Any) -> Any:
    """Values [d, m] in HBM as [128, m / 128, d] in SBUF."""
    depth, length = v.shape
    kept = tile(LANES, length // LANES, depth, dtype=kind)
    for step in nl.affine_range(length // LANES):
        block = nl.load(v[0:depth, nl.ds(step * LANES, LANES)], dtype=kind)
        kept[:, step, :] = turned(block, kind)
    return kept


def _shared_out(done: Any, kind: Any) -> Any:
    """Values over the sums of their weights."""
    return nisa.tensor_scalar(done.out, nl.multiply, nisa.reciprocal(done.total), dtype=kind)


@nki.trace
def fused_self_attn_for_SD_small_head_size(
    q_ref: Any,
    k_ref: Any,
    v_ref: Any,
    use_causal_mask: Any = False,
    mixed_precision: bool = True,
) -> Any:
    """softmax(q.T k.T / 8) v, launched as ``kernel[batch]``.

    q [b, d, n], k and v [b, n, d]; out [b, n, d]; d at most 128, n a multiple of 128. A tensor
    in the place of ``use_causal_mask`` is the output, as kernels had it before SDK 2.22.
    """
    out, causal = _given_out(use_causal_mask, (q_ref.shape[0], *q_ref.shape[:0:-1]), q_ref.dtype)
    _check_small(q_ref)
    kind = nl.bfloat16 if mixed_precision else q_ref.dtype
    for batch in mine(0, q_ref.shape[0]):
        keys = turned_rows(k_ref[batch], kind)
        _small(q_ref[batch], keys, v_ref[batch], out[batch], causal, SMALL_HEADS_SCALE, kind, True)
    return out


@nki.jit
def allocated_fused_self_attn_for_SD_small_head_size(
    q_ref: Any,
    k_ref: Any,
    v_ref: Any,
    use_causal_mask: Any = False,
    mixed_precision: bool = True,
) -> Any:
    """softmax(q.T k / 8) v, transposed, launched as ``kernel[batch]``.

    q and k [b, d, n], v [b, n, d]; out [b, d, n]. Tensors are placed automatically here.
    """
    out, causal = _given_out(use_causal_mask, q_ref.shape, q_ref.dtype)
    _check_small(q_ref)
    kind = nl.bfloat16 if mixed_precision else q_ref.dtype
    for batch in mine(0, q_ref.shape[0]):
        keys = nl.load(k_ref[batch], dtype=kind)
        _small(q_ref[batch], keys, v_ref[batch], out[batch], causal, SMALL_HEADS_SCALE, kind, False)
    return out


@nki.trace
def attention_isa_kernel(
    q: Any,
    k: Any,
    v: Any,
    scale: float,
    out: Any,
    kernel_name: str = "AttentionMMSoftmaxMMWithoutSwap",
) -> Any:
    """softmax(scale q.T k) v into ``out``, as public calls have it; over two cores with a grid.

    q and k [heads, d, n], v [heads, m, d]; out [heads, n, d] or [heads, d, n]. A name that begins
    with Causal masks later keys. Raises NotModelled for the layouts of other names.
    """
    if not kernel_name.removeprefix("Causal").startswith("AttentionMMSoftmaxMMWithoutSwap"):
        raise NotModelled(
            f"attention_isa_kernel as {kernel_name}", "its layouts, which are private"
        )
    causal = kernel_name.startswith("Causal")
    _check_small(q)
    straight = (q.shape[2], q.shape[1])
    by_rows = tuple(out.shape[1:]) == straight and not (causal and straight[0] == straight[1])
    first, step = (nl.program_id(0), nl.num_programs(0)) if nl.program_ndim() else (0, 1)
    for head in nl.static_range(q.shape[0]):
        keys = nl.load(k[head], dtype=v.dtype)
        _small(q[head], keys, v[head], out[head], causal, scale, v.dtype, by_rows, first, step)
    return out


def _check_small(q: Any) -> None:
    need(q.shape[1] <= LANES, "heads are too wide", q.shape[1], "d at most 128")
    need(q.shape[2] % LANES == 0, "the sequence", q.shape[2], "a multiple of 128")


def _given_out(flag: Any, shape: tuple[int, ...], dtype: Any) -> tuple[Any, bool]:
    """The output, and whether keys are masked: older callers passed an output in that place."""
    if isinstance(flag, Tile):
        return flag, False
    return nl.ndarray(shape, dtype=dtype, buffer=nl.shared_hbm), bool(flag)


def _small(
    q: Any, keys: Any, v: Any, out: Any, causal: bool, scale: float, kind: Any, by_rows: bool,
    first: int = 0, step: int = 1,
) -> None:  # fmt: skip
    """Attention of one head; of its tiles of queries, every ``step``-th."""
    depth, length = q.shape
    values, sight = rows_of(v, kind), Sight(causal)
    for q0, _ in cuts(length, LANES)[first::step]:
        row = nl.load(q[0:depth, nl.ds(q0, LANES)])
        row = nisa.tensor_scalar(row, nl.multiply, scale, dtype=kind)
        done = attend(row, keys, values, sight, q0, 2048)
        if by_rows:
            nl.store(out[nl.ds(q0, LANES), 0:depth], _shared_out(done, out.dtype))
        else:
            nl.store(out[0:depth, nl.ds(q0, LANES)], turned(_shared_out(done, kind), out.dtype))
