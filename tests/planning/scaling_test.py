"""The scaling model against real exchanges, a simulation and hand-made sums."""

import json

import numpy as np
import pytest

import keras_pss
from keras_pss.planning import scaling, simulated_traffic
from keras_pss.planning.workers import collectives
from keras_pss.planning.workers.placement import place_tables

SIZES = [5_000, 700, 700, 60, 9, 3]
MLPERF = 2_368_897  # DLRM's 13-512-256-128 and 479-1024-1024-512-256-1


def plan_of(sizes=SIZES, dim=8, budget="10x", **options):
    return keras_pss.plan(sizes, dim, budget, **options)


def steps_of(found):
    """Steps by number of workers and way to hold tables."""
    return {(s.workers, s.tables): s for s in found.steps}


def ring(parts):
    """A ring all-reduce of arrays: the sums, and bytes that each one sent."""
    workers = len(parts)
    held = [np.array_split(part.copy(), workers) for part in parts]
    sent = [0] * workers
    for turn in range(2 * (workers - 1)):
        moved = []
        for worker in range(workers):
            place = (worker - turn) % workers
            moved.append((worker, place, held[worker][place].copy()))
        for worker, place, chunk in moved:
            sent[worker] += chunk.nbytes
            target = held[(worker + 1) % workers]
            gathers = turn >= workers - 1
            target[place] = chunk if gathers else target[place] + chunk
    return [np.concatenate(each) for each in held], sent


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_an_all_reduce_sends_what_a_ring_sends(workers):
    random = np.random.default_rng(0)
    parts = random.normal(size=(workers, 240)).astype(np.float32)
    sums, sent = ring(parts)
    for each in sums:
        np.testing.assert_allclose(each, parts.sum(0), atol=1e-5)
    formula = collectives.AllReduce(workers, 240)
    assert sent == [formula.mean] * workers == [formula.busiest] * workers


@pytest.mark.parametrize("workers", [2, 3, 8, 16])
@pytest.mark.parametrize("lookups", [1, [1, 4, 1, 1, 2, 1]])
def test_bytes_of_whole_tables_are_those_of_a_simulated_step(workers, lookups):
    found = scaling(plan_of(), workers, batch_size=32, lookups=lookups)
    step = steps_of(found)[workers, "full, whole"]
    sent = simulated_traffic(SIZES, 8, workers, 32, lookups=lookups)
    assert step.mean_bytes == round(sent.sum() / workers)
    # Ids, rows and gradients go one after the other.
    busiest = sum(max(way.sum(0).max(), way.sum(1).max()) for way in sent)
    assert step.busiest_bytes == busiest
    read = [lookups] * 6 if lookups == 1 else lookups
    moved = 32 * sum(read) * (8 * 8 + 4)
    assert step.mean_bytes == round(moved * (workers - 1) / workers)


def test_bytes_of_rows_are_the_mean_of_a_simulated_step():
    found = scaling(plan_of(), 4, batch_size=4_096)
    step = steps_of(found)[4, "full, by rows"]
    sent = simulated_traffic(SIZES, 8, 4, 4_096, by_rows=True)
    assert sent.sum() / 4 == pytest.approx(step.mean_bytes, rel=0.01)
    assert step.busiest_bytes == step.mean_bytes
    # Skewed ids load workers unevenly, which the formula leaves out.
    assert sent[1].sum(1).max() > 1.1 * sent[1].sum(1).mean()
    once = simulated_traffic(SIZES, 8, 4, 4_096, by_rows=True, distinct=True)
    assert once.sum() < 0.3 * sent.sum()
    # A batch cannot ask for more than all rows that others hold.
    assert once[0].sum() <= 4 * 3 * sum(SIZES)
    assert not np.einsum("kii", sent).any()


def test_compressed_tables_send_the_smaller_of_two_exchanges():
    for budget in (60, 400, 3_000, 6_000):
        plan = plan_of(budget=budget)
        found = scaling(plan, 8, batch_size=16, dense_parameters=100)
        step = steps_of(found)[8, "compressed"]
        reduced = 2 * 7 / 8 * 4 * plan.parameters
        gathered = 7 * 16 * 6 * 4 * (8 + 1)
        rest = 2 * 7 / 8 * 4 * 100
        assert step.mean_bytes == round(min(reduced, gathered) + rest)
        small = reduced <= gathered
        assert step.exchange == ("all-reduce" if small else "all-gather")
    assert not small


