"""Where client code imports the shipped kernels from; `trnlab.activate` puts them there."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from trnlab.nki import names

PLACES = {
    "attention": (
        "FlashConfig", "flash_fwd", "fused_self_attn_for_SD_small_head_size",
        "allocated_fused_self_attn_for_SD_small_head_size", "attention_isa_kernel",
    ),
    "backward": ("flash_attn_bwd",),
    "experts": ("blockwise_mm", "check_blockwise_mm_kernel_compatibility"),
    "projection": (
        "allocated_fused_rms_norm_qkv", "rmsnorm_qkv_isa_kernel",
        "rmsnorm_qkv_isa_fused_add_kernel",
    ),
    "vision": ("resize_nearest_fixed_dma_kernel", "select_and_scatter_kernel"),
}  # fmt: skip
FILE_OF = {kernel: file for file, kernels in PLACES.items() for kernel in kernels}

# The vendor's modules, and the files here whose kernels they hold; those without hold none.
MODULES: dict[str, tuple[str, ...]] = {
    "kernels": tuple(PLACES),
    "kernels.attention": ("attention", "backward"),
    "kernels.vision": ("vision",),
    "kernels.allocated_attention": ("attention",),
    "kernels.allocated_fused_linear": ("projection",),
    "_private_kernels": tuple(PLACES),
    "_private_kernels.attention": ("attention", "backward"),
    "_private_kernels.qkv": ("projection",),
    "_private_kernels.blockwise_mm": ("experts",),
    "_private_kernels.RoPE": (),
    "_private_kernels.conv": (),
    "_private_kernels.cumsum": (),
    "_private_kernels.mlp": (),
    "_private_kernels.rmsnorm": (),
    "_private.blockwise_mm": ("experts",),
}


def activate(*, shadow: bool = False) -> None:
    """Makes ``import nki`` and ``import neuronxcc.nki`` give the simulated NKI.

    Raises TrnlabError when the vendor's package is installed, unless ``shadow`` is set.
    """
    names.activate(shadow=shadow, shipped=shipped())


def shipped() -> dict[str, Callable[[str], Any]]:
    """Every module that holds kernels, with what finds them there."""
    roots = [("neuronxcc.nki", MODULES), ("nki", {n: MODULES[n] for n in CURRENT})]
    return {
        f"{root}.{name}": partial(_kernel, files)
        for root, modules in roots
        for name, files in modules.items()
    }


CURRENT = ("kernels", "kernels.attention", "kernels.vision")  # below `nki` too


def _kernel(files: tuple[str, ...], name: str) -> Any:
    """A kernel of these files, imported when it is first asked for; None where there is none."""
    if FILE_OF.get(name) not in files:
        return None
    return getattr(importlib.import_module(f"{__package__}.{FILE_OF[name]}"), name)
