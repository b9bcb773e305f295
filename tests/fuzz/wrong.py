"""Kernels that are wrong: a legal one with one call spoiled, or the call's tensors."""

import traceback
from pathlib import Path

import numpy as np

import trnlab
from tests.fuzz.checking import Wrong, launch
from tests.fuzz.programs import Program
from tests.fuzz.steps import Step
from tests.fuzz.text import current, older

ELEMENTWISE = ("tensor_copy", "tensor_scalar", "reciprocal")


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(" ;") if part.strip()]


JUNK = _listed("""
None ; 'tile' ; '' ; 3.5 ; -1 ; 0 ; 10**40 ; float('nan') ; float('inf') ; True ; () ; [] ;
[1, 2] ; {} ; np.ones((4, 4)) ; np.float32(2) ; np.int64(3) ; nl.add ; nl.float32 ; nl.sbuf ;
nisa.engine.sync ; nisa.engine.tensor ; nisa ; lambda: 0 ; object() ; 2j ; slice(None) ;
Ellipsis ; b'x' ; range(3) ; float ; (1, 2, 3, 4, 5) ; nl ; np.add
""")
VIEWS = _listed("""
[0:1000] ; [-3:] ; [:, 5:2] ; [::0] ; [::-1] ; [0] ; [0, 0] ; [0, 0, 0, 0, 0] ; [1.5] ; ['a'] ;
[None] ; [...] ; [..., ...] ; [1:] ; [:, 1:] ; [[0, 1]] ; [True] ; [()] ; [np.array([0, 1])] ;
[nl.ds(0, 4)] ; [nl.ds(1, 400)] ; [10**30] ; [-1000] ; .reshape((7, 11)) ; .reshape(-1) ;
.reshape(()) ; .reshape('ab') ; .reshape((2.5, 4)) ; .reshape((-1, -1)) ; .reshape((0, -1)) ;
.permute((1, 0)) ; .permute((0, 0)) ; .permute(()) ; .permute((0, 9)) ; .broadcast(0, 4) ;
.broadcast(9, 4) ; .broadcast(1, -2) ; .broadcast(1, 2.5) ; .expand_dim(1) ; .expand_dim(17) ;
.squeeze_dim(1) ; .squeeze_dim(8) ; .reshape_dim(1, (3, 5)) ; .reshape_dim(0, (1, -1)) ;
.reshape_dim(7, (1,)) ; .flatten_dims(0, 1) ; .flatten_dims(4, 9) ; .slice(1, 0, 1000) ;
.slice(9, 0, 1) ; .select(1, 0) ; .select(1, 999) ; .view(nl.uint8) ; .view('nonsense') ;
.view(nl.float32) ; .view(nl.uint32) ; .ap([[1, 4], [1, 4]]) ; .ap([[1, 100000]]) ; .ap([]) ;
.ap([[1]]) ; .ap('ab') ; .ap([[1, 0]]) ; .ap([[1.5, 4]]) ;
.ap([[1, 2], [3, 4], [1, 1], [1, 1], [1, 1], [1, 1], [1, 1]]) ; .ap([[1, 4]], offset=-1) ;
.ap([[1, 4]], offset='a') ; .broadcast_to((128, 128, 128)) ; .broadcast_to((3,)) ; .shape ;
.dtype ; .nonsense ; .T ; () ;  + 1 ;  * 2.0 ; [0:16] ; [0:0]
""")
KEYWORDS = _listed("""
engine=nisa.engine.tensor ; engine='vector' ; engine=None ; axis=99 ; op=None ; nonsense=1 ;
name='x' ; accumulate='yes' ; dtype='nope' ; perf_mode='double_row' ; bias=1.0 ; scale=None ;
reduce_op=nl.add ; mask=3 ; tile_position=(1, 2, 3) ; tile_size=(32, 32) ; dge_mode=1 ;
oob_mode='skip' ; priority='a' ; is_transpose=3
""")
CALLS = _listed("""
nl.ndarray((-1, 4), nl.float32) ; nl.ndarray((4, 0), nl.float32) ;
nl.ndarray('ab', nl.float32) ; nl.ndarray((4, 4.5), nl.float32) ; nl.ndarray((4, 4), 'nope') ;
nl.ndarray((4, 4), None) ; nl.ndarray(np.array([4, 4]), nl.float32) ;
nl.ndarray((10**20, 4), nl.float32) ; nl.ndarray((300, 4), nl.float32) ;
nl.ndarray((4, 10**6), nl.float32) ; nl.ndarray((), nl.int8) ;
nl.ndarray((4, 4), nl.float32, buffer='sbuf') ; nl.ndarray((4, [4]), nl.float32) ;
nl.ndarray((4, 4), nl.float32, address=(200, 0)) ;
nl.ndarray((4, 4), nl.float32, address='a') ; nl.ndarray((4, 4), nl.float32, address=(0, -4)) ;
nl.ndarray((4, 4), nl.float32, address=(0,)) ; nl.ndarray((4, 4), nl.float32, name=5) ;
nl.zeros((4, 4), nl.float32, buffer=nl.hbm) ; nl.full((4, 4), 'a', nl.float32) ;
nl.full((4, 4), None, nl.int8) ; nl.full((4, 4), 1e30, nl.int8) ; nl.program_id(5) ;
nl.program_id('a') ; nl.num_programs(-7) ; nl.load(None) ; nl.load(3) ; nl.store(x0, None) ;
nl.store(None, 1) ; nl.nonsense(1) ; nisa.nonsense(1) ; nl.add(x0, 1) ; nl.add(1, 2) ;
nl.sum(x0, 9) ; nl.sum(x0, 'a') ; nl.matmul(x0, x0) ; nl.softmax(x0) ; nl.transpose(x0) ;
nl.load_transpose2d(x0) ; nl.where(x0, 1, 2) ; nl.copy(5) ; nl.exp('a') ;
nl.broadcast_to(x0, 3) ; nl.expand_dims(x0, 99) ; nl.shared_constant('a') ;
nl.shared_identity_matrix(-4) ; nl.shared_identity_matrix(4000) ; nl.rand((4, 4), nl.float32) ;
nl.random_seed(3) ; nl.dropout(x0, 2.0) ; nl.device_print('a', 3) ; nl.is_hbm(3) ;
nl.shared_constant(np.ones((2, 2))) ; nl.arange(4) ; len(x0) ; bool(x0) ; float(x0) ;
list(x0) ; x0 + x0 ; x0 == x0 ; -x0 ; np.add(x0, 1) ; np.asarray(x0) ; x0[0] = 3 ; x0 += 1 ;
nisa.memset(None, 0) ; nisa.memset(x0, 0) ; nisa.iota(x0, [[1, 4]]) ; nisa.get_nc_version() ;
nisa.nc_matmul(x0, x0, x0) ; nisa.dma_copy(x0, x0) ; nisa.dma_copy(None, x0) ; nl.ds('a', 3) ;
nl.static_range('a') ; nl.dynamic_range(x0) ; nisa.core_barrier(x0, (0, 1)) ;
nisa.sendrecv(x0, x0, 1, 1, 0)
""")


