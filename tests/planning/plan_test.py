"""Plans: what they say, and that they keep what they promise."""

import json

import numpy as np
import pytest

import keras_pss
from keras_pss.planning import PRESETS, load_plan

COUNTS = [[0, 900, 300, 40, 2, 1, 1, 1], [0, 800, 400, 30, 3, 1]]
CLICKS = [[0, 90, 200, 9, 1, 0, 1, 0], [0, 300, 90, 11, 1, 0]]


def made(budget=70, **kwargs):
    return keras_pss.plan([8, 6], 16, budget, COUNTS, **kwargs)


def test_a_plan_shows_each_table_and_why():
    plan = made()
    assert (plan.method, plan.division) == ("popularity", None)
    assert [t.rows for t in plan.tables] == [4, 4]
    text = str(plan)
    assert "3 ids occur 4 times or more" in text
    assert "(shared)" in text
    assert "budget 70: 280 bytes" in text
    assert "method='popularity': 8 ids occur 4 times" in text
    layer = plan.collection(name="tables")
    assert layer(np.array([[7, 5]])).shape == (1, 2, 16)
    assert layer.count_params() == plan.parameters == 2 * 8 + 2 * 16
    assert layer.name == "tables"


def test_reasons_follow_the_numbers():
    few = made(12 + 16)  # 12 numbers for 8 ids
    assert [t.width for t in few.tables] == [1, 1]
    fewer = made(6 + 16)
    assert sum(t.rows for t in fewer.tables) == 6
    assert "the budget has rows for the first 2" in str(fewer)
    assert "no id occurs 1000 times" in str(made(options={"min_count": 1000}))
    plain = keras_pss.plan([8, 6], 16, 70)
    assert plain.method == "robe"
    assert "Give `counts`" in plain.advice
    assert "--tune" in made(options={"silent": True}).advice
    assert made().advice == ""
    full = made("1x")
    assert full.method == "full"
    assert full.parameters == 14 * 16
    assert full.collection()(np.array([[7, 5]])).shape == (1, 2, 16)
    opened = keras_pss.plan([None, 6], 16, "1KB")
    assert "an open vocabulary: all ids share" in str(opened)
    assert opened.tables[0].ids is None


def test_labels_and_the_share_of_rows_set_the_threshold():
    from keras_pss.layers.planned.worth import Worth

    columns = [(np.array(s), np.array(c)) for s, c in zip(COUNTS, CLICKS)]  # noqa: B905
    total, clicked = np.sum([np.sum(x) for x in COUNTS]), 703
    assert clicked == sum(map(sum, CLICKS))
    worth = Worth.of_labels(columns, clicked / total)
    plan = made(clicks=CLICKS)
    assert plan.asked == ("auto", worth.choices())
    # Counts of a tenth of the rows to train on.
    part = made(share=0.1)
    assert part.asked[1]["min_count"] == 1


@pytest.mark.parametrize("budget", ["10MB", "100MB", "1GB"])
def test_the_terabyte_log_within_bytes(budget):
    plan = keras_pss.plan("criteo-terabyte", 128, budget)
    allowed = {"10MB": 10**7, "100MB": 10**8, "1GB": 10**9}[budget]
    assert plan.allowed_bytes == allowed
    assert plan.bytes <= allowed
    assert plan.bytes > 0.99 * allowed
    layer = plan.collection()
    if budget == "10MB":
        ids = [[rows - 1 for rows in PRESETS["criteo-terabyte"]]]
        layer(np.array(ids))
        assert layer.count_params() == plan.parameters
    else:  # building takes the memory
        assert layer.memory_report().parameters == plan.parameters


def test_a_run_chooses_what_a_plan_without_counts_says():
    plan = keras_pss.plan([90, 80], 8, "4x", options={"min_count": 3})
    assert plan.settings() == {
        "method": "robe",
        "options": {},
        "budget": "4x",
        "dim": 8,
    }
    assert keras_pss.plan([90, 80], 8, "1x").asked == ("auto", {})


