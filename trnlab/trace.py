"""What a run leaves behind: columns of spans, and what they rest on."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np

# Why a span did not start earlier.
CAUSES = ("first", "engine busy", "data", "buffer", "memory", "queue busy", "clock", "rank", "port")

# The instruction queues of a core, in the order of their lanes.
QUEUES = ("tensor", "vector", "scalar", "gpsimd", "sync")

# A tensor that was on chip: in which memory of MEMORIES, on which core, which name and line, at
# which byte of a partition (-1: not the kernel's choice), bytes a partition, from when until when.
MEMORIES = ("sbuf", "psum")
HELD = np.dtype(
    [
        ("memory", np.int8),
        ("core", np.int16),
        ("tensor", np.int32),
        ("where", np.int32),
        ("byte", np.int64),
        ("size", np.int64),
        ("since", np.float64),
        ("until", np.float64),
    ]
)


class Span(NamedTuple):
    """One row of a trace; times in seconds."""

    lane: str
    name: str
    start: float
    stop: float
    where: str  # the user's file and line
    cause: str  # one of CAUSES
    blocker: int  # row that had to finish first, -1 for none
    basis: str
    copies: int = 1


@dataclass(repr=False)
class Trace:
    """Spans in columns, in program order.

    ``lane``, ``name``, ``where``, ``cause`` hold indices into the tuples of the same plural name;
    ``busy_until`` is when the lane could take the next span, ``stop`` when the result was visible.
    ``counters`` maps a name to (times, values); ``totals`` holds sums such as ``flops`` and
    ``hbm_read_bytes``; ``meta`` says what ran on what. ``tensors`` says which tensor spans of a
    (name, where) move, ``work`` what a span of each name adds to the totals; ``held`` has a row of
    HELD for each tensor that was on chip, named by ``holders``.
    """

    lanes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    wheres: tuple[str, ...] = ()
    lane: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    name: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    where: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    start: np.ndarray = field(default_factory=lambda: np.zeros(0))
    busy_until: np.ndarray = field(default_factory=lambda: np.zeros(0))
    stop: np.ndarray = field(default_factory=lambda: np.zeros(0))
    cause: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    blocker: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    copies: int = 1
    basis: str = "instructions"
    counters: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    meta: dict[str, object] = field(default_factory=dict)
    tensors: tuple[tuple[int, int, str], ...] = ()
    held: np.ndarray = field(default_factory=lambda: np.zeros(0, HELD))
    holders: tuple[str, ...] = ()
    work: tuple[dict[str, float], ...] = ()

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, row: int) -> Span:
        return Span(
            self.lanes[self.lane[row]],
            self.names[self.name[row]],
            float(self.start[row]),
            float(self.stop[row]),
            self.wheres[self.where[row]],
            CAUSES[self.cause[row]],
            int(self.blocker[row]),
            self.basis,
            self.copies,
        )

    def __iter__(self) -> Iterator[Span]:
        return (self[row] for row in range(len(self)))

    @property
    def seconds(self) -> float:
        """Device latency: from the first start to the last result visible."""
        return float(self.stop.max()) if len(self) else 0.0

    def busy(self) -> dict[str, float]:
        """Seconds each lane was occupied; spans of one lane that overlap count once."""
        return {lane: self._occupied(index) for index, lane in enumerate(self.lanes)}

    def _occupied(self, lane: int) -> float:
        rows = np.flatnonzero(self.lane == lane)
        if not len(rows):
            return 0.0
        order = rows[np.argsort(self.start[rows], kind="stable")]
        start, stop = self.start[order], self.busy_until[order]
        reach = np.maximum.accumulate(np.concatenate([[-np.inf], stop[:-1]]))
        return float(np.maximum(stop - np.maximum(start, reach), 0.0).sum())

    def __repr__(self) -> str:
        """One line: what ran, how long, and how busy its lanes were."""
        shares = [
            f"{lane} {seconds / self.seconds:.0%}"
            for lane, seconds in self.busy().items()
            if seconds
        ]
        what = f"{self.meta.get('kernel', 'a program')} on {self.meta.get('chip', 'a chip')}"
        return f"<Trace of {what}: {self.seconds * 1e6:,.2f} us; {', '.join(shares)}>"

    def critical_path(self) -> list[int]:
        """Rows that led to the end of the run, first to last: each was the next one's blocker."""
        if not len(self):
            return []
        path, row = [], int(np.argmax(self.stop))
        while row >= 0:
            path.append(row)
            row = int(self.blocker[row])
        return path[::-1]

    def packed(self) -> bytes:
        """The whole trace as a NumPy archive, for a file; `unpacked` is the way back."""
        texts = {name: getattr(self, name) for name in _TEXTS} | {"counters": list(self.counters)}
        held = {name: getattr(self, name) for name in _COLUMNS}
        for index, (times, values) in enumerate(self.counters.values()):
            held |= {f"times{index}": times, f"values{index}": values}
        held["texts"] = np.frombuffer(json.dumps(texts).encode(), np.uint8)
        packed = io.BytesIO()
        np.savez_compressed(packed, allow_pickle=False, **held)
        return packed.getvalue()

    @staticmethod
    def unpacked(packed: bytes) -> "Trace":
        """The trace that `packed` wrote; raises ValueError or KeyError for anything else."""
        with np.load(io.BytesIO(packed), allow_pickle=False) as held:
            texts = json.loads(held["texts"].tobytes())
            names = texts.pop("counters")
            counters = {n: (held[f"times{i}"], held[f"values{i}"]) for i, n in enumerate(names)}
            texts |= {name: tuple(texts[name]) for name in ("lanes", "names", "wheres", "holders")}
            texts["work"] = tuple(texts["work"])
            texts["tensors"] = tuple((n, w, t) for n, w, t in texts["tensors"])
            made = Trace(**texts, **{name: held[name] for name in _COLUMNS}, counters=counters)
        made.check()
        return made

    def check(self) -> None:
        """Raises ValueError where columns do not fit together, as in a file that was damaged."""
        rows = len(self)
        indices = {"lane": self.lanes, "name": self.names, "where": self.wheres, "cause": CAUSES}
        for name in _COLUMNS:
            column = getattr(self, name)
            wanted = "i" if name in (*indices, "blocker") else "f"
            right = column.dtype == HELD if name == "held" else column.dtype.kind == wanted
            if column.ndim != 1 or not right:
                raise ValueError(f"{name} is no column of numbers")
            if name != "held" and len(column) != rows:
                raise ValueError(f"{name} has other rows")
        for name, texts in indices.items():
            if rows and not 0 <= getattr(self, name).min() <= getattr(self, name).max() < len(
                texts
            ):
                raise ValueError(f"{name} leaves its texts")
        _check_times(self)
        _check_blockers(self.blocker)
        numbers = [self.totals, *self.work]
        if not all(type(v) in (int, float) for given in numbers for v in given.values()):
            raise ValueError("totals are no numbers")
        if len(self.held) and not 0 <= self.held["tensor"].max() < len(self.holders):
            raise ValueError("what was held has no name")