@pytest.mark.parametrize("workers", [2, 8, 64])
def test_the_break_even_is_where_both_send_the_same(workers):
    whole, _, _ = scaling(plan_of(), workers, batch_size=64).steps
    at = collectives.AllReduce(workers, whole.break_even)
    assert at.mean == pytest.approx(whole.mean_bytes, abs=1)
    assert whole.break_even == 64 * 6 * (8 + 0.5)


def test_mlperf_on_eight_workers_by_hand():
    plan = plan_of("criteo-terabyte", 128, "1000x")
    found = scaling(
        plan,
        8,
        global_batch_size=65_536,
        dense_parameters=MLPERF,
        optimizer="sgd",
        memory="24GB",
    )
    whole, rows, compressed = found.steps
    dense = 7 / 8 * 8 * MLPERF
    assert rows.mean_bytes == 7 / 8 * 8_192 * 26 * (8 * 128 + 4) + dense
    # 26 tables: two workers have four of them, and none has two large ones.
    assert whole.busiest_bytes == 7 * 8_192 * 4 * (8 * 128 + 4) + dense
    assert 20.4e9 < whole.memory_bytes < 20.6e9
    assert whole.fits
    assert compressed.mean_bytes == 7 * (26_135_627 + MLPERF)
    assert compressed.memory_bytes == 8 * (26_135_627 + MLPERF)
    one = scaling(plan, 1, batch_size=1, optimizer="sgd", memory=24e9)
    assert [step.fits for step in one.steps] == [False, False, True]
    assert {step.exchange for step in one.steps} == {"none"}
    assert all(step.mean_bytes == 0 for step in one.steps)
    assert "up to this" not in str(one)


