"""What a caller asks of the scoring service, checked before anything runs."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from trnlab.errors import BadArguments, UnknownName
from trnlab.machine.catalogue import chip as find_chip

MB = 1 << 20
SOURCE = 4 * MB  # characters of a kernel or a reference
CASES, SEEDS, INPUTS = 64, 32, 256
TEXT, LARGEST = 200, 1 << 32  # characters of an input, bytes of all inputs of a case


@dataclass(frozen=True)
class Request:
    """A candidate, what it is to compute, and what it may use.

    ``kernel`` and ``reference`` are source text, ``name`` and ``reference_name`` functions in them;
    without, ``kernel`` and ``reference``, or the only one that there is.
    ``inputs`` are those of `trnlab run --in`, and each of ``hidden`` is such a list that the answer
    does not repeat. ``seed`` is a secret of the caller that helps to choose values; ``tolerance``
    None follows from the formats of the inputs. Limits are in seconds of CPU and bytes.
    """

    kernel: str
    reference: str
    name: str = ""
    reference_name: str = ""
    inputs: tuple[str, ...] = ()
    hidden: tuple[tuple[str, ...], ...] = ()
    seeds: int = 3
    seed: int = 0
    chip: str = "trn2"
    grid: tuple[int, ...] = ()
    tolerance: float | None = None
    seconds: float = 10.0  # for the candidate to write its program
    compute: float = 60.0  # to compute it, and the reference
    memory: int = 2048 * MB
    output: int = 64 * MB  # of program, and of what is printed
    files: int = 16 * MB

    @property
    def cases(self) -> list[tuple[str, ...]]:
        """The inputs of every case: those that are told, then the hidden ones."""
        return [self.inputs, *self.hidden]

    def as_json(self) -> dict[str, Any]:
        """Itself, ready for JSON."""
        return asdict(self)


def request_of(given: Any) -> Request:
    """A request from JSON; raises UnknownName and BadArguments for what it cannot be."""
    if not isinstance(given, dict):
        raise BadArguments("a request is a JSON object", fix="see docs/scoring.md for one")
    known = [field.name for field in fields(Request)]
    for name in given:
        if name not in known:
            raise UnknownName("entry of a request", str(name)[:60], known)
    made: dict[str, Any] = {}
    for name in ("kernel", "reference"):
        if not isinstance(given.get(name), str) or not given[name].strip():
            raise BadArguments(f"a request needs '{name}': Python source as text")
        _limit(f"characters of {name}", len(given[name]), 1, SOURCE)
    for name in ("name", "reference_name", "chip", "kernel", "reference"):
        if name in given:
            made[name] = _is(name, given[name], str, "text")
    for name in ("seeds", "seed", "memory", "output", "files"):
        if name in given:
            made[name] = _is(name, given[name], int, "a whole number")
    for name in ("seconds", "compute", "tolerance"):
        if given.get(name) is not None:
            made[name] = float(_is(name, given[name], (int, float), "a number"))
    if "inputs" in given:
        made["inputs"] = _texts("inputs", given["inputs"])
    if "hidden" in given:
        many = _is("hidden", given["hidden"], (list, tuple), "a list of lists of inputs")
        made["hidden"] = tuple(_texts("hidden", case) for case in many)
    if "grid" in given:
        many = _is("grid", given["grid"], (list, tuple), "a list of numbers")
        made["grid"] = tuple(_is("grid", n, int, "a list of numbers") for n in many)
    return _within(Request(**made))


def _within(request: Request) -> Request:
    """The request, if what it asks for is within reason."""
    from trnlab.studies.inputs import make_shapes

    find_chip(request.chip)
    _limit("seeds", request.seeds, 1, SEEDS)
    _limit("cases", len(request.cases), 1, CASES)
    for case in request.cases:
        _limit("inputs of a case", len(case), 0, INPUTS)
        for text in case:
            _limit("characters of an input", len(text), 1, TEXT)
        args, kwargs = make_shapes(list(case))
        sizes = [getattr(a, "nbytes", 0) for a in (*args, *kwargs.values())]
        _limit("bytes of the inputs of a case", sum(sizes), 0, LARGEST)
    _limit("seconds", request.seconds, 0.1, 600)
    _limit("compute", request.compute, 0.1, 3600)
    _limit("bytes of memory", request.memory, 256 * MB, 1 << 40)
    _limit("bytes of output", request.output, 1024, 1024 * MB)
    _limit("bytes of files", request.files, 1024, 1 << 40)
    _limit("dimensions of grid", len(request.grid), 0, 3)
    for size in request.grid:
        _limit("instances of grid", size, 1, 4096)
    if request.tolerance is not None:
        _limit("tolerance", request.tolerance, 0, 1)
    return request


def _limit(what: str, given: float, low: float, high: float) -> None:
    if not low <= given <= high:
        raise BadArguments(f"{given:,} {what}", limit=f"{low:,} to {high:,}")


def _is(name: str, value: Any, kind: Any, wanted: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadArguments(f"'{name}' of a request is {value!r:.60}", limit=wanted)
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    many = _is(name, value, (list, tuple), "a list such as ['bf16[128,512]', 'scale=0.5']")
    return tuple(_is(name, text, str, "a list of texts") for text in many)
