"""`nki.collectives` against NumPy, over ranks, groups and dtypes; rules; who waits for whom."""

import inspect
from functools import reduce

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trnlab
import trnlab.nki.collectives as ncc
import trnlab.nki.isa as nisa
import trnlab.nki.language as nl
from trnlab.errors import BadArguments, Deadlock, OutOfBounds, ProgramError, Violations
from trnlab.isa.ops import op_of
from trnlab.nki import entry
from trnlab.nki.collectives import ReplicaGroup

FOUR = ReplicaGroup([[0, 1, 2, 3]])
OPS = {"add": np.add, "minimum": np.minimum, "maximum": np.maximum}


def hbm(shape, dtype, name=""):
    return nl.ndarray(shape, dtype, buffer=nl.shared_hbm, name=name)


def given_to(x):
    """A copy that a collective may take."""
    src = hbm(x.shape, x.dtype, "src")
    nisa.dma_copy(src, x)
    return src


def returned(dst):
    out = hbm(dst.shape, dst.dtype, "out")
    nisa.dma_copy(out, dst)
    return out


@entry.jit
def exchange(x, name, shape, how):
    """One collective from a tensor to another of a given shape, both in HBM."""
    src, dst = given_to(x), hbm(shape, x.dtype, "dst")
    getattr(ncc, name)(srcs=[src], dsts=[dst], **how)
    return returned(dst)


def run(name, inputs, shape, kernel=exchange, **how):
    calls = [(x, name, shape, how) for x in inputs]
    return trnlab.run_ranks(kernel, calls, system="trn2.48xlarge")


dtypes = st.sampled_from([np.float32, np.float16, ml_dtypes.bfloat16, np.int32, np.uint8])
GROUPS = st.sampled_from(
    [[[0]], [[0, 1]], [[1, 0]], [[0, 1, 2]], [[0, 1], [2, 3]], [[0, 2], [3, 1]], [[3, 1, 0, 2]]]
)


def made(data, dtype, ranks, shape):
    """Whole numbers that add up exactly in every dtype."""
    seed = data.draw(st.integers(0, 2**16))
    return [
        np.random.default_rng([seed, rank]).integers(0, 30, shape).astype(dtype)
        for rank in range(ranks)
    ]


def groups_and_inputs(data, rows=1):
    groups, dtype = data.draw(GROUPS), data.draw(dtypes)
    ranks = sum(map(len, groups))
    shape = (rows * len(groups[0]), data.draw(st.integers(1, 9)))
    return groups, made(data, dtype, ranks, shape)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(sorted(OPS)))
def test_all_reduce(data, op):
    groups, inputs = groups_and_inputs(data, rows=3)
    how = {"replica_group": ReplicaGroup(groups), "op": getattr(nl, op)}
    outs, _ = run("all_reduce", inputs, inputs[0].shape, **how)
    for group in groups:
        for rank in group:
            want = reduce(OPS[op], [inputs[r].astype(np.float32) for r in group])
            np.testing.assert_array_equal(outs[rank].astype(np.float32), want)
            assert outs[rank].dtype == inputs[0].dtype


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_all_gather(data):
    groups, inputs = groups_and_inputs(data)
    size, (rows, columns) = len(groups[0]), inputs[0].shape
    how = {"replica_group": ReplicaGroup(groups), "collective_dim": 0}
    outs, _ = run("all_gather", inputs, (size * rows, columns), **how)
    for group in groups:
        for rank in group:
            np.testing.assert_array_equal(outs[rank], np.concatenate([inputs[r] for r in group]))


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(sorted(OPS)))
def test_reduce_scatter(data, op):
    groups, inputs = groups_and_inputs(data, rows=2)
    size, (rows, columns) = len(groups[0]), inputs[0].shape
    how = {"replica_group": ReplicaGroup(groups), "collective_dim": 0, "op": getattr(nl, op)}
    outs, _ = run("reduce_scatter", inputs, (rows // size, columns), **how)
    for group in groups:
        want = np.split(reduce(OPS[op], [inputs[r].astype(np.float32) for r in group]), size)
        for position, rank in enumerate(group):
            np.testing.assert_array_equal(outs[rank].astype(np.float32), want[position])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_all_to_all(data):
    groups, inputs = groups_and_inputs(data, rows=2)
    how = {"replica_group": ReplicaGroup(groups), "collective_dim": 0}
    outs, _ = run("all_to_all", inputs, inputs[0].shape, **how)
    for group in groups:
        parts = [np.split(inputs[r], len(group)) for r in group]
        for position, rank in enumerate(group):
            want = np.concatenate([theirs[position] for theirs in parts])
            np.testing.assert_array_equal(outs[rank], want)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(5)), st.integers(2, 5), dtypes, st.data())