@pytest.mark.parametrize(
    ("optimizer", "slots"),
    [("sgd", 0), ("adagrad", 8), ("adam", 16), ("rowwise_adagrad", 1)],
)
def test_memory_holds_the_slots_of_the_optimizer(optimizer, slots):
    found = scaling(plan_of(), 2, batch_size=4, optimizer=optimizer)
    whole, rows, compressed = found.steps
    assert whole.memory_bytes == 5_063 * 4 * (8 + slots)
    halves = sum(-(-size // 2) for size in SIZES)
    assert rows.memory_bytes == halves * 4 * (8 + slots)
    # Rows' optimizers leave what is no table of rows to Adam.
    copies = 2 if optimizer == "rowwise_adagrad" else slots // 8
    held = 4 * found.compressed_parameters
    assert compressed.memory_bytes == held * (2 + copies)


def test_tables_go_where_there_is_room():
    # By lookups alone, the two largest would share a worker with others.
    assert place_tables([8, 5, 4, 1], [1, 1, 1, 1], 2) == [0, 1, 1, 0]
    assert place_tables([8, 5, 4, 1], [1, 9, 9, 9], 2, 9) == [0, 1, 1, 0]
    assert place_tables([8, 5, 5], [3, 1, 1], 2, 10) == [0, 1, 1]
    too_full = place_tables([8, 5, 5, 5], [1, 1, 1, 1], 2, 9)
    assert sorted(np.bincount(too_full, [8, 5, 5, 5])) == [10, 13]


def test_times_add_latency_bytes_and_the_measured_step():
    plan = plan_of(dim=8, budget=400)
    found = scaling(
        plan,
        [4, 8],
        batch_size=1_000,
        dense_parameters=250_000,
        bandwidth="1MB",
        latency_us=1_000,
        step_ms={1_000: 30.0},
        compressed_step_ms={500: 10.0, 2_000: 25.0},
    )
    steps = steps_of(found)
    # Four rounds of 1 ms and 1.5 MB of the other parameters, 3 + 1 messages.
    ids, rows = (3 / 4 * 1_000 * 6 * 4 * n / 1e3 for n in (1, 8))
    by_rows = (4 + 1_500) + (3 + ids) + 2 * (3 + rows)
    step = steps[4, "full, by rows"]
    assert step.communication_ms == pytest.approx(by_rows)
    assert step.step_ms == pytest.approx(by_rows + 30)
    rate = 4 * 1_000 / (by_rows + 30) * 1e3
    assert step.examples_per_second == pytest.approx(rate)
    step = steps[8, "compressed"]
    reduced = 6 + 7 / 8 * 8 * (250_000 + plan.parameters) / 1e3
    assert step.communication_ms == pytest.approx(reduced)
    assert step.step_ms == pytest.approx(reduced + 15)


def test_short_messages_are_forwarded():
    workers, part = 8, 4_000
    exchange = collectives.AllToAll(part / 4, [1.0] * workers, 1)
    assert exchange.busiest == 7 * part
    # In round k of Bruck's algorithm, parts whose way has bit k move on.
    rounds = [
        part * sum(way >> k & 1 for way in range(workers)) for k in range(3)
    ]
    forwarded = sum(10 + sent / 1e6 for sent in rounds)
    assert exchange.seconds(1e6, 10) == pytest.approx(forwarded)
    direct = 7 * (1e-6 + part / 1e6)
    assert exchange.seconds(1e6, 1e-6) == pytest.approx(direct)


def test_a_line_through_measured_steps_is_never_below_zero():
    times = scaling(
        plan_of(),
        [1, 4],
        global_batch_size=400,
        bandwidth=1e12,
        step_ms={100: 1.0, 200: 4.0},
    )
    one = steps_of(times)[1, "full, whole"].step_ms
    assert one == pytest.approx(400 * (100 + 800) / (100**2 + 200**2))
    four = steps_of(times)[4, "compressed"]
    assert four.step_ms - four.communication_ms == pytest.approx(one / 4)


def test_it_prints_a_table_and_json():
    found = scaling(plan_of(), [2, 4], global_batch_size=64)
    text = str(found).splitlines()
    assert text[0].split()[:3] == ["workers", "batch", "tables"]
    assert "fits" not in text[0]
    assert "step ms" not in text[0]
    assert len(text) == 2 + 6 + 2
    assert "1,632 (on 2), 816 (on 4)" in text[-1]
    timed = scaling(
        plan_of(),
        (2,),
        batch_size=64,
        memory="1GB",
        bandwidth="1GB",
        step_ms={64: 2},
    )
    head = str(timed).splitlines()[0]
    for name in ("fits", "communication ms", "step ms", "examples/s"):
        assert name in head
    read = json.loads(json.dumps(timed.as_dict()))
    assert read["steps"][0]["batch_size"] == 64
    assert read["full_parameters"] == 8 * sum(SIZES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Give either `batch_size`, the examples of each worker"),
        ({"batch_size": 8, "global_batch_size": 8}, "Give either"),
        (
            {"global_batch_size": 100},
            r"must be a multiple of each number of workers \(8\)",
        ),
        ({"batch_size": 8, "lookups": [1, 2]}, "one for each of 6 tables"),
        ({"batch_size": 8, "workers": []}, "at least one number of workers"),
        ({"batch_size": 8, "workers": 0}, "`workers` must be a positive"),
        ({"batch_size": 8, "bandwidth": "25Gb"}, "100 Gbit are 12.5 GB"),
        ({"batch_size": 8, "bandwidth": 0}, "`bandwidth` must be a positive"),
        ({"batch_size": 8, "memory": True}, "`memory` must be a positive"),
        ({"batch_size": 8, "latency_us": -1}, "`latency_us` must be"),
        ({"batch_size": 8, "step_ms": {8: 2}}, "`bandwidth` must be given"),
        ({"batch_size": 8, "optimizer": "best"}, "`optimizer` must be one of"),
        (
            {"batch_size": 8, "step_ms": 3.0, "bandwidth": 1},
            "milliseconds of a step by the batch size",
        ),
        (
            {"batch_size": 8, "step_ms": {9: 3.0}, "bandwidth": 1},
            r"with the batch of a worker, 8, .*step_ms=\{9: 3\}",
        ),
        (
            {"batch_size": 8, "step_ms": {8: 3.0, 9: 2.0}, "bandwidth": 1},
            "must not fall as the batch grows",
        ),
        ({"batch_size": 8, "dense_parameters": -1}, "`dense_parameters` must"),
    ],
)
def test_mistakes_are_explained(arguments, message):
    arguments = {"workers": [4, 8], **arguments}
    with pytest.raises(ValueError, match=message):
        scaling(plan_of(), **arguments)


def test_full_tables_need_a_number_of_ids():
    plan = plan_of([100, None], budget=50)
    with pytest.raises(ValueError, match="table '1', which is open"):
        scaling(plan, 8, batch_size=8)
    with pytest.raises(ValueError, match=r"what `keras_pss\.plan` returns"):
        scaling([100, 20], 8, batch_size=8)
