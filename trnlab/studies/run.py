"""Running kernels: from Python, from a script, or a bare kernel with made-up inputs."""

import runpy
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trnlab.errors import BadArguments, UnknownName
from trnlab.machine.chip import Chip
from trnlab.nki import jit
from trnlab.nki.jit import Kernel, Result, Settings
from trnlab.sim.timing.mechanisms import known
from trnlab.studies.inputs import check_names, make_inputs
from trnlab.studies.profiler import tools_on_path


def run(
    kernel: Any,
    chip: str | Chip | None = None,
    *,
    values: bool = True,
    time: bool = True,
    strict: bool = True,
    assume: int | None = None,
    precise: bool | None = None,
    stochastic: int | None = None,
    api_version: str | None = None,
    without: Iterable[str] = (),
    shuffle: int | None = None,
) -> Callable[..., tuple[Any, Any]]:
    """Returns a function that runs a kernel on arrays and gives (outputs, trace).

    ``values`` False computes no values (outputs show fresh memory), ``time`` False no trace. Raises
    Violations when rules are broken, unless ``strict`` is False, and NotModelled for a loop without
    values whose length data decides, unless ``assume`` says a length. ``precise`` False keeps low
    precision as fp32, and ``stochastic`` is the seed of stochastic rounding; left out, both are
    as ``NKI_PRECISE_FP`` and ``NEURON_RT_STOCHASTIC_ROUNDING_EN`` say. ``api_version`` of `nki`,
    such as "0.3", says whose rules count; the newest unless given.
    ``without`` names mechanisms of time to leave out (`trnlab.sim.timing.mechanisms`). ``shuffle``
    is the seed of another order for the iterations of ``nl.affine_range`` in the older API.
    """
    off = known(without)
    changes: dict[str, Any] = {
        "values": values, "strict": strict, "assume": assume, "precise": precise,
        "stochastic": stochastic, "shuffle": shuffle,
    }  # fmt: skip

    def call(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        how = changes | {"api_version": api_version, "without": off}
        result = run_once(kernel, args, kwargs, chip, time=time, **how)
        return result.outputs, result.trace

    return call


def run_once(
    kernel: Any,
    args: Any,
    kwargs: dict[str, Any],
    chip: str | Chip | None = None,
    *,
    time: bool = True,
    **changes: Any,
) -> Result:
    """Runs a kernel once, with these `Settings`; everything it left behind."""
    made = kernel if isinstance(kernel, Kernel) else Kernel(kernel, api_of(kernel))
    return jit.simulate(made, args, kwargs, Settings(timed=time, **changes), chip)


def api_of(function: Callable[..., Any]) -> str:
    """Which generation of NKI a function was written for: the one its module imports."""
    names = {
        getattr(value, "__name__", "") or ""
        for value in getattr(function, "__globals__", {}).values()
        if isinstance(value, type(sys))
    }
    older = any(n.startswith(("neuronxcc", "trnlab.nki.legacy")) for n in names)
    return "neuronxcc.nki" if older else "nki"


@contextmanager
def collecting(**changes: Any) -> Any:
    """Collects the results of every kernel call inside, with the settings changed."""
    from trnlab.kernels.shipped.names import activate

    found: list[Result] = []
    jit.chip_in_use(changes.get("chip"))  # an unknown chip is said before anything runs
    activate(shadow=changes.pop("shadow", False))
    before = jit.configure(**changes)
    jit.listen(found.append)
    try:
        with tools_on_path():
            yield found
    finally:
        jit.configure(**vars(before))
        jit.unlisten(found.append)


def run_script(path: str, args: list[str], **changes: Any) -> list[Result]:
    """Runs an unmodified script with NKI's import names active; the results of its kernel calls.

    Raises UnknownName when there is no such file and BadArguments when it called no kernel.
    """
    file = find_file(path)
    kept_argv, kept_path = sys.argv, list(sys.path)
    sys.argv, sys.path[:] = [str(file), *args], [str(file.parent), *sys.path]
    try:
        with collecting(**changes) as found:
            try:
                _run_as_main(file)
            except Exception as error:
                _say_more(error, found, values=changes.get("values", True))
                raise
    finally:
        sys.argv, sys.path[:] = kept_argv, kept_path
    if not found:
        known = kernels_in(file)
        raise BadArguments(
            f"{path} called no kernel",
            {"kernels": ", ".join(known) or "none with @nki.jit"},
            fix=f"call one, or name one: trnlab run {path}:{[*known, 'KERNEL'][0]} "
            "--in 'f32[128,512]'",
        )
    return found


def _say_more(error: Exception, found: list[Result], *, values: bool) -> None:
    """Adds to an exception of the script what it cannot know."""
    for result in found:
        time = f"{result.trace.seconds * 1e6:,.2f} us" if result.trace else "not timed"
        error.add_note(f"before that, {result.kernel} finished on {result.chip.key}: {time}")
    if not values:
        error.add_note("with --time-only no values are computed: arrays show NaN")


def _run_as_main(file: Path) -> None:
    try:
        runpy.run_path(str(file), run_name="__main__")
    except SystemExit as left:
        if left.code not in (None, 0):  # a script that ends with sys.exit(0) has succeeded
            raise


def run_kernel(
    path: str, name: str, inputs: list[str], seed: int = 0, **changes: Any
) -> list[Result]:
    """Runs one kernel of a file on seeded inputs such as ``bf16[128,512]``."""
    with collecting(**changes) as found, _beside(path):
        made = _loaded(path, name)
        found.clear()
        args, kwargs = make_inputs(inputs, seed)
        check_names(kwargs, made.function)
        made(*args, **kwargs)
    return found


def kernel_of(path: str, name: str) -> Kernel:
    """One kernel of a file, which is executed for it with NKI's import names active."""
    with collecting(), _beside(path):
        return _loaded(path, name)


@contextmanager
def _beside(path: str) -> Iterator[None]:
    """Lets what runs inside import what lies beside a file."""
    kept_path = list(sys.path)
    sys.path.insert(0, str(find_file(path).parent))
    try:
        yield
    finally:
        sys.path[:] = kept_path


def _loaded(path: str, name: str) -> Kernel:
    found = _named(runpy.run_path(str(find_file(path)), run_name="trnlab_kernel"), name, path)
    return found if isinstance(found, Kernel) else Kernel(found, api_of(found))


def _named(scope: dict[str, Any], name: str, path: str) -> Any:
    if name in scope and callable(scope[name]):
        return scope[name]
    known = [n for n, v in scope.items() if isinstance(v, Kernel)] or [
        n for n, v in scope.items() if callable(v) and not n.startswith("_")
    ]
    raise UnknownName(f"kernel in {path}", name, known)


def find_file(path: str) -> Path:
    """The file of that name; raises UnknownName with its neighbours otherwise."""
    file = Path(path)
    if file.is_file():
        return file.resolve()
    folder = file.parent if file.parent.is_dir() else Path()
    raise UnknownName("file", path, [p.name for p in folder.glob("*.py") if p.is_file()])


def kernels_in(file: Path) -> list[str]:
    """Names of the functions in a file that carry a decorator of NKI."""
    import ast

    tree = ast.parse(file.read_text())
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(
            "jit" in ast.unparse(d) or "baremetal" in ast.unparse(d) for d in node.decorator_list
        )
    ]
