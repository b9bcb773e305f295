"""Library kernels of the older API: against NumPy, legal on both chips that it targets."""

from pathlib import Path

import numpy as np
import pytest

import trnlab
from tests.nki.test_names import run
from trnlab import NotModelled, Violations
from trnlab.errors import BadArguments
from trnlab.kernels.shipped import attention, backward, experts, projection, vision
from trnlab.kernels.shipped.names import FILE_OF, PLACES

CHIPS = ["trn1", "trn2"]
EXACT, HALF = {"rtol": 1e-5, "atol": 1e-5}, {"rtol": 2e-2, "atol": 4e-2}


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def close(got, want, rtol=1e-5, atol=1e-5):
    np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol, atol)


def scores_of(q, k, scale, causal, window, bias):
    """Masked scores [heads, n, m] in fp64 of q [heads, d, n] and k [heads, d, m]."""
    scores = np.einsum("hdn,hdm->hnm", q.astype(np.float64) * scale, k)
    scores += 0 if bias is None else bias
    row, column = np.arange(scores.shape[1])[:, None], np.arange(scores.shape[2])
    hidden = (column > row) & (causal or window > 0)
    hidden |= (window > 0) & (column < row - window + 1)
    return np.where(hidden, -1e30, scores)


def log_sum(scores, sinks=None):
    top = scores.max(-1, keepdims=True)
    total = np.exp(scores - top).sum(-1, keepdims=True)
    return np.log(total + (0 if sinks is None else np.exp(sinks[:, None, None] - top))) + top


def by_lanes(rows):
    """[heads, n] as the vendor keeps logarithms, [heads, 128, n / 128]."""
    return rows.reshape(len(rows), -1, 128).transpose(0, 2, 1)


CASES = [
    # causal, window, mixed, transposed v, bias
    (True, -1, False, False, False),
    (False, -1, False, True, True),
    (True, 200, False, False, False),
    (True, -1, True, False, False),
]


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(("causal", "window", "mixed", "across", "biased"), CASES)
def test_flash_fwd(chip, causal, window, mixed, across, biased):
    q, k, v = drawn(1, 2, 64, 512), drawn(1, 1, 64, 1024, seed=1), drawn(1, 1, 1024, 64, seed=2)
    bias = drawn(1, 2, 512, 1024, seed=3) if biased else None
    config = attention.FlashConfig(seq_tile_size=512, should_transpose_v=across)
    given = np.ascontiguousarray(v.transpose(0, 1, 3, 2)) if across else v
    (out, logs), _ = trnlab.run(attention.flash_fwd[1, 1], chip)(
        q, k, given, None, logit_bias=bias, use_causal_mask=causal, sliding_window=window,
        mixed_precision=mixed, config=config,
    )  # fmt: skip
    scores = scores_of(
        q[0], np.repeat(k[0], 2, 0), 0.125, causal, window, 0 if bias is None else bias[0]
    )
    want = log_sum(scores)
    tolerance = HALF if mixed else EXACT
    close(out[0], np.exp(scores - want) @ np.repeat(v[0], 2, 0), **tolerance)
    close(logs[0], by_lanes(want[..., 0]), **tolerance)