def spoiled(program: Program, seed: int, api: str) -> str:
    """The source of a program with one thing wrong, or perhaps only unusual."""
    rng = np.random.default_rng(seed)
    number = int(rng.integers(len(program.steps)))
    step = program.steps[number]
    function, given = (current if api == "nki" else older)(step)
    how, place = rng.random(), int(rng.integers(len(given)))

    def pick(among) -> str:
        return among[int(rng.integers(len(among)))]

    if how < 0.35:
        given[place] = _replaced(given[place], pick(JUNK))
    elif how < 0.65:
        given[place] = _replaced(given[place], f"({_value(given[place])}){pick(VIEWS)}")
    elif how < 0.75:
        added = pick(KEYWORDS)
        same = added.partition("=")[0] + "="
        given = [*(g for g in given if not g.startswith(same)), added]
    elif how < 0.85:
        names = sorted({r.name for s in program.steps for r in (*s.dsts, *s.srcs)})
        given[place] = _replaced(given[place], pick(names))
    else:
        lines = program.source(api).splitlines()
        body = next(n for n, line in enumerate(lines) if line.startswith("def "))
        lines.insert(int(rng.integers(body + 1, len(lines))), f"    {pick(CALLS)}")
        return "\n".join(lines)
    return program.source(api, {number: (function, given)})


