"""What in a kernel's file belongs to which generation of NKI: one function a kind of thing."""

import ast
import inspect
from collections.abc import Callable, Iterator

from trnlab.isa.ops import ACTIVATIONS, OPS
from trnlab.nki import isa as nisa
from trnlab.studies.migration.drift import (
    CHANGED,
    CHANGES,
    DEPRECATED,
    ENUMERATIONS,
    FLAGS,
    GONE,
    HAD_DST,
    ISA_GONE,
    ISA_SINCE,
    LANGUAGE_DEPRECATED,
    LANGUAGE_GONE,
    LANGUAGE_SINCE,
    NEW,
    Change,
)
from trnlab.studies.migration.source import ISA, LANGUAGE, OLDER, Source, argument, base, keyword
from trnlab.studies.migration.tensors import tensors

Found = Iterator[tuple[ast.AST, Change]]
NUMPY_OPS = {*OPS, *ACTIVATIONS, "max", "amax", "min", "amin", "sum", "prod", "mean"} - {"copy"}


def imports(source: Source) -> Found:
    """Import statements of the older API."""
    for node, name in source.imports():
        if name == OLDER or name.startswith((f"{OLDER}.", "neuronxcc.nki")):
            parts = name.removeprefix(OLDER).split(".")
            special = {"typing": "typing", "kernels": "kernels", "compiler": "compiler"}
            yield node, CHANGES[special.get(parts[1] if len(parts) > 1 else "", "import")]


def names(source: Source) -> Found:
    """Names that a version took away, or will."""
    for node, name in source.references():
        if name.startswith(LANGUAGE):
            yield from _language_name(source, node, name.removeprefix(LANGUAGE))
        elif name.startswith(ISA):
            short = name.removeprefix(ISA).partition(".")[0]
            if short in ISA_GONE:
                version, instead = ISA_GONE[short]
                yield node, Change(version, GONE, f"nisa.{short}", instead)
            elif short in ISA_SINCE:
                yield node, _not_before(f"nisa.{short}", ISA_SINCE[short])
        else:
            yield from _entry(source, node, name.split(".")[1])


def _language_name(source: Source, node: ast.expr, name: str) -> Found:
    short = name.partition(".")[0]
    if short in ("arange", "mgrid"):
        yield node, CHANGES[short]
    elif short in LANGUAGE_GONE:
        yield node, Change("0.2", GONE, f"nl.{short}", LANGUAGE_GONE[short])
    elif name in LANGUAGE_DEPRECATED:
        version, instead = LANGUAGE_DEPRECATED[name]
        yield node, Change(version, DEPRECATED, f"nl.{name}", instead)
    elif short in LANGUAGE_SINCE and _is_called(source, node):
        yield node, _not_before(f"nl.{short}", LANGUAGE_SINCE[short])
    elif short == "par_dim" and isinstance(call := source.parents[node], ast.Call):
        shape = source.parents[call]
        first = isinstance(shape, (ast.Tuple, ast.List)) and shape.elts[0] is call
        yield node, CHANGES["par_dim" if first else "block"]


def _not_before(name: str, version: str) -> Change:
    return Change(version, NEW, name, "the instructions that it becomes: trnlab isa NAME")


def _is_called(source: Source, node: ast.expr) -> bool:
    call = source.parents.get(node)
    return isinstance(call, ast.Call) and call.func is node


def _entry(source: Source, node: ast.expr, name: str) -> Found:
    known = {"profile": "benchmark"} | ({"tensor": "typing"} if source.is_older else {})
    same = ("baremetal", "benchmark", "simulate_kernel", "trace", "compiler", "kernels")
    key = known.get(name, name if name in same else "")
    if key:
        yield node, CHANGES[key]


def keywords(source: Source) -> Found:
    """Keyword arguments that calls no longer take."""
    gone = {"lazy_initialization": "lazy", "directives": "hint", "precise_schedule": "hint",
            "use_gpsimd_dma": "gpsimd_dma", "num_channels": "num_channels", "imm": "register_imm",
            "dst_rmw_op": "rmw"}  # fmt: skip
    for call, name in source.calls():
        for k in call.keywords:
            if k.arg == "mask":
                none = isinstance(k.value, ast.Constant) and k.value.value is None
                yield k.value, CHANGES["mask_none" if none else "mask"]
            elif k.arg == "dtype" and name.startswith(ISA) and not name.endswith(".memset"):
                yield k.value, CHANGES["dtype"]
            elif k.arg in gone and (k.arg != "imm" or name.endswith("register_move")):
                yield k.value, CHANGES[gone[k.arg]]
            elif k.arg == "buffer" and isinstance(k.value, ast.Constant) and k.value.value:
                yield k.value, CHANGES["buffer_name"]
            elif k.arg in ENUMERATIONS and isinstance(k.value, ast.Constant):
                yield from _enumeration(source, k.arg, k.value)


def _enumeration(source: Source, name: str, given: ast.Constant) -> Found:
    number = given.value
    if not isinstance(number, int) or isinstance(number, bool):
        return
    kind = getattr(nisa, name, None)
    members = {m.value: m.name for m in kind} if kind is not None else {}
    if name == "dge_mode" and source.is_older:  # the numbers of two members were exchanged
        members |= {0: "none", 3: "unknown"}
    if name == "engine":
        members = {0: "unknown", 1: "tensor", 2: "scalar", 3: "gpsimd", 5: "vector", 6: "sync"}
    member = members.get(number, "...")
    before = CHANGES["enum_number"]
    yield given, Change(before.version, CHANGED, f"{name}={number}", f"{name}=nisa.{name}.{member}")


