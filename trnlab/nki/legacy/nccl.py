"""`neuronxcc.nki.nccl`: collectives of the older API, which its manual leaves out.

Parameters as kernels of the vendor's own team pass them (nki-samples 0898a77, contributed). They
become those of `nki.collectives`, between ranks that `trnlab.run_ranks` starts.
"""

from collections.abc import Sequence
from typing import Any

from trnlab import formats
from trnlab.errors import NotModelled
from trnlab.nki import collectives
from trnlab.nki.collectives import ReplicaGroup
from trnlab.nki.jit import running
from trnlab.nki.legacy.pending import settle

Tensors = Sequence[Any]
Groups = Sequence[Any]


def all_reduce(
    op: Any, srcs: Tensors, dsts: Tensors, replica_groups: Groups, dtype: Any = None
) -> None:
    """Every dst = op over the srcs of all ranks."""
    _check_dtype(srcs, dtype)
    collectives.all_reduce(list(srcs), list(dsts), _group(replica_groups), op)


def all_gather(
    op: Any, srcs: Tensors, dsts: Tensors, replica_groups: Groups, all_gather_dim: int,
    dtype: Any = None,
) -> None:  # fmt: skip
    """Every dst = the srcs of all ranks, one behind the other along ``all_gather_dim``."""
    _check_dtype(srcs, dtype)
    source, target = _from(srcs, all_gather_dim), _from(dsts, all_gather_dim)
    collectives.all_gather(source, target, _group(replica_groups), 0)


def reduce_scatter(
    op: Any, srcs: Tensors, dsts: Tensors, replica_groups: Groups, reduce_scatter_dim: int,
    dtype: Any = None,
) -> None:  # fmt: skip
    """Each rank gets one part along ``reduce_scatter_dim`` of op over the srcs of all."""
    _check_dtype(srcs, dtype)
    source, target = _from(srcs, reduce_scatter_dim), _from(dsts, reduce_scatter_dim)
    collectives.reduce_scatter(source, target, _group(replica_groups), 0, op)


def all_to_all(
    op: Any, srcs: Tensors, dsts: Tensors, replica_groups: Groups, split_dim: int, concat_dim: int,
    dtype: Any = None,
) -> None:  # fmt: skip
    """Each rank sends one part along ``split_dim`` to each; they are put together in its dst."""
    _check_dtype(srcs, dtype)
    if split_dim != concat_dim:
        raise NotModelled("nccl.all_to_all that turns its tensors", "split_dim equal to concat_dim")
    source, target = _from(srcs, split_dim), _from(dsts, concat_dim)
    collectives.all_to_all(source, target, _group(replica_groups), 0)


def collective_permute(dst: Any, src: Any, source_target_pairs: Sequence[tuple[int, int]]) -> None:
    """dst of each target = src of its source."""
    settle()
    collectives.collective_permute([src], [dst], source_target_pairs)


def collective_permute_implicit(
    dst: Any, src: Any, replica_groups: Groups, channel_id: int = 0, num_channels: int = 1,
    mask: Any = None,
) -> None:  # fmt: skip
    """dst of each rank = src of the one before it in its group; a call for each channel."""
    if mask is not None and mask is not True:
        raise NotModelled("nccl.collective_permute_implicit with a mask", "calls without one")
    settle()
    group = _group(replica_groups)
    collectives.collective_permute_implicit([[src]], [[dst]], group)


def _group(groups: Groups) -> ReplicaGroup:
    """Lists of ranks; one list of all is accepted too."""
    settle()
    flat = all(isinstance(member, int) for member in groups)
    return ReplicaGroup((tuple(groups),) if flat else tuple(tuple(group) for group in groups))


def _from(tensors: Tensors, dim: int) -> list[Any]:
    """The tensors from a dimension on: those before it have size 1, as bytes lie in a row."""
    settle()
    for tensor in tensors:
        if any(n != 1 for n in tensor.shape[:dim]):
            raise NotModelled(
                f"a collective along dimension {dim} of {list(tensor.shape)}",
                "dimension 0, or dimensions of size 1 before it",
                running().here(),
            )
    return [t.reshape(tuple(t.shape[dim:])) if dim else t for t in tensors]


def _check_dtype(tensors: Tensors, dtype: Any) -> None:
    if dtype is not None and any(formats.format_of(dtype) != t.dtype for t in tensors):
        raise NotModelled("a collective that casts", "the dtype of the tensors, or none")
