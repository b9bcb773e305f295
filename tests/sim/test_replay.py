"""Programs as data: what comes out is what a run gives, and what is no program is refused."""

import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

import trnlab
from trnlab.errors import BadArguments, NotModelled, TrnlabError
from trnlab.machine.catalogue import chip
from trnlab.nki import entry
from trnlab.nki import isa as nisa
from trnlab.nki import language as nl
from trnlab.nki.emit import emit
from trnlab.sim.parameters import packed
from trnlab.sim.portable import Portable
from trnlab.sim.replay import Replayed, replay
from trnlab.sim.timing.tracing import trace_of

A = np.random.default_rng(0).standard_normal((128, 128), dtype=np.float32)
B = A[::-1].copy()


@entry.jit
def kernel(a, b):
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    left, right = nl.load(a), nl.load(b)
    one = nl.shared_identity_matrix(128, dtype=nl.float32)
    more = nl.load(nl.shared_constant(np.arange(128, dtype=np.float32)[:, None]))
    total = nl.ndarray((128, 128), nl.float32, buffer=nl.psum)
    nisa.nc_matmul(total, left, right)
    nisa.nc_matmul(total, one, right)
    nisa.activation(left, nl.exp, total, bias=more, scale=0.25)
    nisa.tensor_scalar(right, left, nl.multiply, 2.0, op1=nl.add, operand1=more)
    nl.store(out, right)
    return out


def data_of(function: Any = kernel, *arrays: np.ndarray) -> dict[str, Any]:
    data = emit(function, arrays or (A, B), {}, "trn2")
    return json.loads(json.dumps(data))


def replayed(data: Any, *arrays: np.ndarray) -> Replayed:
    return replay(Portable(data), chip("trn2"), 1, [a.copy() for a in arrays or (A, B)])


def test_a_program_as_data_is_the_same_program():
    want, trace = trnlab.run(kernel)(A, B)
    done = replayed(data_of())
    assert not done.run.found
    np.testing.assert_array_equal(done.outputs[0], want)
    again = trace_of(done.run.program, chip("trn2"))
    assert (again.seconds, again.totals) == (trace.seconds, trace.totals)
    assert [w.rpartition(":")[2] for w in again.wheres[1:]] == [
        w.rpartition(":")[2]
        for w in trace.wheres[1:]  # the first is the call
    ]
    assert done.read == {0, 1}


def test_one_program_serves_many_values():
    data = data_of()
    want, _ = trnlab.run(kernel)(B, A)
    np.testing.assert_array_equal(replayed(data, B, A).outputs[0], want)


def test_rules_are_checked_again():
    def wrong(a, b):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        left = nl.load(a)
        nisa.tensor_tensor(left[1:33], left[1:33], left[1:33], nl.add)
        nl.store(out, left)
        return out

    first, *_ = replayed(data_of(entry.jit(wrong))).run.found.values()
    assert "starts at a partition" in str(first)
    assert "test_replay.py" in str(first)


def test_places_that_data_decides_are_not_modelled():
    def chosen(a, b):
        index = nl.ndarray((128, 1), nl.int32)
        nisa.memset(index, 0)
        return nl.load(a.vector_select(0, index))

    with pytest.raises(NotModelled, match="register or a tile decides"):
        data_of(entry.jit(chosen))


def changed(path: tuple[Any, ...], value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        held: Any = data
        for part in path[:-1]:
            held = held[part]
        held[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(("form",), 2), "form 1"),
        (changed(("api",), "cuda"), "generation"),
        (changed(("heads",), None), "no list"),
        (changed(("heads", 0), 99), "between 0"),
        (changed(("heads", 0), 1.0), "whole number"),
        (changed(("heads", 0), True), "whole number"),
        (changed(("heads", 0), 10**400), "whole number"),
        (changed(("heads", 2), 1), "between 0 and 0"),
        (changed(("operands", 0), 99), "between 0"),
        (changed(("operands", 2), 10**9), "leaves"),
        (changed(("operands", -1), -1), "whole number"),
        (changed(("layouts", 0, 2), [128, 1000]), "leaves"),
        (changed(("layouts", 0, 1), [1 << 31, 1 << 31]), "no sense"),
        (changed(("templates", 0, 0), "Print"), "no instruction"),
        (changed(("templates", 0, 1), []), "parameters"),
        (changed(("templates", 0, 2), 1), "fit together"),
        (changed(("templates", 0, 1, 0), {"eval": "1"}), "unknown parameter"),
        (changed(("templates", 0, 1, 0), {"tile": 9}), "between"),
        (changed(("buffers", 0, 2), [128, 64]), "not as it was given"),
        (changed(("buffers", 0, 1), "bfloat16"), "not as it was given"),
        (changed(("buffers",), []), "arguments are missing"),
        (changed(("buffers", 2, 2), [1 << 31, 1 << 31]), "shape"),
        (changed(("places",), []), "no source line"),
        (changed(("edges",), [[0, 0]]), "between"),
        (changed(("returned",), [[3, 0, 0]]), "on chip"),
        (changed(("presets", 0, 2, 2), "AAAA"), "bytes do not fit"),
        (changed(("presets", 0, 2), ["float32", [128, 128], "A" * 87384]), "bytes"),
    ],
)
def test_what_is_no_program_is_refused(change: Callable[[dict[str, Any]], None], said: str):
    data = data_of()
    change(data)
    with pytest.raises(TrnlabError, match=said):
        replayed(data)


