"""Programs from kernels: NKI in the generations that users have."""

from functools import cache

from trnlab.isa.tile import Tile


@cache
def tensor_class(api: str) -> type[Tile]:
    """What a kernel of this API generation holds in its hands."""
    from trnlab.nki.tensor import NkiTensor  # noqa: PLC0415 - only one generation is needed

    if api == "nki":
        return NkiTensor
    from trnlab.nki.legacy.tensor import OldTensor  # noqa: PLC0415

    return OldTensor
