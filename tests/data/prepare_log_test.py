"""Preparation of logs of any schema, against a slow oracle."""

import json

import numpy as np
import polars as pl
import pytest
from log_frames import blocks
from log_schema import SCHEMA, as_frame, made_rows
from prepared_oracle import expected

from keras_pss.data import load
from keras_pss.data.storage.columns.buckets import borders, counted_borders
from keras_pss.data.storage.prepare_log import prepare_values
from keras_pss.features import (
    Categorical,
    Dense,
    MultiCategorical,
    Schema,
    Split,
)

ROWS = 400


def parts_by_order(count):
    test = -(-count // 7)
    validation = -(-(count - test) // 10)
    train = range(count - test - validation)
    return {
        "train": train,
        "validation": range(len(train), count - test),
        "test": range(count - test, count),
    }


@pytest.fixture(scope="module")
def rows():
    return made_rows(ROWS)


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    out = tmp_path_factory.mktemp("log") / "out"
    return prepare_values(
        blocks(as_frame(rows), 60), out, SCHEMA, rows_per_shard=90, parquet=True
    )


def test_every_kind_of_feature_equals_the_oracle(folder, rows):
    parts = parts_by_order(ROWS)
    develop = [*parts["train"], *parts["validation"]]
    words, tables = expected(rows, SCHEMA, develop, parts["train"])
    for split, part in parts.items():
        for (name, kind), values in words.items():
            found = folder.column(split, name, kind)
            wanted = np.array(values)[part]
            if found.dtype == np.int32:
                np.testing.assert_array_equal(found, wanted, err_msg=name)
            else:
                np.testing.assert_allclose(
                    found, wanted, 1e-6, err_msg=name, strict=False
                )
    assert folder.layout.words == 27
    for table, (texts, counts) in tables.items():
        assert folder.vocabulary(table).to_list() == texts
        (feature, *_) = SCHEMA.tables[table]
        assert folder.counts(feature.name).tolist() == counts
        assert folder.tables[table] == len(texts) + 1


def test_what_a_folder_tells(folder, rows):
    folder.verify()
    again = load(str(folder.directory))
    assert again == folder
    assert again.schema == SCHEMA
    assert folder.tables["age"] == 6
    assert folder.tables["pair"] is None
    items, cities = folder.tables["items"], folder.tables["city"]
    assert folder.cardinalities == [items, 6, cities, 37, None]
    assert folder.splits == ["train", "validation", "test"]
    parts = parts_by_order(ROWS)
    for split, part in parts.items():
        assert folder.rows(split) == len(part)
        assert folder.clicks(split) == sum(rows[at]["label"] for at in part)
        assert len(folder.shards(split)) == -(-len(part) // 90)
    assert (folder.rejects, folder.incomplete) == ({}, [])
    age = folder.counts("age")
    develop = [*parts["train"], *parts["validation"]]
    assert age[0] == sum(rows[at]["age"] is None for at in develop)
    assert age.sum() == len(develop)
    # An integer beyond 32 bits makes its column float32.
    assert folder.layout.find("large").dtype == "float32"
    assert folder.layout.find("views").dtype == "int32"


def test_statistics(folder, rows):
    train = parts_by_order(ROWS)["train"]
    prices = np.clip(
        [rows[at]["price"] or 0.0 for at in train], -3, 1000.5
    ).astype(np.float32)
    found = folder.statistics["price"]
    assert found["mean"] == pytest.approx([prices.mean()])
    assert found["deviation"] == pytest.approx([prices.std()])
    heights = [rows[at]["height"] for at in train]
    known = [height for height in heights if height is not None]
    assert folder.statistics["height"] == {
        "missing": pytest.approx([np.mean(known)])
    }
    assert set(folder.statistics["vector"]) == {"missing", "mean", "deviation"}
    assert len(folder.statistics["age"]["borders"]) == 4


def test_blocks_do_not_matter(folder, rows, tmp_path):
    whole = prepare_values(
        blocks(as_frame(rows), ROWS),
        tmp_path / "out",
        SCHEMA,
        rows_per_shard=90,
    )
    one, other = (
        {key: data.metadata[key] for key in ("splits", "tables", "statistics")}
        for data in (folder, whole)
    )
    assert one == other
    vocabularies = (data.metadata["vocabulary"] for data in (folder, whole))
    assert next(vocabularies) == next(vocabularies)


def test_parquet_of_the_splits(folder):
    for split in folder.splits:
        found = pl.read_parquet(folder.directory / f"{split}.parquet")
        assert len(found) == folder.rows(split)
        for column in folder.layout.columns:
            values = folder.column(split, column.name, column.kind)
            name = column.name
            if column.kind not in ("ids", "weights"):
                np.testing.assert_array_equal(found[name].to_numpy(), values)
                continue
            held = folder.column(split, name, "ids") >= 0
            wanted = [v[m].tolist() for v, m in zip(values, held, strict=True)]
            suffix = "_weights" if column.kind == "weights" else ""
            assert found[f"{name}{suffix}"].to_list() == wanted


def test_one_row(tmp_path):
    (row,) = made_rows(1, seed=3)
    schema = Schema(
        SCHEMA.features,
        label=SCHEMA.label,
        group=SCHEMA.group,
        split=Split(test=0, validation=0),
    )
    frame = as_frame([row])
    data = prepare_values(blocks(frame, 1), tmp_path / "out", schema)
    words, _ = expected([row], schema, [0], [0])
    assert data.splits == ["train"]
    for (name, kind), values in words.items():
        np.testing.assert_allclose(
            data.column("train", name, kind), np.array(values), 1e-6
        )


def test_rows_without_a_label(tmp_path):
    frame = pl.DataFrame({"a": ["x", "y", "x"]})
    schema = Schema([Categorical("a")], split=Split(test=0, validation=0))
    data = prepare_values(blocks(frame, 2), tmp_path / "out", schema)
    data.verify()
    assert data.column("train", "a").tolist() == [1, 2, 1]
    assert data.layout.words == 1
    with pytest.raises(ValueError, match=r"`clicks` needs a label"):
        data.clicks("train")


def test_equal_counts_are_in_the_order_of_texts(tmp_path):
    texts = ["b", "a\0", "a", "", "é", "z", "\U00010000", "\uffff"]
    frame = pl.DataFrame({"a": texts})
    schema = Schema([Categorical("a")], split=Split(test=0, validation=0))
    data = prepare_values(blocks(frame, 3), tmp_path / "out", schema)
    assert data.vocabulary("a").to_list() == sorted(texts)
    ids = [sorted(texts).index(text) + 1 for text in texts]
    assert data.column("train", "a").tolist() == ids


def test_lists_that_are_all_empty(tmp_path):
    frame = pl.DataFrame({"m": [[], []]}, schema={"m": pl.List(pl.String)})
    schema = Schema(
        [MultiCategorical("m", max_length=3)],
        split=Split(test=0, validation=0),
    )
    data = prepare_values(blocks(frame, 1), tmp_path / "out", schema)
    assert data.column("train", "m").tolist() == [[-1] * 3] * 2
    assert data.tables == {"m": 1}
    assert data.counts("m").tolist() == [0]


def test_progress_ends_with_everything(rows, tmp_path):
    calls = []
    prepare_values(
        blocks(as_frame(rows), 60),
        tmp_path / "out",
        SCHEMA,
        progress=lambda *call: calls.append(call),
    )
    stages = [stage for _, _, stage in calls]
    assert list(dict.fromkeys(stages)) == ["read", "count", "write"]
    for stage in ("read", "count", "write"):
        done, total, _ = [call for call in calls if call[2] == stage][-1]
        assert done == total > 0


def test_the_folder_holds_nothing_else(folder):
    names = {path.name for path in folder.directory.iterdir()}
    shards = {p.name for s in folder.splits for p in folder.shards(s)}
    tables = {f"{split}.parquet" for split in folder.splits}
    assert names == shards | tables | {"metadata.json", "vocabulary.parquet"}
    content = json.loads((folder.directory / "metadata.json").read_text())
    assert (content["format"], content["version"]) == ("keras_pss.log", 2)


@pytest.mark.parametrize(
    ("numbers", "options", "dtype", "words"),
    [
        ([2**31 - 1, None], {}, "int32", [2**31 - 1, 0]),
        ([1, 2**31], {}, "float32", [1, 2**31]),
        ([-(2**63), 2**63 - 1], {}, "float32", [-(2.0**63), 2.0**63]),
        ([2**40, -5], {"minimum": 0, "maximum": 9}, "int32", [9, 0]),
        ([2**40, 3], {"maximum": 1e300}, "float32", [2**40, 3]),
        ([None, 3], {"missing": 1e30}, "float32", [1e30, 3]),
        ([None, 7], {"missing": -1}, "int32", [-1, 7]),
    ],
)
def test_integers_that_fit_stay_integers(
    tmp_path, numbers, options, dtype, words
):
    frame = pl.DataFrame({"a": numbers}, schema={"a": pl.Int64})
    schema = Schema(
        [Dense("a", dtype="integer", **options)],
        split=Split(test=0, validation=0),
    )
    # The column becomes float32 in its second block.
    data = prepare_values(blocks(frame, 1), tmp_path / "out", schema)
    found = data.column("train", "a")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.array(words, dtype))


def test_numbers_beyond_float32(tmp_path):
    frame = pl.DataFrame({"a": [1e300, -1e300, None], "b": [None, None, None]})
    schema = Schema(
        [Dense("a"), Dense("b", missing="mean", transform="standard")],
        split=Split(test=0, validation=0),
    )
    data = prepare_values(blocks(frame, 2), tmp_path / "out", schema)
    largest = np.finfo(np.float32).max
    assert data.column("train", "a").tolist() == [largest, -largest, 0]
    # Without any number, the mean is 0.
    assert data.column("train", "b").tolist() == [0, 0, 0]
    data.verify()


@pytest.mark.parametrize("size", [0, 1, 7, 500])
def test_borders_of_counted_numbers(size):
    draw = np.random.RandomState(size)
    numbers = draw.randint(-4, 4, size).astype(np.float32) / 2
    numbers[numbers == 0] *= draw.choice([-1, 1])  # -0 equals 0
    distinct, counts = np.unique(numbers, return_counts=True)
    for num_buckets in (2, 5, 64):
        wanted = borders(numbers, num_buckets)
        found = counted_borders(distinct, counts, num_buckets)
        assert found.tobytes() == wanted.tobytes()
