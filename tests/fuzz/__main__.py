"""Random kernels: `python -m tests.fuzz --seed 1 --count 1000`."""

import argparse
import sys
import time
from collections.abc import Callable

from tests.fuzz.checking import check
from tests.fuzz.choices import program as make
from tests.fuzz.programs import Program
from tests.fuzz.shrinking import shrunk
from tests.fuzz.wrong import broken, check_broken, check_spoiled, spoiled

SPOILED = 4  # wrong kernels made of each legal one


def main() -> int:
    """Runs so many programs; prints what fails, as scripts, and how many there were."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first program")
    parser.add_argument("--count", type=int, default=1000, help="how many programs")
    parser.add_argument("--steps", type=int, default=12, help="instructions in each, about")
    parser.add_argument("--stop", type=int, default=5, help="stop after so many failures")
    given = parser.parse_args()
    began, runs, bad, failed = time.monotonic(), 0, 0, 0
    for seed in range(given.seed, given.seed + given.count):
        done, wrong, failures = one(seed, given.steps)
        runs, bad, failed = runs + done, bad + wrong, failed + len(failures)
        for text in failures:
            sys.stdout.write(f"--- seed {seed}, --steps {given.steps}\n{text}\n\n")
            sys.stdout.flush()
        if failed >= given.stop:
            break
    seconds = time.monotonic() - began
    sys.stdout.write(
        f"{seed - given.seed + 1} programs, {runs} runs, {bad} wrong kernels, {failed} failures, "
        f"{seconds:.0f} s\n"
    )
    return min(failed, 1)


def one(seed: int, steps: int) -> tuple[int, int, list[str]]:
    """Checks one program and the wrong ones made of it: runs, wrong kernels, failures as text."""
    program, runs, wrong, failures = make(seed, steps), 0, 0, []
    try:
        runs = check(program)
    except Exception as error:
        failures.append(_told(program, error))
    for number in range(SPOILED):
        for api in ("nki", "neuronxcc.nki") if program.portable else ("nki",):
            if api == "nki" and any(step.mask for step in program.steps):
                continue
            source = spoiled(program, SPOILED * seed + number, api)
            wrong += 1
            try:
                check_spoiled(program, source, api)
            except AssertionError as error:
                failures.append(f"{error}\n{program.script(source=source)}")
        found = broken(program, SPOILED * seed + number)
        if found is not None and not any(step.mask for step in program.steps):
            wrong += 1
            try:
                check_broken(program, *found)
            except AssertionError as error:
                failures.append(f"{error}\n{program.script(source=found[0])}")
    return runs, wrong, failures


def _told(program: Program, error: Exception) -> str:
    """What went wrong, and the smallest program that shows it."""
    kind: Callable[[Exception], object] = lambda e: (type(e), str(e).split(":")[0])  # noqa: E731

    def fails(smaller: Program) -> bool:
        try:
            check(smaller)
        except Exception as other:
            return kind(other) == kind(error)
        return False

    smallest = shrunk(program, fails)
    api = "neuronxcc.nki" if "neuronxcc.nki" in str(error) else "nki"
    try:
        check(smallest)
    except Exception as last:
        return f"{type(last).__name__}: {last}\n{smallest.script(api)}"
    return f"{type(error).__name__}: {error}\n{program.script(api)}"


if __name__ == "__main__":
    sys.exit(main())