def test_collective_permute(order, length, dtype, data):
    ring = order[:length]
    pairs = [(a, b) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)]
    inputs = made(data, dtype, 5, (3, 4))

    @entry.jit
    def kernel(x):
        src, dst = given_to(x), hbm(x.shape, x.dtype)
        nisa.dma_copy(dst, x)  # who takes no part keeps what is there
        ncc.collective_permute([src], [dst], pairs)
        return returned(dst)

    outs, _ = trnlab.run_ranks(kernel, [(x,) for x in inputs])
    source = {target: source for source, target in pairs}
    for rank, out in enumerate(outs):
        np.testing.assert_array_equal(out, inputs[source.get(rank, rank)])


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(4)), st.integers(1, 2), dtypes, st.data())
def test_implicit_permutes_pass_data_round_the_ring(ring, channels, dtype, data):
    group = ReplicaGroup([ring])
    inputs = made(data, dtype, 4, (channels, 2, 4))

    @entry.jit
    def kernel(x):
        seen, held = [], []
        for c in range(channels):
            held.append(given_to(x[c]))  # noqa: PERF401
        for step in range(4):
            now = ncc.collective_permute_implicit_current_processing_rank_id(step, group)
            seen.append(now.value())
            got, sent, taken = [], [], []
            for c in range(channels):
                got.append(hbm(x.shape[1:], x.dtype))
                sent.append([held[c]])
                taken.append([got[c]])
            channel_ids = list(range(channels))
            ncc.collective_permute_implicit(sent, taken, group, channel_ids=channel_ids)
            held = got
            if step == 0:
                first = list(map(returned, got))
        return first, list(map(returned, held)), seen

    outs, traces = trnlab.run_ranks(kernel, [(x,) for x in inputs])
    for position, rank in enumerate(ring):
        first, last, seen = outs[rank]
        before = ring[position - 1]
        for c in range(channels):
            np.testing.assert_array_equal(first[c], inputs[before][c])
            np.testing.assert_array_equal(last[c], inputs[rank][c])
        assert seen == [ring[position - step] for step in range(4)]
    assert any("implicit rings follow" in note for note in traces[0].meta["notes"])


@pytest.mark.parametrize("op", sorted(OPS))
def test_implicit_permute_with_reduction(op):
    group = ReplicaGroup([[0, 2, 1]])
    inputs = [np.full((2, 4), rank, np.float32) for rank in range(3)]

    @entry.jit
    def kernel(x, y):
        a, b, dst = given_to(x), given_to(y), hbm(x.shape, x.dtype)
        ncc.collective_permute_implicit_reduce([[a]], [[b]], [[dst]], group, getattr(nl, op))
        return returned(dst)

    outs, _ = trnlab.run_ranks(kernel, [(x, 10 - x) for x in inputs])
    for rank, before in ((0, 1), (2, 0), (1, 2)):
        np.testing.assert_array_equal(outs[rank], OPS[op](inputs[before], 10 - inputs[before]))


