"""tf.data pipelines of prepared logs against the records that they read."""

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from log_frames import blocks

from keras_pss.data import dataset
from keras_pss.data.storage.prepare_log import prepare_values
from keras_pss.features import (
    Categorical,
    Dense,
    Group,
    Label,
    MultiCategorical,
    Schema,
    Split,
)

pytestmark = pytest.mark.tf_only

ROWS = 500
SCHEMA = Schema(
    [
        Dense("a", dtype="integer"),
        Dense("b", transform="log1p"),
        Categorical("x"),
        Dense("c", transform="standard"),
        MultiCategorical("m", max_length=3, weights="w"),
        Dense("d", size=2, minimum=-5),
        Categorical("y", ids="hash", buckets=9),
        MultiCategorical("n", max_length=2),
    ],
    label=Label("click"),
    group=Group("user"),
)


def frame(seed=0):
    draw = np.random.RandomState(seed)
    lengths = draw.randint(0, 4, ROWS)
    letters = np.array(list("abcdefgh"))
    return pl.DataFrame(
        {
            "label": draw.randint(0, 2, ROWS).astype(np.int8),
            "a": draw.randint(-5, 100, ROWS),
            "b": draw.exponential(30, ROWS),
            "x": [f"row {i}" for i in range(ROWS)],
            "c": draw.normal(100, 20, ROWS),
            "m": [draw.choice(letters, n).tolist() for n in lengths],
            "m:weights": [draw.random_sample(n).tolist() for n in lengths],
            "d": pl.Series(draw.normal(-4, 2, (ROWS, 2))),
            "y": draw.choice(letters, ROWS).tolist(),
            "n": [draw.choice(letters, 2).tolist() for _ in range(ROWS)],
            "group": [str(i // 10) for i in range(ROWS)],
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("log") / "out"
    return prepare_values(blocks(frame(), 200), out, SCHEMA, rows_per_shard=100)


def whole(batches):
    """All batches of a pipeline as (features, label), joined."""
    parts = list(batches.as_numpy_iterator())
    features = {
        key: np.concatenate([x[key] for x, _ in parts]) for key in parts[0][0]
    }
    return features, np.concatenate([y for _, y in parts])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("batch_size", [7, 10_000])
def test_unshuffled_equals_records(folder, split, batch_size):
    made = dataset(folder, split, batch_size=batch_size, shuffle=False)
    features, label = whole(made)
    np.testing.assert_array_equal(label, folder.column(split, "label"))
    a, b, c, d = (folder.column(split, name) for name in "abcd")
    train = folder.column("train", "c").astype(np.float64)
    dense = np.column_stack(
        [a, np.log1p(b), (c - train.mean()) / train.std(), d]
    )
    np.testing.assert_allclose(features["dense"], dense, 1e-5, 1e-5)
    np.testing.assert_array_equal(
        features["categorical"],
        np.column_stack([folder.column(split, name) for name in "xy"]),
    )
    for name in "mn":
        found = folder.column(split, name, "ids")
        np.testing.assert_array_equal(features[name], found)
    np.testing.assert_array_equal(
        features["m_weights"], folder.column(split, "m", "weights")
    )


def test_elements(folder):
    features, label = dataset(str(folder.directory), batch_size=64).element_spec
    assert {k: (v.dtype, v.shape.as_list()) for k, v in features.items()} == {
        "dense": (tf.float32, [None, 5]),
        "categorical": (tf.int32, [None, 2]),
        "m": (tf.int32, [None, 3]),
        "m_weights": (tf.float32, [None, 3]),
        "n": (tf.int32, [None, 2]),
    }
    assert (label.dtype, label.shape.as_list()) == (tf.float32, [None])


def test_named_features(folder):
    packed, _ = whole(dataset(folder, batch_size=99, seed=2))
    named, _ = whole(dataset(folder, batch_size=99, seed=2, named=True))
    assert set(named) == {*"abcdxymn", "m_weights"}
    dense = np.column_stack([named[name] for name in "abcd"])
    np.testing.assert_array_equal(dense, packed["dense"])
    ids = np.column_stack([named["x"], named["y"]])
    np.testing.assert_array_equal(ids, packed["categorical"])
    for name in ("m", "n", "m_weights"):
        np.testing.assert_array_equal(named[name], packed[name])


def test_shuffling_keeps_rows_together(folder):
    plain, _ = whole(dataset(folder, shuffle=False))
    made = dataset(folder, batch_size=50, seed=1)
    epochs = [whole(made)[0] for _ in range(2)]
    order = np.argsort(plain["categorical"][:, 0])
    for epoch in epochs:
        assert not np.array_equal(epoch["categorical"], plain["categorical"])
        again = np.argsort(epoch["categorical"][:, 0])
        for key, values in plain.items():
            # A logarithm's last bit depends on its place in the batch.
            np.testing.assert_allclose(
                epoch[key][again], values[order], 1e-5, 1e-6
            )
    assert not np.array_equal(epochs[0]["dense"], epochs[1]["dense"])


def test_repeat_and_skip(folder):
    every = {"batch_size": 64, "seed": 5, "repeat": True}
    per_epoch = -(-folder.rows("train") // 64)
    plain = list(dataset(folder, **every).take(2 * per_epoch + 3))
    resumed = list(dataset(folder, **every, skip=per_epoch + 2).take(4))
    for (x, y), (features, label) in zip(
        resumed, plain[per_epoch + 2 : per_epoch + 6], strict=True
    ):
        np.testing.assert_array_equal(y, label)
        np.testing.assert_array_equal(x["dense"], features["dense"])
        np.testing.assert_array_equal(x["m"], features["m"])
    assert dataset(folder, **every).cardinality() == (
        tf.data.INFINITE_CARDINALITY
    )
    assert dataset(folder, batch_size=64).cardinality() == per_epoch
    short = dataset(folder, batch_size=64, drop_remainder=True)
    assert short.cardinality() == folder.rows("train") // 64


def test_no_tuner_is_waited_for(folder):
    assert dataset(folder).options().autotune.enabled is False


def test_keys_without_columns_are_absent(tmp_path):
    split = Split(test=0, validation=0)
    rows = frame()
    only_lists = prepare_values(
        blocks(rows, 99),
        tmp_path / "lists",
        Schema([SCHEMA["m"]], split=split, label=Label("click")),
    )
    features, _ = dataset(only_lists).element_spec
    assert set(features) == {"m", "m_weights"}
    only_dense = prepare_values(
        blocks(rows, 99),
        tmp_path / "dense",
        Schema([SCHEMA["d"], SCHEMA["a"]], split=split),
    )
    # Without a label, an element is the features alone.
    assert set(dataset(only_dense).element_spec) == {"dense"}
    (batch,) = dataset(only_dense, batch_size=ROWS, shuffle=False)
    wanted = np.column_stack([only_dense.column("train", n) for n in "da"])
    np.testing.assert_array_equal(batch["dense"], wanted)


def test_errors(folder):
    with pytest.raises(ValueError, match=r"at least 1.*batch_size=0"):
        dataset(folder, batch_size=0)
    with pytest.raises(ValueError, match=r"train, validation.*split='dev'"):
        dataset(folder, "dev")
    with pytest.raises(ValueError, match=r"`skip`.*skip=3, repeat=False"):
        dataset(folder, skip=3)