def test_flash_fwd_for_inference_returns_one_tensor():
    q, k, v = drawn(1, 1, 32, 128), drawn(1, 1, 32, 512, seed=1), drawn(1, 1, 512, 32, seed=2)
    config = attention.FlashConfig(seq_tile_size=512, training=False)
    out, _ = trnlab.run(attention.flash_fwd[1, 1], "trn2")(
        q,
        k,
        v,
        None,
        softmax_scale=1.0,
        use_causal_mask=False,
        mixed_precision=False,
        config=config,
    )
    scores = scores_of(q[0], k[0], 1.0, False, -1, None)
    close(out[0], np.exp(scores - log_sum(scores)) @ v[0])


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(
    ("causal", "window", "mixed", "biased", "sinking", "shared"),
    [
        (True, -1, False, False, True, 2),
        (False, -1, False, True, False, 1),
        (False, 130, False, False, False, 2),
        (True, -1, True, False, False, 1),
    ],
)
def test_flash_attn_bwd(chip, causal, window, mixed, biased, sinking, shared):
    q, dy = drawn(1, 2, 64, 512), drawn(1, 2, 64, 512, seed=1)
    k, v = drawn(1, 2 // shared, 64, 512, seed=2), drawn(1, 2 // shared, 64, 512, seed=3)
    bias = drawn(1, 2, 512, 512, seed=4) if biased else None
    sinks = drawn(1, 2, seed=5) if sinking else None
    wide_k, wide_v = np.repeat(k[0], shared, 0), np.repeat(v[0], shared, 0)
    scores = scores_of(q[0], wide_k, 0.125, causal, window, None if bias is None else bias[0])
    logs = log_sum(scores, None if sinks is None else sinks[0])
    weights = np.exp(scores - logs)
    out = np.einsum("hnm,hdm->hdn", weights, wide_v)
    shares = (dy[0] * out).sum(1)[..., None]
    change = weights * (np.einsum("hdn,hdm->hnm", dy[0], wide_v) - shares) * 0.125
    found, _ = trnlab.run(backward.flash_attn_bwd[1, 2 // shared], chip)(
        q, k, v, out[None].astype(np.float32), dy, by_lanes(logs[..., 0])[None].astype(np.float32),
        None, logit_bias_ref=bias, use_causal_mask=causal, mixed_precision=mixed,
        sliding_window=window, sinks=sinks,
    )  # fmt: skip
    tolerance = {"rtol": 5e-2, "atol": 5e-2} if mixed else {"rtol": 1e-4, "atol": 1e-4}
    groups = (2 // shared, shared, 64, 512)
    close(found[0][0], np.einsum("hdm,hnm->hdn", wide_k, change), **tolerance)
    close(found[1][0], np.einsum("hdn,hnm->hdm", q[0], change).reshape(groups).sum(1), **tolerance)
    close(
        found[2][0], np.einsum("hdn,hnm->hdm", dy[0], weights).reshape(groups).sum(1), **tolerance
    )
    assert len(found) == 3 + sinking
    if sinks is not None:
        close(found[3][0], -(np.exp(sinks[0][:, None] - logs[..., 0]) * shares[..., 0]).sum(1))


@pytest.mark.parametrize("chip", CHIPS)
def test_small_heads(chip):
    q, k, v = drawn(2, 64, 256), drawn(2, 64, 256, seed=1), drawn(2, 256, 64, seed=2)
    scores = scores_of(q, k, 0.125, False, -1, None)
    want = np.exp(scores - log_sum(scores)) @ v
    rows = np.ascontiguousarray(k.transpose(0, 2, 1))
    fused = attention.fused_self_attn_for_SD_small_head_size
    close(trnlab.run(fused[2], chip)(q, rows, v, mixed_precision=False)[0], want)
    close(trnlab.run(fused, chip)(q, rows, v)[0], want, **HALF)
    out = np.zeros((2, 256, 64), np.float32)
    trnlab.run(fused[2], chip)(q, rows, v, out)
    close(out, want, **HALF)
    placed = attention.allocated_fused_self_attn_for_SD_small_head_size
    close(trnlab.run(placed[2], chip)(q, k, v, mixed_precision=False)[0], want.transpose(0, 2, 1))


@pytest.mark.parametrize("grid", [None, 2])
def test_attention_isa_kernel(grid):
    q, k, v = drawn(1, 64, 256), drawn(1, 64, 256, seed=1), drawn(1, 256, 64, seed=2)
    scores = scores_of(q, k, 0.5, True, -1, None)
    want = np.exp(scores - log_sum(scores)) @ v
    kernel = attention.attention_isa_kernel
    chosen = kernel if grid is None else kernel[trnlab_nc(grid)]
    for out, across in ((np.zeros((1, 256, 64), np.float32), False),
                        (np.zeros((1, 64, 256), np.float32), True)):  # fmt: skip
        name = "CausalAttentionMMSoftmaxMMWithoutSwap"
        trnlab.run(chosen, "trn2")(q, k, v, 0.5, out, kernel_name=name)
        close(out, want.transpose(0, 2, 1) if across else want)


def trnlab_nc(count):
    from trnlab.nki.legacy.grid import nc

    return nc(count)


def test_resize_nearest():
    image = drawn(2, 6, 5, 32)
    rows, columns = np.arange(13) * 6 // 13, np.arange(11) * 5 // 11
    want = image[:, rows][:, :, columns]
    kernel = vision.resize_nearest_fixed_dma_kernel
    assert np.array_equal(trnlab.run(kernel[2], "trn1")(image, (2, 13, 11, 32))[0], want)
    out = np.zeros((2, 13, 11, 32), np.float32)
    trnlab.run(kernel, "trn2")(image, out)
    assert np.array_equal(out, want)


@pytest.mark.parametrize("chip", CHIPS)
def test_select_and_scatter_gives_to_the_first_largest(chip):
    operand = np.random.default_rng(0).integers(-3, 3, (2, 4, 12, 12)).astype(np.float32)
    source = np.random.default_rng(1).integers(-9, 9, (2, 4, 6, 6)).astype(np.float32)
    padded = np.pad(operand, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    want = np.zeros_like(padded)
    for n, c, i, j in np.ndindex(source.shape):
        down, right = divmod(int(np.argmax(padded[n, c, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3])), 3)
        want[n, c, 2 * i + down, 2 * j + right] += source[n, c, i, j]
    found, _ = trnlab.run(vision.select_and_scatter_kernel, chip)(operand, source)
    assert np.array_equal(found, want[:, :, 1:-1, 1:-1])


def normed(x):
    return x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-6)


TENTH = {"rtol": 1e-4, "atol": 1e-4}


@pytest.mark.parametrize("chip", CHIPS)
def test_projections_of_normed_rows(chip):
    hidden, weights = drawn(1, 200, 256), drawn(256, 600, seed=1)
    gamma, bias = drawn(1, 256, seed=2), drawn(1, 600, seed=3)
    plain, _ = trnlab.run(projection.allocated_fused_rms_norm_qkv, chip)(hidden, weights)
    close(plain, normed(hidden) @ weights, **TENTH)
    kernel = projection.rmsnorm_qkv_isa_kernel
    out = np.zeros((1, 200, 600), np.float32)
    trnlab.run(kernel, chip)(hidden, weights, gamma, out, bias=bias)
    close(out, normed(hidden) * gamma @ weights + bias, **TENTH)
    trnlab.run(kernel, chip)(hidden, weights, gamma, out, fused_rmsnorm=False)
    close(out, hidden @ weights, **TENTH)


def test_projections_by_head_and_of_a_sum():
    hidden, weights, gamma = drawn(1, 130, 256), drawn(256, 600, seed=1), drawn(1, 256, seed=2)
    kept, out = hidden.copy(), np.zeros((6, 1, 130, 100), np.float32)
    trnlab.run(projection.rmsnorm_qkv_isa_fused_add_kernel, "trn2")(
        kept, hidden, hidden, weights, gamma, out
    )
    assert np.array_equal(kept, hidden + hidden + hidden)
    want = normed(kept) * gamma @ weights
    close(out, want.reshape(1, 130, 6, 100).transpose(2, 0, 1, 3), **TENTH)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("leading", [0, 1])
def test_blockwise_mm(chip, leading):
    tokens, depth, inner, count, size = 200, 256, 128, 4, 128
    hidden, shares = drawn(tokens + 1, depth), abs(drawn(tokens + 1, count, seed=1))
    hidden[tokens] = shares[tokens] = 0
    up, down = drawn(count, depth, 2, inner, seed=2) / 16, drawn(count, inner, depth, seed=3) / 16
    chosen = [(2, np.arange(100)), (0, np.arange(50, 178)), (3, np.arange(150, 200))]
    padding = [np.full(size - len(rows), tokens) for _, rows in chosen]
    listed = [np.concatenate([rows, rest]) for (_, rows), rest in zip(chosen, padding, strict=True)]
    positions = np.concatenate([np.zeros(leading), *listed]).astype(np.int32)
    of_block = np.array([[expert] for expert, _ in chosen], np.int32)
    out = np.zeros((tokens + 1, depth), np.float32)
    trnlab.run(experts.blockwise_mm, chip)(
        hidden, shares.reshape(-1, 1), up, down, size, positions, of_block, out
    )
    want = np.zeros(out.shape)
    for (expert, _), rows in zip(chosen, listed, strict=True):
        gate, linear = hidden[rows] @ up[expert, :, 0], hidden[rows] @ up[expert, :, 1]
        part = (gate / (1 + np.exp(-gate)) * linear) @ down[expert]
        np.add.at(want, rows, part * shares[rows, expert][:, None])
    close(out, want, **TENTH)


def test_sizes_that_the_experts_take():
    experts.check_blockwise_mm_kernel_compatibility(256, 128, 512)
    with pytest.raises(AssertionError, match="100 is not a multiple"):
        experts.check_blockwise_mm_kernel_compatibility(256, 128, 100)


Q, K, V = drawn(1, 1, 32, 128), drawn(1, 1, 32, 512), drawn(1, 1, 512, 32)
REFUSED = [
    (lambda: attention.flash_fwd[1, 1](Q, K, V, None, dropout_p=0.5), NotModelled, "dropout"),
    (lambda: attention.flash_fwd[1, 1](Q, K, V, None), BadArguments, "multiple of 2048"),
    (lambda: backward.flash_attn_bwd[1, 1](Q, K, K, Q, Q, V, None, dropout_p=0.5),
     NotModelled, "dropout"),
    (lambda: backward.flash_attn_bwd[1, 1](Q, K, K, Q, Q, V, None),
     BadArguments, "multiple of 512"),
    (lambda: attention.attention_isa_kernel(Q[0], K[0], V[0], 1.0, V[0], "AttentionMMSoftmaxMM"),
     NotModelled, "private"),
    (lambda: projection.rmsnorm_qkv_isa_kernel(Q[0], Q[0, 0], None, Q[0], kernel_name="Other"),
     NotModelled, "private"),
    (lambda: vision.select_and_scatter_kernel(Q, Q), BadArguments, "the source"),
    (lambda: vision.resize_nearest_fixed_dma_kernel(Q, (2, 2, 2, 2)), BadArguments, "batch"),
    (lambda: experts.blockwise_mm(Q[0, 0], V[0, 0], Q, Q[0], 128, Q[0, 0], Q[0, 0], Q[0, 0], True),
     NotModelled, "skipped"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "said"), REFUSED)
def test_what_they_do_not_do_is_said(call, error, said):
    with pytest.raises((error, Violations), match=said):
        call()


def test_they_stand_where_the_vendor_has_them(tmp_path):
    code = """
import trnlab
trnlab.activate()
from neuronxcc.nki.kernels.attention import flash_fwd, flash_attn_bwd, FlashConfig
from neuronxcc.nki.kernels.attention import fused_self_attn_for_SD_small_head_size
from neuronxcc.nki.kernels.vision import resize_nearest_fixed_dma_kernel, select_and_scatter_kernel
from neuronxcc.nki.kernels import flash_fwd as again
from neuronxcc.nki._private_kernels.attention import attention_isa_kernel
from neuronxcc.nki._private_kernels.qkv import rmsnorm_qkv_isa_kernel
from neuronxcc.nki._private_kernels.blockwise_mm import blockwise_mm
from neuronxcc.starfish.penguin.targets.nki.private_api import vnc
import nki.kernels
from torch_neuronx import nki_jit
from torch_neuronx.xla_impl.ops import nki_jit as by_another_name
print(flash_fwd is again is nki.kernels.flash_fwd, vnc(2).cores, by_another_name is nki_jit)
import numpy as np
out = np.zeros((1, 4, 4, 8), np.float32)
nki_jit(resize_nearest_fixed_dma_kernel)[1](np.ones((1, 2, 2, 8), np.float32), out)
print(out.sum())
from neuronxcc.nki._private_kernels.mlp import mlp_isa_kernel
try:
    mlp_isa_kernel(1)
except trnlab.NotModelled as error:
    print(str(error).splitlines()[0])
"""
    assert run(code, tmp_path).splitlines() == [
        "True 2 True",
        "128.0",
        "not modelled: neuronxcc.nki._private_kernels.mlp.mlp_isa_kernel",
    ]


def test_every_kernel_is_in_the_page():
    page = (Path(trnlab.__file__).parents[1] / "docs" / "kernels.md").read_text()
    assert [name for name in FILE_OF if f"`{name}`" not in page] == []
    assert sum(map(len, PLACES.values())) == len(FILE_OF)