def test_several_tensors_go_together():
    @entry.jit
    def kernel(x, y):
        srcs = [given_to(x), given_to(y)]
        sums = [hbm(x.shape, x.dtype), hbm(y.shape, y.dtype)]
        wide = [hbm((4 * x.shape[0], x.shape[1]), x.dtype), hbm((4 * y.shape[0], 5), y.dtype)]
        ncc.all_reduce(srcs, sums, FOUR, nl.add)
        ncc.all_gather(srcs, wide, FOUR, 0)
        return list(map(returned, (*sums, *wide)))

    xs = [np.full((2, 3), rank, np.float32) for rank in range(4)]
    ys = [np.full((1, 5), 10 * rank, np.float32) for rank in range(4)]
    outs, traces = trnlab.run_ranks(kernel, list(zip(xs, ys, strict=True)))
    for out in outs:
        np.testing.assert_array_equal(out[0], np.full((2, 3), 6))
        np.testing.assert_array_equal(out[1], np.full((1, 5), 60))
        np.testing.assert_array_equal(out[2], np.concatenate(xs))
        np.testing.assert_array_equal(out[3], np.concatenate(ys))
    assert traces[0].totals["collectives"] == 2
    assert traces[0].totals["collective_bytes"] == 2 * 4 * (6 + 5)


