"""Random kernels against the oracle: a few of them here, any number with `make fuzz`."""

import subprocess
import sys

import numpy as np
import pytest

from tests.fuzz.__main__ import one
from tests.fuzz.arrays import DTYPES
from tests.fuzz.checking import Wrong, check, compare, launch
from tests.fuzz.choices import program
from tests.fuzz.shrinking import shrunk
from tests.fuzz.wrong import broken, check_broken
from trnlab.sim.values.execute import Executor
from trnlab.sim.values.groups import Groups


@pytest.mark.parametrize("seed", range(24))
def test_a_random_kernel_and_the_wrong_ones_made_of_it(seed):
    _, _, failures = one(seed, 10)
    assert not failures, failures[0]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(1000, 1400, 50))
def test_many_random_kernels(first):
    for seed in range(first, first + 50):
        _, _, failures = one(seed, 12)
        assert not failures, failures[0]


def test_a_seed_gives_one_program():
    assert program(7).source() == program(7).source()
    assert program(7).source() != program(8).source()


def test_most_kinds_of_instructions_take_part():
    made = [program(seed) for seed in range(60)]
    kinds = {step.kind for each in made for step in each.steps}
    assert {"nc_matmul", "tensor_tensor", "load", "store", "nc_transpose", "sendrecv"} <= kinds
    assert len(kinds) > 15
    assert any(each.portable for each in made)
    assert any(step.mask for each in made for step in each.steps)
    dtypes = {a.dtype for each in made for a in each.states[0].arrays.values()}
    assert dtypes >= set(DTYPES.values()) - {DTYPES["float8_e4m3fn"]}


def test_a_wrong_value_is_found_and_told_as_a_small_script(monkeypatch):
    store = Executor.store

    def wrong(self, tile, values, **how):
        store(self, tile, -values if values.dtype == np.float32 else values, **how)

    monkeypatch.setattr(Executor, "store", wrong)
    failing = next(s for s in range(100) if one(s, 8)[2])
    text = one(failing, 8)[2][0]
    assert text.startswith("Wrong: ")
    script = text.partition("\n")[2]
    monkeypatch.undo()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_program_is_shrunk_to_what_fails():
    made = next(p for p in map(program, range(100)) if any(s.kind == "iota" for s in p.steps))
    small = shrunk(made, lambda p: any(s.kind == "iota" for s in p.steps))
    assert [s.kind for s in small.steps] == ["iota"]


def test_sums_that_are_computed_late_are_seen_to_differ(monkeypatch):
    """The fuzzer would notice if inputs of sums that wait could be overwritten."""
    flush = Groups.flush_for
    monkeypatch.setattr(
        Groups, "flush_for", lambda self, buffer, writing=False: flush(self, buffer)
    )
    with pytest.raises(Wrong):
        check_all(range(60))


def check_all(seeds):
    for seed in seeds:
        check(program(seed))


def test_an_output_that_differs_is_named():
    made = program(3)
    found, _ = launch(made)
    compare(made, found, "nki")
    name = made.outputs[0]
    found[name] = found[name].astype(np.float32) + 1
    with pytest.raises(Wrong, match=name):
        compare(made, found, "nki")


def test_rules_are_broken_on_purpose():
    ends = set()
    for seed in range(40):
        made = program(seed)
        found = broken(made, seed)
        if found and not any(step.mask for step in made.steps):
            check_broken(made, *found)
            ends.add(found[1])
    assert ends == {"IllegalInstruction", "OutOfBounds", "UninitialisedRead"}