_TEXTS = (
    "lanes",
    "names",
    "wheres",
    "copies",
    "basis",
    "totals",
    "meta",
    "tensors",
    "holders",
    "work",
)
_COLUMNS = tuple(f.name for f in fields(Trace) if f.name not in (*_TEXTS, "counters"))


def _check_times(trace: Trace) -> None:
    times = (trace.start, trace.busy_until, trace.stop)
    series = [part for pair in trace.counters.values() for part in pair]
    if not all(np.isfinite(column).all() for column in (*times, *series)):
        raise ValueError("times are no numbers")
    if (trace.stop < trace.start).any():
        raise ValueError("a span ends before it starts")
    if any(t.shape != v.shape or t.ndim != 1 for t, v in trace.counters.values()):
        raise ValueError("a counter has other times than values")


def _check_blockers(blocker: np.ndarray) -> None:
    """Raises ValueError where rows wait for each other in a circle, or for none that there is."""
    if len(blocker) and not -1 <= blocker.min() <= blocker.max() < len(blocker):
        raise ValueError("a row waits for one that there is not")
    ahead = np.append(blocker, -1)  # the last stands for no row
    for _ in range(len(blocker).bit_length()):
        ahead = ahead[ahead]
    if (ahead >= 0).any():
        raise ValueError("rows wait for each other in a circle")
