"""Short runs that decide what counts leave open."""

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.data.locate import open_click_log
from keras_pss.layers.base.budget import Budget
from keras_pss.layers.planned.choices import TAILS
from keras_pss.training.tuning import tune
from keras_pss.training.tuning.candidates import MOST, candidates
from keras_pss.training.tuning.part_of_log import PartOfLog

pytestmark = pytest.mark.tf_only
NARROW = {
    "model_options": {"bottom_units": [8], "top_units": [8]},
    "epochs": 1,
    "evaluations": 1,
}


@pytest.fixture(scope="module")
def log(data):
    return open_click_log(data / "prepared")


def test_a_few_candidates_that_differ():
    counts = [np.arange(400, 0, -1) for _ in range(3)]
    dims = [400] * 3
    found = candidates(dims, 8, Budget.parse("8x"), counts, {"min_count": 50})
    assert len(found) <= MOST
    assert found[0].options == {"min_count": 50}
    names = [each.name for each in found]
    assert "ROBE alone" in names
    assert [n for n in names if n.startswith("tail=")] == [
        f"tail={tail}" for tail in TAILS[1:]
    ]
    by_name = {each.name: each.options for each in found}
    assert by_name["rows for rarer ids, half the count"] == {"min_count": 25}
    # What the user gave remains.
    given = {"min_count": 50, "inner_dim": 1}
    found = candidates(
        dims, 8, Budget.parse("8x"), counts, given, ["inner_dim"]
    )
    assert {each.options["inner_dim"] for each in found} == {1}
    # Nothing is open where tables fit, or no counts are known.
    assert len(candidates(dims, 8, Budget.parse("1x"), counts, {})) == 1
    assert len(candidates(dims, 8, Budget.parse("8x"), None, {})) == 1


def test_a_part_of_the_rows_is_the_same_in_each_epoch(log):
    part = PartOfLog(log, 1000)
    assert part.rows("train") == 1000
    assert part.rows("test") == log.rows("test")
    assert part.share == 1000 / log.rows("train")

    def rows(seed, skip):
        batches = part.stream(250, seed, skip).take(4)
        ids = [x["categorical"].numpy() for x, _ in batches]
        return np.concatenate(ids)

    first, second = rows(1, 0), rows(1, 4)
    assert not np.array_equal(first, second)
    for other in (second, rows(2, 0)):
        np.testing.assert_array_equal(
            np.sort(first, axis=0), np.sort(other, axis=0)
        )
    whole = PartOfLog(log, 10**9)
    assert whole.share == 1
    assert whole.fingerprint() != part.fingerprint()


@pytest.mark.slow
def test_the_best_candidate_is_kept(log, tmp_path, monkeypatch):
    most = 3
    monkeypatch.setattr("keras_pss.training.tuning.candidates.MOST", most)
    said = []
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        plan = tune(
            log, 4, "20x", settings=NARROW, rows=4000, progress=said.append
        )
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert "candidates on 4,000 of" in said[0]
    assert "about" in said[0]
    assert "the runs took" in said[-1]
    tuned = plan.notes["tuned"]
    assert 2 <= len(tuned) <= most
    assert "as counts say" in tuned
    assert plan.advice == ""
    assert "on validation rows" in plan.why
    path = tmp_path / "plan.json"
    plan.save(path)
    assert keras_pss.planning.load_plan(path, log) == plan


def test_settings_that_tuning_decides(log):
    with pytest.raises(ValueError, match=r"`dim` is what tuning decides"):
        tune(log, 4, "20x", settings={"dim": 3})


def test_settings_that_tuning_would_ignore(log):
    with pytest.raises(ValueError, match=r"the threshold of a filter"):
        tune(log, 4, "20x", settings={"min_count": 5})
    with pytest.raises(ValueError, match=r"`rows` must be a positive"):
        tune(log, 4, "20x", rows=0)


def test_nothing_is_run_where_nothing_is_open(log):
    said = []
    plan = tune(log, 4, "1x", settings=NARROW, progress=said.append)
    assert plan.method == "full"
    assert said == ["Counts leave nothing open: no run is needed."]
