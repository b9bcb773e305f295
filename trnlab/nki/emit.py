"""A kernel's program as data, for somebody who wants to compute it elsewhere."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trnlab.errors import ProgramError, Violations
from trnlab.isa.tile import tiles_in
from trnlab.machine.chip import Chip
from trnlab.nki.arguments import Arguments
from trnlab.nki.grids import instances_of, size_of
from trnlab.nki.jit import (
    Kernel,
    Launch,
    chip_in_use,
    execute,
    few_collections,
)
from trnlab.nki.judging import check_target, compiler_for, read_source
from trnlab.nki.order import add_edges
from trnlab.nki.receipt import name_of, passes_of
from trnlab.sim.record import Recorder


def emit(
    kernel: Kernel,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    chip: str | Chip | None = None,
    grid: tuple[Any, ...] | None = None,
) -> dict[str, Any]:
    """Runs a kernel without values and returns its program, ready for JSON.

    Of arrays only shape and dtype are looked at. Raises Violations where a value would be
    undefined, NotModelled where values decide what the program is; broken rules are left to whoever
    computes the program.
    """
    kernel = kernel if grid is None else replace(kernel, grid=grid)
    target = chip_in_use(chip, kernel.options.get("platform_target"))
    cores, _ = instances_of(kernel.grid, kernel.api)
    check_target(kernel.api, name_of(kernel), target, cores, strict=True)
    run = Recorder(target, api=kernel.api, cores=cores, compiler=compiler_for(kernel.api))
    here = Launch(run, tuple(size_of(part) for part in kernel.grid))
    with few_collections():
        bound = Arguments(run, kernel.function, args, kwargs)
        read_source(run, kernel, [*args, *kwargs.values()])
        try:
            returned = execute(here, kernel, bound)
        except ProgramError as last:
            last.place = last.place or run.here()
            if not run.found or isinstance(last, Violations):
                raise
            raise Violations([*run.found.values(), last]) from None
        add_edges(run, kernel.options.get("schedule", ()))
    outer = list(returned.values()) if isinstance(returned, dict) else [returned]
    return run.as_data(tiles_in(outer), passes_of(kernel))