def returned_tiles(source: Source) -> Found:
    """Instructions whose result is used: they take the destination as an argument now."""
    for call, name in source.calls():
        short = name.removeprefix(ISA)
        if not name.startswith(ISA) or short not in vars(nisa) or keyword(call, "dst"):
            continue
        home = source.parents[call]
        handle = isinstance(home, ast.Assign) and isinstance(home.targets[0], ast.Name)
        if isinstance(home, ast.Expr) or (handle and not source.is_older) or short in HAD_DST:
            continue
        if _required(short)[:1] in (["dst"], ["val_dst"]):
            what = f"nisa.{short}(...) returned a tile"
            yield (
                call,
                Change("0.2", CHANGED, what, f"nisa.{short}({', '.join(_required(short))}, ...)"),
            )


def _required(name: str) -> list[str]:
    parameters = inspect.signature(getattr(nisa, name)).parameters.values()
    return [p.name for p in parameters if p.default is p.empty]


def orders(source: Source) -> Found:
    """Calls whose arguments were in another order, or of another kind."""
    for call, name in source.calls():
        short = name.rpartition(".")[2]
        if short == "nc_stream_shuffle" and source.is_older and call.args:
            yield call, CHANGES["shuffle"]
        elif short == "affine_select" and len(call.args) >= 6:
            yield call, CHANGES["affine_offset"]
        elif short == "dma_compute" and _scales_third(call):
            yield call, CHANGES["compute_order"]
        elif short == "range_select" and not source.is_older and _says_more(call):
            yield call, CHANGES["range_select"]


def _says_more(call: ast.Call) -> bool:
    return any(keyword(call, name) for name in ("reduce_cmd", "on_false_value"))


def _scales_third(call: ast.Call) -> bool:
    third = call.args[2] if len(call.args) > 2 else None
    return len(call.args) > 3 or isinstance(third, (ast.List, ast.Tuple))


def language_calls(source: Source) -> Found:
    """Functions of nl that compute something else, or not on the device."""
    for call, name in source.calls():
        if not name.startswith(LANGUAGE):
            continue
        short = name.removeprefix(LANGUAGE)
        simple = {"rsqrt": "rsqrt", "divide": "not_on_device", "mod": "not_on_device",
                  "fmod": "not_on_device", "shared_identity_matrix": "identity"}  # fmt: skip
        if short in simple and (short != "shared_identity_matrix" or source.is_older):
            yield call, CHANGES[simple[short]]
        elif short in FLAGS and not keyword(call, "dtype"):
            yield call, CHANGES["flags"]
        elif short == "num_programs" and not call.args and not call.keywords:
            yield call, CHANGES["num_programs"]
        elif short == "power" and isinstance(argument(call, 1, "y"), ast.Constant):
            yield call, CHANGES["power"]
        elif short == "matmul" and not argument(call, 2, "transpose_x"):
            yield call, CHANGES["matmul"]
        elif short == "random_seed" and isinstance(argument(call, 0, "seed"), ast.Constant):
            yield call, CHANGES["seed"]
        elif short == "shared_constant" and argument(call, 1, "dtype"):
            yield call, CHANGES["constant_dtype"]
        elif short == "softmax" and keyword(call, "compute_dtype"):
            yield call, CHANGES["compute_dtype"]


def numpy_values(source: Source) -> Found:
    """NumPy's functions as operators, and its dtypes."""
    for call, name in source.calls():
        if not name.startswith((ISA, LANGUAGE)):
            continue
        for value in (*call.args, *(k.value for k in call.keywords)):
            top, _, given = source.dotted(value).partition(".")
            if name.startswith(ISA) and top == "numpy" and given in NUMPY_OPS:
                yield value, CHANGES["numpy_op"]
        dtype = source.dotted(keyword(call, "dtype"))
        if dtype.startswith("numpy."):
            yield call, CHANGES["numpy_dtype"]


def jit_options(source: Source) -> Found:
    """What kernels are decorated with and how they are launched."""
    for call, name in source.calls():
        if name == "nki.jit" and keyword(call, "mode"):
            yield call, CHANGES["jit_mode"]
        if name == "nki.jit" and keyword(call, "platform_target"):
            yield call, CHANGES["jit_target"]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript):
            size = node.func.slice
            fits = isinstance(size, ast.Constant) and size.value in (1, 2)
            if base(node.func) in source.decorated and not fits:
                yield node, CHANGES["grid"]
    for function in source.kernels.values():
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and base(node.func) in source.decorated:
                yield node, CHANGES["sub_kernel"]


def python(source: Source) -> Found:
    """Python that the current compiler does not take."""
    for function in source.kernels.values():
        if function.args.kwonlyargs and not function.args.vararg:
            yield function, CHANGES["star"]
        if any(isinstance(d, ast.List) for d in function.args.defaults):
            yield function, CHANGES["list_default"]
        registers = {
            target.id
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and _is_register(source, node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Is, ast.IsNot)):
                yield node, CHANGES["is"]
            elif isinstance(node, ast.While) and base(node.test) in registers:
                yield node, CHANGES["while"]


def _is_register(source: Source, node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and source.dotted(node.func) == f"{ISA}register_alloc"


FINDERS: tuple[Callable[[Source], Found], ...] = (
    imports, names, keywords, returned_tiles, orders, language_calls, numpy_values, jit_options,
    python, tensors,
)  # fmt: skip
