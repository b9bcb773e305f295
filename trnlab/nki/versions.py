"""Functions of `nki.language` that came after nki 0.2, with the version that brought them.

From the API references of Neuron SDK 2.27 to 2.32. As operators (``op=nl.exp``) all were there.
"""

from functools import cache
from typing import Any

CAME = {
    "0.3": "all arctan broadcast_to ceil copy cos dropout empty_like erf erf_dx exp expand_dims "
    "floor fmod full gather_flattened gelu gelu_apprx_tanh gelu_dx load load_transpose2d log "
    "matmul max mean min mish mod negative ones prod rand random_seed relu rms_norm sigmoid sign "
    "silu silu_dx sin softmax softplus sqrt square store sum tan tanh transpose trunc var where "
    "zeros_like",
    "0.4": "abs_max abs_min",
    "0.6": "fori_loop while_loop",
}


def came_with(version: str) -> str:
    """What a finding calls a function that came with a version."""
    return f"function that came with nki {version}"


@cache
def _functions() -> dict[int, str]:
    from trnlab.nki import language

    named = ((version, name) for version, names in CAME.items() for name in names.split())
    return {id(getattr(language, name)): came_with(version) for version, name in named}


def late(value: Any) -> str | None:
    """What a finding calls a function of the language that came later, None for any other."""
    return _functions().get(id(value))