def _value(argument: str) -> str:
    """What an argument gives, without the keyword in front."""
    name, equals, value = argument.partition("=")
    return value if equals and name.isidentifier() else argument


def _replaced(argument: str, value: str) -> str:
    return argument[: len(argument) - len(_value(argument))] + value


def check_spoiled(program: Program, source: str, api: str) -> str:
    """Runs a spoiled program, with values and without; which class of error it ends with.

    Raises Wrong where it shows a traceback of trnlab's own.
    """
    ends = []
    for values in (True, False):
        try:
            launch(program, api, source=source, values=values, time=False)
            ends.append("runs")
        except trnlab.TrnlabError as error:
            str(error)
            ends.append(type(error).__name__)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            misspelled = isinstance(error, AttributeError) and last.name == "__getattr__"
            if not misspelled and not last.filename.startswith("<program"):
                where = f"{Path(last.filename).name}:{last.lineno} {last.name}"
                said = f"{type(error).__name__}: {str(error)[:80]}"
                raise Wrong(f"{api}: an internal error, {said} at {where}") from error
            ends.append("of Python")
    return ends[0]


def broken(program: Program, seed: int) -> tuple[str, str] | None:
    """The source of a program that breaks a rule for sure, and the class of error it must end in.

    None where the step that was picked offers nothing to break.
    """
    rng = np.random.default_rng(seed)
    number = int(rng.integers(len(program.steps)))
    step = program.steps[number]
    function, given = current(step)
    ways = [way for way in (_too_far, _unwritten, _misshapen, _elsewhere) if way(step, [])]
    if not ways:
        return None
    before, error = ways[int(rng.integers(len(ways)))](step, given)  # type: ignore[misc]
    call = f"{before}\n    {function}" if before else function
    return program.source(changed={number: (call, given)}), error


def _too_far(step: Step, given: list[str]) -> tuple[str, str] | None:
    """A source is cut beyond its end."""
    if step.kind not in ELEMENTWISE:
        return None
    given[1:2] = [f"{given[1]}[0:1000]"] if given else []
    return "", "OutOfBounds"


def _unwritten(step: Step, given: list[str]) -> tuple[str, str] | None:
    """A source that nobody has written."""
    if step.kind not in ELEMENTWISE:
        return None
    given[1:2] = ["unwritten"] if given else []
    return f"unwritten = nl.ndarray({step.args['shape']}, nl.float32)", "UninitialisedRead"


def _misshapen(step: Step, given: list[str]) -> tuple[str, str] | None:
    """A destination with one element more in each partition."""
    if step.kind not in (*ELEMENTWISE, "tensor_tensor", "nc_matmul"):
        return None
    rows, *free = step.args["shape"]
    space = "psum" if step.kind == "nc_matmul" else "sbuf"
    given[:1] = ["longer"] if given else []
    shape = (rows, int(np.prod(free)) + 1)
    made = f"longer = nl.ndarray({shape}, nl.float32, buffer=nl.{space})"
    return made, "IllegalInstruction"


def _elsewhere(step: Step, given: list[str]) -> tuple[str, str] | None:
    """A destination in a memory that the engine cannot reach."""
    if step.kind not in (*ELEMENTWISE, "tensor_tensor", "nc_matmul", "load"):
        return None
    rows, *free = step.args["shape"]
    space = {"nc_matmul": "sbuf", "load": "psum"}.get(step.kind, "hbm")
    given[:1] = ["elsewhere"] if given else []
    shape = (rows, int(np.prod(free)))
    made = f"elsewhere = nl.ndarray({shape}, nl.{step.args['dtype']}, buffer=nl.{space})"
    return made, "IllegalInstruction"


def check_broken(program: Program, source: str, error: str) -> None:
    """Raises Wrong where a program that must be refused is not, or is for another reason."""
    try:
        launch(program, source=source, time=False)
    except trnlab.Violations as found:
        names = {type(each).__name__ for each in found.found}
    except trnlab.TrnlabError as found:
        names = {type(found).__name__}
    else:
        raise Wrong(f"runs, though it must end in {error}")
    if error not in names:
        raise Wrong(f"ends in {', '.join(sorted(names))}, not in {error}")
