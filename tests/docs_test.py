"""Every Python example of README, docstrings and docs/ runs.

A block whose first line is a comment such as `# Needs a cluster.` is not run:
it must compile, and what it imports must be there.
"""

import ast
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
    """Also `expression  # value`: what the comment says is what comes.

    A value is a number, a tuple, True or False; other comments are texts.
    """
    exec(block, scope)
    for line in block.splitlines():
        check_comment(line, scope)


def check_comment(line, scope):
    expression, mark, value = line.partition("  # ")
    if mark and re.fullmatch(r"[\d(].*|True|False", value):
        found = eval(expression, scope)
        assert str(tuple(found) if "(" in value else found) == value


NEEDS = re.compile(r"# Needs .*\.")
# Their blocks need what the page itself makes by shell commands, or a server.
# The first runs in tests/cli/any_log_page_test.py.
ON_THEIR_OWN = {"docs/any_log.md", "docs/serving.md", "docs/servers.md"}
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if BLOCK.search(path.read_text(encoding="utf-8"))
)


@pytest.mark.parametrize("page", sorted({*PAGES} - ON_THEIR_OWN))
def test_examples_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = {"keras": keras, "keras_pss": keras_pss, "np": np}
    for block in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if NEEDS.fullmatch(block.splitlines()[0]):
            check_imports(block)
        else:
            run(block, scope)


def check_imports(block):
    """Compiles a block that is not run, and imports what it imports."""
    tree = ast.parse(block)
    lines = [
        node
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    exec(compile(ast.Module(lines, []), "<imports>", "exec"), {})


def test_blocks_that_do_not_run_are_few_and_still_checked():
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in PAGES]
    blocks = [block for text in texts for block in BLOCK.findall(text)]
    left_out = [b for b in blocks if NEEDS.fullmatch(b.splitlines()[0])]
    assert len(left_out) < len(blocks) / 4
    with pytest.raises(ImportError):
        check_imports("from keras_pss.data import nothing_of_this_name")
    with pytest.raises(SyntaxError):
        check_imports("prepare(")


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
