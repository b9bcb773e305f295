"""One legal call of every instruction: what the manual shows rules, values and times for.

Required tiles are fp32 [128, 512] in SBUF, operators multiply, functions exp and numbers 1 where
nothing else is said here. Optional operands are given where rules depend on them.
"""

import re
from typing import Any, get_args, get_origin, get_type_hints

from trnlab import formats
from trnlab.isa.activation import ReduceCmd
from trnlab.isa.instruction import Instruction
from trnlab.isa.ops import Activation, Op
from trnlab.isa.tile import Buffer, Space, Tile, whole

TILE = re.compile(r"(?P<space>\w+) (?P<dtype>\w+)\[(?P<shape>[\d, ]+)\]")
PLAIN = "sbuf float32[128,512]"
COLUMN = "sbuf float32[128,1]"
REGISTER = "register int32[1]"
ROW = ((1, 512),)

SAMPLES: dict[str, dict[str, Any]] = {
    "activate2": {
        "imm0": COLUMN, "imm1": COLUMN, "op1": "add", "reduce_op": "add", "reduce_res": COLUMN,
        "reduce_cmd": ReduceCmd.reset_reduce,
    },
    "activation": {
        "bias": COLUMN, "scale": COLUMN, "reduce_op": "add", "reduce_res": COLUMN,
        "reduce_cmd": ReduceCmd.reset_reduce,
    },
    "activation_reduce": {"reduce_op": "add", "reduce_res": COLUMN, "bias": COLUMN},
    "affine_select": {"pattern": ROW, "on_false_value": 0.0, "cmp_op": "greater_equal"},
    "bn_aggr": {"dst": "sbuf float32[128,2]", "data": "sbuf float32[128,6]"},
    "bn_stats": {"dst": "sbuf float32[128,6]"},
    "core_barrier": {"data": "shared_hbm float32[128,512]", "cores": (0, 1)},
    "dma_compute": {"srcs": ["hbm float32[128,512]", "hbm float32[128,512]"], "reduce_op": "add"},
    "dma_copy": {"src": "hbm float32[128,512]"},
    "dma_transpose": {"dst": "sbuf bfloat16[128,512]", "src": "hbm bfloat16[512,128]"},
    "dropout": {"prob": COLUMN},
    "exponential": {
        "max_value": COLUMN, "reduce_res": COLUMN, "reduce_cmd": ReduceCmd.reset_reduce,
    },
    "iota": {"dst": "sbuf int32[128,512]", "pattern": ROW},
    "local_gather": {"index": "sbuf uint16[128,32]"},
    "max8": {"dst": "sbuf float32[128,8]"},
    "memset": {"fill": 0.0},
    "nc_find_index8": {"dst": "sbuf uint32[128,8]", "vals": "sbuf float32[128,8]"},
    "nc_match_replace8": {"vals": "sbuf float32[128,8]", "dst_idx": "sbuf uint32[128,8]"},
    "nc_matmul": {
        "dst": "psum float32[128,512]", "stationary": "sbuf bfloat16[128,128]",
        "moving": "sbuf bfloat16[128,512]",
    },
    "nc_matmul_mx": {
        "dst": "psum float32[128,512]", "stationary": "sbuf float8_e4m3fn_x4[128,128]",
        "moving": "sbuf float8_e4m3fn_x4[128,512]", "stationary_scale": "sbuf uint8[128,128]",
        "moving_scale": "sbuf uint8[128,512]",
    },
    "nc_n_gather": {"indices": "sbuf uint32[128,512]"},
    "nc_stream_shuffle": {"shuffle_mask": tuple(range(32))},
    "nc_transpose": {"dst": "psum bfloat16[128,128]", "data": "sbuf bfloat16[128,128]"},
    "nonzero_with_count": {"dst": "sbuf int32[128,513]"},
    "quantize_mx": {
        "dst": "sbuf float8_e4m3fn_x4[128,128]", "src": "sbuf bfloat16[128,512]",
        "dst_scale": "sbuf uint8[128,128]",
    },
    "rand2": {"min": COLUMN, "max": COLUMN},
    "rand_get_state": {"dst": "sbuf uint32[128,6]"},
    "rand_set_state": {"src_seeds": "sbuf uint32[128,6]"},
    "range_select": {
        "comp_op0": "greater_equal", "comp_op1": "less", "bound0": COLUMN, "bound1": COLUMN,
        "reduce_res": COLUMN,
    },
    "register_load": {"dst": REGISTER, "src": "sbuf int32[1,1]"},
    "register_move": {"dst": REGISTER},
    "register_store": {"dst": "sbuf int32[1,1]", "src": REGISTER},
    "rng": {"dst": "sbuf uint32[128,512]"},
    "select_reduce": {
        "predicate": "sbuf uint8[128,512]", "on_true": "sbuf bfloat16[128,512]", "on_false": COLUMN,
        "reduce_res": COLUMN, "reduce_cmd": ReduceCmd.reset_reduce,
    },
    "sendrecv": {"send_to_rank": 1, "recv_from_rank": 1, "pipe_id": 0},
    "sequence_bounds": {"dst": "sbuf float32[1,2,512]", "segment_ids": "sbuf float32[1,512]"},
    "set_rng_seed": {"src_seeds": "sbuf uint32[1,1]"},
    "scalar_tensor_tensor": {"operand0": COLUMN},
    "tensor_copy_predicated": {"predicate": "sbuf uint8[128,512]"},
    "tensor_partition_reduce": {"dst": "sbuf float32[1,512]", "op": "add"},
    "tensor_reduce": {"dst": COLUMN, "op": "add", "axis": 1},
    "tensor_scalar": {"operand0": COLUMN, "op1": "add", "operand1": COLUMN},
    "tensor_scalar_cumulative": {"op1": "add", "imm0": COLUMN},
    "tensor_scalar_reduce": {"operand0": COLUMN, "reduce_op": "add", "reduce_res": COLUMN},
    "tensor_tensor_scan": {"initial": COLUMN, "op1": "add"},
    "topk": {
        "val_dst": "sbuf bfloat16[16,8]", "idx_dst": "sbuf uint32[16,8]",
        "src": "sbuf bfloat16[16,512]", "n": 8192,
    },
}  # fmt: skip


def sample(kind: type[Instruction]) -> Instruction:
    """The sample of an instruction class."""
    return kind(**{name: _operand(name, text) for name, text in sample_text(kind).items()})


def sample_text(kind: type[Instruction]) -> dict[str, Any]:
    """The operands of a sample as they are written: tiles as text, the rest as it is."""
    hints = get_type_hints(kind)
    given = SAMPLES.get(kind.name, {})
    plain = {f.name: _plain(hints[f.name]) for f in kind.parameters if f.name in _required(kind)}
    return {f.name: (plain | given)[f.name] for f in kind.parameters if f.name in plain | given}


def _required(kind: type[Instruction]) -> set[str]:
    return {f.name for f in kind.parameters if not hasattr(kind, f.name)}


def _plain(hint: Any) -> Any:
    if hint is Tile or Tile in get_args(hint):
        return [PLAIN] if get_origin(hint) is list else PLAIN
    return {Op: "multiply", Activation: "exp"}.get(hint, 1)


def _operand(name: str, text: Any) -> Any:
    if isinstance(text, list):
        return [_operand(name, part) for part in text]
    found = TILE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return text
    shape = tuple(int(n) for n in found["shape"].split(","))
    return whole(Buffer(0, name, Space[found["space"]], formats.format_of(found["dtype"]), shape))