def test_only_what_nki_bakes_in_is_there_without_an_instruction():
    data = data_of()
    one = next(p for p in data["presets"] if p[2][1] == [128, 128])
    tile = one[1]
    assert data["buffers"][tile[0]][0] == "sbuf"
    one[2] = packed(2 * np.eye(128, dtype=np.float32))
    with pytest.raises(BadArguments, match="no constant can be in"):
        replayed(data)
    data = data_of()
    data["presets"].append([0, [0, tile[1], 0], packed(A)])  # what an argument holds
    with pytest.raises(BadArguments, match="no constant can be in"):
        replayed(data)


def leaves(held: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    parts = enumerate(held) if isinstance(held, list) else held.items()
    found = []
    for name, part in parts:
        nested = isinstance(part, (list, dict))
        found += leaves(part, (*path, name)) if nested else [(*path, name)]
    return found


@pytest.mark.parametrize("seed", range(8))
def test_a_changed_program_runs_or_is_refused(seed: int):
    random, good = Random(seed), data_of()
    places = leaves(good)
    for _ in range(25):
        data = copy.deepcopy(good)
        value = random.choice([None, -1, 0, 1, 2, 3, 2**31, 1.5, "x", "add", [], {}, True])
        changed(random.choice(places), value)(data)
        try:
            done = replayed(data)
        except TrnlabError:
            continue
        assert all(isinstance(out, np.ndarray) for out in done.outputs)


# --- two cores


@entry.jit
def halves(a, b):
    """Each core has its own output, and both have half of it; what they load they exchange."""
    out = nl.ndarray((128, 128), nl.float32, buffer=nl.hbm)
    core = nl.program_id(0)
    mine = nl.load(a[:, 64 * core : 64 * core + 64])
    nisa.sendrecv(mine, mine, 1 - core, 1 - core, 7)
    nl.store(out[:, 64 - 64 * core : 128 - 64 * core], mine)
    return out


@pytest.mark.filterwarnings("ignore:.*not in shared HBM")
def test_two_cores_exchange_and_return_an_output_each():
    want, trace = trnlab.run(halves[2])(A, B)
    np.testing.assert_array_equal(want, A)
    data = json.loads(json.dumps(emit(halves, (A, B), {}, "trn2", (2,))))
    assert len(data["joins"]) == 1
    done = replay(Portable(data), chip("trn2"), 2, [A.copy(), B.copy()])
    np.testing.assert_array_equal(done.outputs[0], want)
    assert trace_of(done.run.program, chip("trn2"), 2).seconds == trace.seconds


def test_cores_touch_what_is_theirs():
    data = emit(halves, (A, B), {}, "trn2", (2,))

    def broken(change: Callable[[dict[str, Any]], None]) -> None:
        other = copy.deepcopy(data)
        change(other)
        with pytest.raises(BadArguments, match="malformed"):
            replay(Portable(other), chip("trn2"), 2, [A.copy(), B.copy()])

    def swapped(d: dict[str, Any]) -> None:
        d["heads"][2] = 1 - d["heads"][2]

    def alone(d: dict[str, Any]) -> None:
        sends = [n for n, t in enumerate(d["templates"]) if t[0] == "SendRecv"]
        at = next(n for n in range(len(d["heads"]) // 3) if d["heads"][3 * n] in sends)
        d["heads"][3 * at + 5] = d["heads"][3 * at + 2]

    broken(swapped)
    broken(alone)
    broken(lambda d: d["joins"].append([d["joins"][0][1], d["joins"][0][0]]))
    broken(lambda d: d["joins"][0].reverse())
    broken(lambda d: d.update(joins=[[d["returned"][0], d["returned"][0]]]))
    broken(lambda d: d.update(joins=[[d["returned"][0], 3]]))
