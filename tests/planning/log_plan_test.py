"""Plans for a prepared log: its counts, its labels, and its changes."""

from dataclasses import replace

import numpy as np
import pytest
from shop_log import HEADER, SCHEMA, lines

import keras_pss
from keras_pss.data import prepare
from keras_pss.planning import load_plan

pytestmark = pytest.mark.tf_only


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Two logs of the same schema, with other rows."""
    folder = tmp_path_factory.mktemp("logs")
    found = []
    for seed in (0, 1):
        path = folder / f"{seed}.csv"
        path.write_text("\n".join([HEADER, *lines(400, seed)]) + "\n")
        found.append(
            prepare([path], folder / f"{seed}", SCHEMA, rows_per_shard=90)
        )
    return found


def test_clicks_are_counted_for_each_id(logs):
    log = logs[0]
    found = log.label_counts()
    assert set(found) == set(log.counted_tables())
    label = log.column("train", "label")
    for name, (seen, clicks) in found.items():
        ids, clicked = [], []
        for feature in log.schema.tables[name]:
            one = log.column("train", feature.name)
            one = one if one.ndim == 2 else one[:, None]
            ids.append(one[one >= 0])
            clicked.append(np.repeat(label, one.shape[1])[(one >= 0).ravel()])
        expected = np.bincount(np.concatenate(ids), minlength=log.tables[name])
        np.testing.assert_array_equal(seen, expected)
        clicks_of = np.bincount(
            np.concatenate(ids),
            weights=np.concatenate(clicked),
            minlength=log.tables[name],
        )
        np.testing.assert_array_equal(clicks, clicks_of)
    part = log.label_counts(most_rows=log.rows("train") // 2)
    (name, (seen, _)) = next(iter(part.items()))
    assert 0 < seen.sum() < found[name][0].sum()


def test_a_log_plans_its_tables(logs):
    plan = keras_pss.plan(logs[0], 8, 300)
    assert plan.named
    assert [t.name for t in plan.tables] == list(logs[0].tables)
    assert plan.fingerprint is not None
    assert "min_count" in plan.asked[1]
    layer = keras_pss.EmbeddingCollection.for_log(logs[0], 8, "auto", 300)
    assert layer.method == plan.method
    assert layer.options == plan.options
    assert layer.memory_report().parameters == plan.parameters


def test_another_log_is_refused(logs, tmp_path):
    path = tmp_path / "plan.json"
    plan = keras_pss.plan(logs[0], 8, 300)
    plan.save(path)
    assert load_plan(path, logs[0]) == plan
    with pytest.raises(
        ValueError, match=r"for the same log.*Plan again.*Received: "
    ):
        load_plan(path, logs[1])
    moved = replace(plan, fingerprint="0" * 64)
    moved.save(path)
    with pytest.raises(ValueError, match="other counts of the ids"):
        load_plan(path, logs[0])
