"""The planner page computes what the layers of this package would be."""

import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import keras_pss
from keras_pss.layers.base.budget import Budget, InfeasibleBudget
from keras_pss.layers.base.checks import LARGEST_DIM
from keras_pss.layers.base.memory import layers_within
from keras_pss.layers.embedding.methods import METHODS
from keras_pss.layers.fused.popular.popular_sizes import rows_within

PLANNER = Path(__file__).parents[2] / "docs" / "planner"
SLOTS = {"adam": 2, "adagrad": 1, "sgd": 0}
# Its size depends on an embedding within and a number of rows.
LEFT_OUT = {"hot_rows"}
RUN = """
import { readFileSync } from "node:fs";
const { call } = JSON.parse(readFileSync(0));
"""


def node(script, value):
    """What a script prints, given a JSON value on its standard input."""
    found = subprocess.run(
        [shutil.which("node"), "--input-type=module", "-e", script],
        input=json.dumps(value),
        capture_output=True,
        text=True,
        cwd=PLANNER,
        check=False,
    )
    assert not found.returncode, found.stderr
    return json.loads(found.stdout)


def planned(cases):
    """The plans of the page: a list for each case, a plan for each method."""
    script = """
import { readFileSync } from "node:fs";
import { parseBudget } from "./budget.mjs";
import { planAll, SLOTS } from "./plan.mjs";
const cases = JSON.parse(readFileSync(0, "utf8"));
const plans = cases.map(({ dims, d, budget, optimizer }) =>
  planAll(dims, d, parseBudget(String(budget)), SLOTS[optimizer]));
console.log(JSON.stringify(plans));
"""
    return node(script, cases)


def draw(random, number):
    """Tables, a width and a budget, from tiny to the largest."""
    tables = random.choice([1, 1, 2, 3, 8])
    top = random.choice([40, 5_000, 3_000_000, 2**31 - 1])
    dims = [max(1, int(top ** random.uniform(0, 1))) for _ in range(tables)]
    d = random.choice([1, 2, 3, 4, 8, 12, 16, 30, 64, 128, 1000])
    whole = sum(dims) * d
    ratio = round(10 ** random.uniform(0, 4), random.choice([0, 1, 3]))
    budget = random.choice(
        [
            f"{max(1, ratio)}x",
            max(1, int(whole / 10 ** random.uniform(0, 3))),
            f"{max(1, int(whole / 10 ** random.uniform(-1, 4)))}B",
            f"{random.uniform(0.1, 0.1 + whole / 500):.2f}kB",
            f"{random.uniform(0.1, 0.1 + whole / 5000):.1f}KiB",
        ]
    )
    optimizer = random.choice(list(SLOTS))
    return {"dims": dims, "d": d, "budget": budget, "optimizer": optimizer}


def test_sizes_are_those_of_the_layers():
    draws = random.Random(19)
    cases = [draw(draws, k) for k in range(80)]
    cases.append(
        {
            "dims": keras_pss.planning.PRESETS["criteo-kaggle"],
            "d": 16,
            "budget": "1000x",
            "optimizer": "adam",
        }
    )
    seen = {"sized": set(), "refused": set()}
    for case, found in zip(cases, planned(cases), strict=True):
        plans = {plan["method"]: plan for plan in found["plans"]}
        assert set(plans) == set(METHODS) - LEFT_OUT
        whole = sum(case["dims"]) * case["d"]
        assert found["whole"] == whole
        assert found["allowed"] == Budget.parse(case["budget"]).parameters(
            whole
        )
        for method, plan in plans.items():
            kind = "refused" if "refused" in plan else "sized"
            seen[kind].add(method)
            check(case, method, plan)
    assert seen["sized"] == set(METHODS) - LEFT_OUT
    assert seen["refused"] == seen["sized"] - {"full"}


def check(case, method, plan):
    dims, d, budget = case["dims"], case["d"], case["budget"]
    if "refused" in plan:
        error, message = InfeasibleBudget, re.escape(plan["refused"])
        if plan["refused"].startswith("needs a multiple of"):
            error, message = ValueError, "num_columns"
        with pytest.raises(error, match=message):
            keras_pss.EmbeddingCollection(dims, d, method, budget)
        return
    layer = keras_pss.EmbeddingCollection(dims, d, method, budget)
    report = layer.memory_report(case["optimizer"])
    assert plan["parameters"] == report.parameters, (case, method)
    assert plan["indexBytes"] == report.index_bytes, (case, method)
    assert plan["slotBytes"] == report.optimizer_bytes, (case, method)
    assert plan["trainingBytes"] == report.training_bytes, (case, method)
    assert plan["bytes"] == served_bytes(layer), (case, method)
    assert plan["ratio"] == report.compression
    assert tuple(plan["full"]) == layer.uncompressed()
    if method != "full":
        assert plan["bytes"] <= 4 * Budget.parse(budget).parameters(
            sum(dims) * d
        )
    compressed = layer.single or [layer.shared] * bool(plan["parts"])
    for part, made in zip(plan["parts"], compressed, strict=True):
        for name, value in part["arguments"].items():
            if name == "num_rows":
                assert value == kept_rows(case, plan)
            else:
                same(getattr(made, name), value, (case, method, name))


def kept_rows(case, plan):
    """The rows by popularity of each table that is not uncompressed."""
    dims, d, budget = case["dims"], case["d"], Budget.parse(case["budget"])
    left = budget.parameters(sum(dims) * d)
    left -= d * sum(dims[table] for table in plan["full"])
    rest = [n for table, n in enumerate(dims) if table not in plan["full"]]
    storage = "int4" if budget.is_bytes else "float32"
    found = rows_within(min(left, LARGEST_DIM), rest, d, storage=storage)
    return [rows for (rows,) in found["num_rows"]]


def served_bytes(layer):
    """Bytes of the tables as they are served: rows on a grid are packed."""
    total = 0
    for part in layers_within(layer):
        packs = getattr(part, "storage", "float32") != "float32"
        for table in part.tables().values():
            if table.dtype is not None:
                total += table.bytes
            elif packs:
                total += part.packed_bytes(table, "int8")
            else:
                total += 4 * table.size
    return total


def same(found, value, where):
    if isinstance(found, tuple | list):
        found = [each[0] if isinstance(each, tuple) else each for each in found]
        if not isinstance(value, list):
            value = [value]
    assert found == value, where
