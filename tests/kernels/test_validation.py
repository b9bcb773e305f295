"""The kernels of bounded tests compute what those of the vendor do: against NumPy."""

from dataclasses import replace
from functools import partial

import ml_dtypes
import numpy as np
import pytest

import trnlab
from tests.kernels.test_shipped import by_lanes, close, drawn, log_sum, normed, scores_of
from trnlab.kernels.validation import (
    blocked,
    convolution,
    gradients,
    heads,
    ladders,
    mamba,
    norms,
    quantized,
    vision,
)
from trnlab.nki.jit import Kernel

HALF = {"rtol": 3e-2, "atol": 5e-2}


def ran(kernel, *arrays, chip="trn1"):
    return trnlab.run(kernel, chip)(*arrays)[0]


def softmax(scores):
    return np.exp(scores - log_sum(scores))


@pytest.mark.parametrize("depth", [64, 128])
def test_attention_one_by_one(depth):
    q, k, v = drawn(depth, 256), drawn(256, depth, seed=1), drawn(256, depth, seed=2)
    want = softmax(scores_of(q[None], k.T[None], 0.125, False, -1, None))[0] @ v
    close(ran(heads.one_by_one, q, k, v), want, **HALF)


def test_attention_in_pairs():
    q, k, v = drawn(64, 1024), drawn(64, 1024, seed=1), drawn(1024, 64, seed=2)
    want = softmax(scores_of(q[None], k[None], 0.125, False, -1, None))[0] @ v
    close(ran(heads.in_pairs, q, k, v), want.T, **HALF)


def test_gradients_of_attention():
    q, k, v, dy = (drawn(2, 64, 1024, seed=seed).astype(ml_dtypes.bfloat16) for seed in range(4))
    wide = [x.astype(np.float64) for x in (q, k, v, dy)]
    scores = scores_of(wide[0], wide[1], 0.125, True, -1, None)
    weights, logs = softmax(scores), log_sum(scores)[..., 0].astype(np.float32)
    out = np.einsum("hnm,hdm->hdn", weights, wide[2]).astype(ml_dtypes.bfloat16)
    shares = (wide[3] * out).sum(1)[..., None]
    change = weights * (np.einsum("hdn,hdm->hnm", wide[3], wide[2]) - shares) * 0.125
    found = ran(gradients.attention_gradients[2], q, k, v, out, dy, by_lanes(logs))
    rough = {"rtol": 5e-2, "atol": 0.1}
    close(found[0], np.einsum("hdm,hnm->hdn", wide[1], change), **rough)
    close(found[1], np.einsum("hdn,hnm->hdm", wide[0], change), **rough)
    close(found[2], np.einsum("hdn,hnm->hdm", wide[3], weights), **rough)


def test_a_product_after_a_norm():
    x, w = drawn(256, 640), drawn(640, 384, seed=1)
    close(ran(norms.rmsnorm_qkv, x, w), normed(x) @ w, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("chip", ["trn1", "trn2"])
def test_convolution(chip):
    x, w, bias = drawn(2, 256, 20, 9), drawn(128, 256, 3, 3, seed=1), drawn(128, seed=2)
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (3, 3), (2, 3))
    want = np.einsum("bchwij,ncij->bnhw", windows, w) + bias[:, None, None]
    close(ran(convolution.conv2d, x, w, bias, chip=chip), want, rtol=1e-4, atol=1e-3)


def test_two_rows_at_a_time():
    a = drawn(256, 2048).astype(ml_dtypes.bfloat16)
    b = drawn(2048, 1024, seed=1).astype(ml_dtypes.float8_e4m3)
    scales = np.broadcast_to(drawn(1024, seed=2), (128, 1024)).astype(ml_dtypes.bfloat16)
    pairs = b.reshape(8, 2, 128, 2, 512).transpose(0, 2, 3, 1, 4).reshape(1024, 2048)
    want = a.astype(np.float64) @ b.astype(np.float64) * scales[0].astype(np.float64)
    got = ran(quantized.double_row, a, pairs, scales, chip="trn2").astype(np.float64)
    assert np.abs(got - want).mean() < 0.03 * np.abs(want).mean()


def test_resized_images():
    x = drawn(2, 6, 5, 8)
    kernel = Kernel(partial(vision.resized.function, high=11, wide=13), api=vision.resized.api)
    rows, columns = np.arange(11) * 6 // 11, np.arange(13) * 5 // 13
    assert np.array_equal(ran(kernel, x), x[:, rows][:, :, columns].reshape(2, -1, 8))


def test_scattered_to_the_first_maximum():
    x = np.random.default_rng(0).integers(-3, 3, (2, 64, 8, 8)).astype(np.float32)
    y = np.random.default_rng(1).integers(-9, 9, (2, 64, 4, 4)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    want = np.zeros_like(padded)
    for n, c, i, j in np.ndindex(y.shape):
        down, right = divmod(int(np.argmax(padded[n, c, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3])), 3)
        want[n, c, 2 * i + down, 2 * j + right] += y[n, c, i, j]
    assert np.array_equal(ran(vision.select_and_scatter, x, y), want[:, :, 1:-1, 1:-1])


def given(kernel, **sizes):
    return replace(kernel, function=partial(kernel.function, **sizes))


@pytest.mark.parametrize(
    "kernel",
    [given(blocked.resident, banks=1), given(blocked.resident, banks=2), blocked.in_blocks],
)
def test_products_of_the_current_api(kernel):
    left, right = drawn(1024, 512), drawn(1024, 512, seed=1)
    close(ran(kernel, left, right, chip="trn2"), left.T @ right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pool", [1, 2])
def test_a_convolution_by_windows(pool):
    x, w, bias = drawn(1, 128, 10, 10), drawn(128, 128, 3, 3, seed=1), drawn(128, seed=2)
    want = ran(convolution.conv2d, x, w, bias, chip="trn2")[0]
    if pool == 2:
        want = want.reshape(128, 4, 2, 4, 2).max((2, 4))
    close(ran(given(convolution.windowed, pool=pool), x, w, bias), want, rtol=1e-4, atol=1e-4)


def test_a_scan_in_tiles_is_that_of_the_whole():
    delta, u, a = abs(drawn(128, 1024)), drawn(128, 1024, seed=1), -abs(drawn(128, 2, seed=2))
    b, c = drawn(2, 1024, seed=3), drawn(2, 1024, seed=4)
    want = ran(mamba.channels_outside, delta, u, a, b, c)
    np.testing.assert_array_equal(ran(mamba.in_tiles, delta, u, a, b, c), want)


def test_a_transpose_in_tiles():
    a = drawn(256, 384)
    np.testing.assert_array_equal(ran(ladders.transposed, a, chip="trn2"), a.T)
