"""Steps as lines of a kernel, for the current API and for the older one."""

from typing import Any

from tests.fuzz.steps import Step

HEAD = {
    "nki": (
        "from tests.fuzz.listing import numbers\n"
        "from trnlab.nki import isa as nisa, language as nl\nfrom trnlab.nki.entry import jit\n"
    ),
    "neuronxcc.nki": (
        "from trnlab.nki.legacy import isa as nisa, language as nl\n"
        "from trnlab.nki.legacy.entry import trace as jit\n"  # arguments may be written
    ),
}
Call = tuple[str, list[str]]  # function and arguments


def declared(step: Step) -> list[str]:
    """The lines that make the tensors which a step of the current API writes first."""
    return [
        f"{name} = nl.ndarray({fresh.shape}, nl.{fresh.dtype}, buffer=nl.{fresh.space})"
        for name, fresh in step.fresh
    ]


def _number(value: Any, rest: list[str]) -> str:
    return rest.pop(0) if value is None else repr(value)


def _op(name: str) -> str:
    return f"nl.{name}"


def current(step: Step) -> Call:
    """The call in the current API."""
    d, s, a = [r.text() for r in step.dsts], [r.text() for r in step.srcs], step.args
    more = [f"engine=nisa.engine.{a['engine']}"] if a.get("engine") else []
    kind = step.kind
    function = f"nisa.{'dma_copy' if kind in ('load', 'store') else kind}"
    rest = s[1:]
    match kind:
        case "memset":
            given = [d[0], repr(a["value"]), *more]
        case "tensor_tensor":
            given = [d[0], *s, _op(a["op"]), *more]
        case "tensor_scalar":
            given = [d[0], s[0], _op(a["op0"]), _number(a["operand0"], rest)]
            given += [f"reverse0={a['reverse0']}"] if a["reverse0"] else []
            if a["op1"]:
                given += [f"op1={_op(a['op1'])}", f"operand1={_number(a['operand1'], rest)}"]
                given += [f"reverse1={a['reverse1']}"]
            given += more
        case "scalar_tensor_tensor":
            given = [d[0], s[0], _op(a["op0"]), _number(a["operand0"], rest), _op(a["op1"])]
            given += [rest[0], f"reverse0={a['reverse0']}", f"reverse1={a['reverse1']}"]
        case "activation":
            given = [d[0], _op(a["op"]), s[0], f"scale={_number(a['scale'], rest)}"]
            given += [f"bias={rest[0]}"] if a["bias"] else []
        case "activation_reduce":
            given = [d[0], _op(a["op"]), s[0], _op("add"), d[1]]
            given += [f"scale={_number(a['scale'], rest)}"]
            given += [f"bias={rest[0]}"] if a["bias"] else []
        case "tensor_reduce":
            axes = tuple(range(a["rank"] - a["count"], a["rank"]))
            axis: Any = axes[0] if len(axes) == 1 else axes
            given = [d[0], _op(a["op"]), s[0], f"axis={axis}"]
            given += ["negate=True"] if a["negate"] else []
        case "tensor_tensor_scan":
            given = [d[0], s[0], s[1], _number(a["initial"], s[2:]), _op(a["op0"]), _op(a["op1"])]
            given += [f"reverse0={a['reverse0']}", f"reverse1={a['reverse1']}"]
        case "nc_matmul":
            given = [d[0], s[0], s[1]]
            given += [f"accumulate={a['accumulate']}"] if a["accumulate"] is not None else []
        case "nc_stream_shuffle":
            given = [d[0], s[0], repr(a["mask"])]
        case "iota":
            given = [d[0], repr(a["pattern"]), str(a["offset"]), str(a["multiplier"])]
        case "affine_select":
            given = [d[0], repr(a["pattern"]), str(a["multiplier"]), s[0], repr(a["other"])]
            given += [f"cmp_op={_op(a['op'])}", f"offset={a['offset']}"]
        case "tensor_copy_predicated":
            given = [d[0], s[0], s[1], f"reverse_pred={a['reverse']}"]
        case "select_reduce":
            given = [d[0], s[0], s[1], repr(a["other"])]
        case "tensor_partition_reduce":
            given = [d[0], _op(a["op"]), s[0]]
        case "dma_compute":
            given = [d[0], f"[{', '.join(s)}]", _op("add")]
        case "core_barrier":
            given = [step.srcs[0].name, "(0, 1)"]
        case "sendrecv":
            given = [s[0], d[0], "1 - i", "1 - i", str(a["pipe"])]
        case _:
            given = [d[0], *s, *more]
    return function, given


