"""What was measured on real chips, as rows: ours, and those that a user has timed."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from trnlab import formats
from trnlab.errors import BadArguments, TrnlabError, UnknownName
from trnlab.machine.catalogue import chip as find_chip
from trnlab.studies.inputs import make_shapes

CLOCKS = ("device", "profiler", "launches", "")
NEEDED = ("kernel", "shape", "dtype", "chip", "seconds")
LARGEST = 2**20  # elements in one dimension
DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class Measurement:
    """One published or own figure, in base units.

    ``kernel`` is one of `trnlab.studies.validation.timed`, with sizes by name as ``shape``; or a
    user's, as ``FILE:KERNEL``, with inputs as ``shape``: those of `trnlab run --in`, between
    semicolons.
    ``clock`` says which of three times a row is: `device` latency, `profiler` total, or two
    `launches` added up; ``use`` is `fit`, `blind`, `upper bound` or `context`.
    """

    id: str
    kernel: str
    shape: str
    dtype: str
    chip: str
    metric: str
    value: float
    unit: str
    clock: str
    use: str
    source: str

    @property
    def sizes(self) -> dict[str, int]:
        """The shape as numbers: ``"M=128 K=512"`` is {"M": 128, "K": 512}."""
        if self.is_own:
            return {}
        parts = (part.partition("=") for part in self.shape.split() if "=" in part)
        return {name: int(value) for name, _, value in parts}

    @property
    def is_own(self) -> bool:
        """Whether the kernel is a user's."""
        return ":" in self.kernel

    @property
    def inputs(self) -> list[str]:
        """The inputs of a user's kernel: ``"f32[128,512]; scale=0.5"`` are two."""
        return [text.strip() for text in self.shape.split(";")]


@cache
def published() -> tuple[Measurement, ...]:
    """Every figure that the project holds, from `measured.csv`."""
    text = files("trnlab.studies.validation").joinpath("measured.csv").read_text()
    rows = csv.DictReader(text.splitlines())
    return tuple(
        Measurement(
            row["id"], row["kernel"], row["shape"], row["dtype"], row["chip"], row["metric"],
            float(row["value"]), row["unit"], row["clock"], row["use"], row["source"],
        )
        for row in rows
    )  # fmt: skip


def read(path: str, kernels: object) -> list[Measurement]:
    """A user's timings: a CSV with kernel, shape, dtype, chip, seconds, and perhaps clock.

    Raises UnknownName for a chip, a kernel or a clock that there is not, and BadArguments for a
    file that cannot be read, lacks a column, or holds what is no time.
    """
    file = Path(path)
    if not file.is_file():
        raise BadArguments(f"there is no file {path}", fix="give a CSV with own timings")
    try:
        lines = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines(), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadArguments(f"{path} is not a CSV file: {error}") from None
    head = [name.strip().lower() for name in lines[0]] if lines else []
    missing = [name for name in NEEDED if name not in head]
    twice = [name for name in (*NEEDED, "clock") if head.count(name) > 1]
    if missing or twice or len(lines) == 1:
        wrong = f"no column {', '.join(missing)}" if missing and lines else "no rows"
        raise BadArguments(
            f"{path} has " + (f"the column {twice[0]} twice" if twice else wrong),
            limit=f"columns {', '.join(NEEDED)}, and clock where it is not the device's",
            fix="separate columns with commas" if len(head) == 1 else "",
        )
    found = []
    for number, cells in enumerate(lines[1:], 2):
        if not any(cells):
            continue
        if len(cells) != len(head):
            said = f"{len(cells)} cells and {len(head)} columns"
            raise BadArguments(f"{path}, line {number}: {said}")
        found.append(_row(path, number, dict(zip(head, cells, strict=True)), kernels))
    _agree(path, found)
    return found


def _row(path: str, number: int, row: dict[str, str], kernels: object) -> Measurement:
    cells = {name: row.get(name, "").strip() for name in (*NEEDED, "clock")}
    where = f"{path}, line {number}"
    own = ":" in cells["kernel"]
    if not own and cells["kernel"] not in kernels:  # type: ignore[operator]
        error = UnknownName("kernel", cells["kernel"], kernels)  # type: ignore[arg-type]
        raise BadArguments(f"{where}: {error}", fix="name a kernel of your own FILE.py:KERNEL")
    dtype = "" if own else _dtype(where, cells["dtype"])
    clock = cells["clock"] or "device"
    if clock not in CLOCKS:
        raise UnknownName(f"clock ({where})", clock, CLOCKS[:-1])
    try:
        seconds = float(cells["seconds"])
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e4:
        raise BadArguments(
            f"{where}: seconds is '{cells['seconds']}'", limit="a positive number of seconds"
        )
    try:
        chip = find_chip(cells["chip"]).key
    except UnknownName as error:
        raise BadArguments(f"{where}: {error}") from None
    made = Measurement(
        where, cells["kernel"], cells["shape"], dtype, chip, "seconds", seconds, "s", clock, "fit",
        path,
    )  # fmt: skip
    _check_shape(made)
    return made


def _dtype(where: str, text: str) -> str:
    """What the project calls a number format: fp32, bf16 or fp16."""
    try:
        return DTYPES[formats.name(text)]
    except (UnknownName, KeyError):
        raise UnknownName(f"dtype ({where})", text, DTYPES.values()) from None


def _check_shape(made: Measurement) -> None:
    where = made.id
    if made.is_own:
        try:
            make_shapes(made.inputs)
        except TrnlabError as error:
            raise BadArguments(f"{where}: {error}") from None
        return
    try:
        sizes = made.sizes
    except ValueError:
        sizes = {}
    if not sizes or len(sizes) != made.shape.count("="):
        raise BadArguments(
            f"{where}: shape is '{made.shape:.60}'", limit="such as M=128 K=512 N=2048"
        )
    for name, size in sizes.items():
        if not 1 <= size <= LARGEST:
            raise BadArguments(f"{where}: {name} is {size:,}", limit=f"1 to {LARGEST:,}")


def _agree(path: str, rows: list[Measurement]) -> None:
    """Two timings of one thing that differ by more than half cannot both be meant."""
    seen: dict[object, Measurement] = {}
    for row in rows:
        sizes = tuple(sorted(row.sizes.items())) or tuple(row.inputs)
        key = row.kernel, sizes, row.dtype, row.chip, row.clock
        other = seen.setdefault(key, row)
        low, high = sorted((row.value, other.value))
        if high > 1.5 * low:
            raise BadArguments(
                f"{path} says {low:.3g} s and {high:.3g} s of the same thing",
                {"first": other.id, "second": row.id},
                fix="keep one, or the median",
            )
