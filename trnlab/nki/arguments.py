"""A kernel's arguments and results: arrays outside, HBM tensors inside."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments
from trnlab.isa.rules import since
from trnlab.isa.tile import HBM_SPACES, Space, Tile, tiles_in, whole
from trnlab.nki import tensor_class
from trnlab.nki.arrays import facts_of, from_user, is_array, is_jax, like_user, update
from trnlab.sim import memory
from trnlab.sim.core import Run


@dataclass(frozen=True)
class Shaped:
    """The annotation ``nt.tensor[128, 512]``: an argument of this shape."""

    shape: tuple[int, ...]


class Arguments:
    """Arrays become HBM tensors; numbers and everything else pass through."""

    def __init__(
        self,
        run: Run,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        elsewhere: Sequence[np.ndarray] = (),  # what other ranks were given
    ) -> None:
        self.run, self.function, self.elsewhere = run, function, elsewhere
        self.example: Any = None  # the first array, whose kind the outputs have
        self.taken: list[tuple[Any, np.ndarray, Tile]] = []
        self.inputs = run.arguments
        self.seen: list[tuple[Any, Tile]] = []
        self.returned: set[int] = set()  # buffers
        _check_call(function, args, kwargs)
        names = list(inspect.signature(function).parameters)
        self.args = tuple(
            self._take(value, names[i] if i < len(names) else f"arg{i}")
            for i, value in enumerate(args)
        )
        self.kwargs = {name: self._take(value, name) for name, value in kwargs.items()}
        self._check_shapes(dict(zip(names, self.args, strict=False)) | self.kwargs)

    def _check_shapes(self, given: dict[str, Any]) -> None:
        for name, hint in getattr(self.function, "__annotations__", {}).items():
            tile = given.get(name)
            if isinstance(hint, Shaped) and isinstance(tile, Tile) and tile.shape != hint.shape:
                self.run.report(
                    BadArguments,
                    f"{name} has the shape {list(tile.shape)}, its annotation {list(hint.shape)}",
                    {"vendor": "err_annotation_shape_mismatch"},
                    fix="give an array of that shape, or annotate it as it is",
                    see="nki.typing",
                )

    def _take(self, value: Any, name: str) -> Any:
        if isinstance(value, (list, tuple)) and any(is_array(v) for v in value):
            return type(value)(self._take(v, f"{name}[{i}]") for i, v in enumerate(value))
        if not is_array(value):
            return value
        if self.example is None:
            self.example = value
        for given, tile in self.seen:
            if given is value:  # given twice, one tensor
                return tile
        shape, dtype = facts_of(value, name)
        buffer = self.run.buffer(Space.shared_hbm, dtype, shape, name)
        tile = whole(buffer, tensor_class(self.run.api))
        self.inputs.add(buffer.index)
        self.seen.append((value, tile))
        if self.run.values:
            held = from_user(value)
            others = (*self.elsewhere, *(other for _, other, _ in self.taken))
            if any(np.may_share_memory(held, other) for other in others):
                held = held.copy()  # overlapping arguments are tensors of their own
            memory.adopt(buffer, held)
            self.taken.append((value, held, tile))
        return tile

    def joined(self, returned: list[Any]) -> Any:
        """What the cores of a launch return together.

        A kernel has one set of outputs: where each core returns a tensor of its own in HBM, as NKI
        0.2 allows, the output is what all have written.
        """
        *others, last = returned
        for other in others:
            for theirs, mine in zip(tiles_in([other]), tiles_in([last]), strict=False):
                if theirs.storage is not mine.storage and theirs.layout is mine.layout:
                    self.run.join(mine, theirs)
        return last

    def check_outputs(self, returned: Any) -> None:
        """Reports returned tensors that are on chip, or that nobody has filled."""
        if inspect.iscoroutine(returned) or inspect.isgenerator(returned):
            returned.close()
            raise BadArguments(
                f"the kernel returns a {type(returned).__name__}: none of its lines has run",
                fix="write a plain function, without async and yield",
            )
        outer = list(returned.values()) if isinstance(returned, dict) else [returned]
        for tile in tiles_in(outer):
            self.returned.add(tile.storage.index)
            if tile.space not in HBM_SPACES:
                self.run.report(
                    BadArguments,
                    f"the kernel returns {tile.describe()}, which is on chip",
                    {},
                    fix="store it to a tensor with buffer=nl.shared_hbm and return that",
                    at=tile.storage.place,
                )
            if tile.space is not Space.shared_hbm and since("0.3").covers(self.run.compiler):
                self._warn_private(tile)
            if self.run.values:
                self.run.executor.check_output(tile)

    def check_effect(self, options: dict[str, Any]) -> None:
        """Reports arguments that may not be written; notes that a call had no effect at all."""
        if self.run.api != "nki":
            from trnlab.nki.legacy.contract import faults

            for fault in faults(self.run, self.function, options, self.returned):
                self.run.tell(fault)
        if not self.returned and not (self.inputs & self.run.program.written()):
            self.run.note("the kernel returns no tensor and writes none of its arguments")

    def _warn_private(self, tile: Tile) -> None:
        """The guide to nki 0.3 says that this fails; the vendor's own library does it."""
        error = BadArguments(
            f"the kernel returns {tile.storage.name}, which is not in shared HBM",
            {"tensor": tile.describe()},
            "buffer=nl.shared_hbm for what a kernel returns",
            self.run.program.place(tile.storage.place),
            "declare it with buffer=nl.shared_hbm",
            "nki.language.ndarray",
            "kernel/outputs-are-in-shared-hbm",
        )
        self.run.tell(error, warning=True)

    def outputs(self, returned: Any) -> Any:
        """What the kernel returned, as arrays of the kind that came in.

        Where no values were computed, arrays that show fresh memory: NaN, or 4 for integers.
        """
        if isinstance(returned, (list, tuple)):
            return type(returned)(self.outputs(part) for part in returned)
        if isinstance(returned, dict):
            return {name: self.outputs(part) for name, part in returned.items()}
        if not isinstance(returned, Tile):
            return returned
        if self.run.values:
            return like_user(self._contents(returned), self.example)
        kind = formats.storage(returned.dtype)
        fresh = np.array(formats.fresh(returned.dtype)).astype(kind)
        return np.broadcast_to(fresh, returned.shape)

    def _contents(self, tile: Tile) -> np.ndarray:
        """A returned tensor's values; an argument that is returned is copied."""
        values = self.run.executor.result(tile)
        if tile.storage.index in self.inputs:
            return values.copy()
        values.flags.writeable = True
        return values

    def indices(self, returned: Any) -> set[int]:
        """The tensors among what a kernel returned."""
        return {tile.storage.index for tile in tiles_in([returned])}

    def changed(self) -> list[tuple[Any, str]]:
        """The caller's arrays that the kernel wrote to, with the names of the arguments."""
        written = self.run.program.written() if self.taken else set()
        return [(g, t.storage.name) for g, _, t in self.taken if t.storage.index in written]

    def write_back(self) -> None:
        """Updates the caller's arrays where the kernel wrote to its arguments.

        Contiguous NumPy arrays share their bytes with the kernel; others were copied.
        """
        written = self.run.program.written() if self.taken else set()
        for given, _, tile in self.taken:
            if tile.storage.index not in written:
                continue
            self.run.executor.settle(tile)
            if is_jax(given):
                self._keep(tile)
            else:
                update(given, self.run.executor.show(tile), tile.storage.name)

    def _keep(self, tile: Tile) -> None:
        """An array of JAX that the kernel wrote is given back only as a result."""
        if tile.storage.index not in self.returned:
            raise BadArguments(
                f"{tile.storage.name} is written, but arrays of JAX cannot be updated in place",
                fix=f"return {tile.storage.name} from the kernel, and use what the call returns",
            )


def _check_call(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        name, signature = getattr(function, "__name__", "kernel"), inspect.signature(function)
        method = next(iter(signature.parameters), "") == "self"
        raise BadArguments(
            f"{name} cannot be called like this: {error}",
            {"signature": f"{name}{signature}"},
            fix="a kernel is no method: take it out of its class" if method else "",
        ) from None