def older(step: Step) -> Call:
    """The call in the older API, without its destination."""
    s, a, rest = [r.text(older=True) for r in step.srcs], step.args, []
    rest = s[1:]
    dtype, shape = a["dtype"], a["shape"]
    function, cast = f"nisa.{step.kind}", f"dtype=nl.{dtype}"
    match step.kind:
        case "load":
            function, given = "nl.load", [s[0], cast]
        case "memset":
            given = [str(shape), repr(a["value"]), f"nl.{dtype}"]
        case "tensor_tensor":
            given = [*s, _op(a["op"]), cast]
        case "tensor_scalar":
            given = [s[0], _op(a["op0"]), _number(a["operand0"], rest)]
            given += [f"reverse0={a['reverse0']}"] if a["reverse0"] else []
            if a["op1"]:
                given += [f"op1={_op(a['op1'])}", f"operand1={_number(a['operand1'], rest)}"]
                given += [f"reverse1={a['reverse1']}"]
            given += [cast]
        case "scalar_tensor_tensor":
            given = [f"data={s[0]}", f"op0={_op(a['op0'])}"]
            given += [f"operand0={_number(a['operand0'], rest)}", f"op1={_op(a['op1'])}"]
            given += [f"operand1={rest[0]}", f"reverse0={a['reverse0']}"]
            given += [f"reverse1={a['reverse1']}", cast]
        case "activation":
            given = [_op(a["op"]), s[0], f"scale={_number(a['scale'], rest)}"]
            given += [f"bias={rest[0]}"] if a["bias"] else []
            given += [cast]
        case "tensor_reduce":
            given = [_op(a["op"]), s[0], "axis=1", cast, "keepdims=True"]
            given += ["negate=True"] if a["negate"] else []
        case "tensor_tensor_scan":
            given = [s[0], s[1], _number(a["initial"], s[2:]), _op(a["op0"]), _op(a["op1"])]
            given += [f"reverse0={a['reverse0']}", f"reverse1={a['reverse1']}", cast]
        case "nc_matmul" | "nc_transpose":
            given = s
        case _:
            given = [*s, cast]
    return function, given


def lines(step: Step, api: str, call: Call | None = None) -> list[str]:
    """The lines of a step; ``call`` instead of its own where given."""
    if api == "nki":
        function, given = call or current(step)
        return [*declared(step), f"{function}({', '.join(given)})"]
    function, given = call or older(step)
    if step.mask:
        given = [*given, f"mask={_mask(step)}"]
    if step.kind == "store":
        target, value = step.dsts[0].text(), step.srcs[0].text(older=True)
        out = [*declared(step)] if step.fresh else []
        return [*out, f"nl.store({target}, {value})"]
    target = step.dsts[0].text(older=True)
    sums = "+=" if step.kind == "nc_matmul" and step.args["accumulate"] else "="
    made = []
    if step.fresh and (step.args.get("declare") or step.mask):
        made = declared(step)
    elif not step.fresh and not step.dsts[0].cuts:
        target += "[...]" if sums == "=" else ""
    if made:
        target += "[...]"
    return [*made, f"{target} {sums} {function}({', '.join(given)})"]


def _mask(step: Step) -> str:
    """a * row + b * column + c >= 0, in one of the ways that kernels write it."""
    assert step.mask is not None
    a, b, c = step.mask
    rows, columns = step.args["shape"]
    row, column = f"nl.arange({rows})[:, None]", f"nl.arange({columns})[None, :]"
    left, right = f"{a} * {row}", f"{-b} * {column} - {c}"
    match (a + b + c) % 4:
        case 0:
            return f"{left} + {b} * {column} + {c} >= 0"
        case 1:
            return f"{left} > {right} - 1"
        case 2:
            return f"{right} <= {left}"
        case _:
            return f"({right} < {left} + 1) & ({row} >= 0)"
