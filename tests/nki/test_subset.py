"""The Python that the compiler of `nki` takes: what is an error, what a warning, and where."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import pytest

import trnlab
from tests.support import command, load, nisa, nl, store, value
from trnlab import Violations
from trnlab.errors import UnsupportedPython
from trnlab.isa.rules import LATEST, OLDER, Compiler, version_of
from trnlab.nki import entry
from trnlab.nki.subset import CONSTRUCTS, LEAK, MISNAMED, SHARED, findings
from trnlab.nki.versions import CAME, came_with
from trnlab.studies.run import run_once

A = np.ones((8, 8), np.float32)


def inner_function(a):
    def twice(tile):
        nisa.tensor_tensor(tile, tile, tile, nl.add)

    tile = load(a)
    twice(tile)
    return store(tile)


def list_comprehension(a):
    tiles = [load(a) for _ in range(2)]
    return store(tiles[0])


def subscript_as_unpacking_target(a):
    held = [None, None]
    held[0], held[1] = load(a), load(a)
    return store(held[0])


class Plain:
    def __init__(self, size):
        self.size = size


def class_that_does_not_inherit_NKIObject(a):
    return store(load(a)) if Plain(8).size else a


def comparison_by_identity(a, scale=None):
    if scale is None:
        scale = 1.0
    return store(load(a))


def keyword_only_arguments(a, *, scale=1.0):
    return store(load(a))


def list_as_kernel_argument(a, sizes):
    return store(load(a))


@entry.jit
def double(a):
    return store(load(a))


def kernel_called_by_a_kernel(a):
    return double(a)


def generator_expression(a):
    assert all(size == 8 for size in a.shape)
    return store(load(a))


def set_or_dict_comprehension(a):
    sizes = {str(n): n for n in a.shape}
    return store(load(a)) if sizes else a


def uses_lambda(a):
    make = lambda: load(a)  # noqa: E731
    return store(make())


def uses_try(a):
    try:
        return store(load(a))
    finally:
        pass


def yields(a):
    return store(load(a)) if list(_numbers()) else a


def _numbers():
    yield 1


COUNT = 0


def global_or_nonlocal(a):
    global COUNT
    COUNT = 0
    return store(load(a))


def matches(a):
    match a.ndim:
        case 2:
            return store(load(a))


def assignment_expression(a):
    if (size := a.shape[0]) == 8:
        return store(load(a))
    return size


def dict_key_that_is_not_a_string(a):
    named = {1: load(a)}
    return store(named[1])


def uses_set(a):
    return store(load(a)) if a.ndim in {1, 2} else a


def uses_with(a):
    with np.errstate(all="ignore"):
        return store(load(a))


def inner_class(a):
    class Box:
        size = 8

    return store(load(a)) if Box.size else a


ERRORS = {
    "inner function": (inner_function, 1),
    "list comprehension": (list_comprehension, 1),
    "subscript as unpacking target": (subscript_as_unpacking_target, 2),
    "class that does not inherit NKIObject": (class_that_does_not_inherit_NKIObject, 1),
}
WARNINGS = {
    "comparison with is": (comparison_by_identity, 1),
    "keyword-only arguments": (keyword_only_arguments, 0),
    "kernel called by a kernel": (kernel_called_by_a_kernel, 1),
    "generator expression": (generator_expression, 1),
    "set or dict comprehension": (set_or_dict_comprehension, 1),
    "lambda": (uses_lambda, 1),
    "try": (uses_try, 1),
    "global or nonlocal": (global_or_nonlocal, 1),
    "match": (matches, 1),
    "assignment expression": (assignment_expression, 1),
    "dict key that is not a string": (dict_key_that_is_not_a_string, 1),
    "set": (uses_set, 1),
    "with": (uses_with, 1),
    "inner class": (inner_class, 1),
}


TRACED = "number or list changed in a loop"
ONLY_OLDER = (TRACED, SHARED, LEAK, MISNAMED)  # test_scopes.py, legacy/test_contract.py


def test_every_construct_is_tried():
    elsewhere = {"yield", "async", "list as kernel argument", *ONLY_OLDER, *map(came_with, CAME)}
    assert ERRORS.keys() | WARNINGS.keys() | elsewhere == CONSTRUCTS.keys()


@pytest.mark.parametrize("name", ERRORS)
def test_what_the_compiler_rejects_is_an_error(name):
    kernel, below = ERRORS[name]
    with pytest.raises(Violations) as broken:
        trnlab.run(kernel)(A)
    (found,) = broken.value.found
    assert isinstance(found, UnsupportedPython)
    assert name in found.what
    assert found.place is not None
    assert (found.place.file, found.place.line) == (
        __file__,
        kernel.__code__.co_firstlineno + below,
    )
    assert found.fix == CONSTRUCTS[name].fix


@pytest.mark.parametrize("name", WARNINGS)
def test_what_its_guide_leaves_out_is_a_warning(name):
    kernel, below = WARNINGS[name]
    result = run_once(kernel, (A,), {})
    (found,) = result.warnings
    assert name in found.what
    assert found.place is not None
    assert found.place.line == kernel.__code__.co_firstlineno + below
    assert not result.violations


def test_a_list_is_told_from_a_tuple():
    (found,) = run_once(list_as_kernel_argument, (A, [1, 2]), {}).warnings
    assert "list as kernel argument" in found.what
    assert not run_once(list_as_kernel_argument, (A, (1, 2)), {}).warnings


def test_functions_that_a_kernel_calls_are_read_too():
    (found,) = run_once(yields, (A,), {}).warnings
    assert found.place is not None
    assert found.place.line == _numbers.__code__.co_firstlineno + 1


@pytest.mark.parametrize("name", [name for name in CONSTRUCTS if name not in ONLY_OLDER])
def test_the_older_api_rejects_nothing(name):
    assert not CONSTRUCTS[name].when.covers(Compiler(OLDER))
    assert CONSTRUCTS[name].when.covers(LATEST) == (name not in map(came_with, CAME))


def carries(a):
    count, tiles, total = 0, [], 0.0
    count = 0
    tiles = []
    for i in nl.affine_range(4):
        count += 1  # 5: from before the loop
        inside = 0
        inside += i
        for j in nl.sequential_range(2):
            inside += j  # 9: from before the inner loop
        tiles.append(a[i])  # 10
        total += 1  # its start is not written out
    for _ in nl.static_range(2):
        count += 1
    for _ in range(2):
        count -= 1  # 15: a plain range is sequential there
    return count, tiles, total


def test_the_older_compiler_runs_the_body_of_a_loop_once():
    first = carries.__code__.co_firstlineno
    found = findings(carries, Compiler(OLDER))
    assert [(f.construct.name, f.place.line - first) for f in found] == [
        (TRACED, line) for line in (5, 9, 10, 15)
    ]
    assert "happens once with the compiler of neuronxcc.nki" in found[0].error.what
    assert findings(carries, LATEST) == []


def test_that_is_a_warning():
    from trnlab.nki.legacy import entry as older
    from trnlab.nki.legacy import language as old

    def kernel(a):
        rows = 0
        out = old.ndarray(a.shape, a.dtype, buffer=old.shared_hbm)
        for i in old.affine_range(2):
            old.store(out[4 * i : 4 * i + 4], old.load(a[4 * i : 4 * i + 4]))
            rows += 4
        return out

    result = run_once(older.jit(kernel), (A,), {})
    assert [w.rule for w in result.warnings] == ["python/number-or-list-changed-in-a-loop"]
    assert (result.outputs == A).all()


def test_a_kernel_of_the_older_api_may_use_all_of_python():
    from trnlab.nki.legacy import entry as older
    from trnlab.nki.legacy import language as old

    def kernel(a):
        tiles = [old.load(a) for _ in range(2)]
        out = old.ndarray(a.shape, a.dtype, buffer=old.shared_hbm)
        old.store(out, tiles[1])
        return out

    assert len(findings(kernel, LATEST)) == 1
    assert (older.simulate_kernel(kernel, A) == A).all()


def test_identity_was_fine_at_first():
    assert findings(comparison_by_identity, Compiler(version_of("0.2"))) == []
    assert len(findings(comparison_by_identity, Compiler(version_of("0.3")))) == 1


def test_bodies_of_device_loops_are_inner_functions():
    def body_of_a_loop(a):
        tile = load(a)

        def body(_):
            nisa.tensor_tensor(tile, tile, tile, nl.add)

        nl.fori_loop(0, 2, body)
        return store(tile)

    assert (value(body_of_a_loop, A) == 4).all()


class Mode(Enum):
    fast = 1


@dataclass
class Sizes(nl.NKIObject):
    rows: int = 8

    def twice(self):
        return [self.rows for _ in range(2)]


def tidy(a, mode=Mode.fast):
    sizes = Sizes(8)
    tiles = []
    for _ in range(2):
        tiles.append(load(a[0 : sizes.rows, :]))  # noqa: PERF401
    first, second = tiles
    if mode == Mode.fast:
        nisa.tensor_tensor(first, first, second, nl.add)
    print(f"adds {first.shape}")
    return store(first)


def test_methods_are_read_as_well():
    with pytest.raises(Violations, match="list comprehension"):
        trnlab.run(tidy)(A)


def plain(a):
    tiles = []
    for n in range(2):
        tiles.append(load(a[4 * n : 4 * n + 4, :]))  # noqa: PERF401 - no list comprehension
    first, second = tiles
    assert first.shape == second.shape, f"not {first.shape}"
    nisa.tensor_tensor(first, first, second, nl.add)
    return store(first) if len(tiles) == 2 else None


def test_plain_python_is_fine():
    result = run_once(plain, (A,), {})
    assert (result.outputs == 2).all()
    assert (result.warnings, result.violations) == ((), ())


SCRIPT = """
import numpy as np
import nki
import nki.isa as nisa
import nki.language as nl

@nki.jit
def kernel(a):
    tiles = [nl.load(a) for _ in range(2)]
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    if a is not None:
        nl.store(out, tiles[0])
    return out

kernel(np.ones((8, 8), np.float32))
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)
    return "script.py"


def test_the_command_line_says_it(script, capsys, monkeypatch):
    said = command(["run", script], capsys, monkeypatch)
    assert said.code == 1
    assert "Python: list comprehension is rejected" in said.err
    assert "script.py:9" in said.err
    said = command(["run", script, "--as-vendor-sim"], capsys, monkeypatch)
    assert said.code == 0
    for text in (
        "warning: Python: list comprehension",
        "warning: Python: comparison with is is not in",
        ":11",
    ):
        assert text in said.out


def test_json_holds_the_warnings(script, capsys, monkeypatch):
    said = command(["run", script, "--as-vendor-sim", "--json"], capsys, monkeypatch)
    assert '"warnings": [\n    "Python: comparison with is' in said.out
