"""Programs from kernels: NKI in the generations that users have."""

from functools import cache

from trnlab.isa.tile import Tile


@cache
def tensor_class(api: str) -> type[Tile]:
    """What a kernel of this API generation holds in its hands."""
    from trnlab.nki.tensor import NkiTensor

    if api == "nki":
        return NkiTensor
    from trnlab.nki.legacy.tensor import OldTensor

    return OldTensor