@pytest.mark.parametrize("dim", [0, 1])
def test_tiles_in_sbuf(dim):
    @entry.jit
    def kernel(x):
        own, total = nl.load(x), nl.ndarray(x.shape, x.dtype)
        ncc.all_reduce([own], [total], FOUR, nl.add)
        shape = (4 * x.shape[0], x.shape[1]) if dim == 0 else (x.shape[0], 4 * x.shape[1])
        wide, part = nl.ndarray(shape, x.dtype), nl.ndarray((x.shape[0] // 4, x.shape[1]), x.dtype)
        ncc.all_gather([own], [wide], FOUR, dim)
        ncc.reduce_scatter([own], [part], FOUR, 0, nl.add)
        outs = []
        for tile in (total, wide, part):
            outs.append(hbm(tile.shape, tile.dtype))
            nl.store(outs[-1], tile)
        return outs

    xs = [
        np.random.default_rng(rank).integers(0, 9, (8, 5)).astype(np.float32) for rank in range(4)
    ]
    outs, traces = trnlab.run_ranks(kernel, [(x,) for x in xs])
    for rank, (total, wide, part) in enumerate(outs):
        np.testing.assert_array_equal(total, sum(xs))
        np.testing.assert_array_equal(wide, np.concatenate(xs, axis=dim))
        np.testing.assert_array_equal(part, np.split(sum(xs), 4)[rank])
    assert traces[0].totals["sbuf_read_bytes"] > 0


def test_a_sum_of_rounded_numbers_is_rounded_once():
    inputs = [np.full((1, 1), 2.0**-8, ml_dtypes.bfloat16) for _ in range(4)]
    inputs[0][...] = 1.0
    outs, _ = run("all_reduce", inputs, (1, 1), replica_group=FOUR, op=nl.add)
    assert float(outs[0][0, 0]) == 1.0 + 2.0**-6  # 1 + 3/256; one by one it would stay at 1


def metadata(rows):
    return np.array(rows, np.uint32)


@entry.jit
def uneven(x, table, name, size, group, on_chip, known):
    src, dst = given_to(x), hbm((size,), x.dtype, "dst")
    tile = nl.ndarray((1, *table.shape), nl.uint32)
    nl.store(dst, nl.full((1, size), -1, x.dtype).reshape((1, size)))
    if nl.num_programs(0) == 2:  # else one core could still fill what the other has received
        nisa.core_barrier(dst, (0, 1))
    nisa.dma_copy(tile.reshape((1, table.shape[0] * table.shape[1])), table)
    held = tile if on_chip else given_to(table)
    getattr(ncc, name)([src], [dst], group, held, recv_counts_known=known)
    got = hbm(held.shape, nl.uint32)
    nisa.dma_copy(got, held)
    return returned(dst), got


@settings(max_examples=15, deadline=None)
@given(st.data(), st.booleans(), st.booleans())
def test_all_gather_v(data, on_chip, known):
    counts = data.draw(st.lists(st.integers(0, 5), min_size=4, max_size=4))
    starts = [data.draw(st.integers(0, 8 - c)) for c in counts]
    xs = [np.arange(8, dtype=np.float32) + 10 * rank for rank in range(4)]
    tables = [metadata([[c] * 4, [s] * 4, [99] * 4]) for c, s in zip(counts, starts, strict=True)]
    calls = [
        (x, t, "all_gather_v", 20, FOUR, on_chip, known) for x, t in zip(xs, tables, strict=True)
    ]
    outs, _ = trnlab.run_ranks(uneven[2], calls)
    want = np.full(20, -1, np.float32)
    for r, (c, s) in enumerate(zip(counts, starts, strict=True)):
        want[5 * r : 5 * r + c] = xs[r][s : s + c]
    for out, table in outs:
        np.testing.assert_array_equal(out, want)
        row = np.array(table).reshape(3, 4)[2]
        np.testing.assert_array_equal(row, [99] * 4 if known else counts)


SERVERS = {"system": "2xtrn1.2xlarge"}


@settings(max_examples=15, deadline=None)
@given(st.data(), st.booleans())
def test_all_to_all_v(data, known):
    """Between two small servers: ranks 0 and 2 are the same core of each."""
    group = ReplicaGroup([[0, 2], [1, 3]])
    counts = [[data.draw(st.integers(0, 4)) for _ in range(2)] for _ in range(4)]
    xs = [np.arange(8, dtype=np.float32) + 10 * rank for rank in range(4)]
    tables = [metadata([c, [0, 4], [99, 99]]) for c in counts]
    calls = [
        (x, t, "all_to_all_v", 8, group, False, known) for x, t in zip(xs, tables, strict=True)
    ]
    outs, _ = trnlab.run_ranks(uneven, calls, **SERVERS)
    for pair in ((0, 2), (1, 3)):
        for position, rank in enumerate(pair):
            want = np.full(8, -1, np.float32)
            for place, sender in enumerate(pair):
                count = counts[sender][position]
                sent = xs[sender][4 * position : 4 * position + count]
                want[4 * place : 4 * place + count] = sent
            out, table = outs[rank]
            np.testing.assert_array_equal(out, want)
            got = [counts[sender][position] for sender in pair]
            assert np.array(table)[2].tolist() == ([99, 99] if known else got)


def test_counts_that_do_not_fit_are_out_of_bounds():
    group = ReplicaGroup([[0, 2], [1, 3]])
    x = np.zeros(8, np.float32)
    table = metadata([[5, 0], [0, 0], [0, 0]])
    with pytest.raises(OutOfBounds, match=r"rank 0, to rank 0, sends 5 elements into a slot of 4"):
        trnlab.run_ranks(uneven, [(x, table, "all_to_all_v", 8, group, False, True)] * 4, **SERVERS)
    table = metadata([[4, 4], [0, 6], [0, 0]])
    with pytest.raises(OutOfBounds, match=r"to rank 2, sends elements 6 to 10 of 8"):
        trnlab.run_ranks(uneven, [(x, table, "all_to_all_v", 8, group, False, True)] * 4, **SERVERS)


def test_without_values_slots_count_as_full():
    group = ReplicaGroup([[0, 2], [1, 3]])
    calls = [(np.zeros(8, np.float32), metadata([[0, 0], [0, 0], [0, 0]]),
              "all_to_all_v", 8, group, False, False)] * 4  # fmt: skip
    _, traces = trnlab.run_ranks(uneven, calls, values=False, **SERVERS)
    assert "all_to_all_v: without values every slot counts as full" in traces[0].meta["notes"]
    assert sum(s.name == "all_to_all_v" for s in traces[0]) == 1


X = np.ones((4, 8), np.float32)


def broken(name, inputs, shape, kernel=exchange, system="trn2.48xlarge", **how):
    """The rules that a call breaks."""
    with pytest.raises(Violations) as caught:
        trnlab.run_ranks(kernel, [(x, name, shape, how) for x in inputs], system=system)
    return {error.limit for error in caught.value.found if isinstance(error, ProgramError)}


@pytest.mark.parametrize(
    ("name", "shape", "how", "rule"),
    [
        ("all_reduce", (4, 8), {"op": nl.multiply}, "op is one of add, minimum, maximum"),
        ("all_reduce", (8, 4), {"op": nl.add}, "dsts are shaped as srcs"),
        ("all_gather", (8, 8), {"collective_dim": 0}, "dsts are 4 srcs long in dimension 0"),
        ("all_gather", (4, 32), {"collective_dim": 1}, "collective_dim is 0 in HBM"),
        ("reduce_scatter", (4, 2), {"collective_dim": 1, "op": nl.add}, "collective_dim is 0"),
        ("reduce_scatter", (2, 8), {"collective_dim": 0, "op": nl.add},
         "srcs are 4 dsts long in dimension 0"),
        ("all_to_all", (8, 4), {"collective_dim": 0}, "dsts are shaped as srcs"),
        ("all_reduce", (4, 8), {"op": nl.add, "priority": 1},
         "priority needs a core with 'dma_priority'"),
    ],
)  # fmt: skip
def test_rules(name, shape, how, rule):
    assert rule in broken(name, [X] * 4, shape, replica_group=FOUR, **how)


def test_priority_is_a_class_of_service_where_there_are_any():
    how = {"replica_group": FOUR, "op": nl.add}
    calls = [(X, "all_reduce", X.shape, how | {"priority": 3})] * 4
    outs, _ = trnlab.run_ranks(exchange, calls, system="trn3-gen2")
    np.testing.assert_array_equal(outs[0], 4 * X)
    assert "priority is 0 to 3" in broken(
        "all_reduce", [X] * 4, X.shape, system="trn3-gen2", priority=4, **how
    )


def test_memories_are_not_mixed_and_some_collectives_take_hbm_only():
    @entry.jit
    def kernel(x, name, shape, how):
        getattr(ncc, name)([nl.load(x)], [hbm(x.shape, x.dtype)], FOUR, **how)

    found = broken("all_reduce", [X] * 4, None, kernel, op=nl.add)
    assert "srcs and dsts are all in HBM or all in SBUF" in found
    found = broken("all_to_all", [X] * 4, None, kernel, collective_dim=0)
    assert "srcs and dsts are in HBM" in found


def test_one_tensor_of_two_dimensions_in_sbuf():
    @entry.jit
    def kernel(x, name, shape, how):
        a, b = nl.load(x), nl.load(x)
        sums = [nl.ndarray(x.shape, x.dtype), nl.ndarray(x.shape, x.dtype)]
        ncc.all_reduce([a, b], sums, FOUR, nl.add)
        cube = a.reshape((4, 2, 4))
        ncc.all_reduce([cube], [nl.ndarray((4, 2, 4), x.dtype)], FOUR, nl.add)

    found = broken("", [X] * 4, None, kernel)
    assert {"in SBUF there is one tensor", "in SBUF tensors have 2 dimensions"} <= found


@pytest.mark.parametrize(
    ("pairs", "rule"),
    [
        ([(0, 1), (0, 2), (1, 0), (2, 3)], "a rank sends once and receives once"),
        ([(0, 1), (1, 2)], "pairs form rings: whoever sends also receives"),
    ],
)
def test_rules_of_permutes(pairs, rule):
    assert rule in broken("collective_permute", [X] * 4, X.shape, source_target_pairs=pairs)


@pytest.mark.parametrize(
    ("channels", "rule"),
    [
        ([1], "channel_ids are 0, 1, and so on"),
        ([0, 1, 2], "a group like this has at most 2 channels"),
    ],
)
def test_rules_of_channels(channels, rule):
    @entry.jit
    def kernel(x, name, shape, how):
        tensors = [[given_to(x)] for _ in channels]
        targets = [[hbm(x.shape, x.dtype)] for _ in channels]
        ncc.collective_permute_implicit(tensors, targets, FOUR, channels)

    assert rule in broken("", [X] * 4, None, kernel)


def test_four_channels_for_a_whole_server():
    @entry.jit
    def kernel(x, group):
        sent, taken = [], []
        for _ in range(4):
            sent.append([given_to(x)])
            taken.append([hbm(x.shape, x.dtype)])
        ncc.collective_permute_implicit(sent, taken, group, [0, 1, 2, 3])
        return returned(taken[3][0])

    group = ReplicaGroup([range(8)])
    calls = [(np.full((1, 1), rank, np.float32), group) for rank in range(8)]
    outs, _ = trnlab.run_ranks(kernel, calls, system="trn2.3xlarge")
    assert [float(out[0, 0]) for out in outs] == [7, 0, 1, 2, 3, 4, 5, 6]


def test_rules_of_uneven_collectives():
    x, table = np.zeros(8, np.float32), metadata([[1] * 4, [0] * 4, [0] * 4])
    call = (x, table, "all_gather_v", 8, FOUR, False, False)
    with pytest.raises(Violations, match=r"each rank is a logical core of two \(kernel\[2\]\)"):
        trnlab.run_ranks(uneven, [call] * 4)
    call = (x, table, "all_to_all_v", 8, FOUR, False, False)
    with pytest.raises(Violations, match="the ranks are the same one of different servers"):
        trnlab.run_ranks(uneven, [call] * 4)
    with pytest.raises(Violations, match="the ranks are all those of several chips"):
        trnlab.run_ranks(uneven[2], [call] * 4, system="trn3-gen2")


def test_arguments_and_results_of_a_kernel_are_not_for_collectives():
    @entry.jit
    def kernel(x):
        out = hbm(x.shape, x.dtype, "out")
        ncc.all_reduce([x], [out], FOUR, nl.add)
        return out

    with pytest.raises(Violations) as caught:
        trnlab.run_ranks(kernel, [(X,)] * 4)
    assert "all_reduce takes x, an argument of the kernel" in str(caught.value)
    assert "all_reduce takes out, a result of the kernel" in str(caught.value)


def line_of(function, text):
    lines, first = inspect.getsourcelines(function.function)
    return f"{__file__}:{first + next(i for i, line in enumerate(lines) if text in line)}"


def test_a_rank_that_never_comes():
    @entry.jit
    def kernel(x, rank):
        src, dst = given_to(x), hbm(x.shape, x.dtype)
        if rank != 2:
            ncc.all_reduce([src], [dst], FOUR, nl.add)  # wait

    with pytest.raises(Deadlock) as caught:
        trnlab.run_ranks(kernel, [(X, rank) for rank in range(4)])
    place = line_of(kernel, "# wait")
    assert caught.value.what == (
        f"rank 0 waits for ever at all_reduce of ranks [0, 1, 2, 3] ({place}): rank 2 has ended"
    )
    assert str(caught.value.place) == place
    waits = f"waits at all_reduce of ranks [0, 1, 2, 3] ({place})"
    assert caught.value.given == {"rank 1": waits, "rank 3": waits}
    assert caught.value.see == "nki.collectives.all_reduce"


def test_groups_in_another_order_wait_for_each_other():
    @entry.jit
    def kernel(x, rank):
        src, dst = given_to(x), hbm(x.shape, x.dtype)
        groups = [ReplicaGroup([[0, 1]]), ReplicaGroup([[0, 1, 2, 3]])]
        if rank == 0:
            ncc.all_reduce([src], [dst], groups[0], nl.add)  # pair first
        ncc.all_reduce([src], [dst], groups[1], nl.add)  # all
        if rank == 1:
            ncc.all_reduce([src], [dst], groups[0], nl.add)

    with pytest.raises(Deadlock) as caught:
        trnlab.run_ranks(kernel, [(X, rank) for rank in range(4)])
    first, everybody = line_of(kernel, "# pair first"), line_of(kernel, "# all")
    text = str(caught.value)
    assert f"all_reduce of ranks [0, 1] ({first})" in text
    assert f"waits at all_reduce of ranks [0, 1, 2, 3] ({everybody})" in text


@pytest.mark.parametrize("what", ["shape", "op", "kind", "dtype"])
def test_ranks_that_meet_with_different_calls(what):
    @entry.jit
    def kernel(x, rank):
        odd = rank == 1
        kind = np.float16 if what == "dtype" and odd else np.float32
        shape = (8, 4) if what == "shape" and odd else (4, 8)
        src, dst = hbm(shape, kind), hbm(shape, kind)
        nisa.dma_copy(src, x.reshape(shape))
        op = nl.maximum if what == "op" and odd else nl.add
        if what == "kind" and odd:
            ncc.all_to_all([src], [dst], FOUR, 0)
        else:
            ncc.all_reduce([src], [dst], FOUR, op)

    with pytest.raises(Deadlock, match="rank 0 and rank 1 meet with different calls") as caught:
        trnlab.run_ranks(kernel, [(X, rank) for rank in range(4)])
    assert all(f"rank {r}" in caught.value.given for r in (0, 1))
    assert __file__ in caught.value.given["rank 1"]


def test_calls_that_make_no_sense():
    def raises(match, body, ranks=2):
        with pytest.raises(BadArguments, match=match):
            trnlab.run_ranks(entry.jit(body), [(X,)] * ranks)

    def call(group):
        return lambda x: ncc.all_reduce([given_to(x)], [hbm(x.shape, x.dtype)], group, nl.add)

    raises("rank 1 is in no list", call(ReplicaGroup([[0]])))
    raises("there is no rank 5", call(ReplicaGroup([[0, 1, 5]])))
    raises("srcs is not a list of tensors", lambda x: ncc.all_reduce(x, [x], [[0, 1]], nl.add))
    raises(
        "one tensor for each channel",
        lambda x: ncc.collective_permute_implicit([x], [x], [[0, 1]]),
    )
    raises("no rank twice", lambda x: ReplicaGroup([[0, 1], [1]]))


def test_a_kernel_that_runs_alone_is_rank_0_and_meets_nobody():
    def alone(x):
        assert ncc.rank_id().value() == 0
        ncc.all_reduce([x], [x], FOUR, nl.add)

    with pytest.raises(BadArguments, match="run_ranks"):
        trnlab.run(entry.jit(alone))(X)


@entry.jit
def chosen(x):
    """vendor's own test: the part of a tensor that has the number of the rank."""
    _, rows, columns = x.shape
    out = hbm((rows, columns), x.dtype)
    pattern = [[columns, rows], [1, columns]]
    rank = ncc.rank_id()
    nisa.dma_copy(out, x.ap(pattern=pattern, scalar_offset=rank, indirect_dim=0))
    return out


def test_the_number_of_a_rank_says_where_to_read():
    x = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    outs, _ = trnlab.run_ranks(chosen, [(x,)] * 4)
    np.testing.assert_array_equal(np.stack(outs), x)


def test_a_tensor_whose_place_data_decides_is_refused():
    @entry.jit
    def kernel(x):
        part = given_to(x).select(0, ncc.rank_id())
        ncc.all_reduce([part], [hbm(part.shape, x.dtype)], FOUR, nl.add)

    with pytest.raises(BadArguments, match="the place of srcs is decided by data"):
        trnlab.run_ranks(kernel, [(X,)] * 4)


def test_signatures_are_the_published_ones():
    published = {
        "all_reduce": "srcs dsts replica_group op priority name",
        "all_gather": "srcs dsts replica_group collective_dim priority name",
        "all_gather_v": "srcs dsts replica_group metadata_tensor recv_counts_known has_rdispls "
        "priority name",
        "reduce_scatter": "srcs dsts replica_group collective_dim op priority name",
        "all_to_all": "srcs dsts replica_group collective_dim priority name",
        "all_to_all_v": "srcs dsts replica_group metadata_tensor recv_counts_known has_rdispls "
        "priority name",
        "collective_permute": "srcs dsts source_target_pairs priority name",
        "collective_permute_implicit": "srcs_by_channel dsts_by_channel replica_group channel_ids "
        "priority name",
        "collective_permute_implicit_reduce": "srcs0_by_channel srcs1_by_channel dsts_by_channel "
        "replica_group op channel_ids priority name",
        "collective_permute_implicit_current_processing_rank_id": "iteration_id replica_group "
        "channel_id name",
        "rank_id": "name",
    }
    for name, parameters in published.items():
        function = getattr(ncc, name)
        assert list(inspect.signature(function).parameters) == parameters.split(), name
        assert function.__doc__
    assert op_of(nl.add).name == "add"