def test_presets_are_the_published_sizes():
    sums = {name: sum(sizes) for name, sizes in PRESETS.items()}
    assert sums == {
        "criteo-kaggle": 33_762_577,
        "criteo-terabyte": 204_184_588,
        "criteo-terabyte-15": 32_709_138,
        "criteo-terabyte-3": 177_944_275,
    }
    assert {len(sizes) for sizes in PRESETS.values()} == {26}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("criteo", 4, 9), r"one of criteo-kaggle, criteo-terabyte"),
        (([], 4, 9), r"must be a non-empty list or dict of numbers"),
        ((7, 4, 9), r"must be a non-empty list or dict of numbers"),
        (([3, -1], 4, 9), r"`cardinalities\[1\]` must be a positive integer"),
        (([3], 0, 9), r"`output_dim` must be a positive integer"),
        (([3], 4, "9y"), r"`budget` must be a ratio"),
        (([3, 4], 4, 9, [[1, 2, 3]]), r"a list with one array for each of 2"),
        (({"a": 3}, 4, 9, {"b": [1]}), r"each table: a\. Received: counts="),
        (([3], 4, 9, [[1, 3, 2]], [[1, 3]]), r"`clicks` needs the `counts`"),
        (([3], 4, 9, [[0, 3, 2]], [[0, 0, 0]]), r"0 clicks of 5"),
        (([3], 4, 9, None, [[0, 0, 0]]), r"`clicks` needs the `counts`"),
        (([3], 4, 9, [[0, 3, 2]], [[0, 4, 0]]), r"at most `counts`"),
        (([3], 4, 9, 5), r"a list with one array for each of 1"),
        (([3], 4, 9, ["a"]), r"with one number for each of its ids"),
        (([3], 4, 9, None, None, 0), r"`share` must be above 0"),
        (([3], 4, 9, None, None, 1, "tt"), r"one of 'auto', 'robe'"),
        (
            ([3], 4, 9, None, None, 1, "robe", {"min_count": 3}),
            r"`options` belong to method='auto'",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_pss.plan(*arguments)


def test_a_file_brings_the_plan_back(tmp_path):
    for number, plan in enumerate(
        (
            made(),
            made("1x"),
            keras_pss.plan({"a": 900, "b": None}, 4, "2KB"),
            keras_pss.plan([90, 80], 8, "4x"),
        )
    ):
        path = tmp_path / f"{number}.json"
        plan.save(path)
        again = load_plan(path)
        assert again == plan
        assert str(again) == str(plan)
        assert again.as_dict() == plan.as_dict()
        report = again.collection().memory_report()
        assert report.parameters == plan.parameters


def test_broken_files_are_refused(tmp_path):
    path = tmp_path / "plan.json"
    with pytest.raises(ValueError, match=r"must be a file that `keras-pss pl"):
        load_plan(path)
    made().save(path)
    content = json.loads(path.read_text())
    for change, message in (
        ({"version": 2}, r"version 1\. Plan again .*version=2"),
        ({"format": "x"}, r"format='x'"),
        ({"tables": [{"name": "a"}]}, r"must be a whole plan\. Plan again"),
        ({"asked": None}, r"must be a whole plan"),
        ({"more": 1}, r"must be a whole plan"),
    ):
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(ValueError, match=message):
            load_plan(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="Plan again"):
        load_plan(path)


@pytest.mark.parametrize("dim", [1, 5, 16])
@pytest.mark.parametrize(
    ("budget", "options"),
    [
        ("1x", {}),
        ("2x", {}),
        ("70B", {}),
        ("100B", {"tail": "hash", "min_count": 1}),
        ("301B", {"tail": "robe", "seed": 3}),
        ("5x", {"tail": "robe", "silent": True}),
        (90, {"inner_dim": 2, "tail": "hash"}),
        (77, {"inner_dim": 5, "min_count": 2}),
    ],
)
@pytest.mark.parametrize("counted", [False, True])
def test_sizes_are_those_of_the_layers(budget, options, counted, dim):
    """A plan computes them without layers."""
    counts = [[3, *range(90, 0, -1)], [5, 9, 8, 7, 1], [0, 6]]
    dims = [91, 5, 2]
    known = counts if counted else None
    plan = keras_pss.plan(dims, dim, budget, known, options=options)
    layer = plan.collection(dtype="float32")
    report = layer.memory_report()
    assert plan.parameters == report.parameters
    packed = plan.options.get("storage", "float32") != "float32"
    held = report.serving_bytes_int8 if packed else report.serving_bytes
    assert plan.bytes == held <= max(plan.allowed_bytes, 0)
    alone = [t for t, row in enumerate(plan.tables) if row.tail == "none"]
    if plan.method != "popularity":
        assert tuple(alone) == layer.uncompressed()
