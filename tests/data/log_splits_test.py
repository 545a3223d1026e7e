"""Splits of logs, against sorting and counting in Python."""

import numpy as np
import polars as pl
import pytest
from log_frames import blocks

from keras_pss.data.storage.prepare_log import prepare_values
from keras_pss.data.storage.splits import split_rows
from keras_pss.features import Categorical, Group, Schema, Split, Timestamp

ROWS = 300


@pytest.fixture(scope="module")
def frame():
    draw = np.random.RandomState(3)
    return pl.DataFrame(
        {
            "x": [f"{i:04d}" for i in range(ROWS)],
            "time": draw.randint(0, 40, ROWS),
            "group": [f"user {i}" for i in draw.randint(0, 25, ROWS)],
            "split": draw.choice(["a", "b", "c"], ROWS).tolist(),
        }
    )


def parts_of(frame, out, split, timed=True):
    """The numbers of the rows of each split, from their texts."""
    schema = Schema(
        # Hashes tell the rows of all splits apart.
        [Categorical("x", ids="hash")],
        timestamp=Timestamp("t") if timed else None,
        group=Group("u"),
        split=split,
    )
    data = prepare_values(blocks(frame, 77), out, schema, rows_per_shard=50)
    data.verify()
    everything = prepare_values(
        blocks(frame, 77),
        out.with_name("all"),
        Schema(
            [Categorical("x", ids="hash")], split=Split(test=0, validation=0)
        ),
        overwrite=True,
    ).column("train", "x")
    place = {value: at for at, value in enumerate(everything.tolist())}
    assert len(place) == ROWS
    return {
        name: [place[value] for value in data.column(name, "x").tolist()]
        for name in data.splits
    }


def test_order_and_random_are_those_of_split_rows(frame, tmp_path):
    for by, policy in (("order", "chronological"), ("random", "random")):
        split = Split(by, test=0.3, validation=0.2, seed=9)
        found = parts_of(frame, tmp_path / by, split)
        wanted = split_rows(ROWS, policy, 0.3, 0.2, 9)
        assert found == {name: list(rows) for name, rows in wanted.items()}


def test_by_time_with_equal_times(frame, tmp_path):
    found = parts_of(frame, tmp_path / "out", Split("time", test=0.25))
    times = frame["time"].to_list()
    order = sorted(range(ROWS), key=lambda at: times[at])  # stable
    assert found["test"] == sorted(order[225:])
    assert found["validation"] == sorted(order[202:225])
    assert found["train"] == sorted(order[:202])


def test_times_in_order_split_as_the_order(frame, tmp_path):
    ordered = frame.sort("time", maintain_order=True)
    by_time = parts_of(ordered, tmp_path / "time", Split("time"))
    by_order = parts_of(ordered, tmp_path / "order", Split("order"))
    assert by_time == by_order


def test_by_column(frame, tmp_path):
    split = Split("column", column="s", values={"test": "c", "validation": "b"})
    found = parts_of(frame, tmp_path / "out", split)
    texts = frame["split"].to_list()
    for name, text in (("train", "a"), ("validation", "b"), ("test", "c")):
        assert found[name] == [i for i in range(ROWS) if texts[i] == text]
    only = Split("column", column="s", values={"test": ("b", "c")})
    found = parts_of(frame, tmp_path / "only", only)
    assert list(found) == ["train", "test"]
    assert found["test"] == [i for i in range(ROWS) if texts[i] != "a"]
    typo = Split("column", column="s", values={"test": "C"})
    with pytest.raises(ValueError, match=r"no test rows.*one of \('C',\)"):
        parts_of(frame, tmp_path / "typo", typo)
    every = Split("column", column="s", values={"test": ("a", "b", "c")})
    with pytest.raises(ValueError, match=r"no train rows.*any other text"):
        parts_of(frame, tmp_path / "every", every)


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("last", [1, 3])
def test_last_rows_of_each_group(frame, tmp_path, timed, last):
    split = Split("group", last=last)
    found = parts_of(frame, tmp_path / "out", split, timed)
    rows = {}
    for at, user in enumerate(frame["group"].to_list()):
        rows.setdefault(user, []).append(at)
    wanted = {"train": [], "validation": [], "test": []}
    times = frame["time"].to_list()
    for numbers in rows.values():
        if timed:
            numbers.sort(key=lambda at: times[at])
        wanted["test"] += numbers[-last:]
        wanted["validation"] += numbers[-2 * last : -last]
        wanted["train"] += numbers[: -2 * last]
    assert found == {name: sorted(rows) for name, rows in wanted.items()}


def test_whole_groups(frame, tmp_path):
    split = Split("group", test=0.2, validation=0.25, seed=4)
    found = parts_of(frame, tmp_path / "out", split)
    users = frame["group"].to_list()
    groups = list(dict.fromkeys(users))
    drawn = split_rows(len(groups), "random", 0.2, 0.25, 4)
    for name, members in drawn.items():
        chosen = {groups[at] for at in members}
        assert found[name] == [i for i in range(ROWS) if users[i] in chosen]


def test_groups_too_small_to_train(tmp_path):
    frame = pl.DataFrame({"x": ["a", "b"], "group": ["u", "v"]})
    schema = Schema(
        [Categorical("x")], group=Group("u"), split=Split("group", last=1)
    )
    with pytest.raises(ValueError, match=r"2 rows.*Lower `last`"):
        prepare_values(blocks(frame, 2), tmp_path / "out", schema)
    assert not any(tmp_path.iterdir())
