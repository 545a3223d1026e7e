"""Every Python example of README and docstrings runs."""

import inspect
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss import optimizers
from keras_pss.metrics import click_metrics as metrics
from keras_pss.metrics import significance

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


DOCUMENTED = {
    **dict(inspect.getmembers(keras_pss.models, inspect.isfunction)),
    "Model": keras_pss.models.Model,
    "LayerUpdates": keras_pss.callbacks.LayerUpdates,
    "Recluster": keras_pss.callbacks.Recluster,
    "RefreshHotRows": keras_pss.callbacks.RefreshHotRows,
    "MetricsAccumulator": metrics.MetricsAccumulator,
    "compare_auc": significance.compare_auc,
    **{
        name: getattr(optimizers, name)
        for name in (
            *("WarmupDecay", "LazyAdam", "LazySGD", "RowwiseAdagrad"),
            "for_tables",
        )
    },
    **dict(inspect.getmembers(keras_pss.convert, inspect.isfunction)),
    **dict(inspect.getmembers(keras_pss.features, inspect.isclass)),
    **dict(inspect.getmembers(keras_pss.planning.theory, inspect.isfunction)),
    "scaling": keras_pss.planning.scaling,
    "simulated_traffic": keras_pss.planning.simulated_traffic,
    **{
        name: value
        for name, value in inspect.getmembers(keras_pss)
        if callable(value) and not name.startswith("_")
    },
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstring_examples_run(name):
    value = DOCUMENTED[name]
    blocks = BLOCK.findall(inspect.getdoc(value))
    assert blocks, f"{name} has no example"
    for block in blocks:
        run(block, {"keras": keras, "keras_pss": keras_pss, "np": np})


def run(block, scope):
    """Also `expression  # value`: what the comment says is what comes."""
    exec(block, scope)
    for line in block.splitlines():
        check_comment(line, scope)


def check_comment(line, scope):
    expression, mark, value = line.partition("  # ")
    if mark and re.fullmatch(r"[\d(].*", value):
        found = eval(expression, scope)
        assert str(tuple(found) if "(" in value else found) == value


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/convert.md",
        "docs/fit_table.md",
        "docs/import.md",
        "docs/layers.md",
        "docs/methods.md",
        "docs/optimizers.md",
        "docs/planning.md",
        "docs/scaling.md",
        "docs/theory.md",
        "docs/training.md",
    ],
)
def test_examples_of_a_page_run(page):
    scope = {"keras": keras, "keras_pss": keras_pss, "np": np}
    blocks = BLOCK.findall((ROOT / page).read_text())
    assert blocks
    for block in blocks:
        run(block, scope)


@pytest.mark.tf_only
def test_submodules_are_there_when_named():
    assert callable(keras_pss.data.criteo.prepare)
    assert callable(keras_pss.training.train)
    assert callable(keras_pss.serving.export_saved_model)
    with pytest.raises(AttributeError, match="no attribute 'trainning'"):
        _ = keras_pss.trainning


def test_makefile_and_readme_name_the_two_commands():
    makefile = (ROOT / "Makefile").read_text()
    readme = (ROOT / "README.md").read_text()
    for command in ("demo", "test"):
        assert f"\n{command}:" in makefile
        assert f"make {command}" in readme
