"""Examples that read files or need several devices, and the examples' form."""

import ast
import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.tf_only


def test_own_csv(example, tmp_path, capsys):
    made = example("own_csv", "--rows 8000 --batch-size 64", tmp_path)
    assert made["aucs"]["full"] > 0.75
    assert made["aucs"]["auto"] > made["aucs"]["full"] - 0.05
    served = np.array(made["served_scores"])
    np.testing.assert_allclose(served, made["scores"], rtol=1e-5)
    assert "largest difference" in capsys.readouterr().out


def test_own_csv_takes_a_file_again(example, tmp_path):
    """A log with numbers as ids and missing values; the folder is in use."""
    draw = np.random.default_rng(0)
    log = tmp_path / "log.csv"
    lines = ["city,price,bought"]
    for _ in range(4000):
        city, price = draw.integers(100, 140), draw.random()
        bought = int(draw.random() < 0.1 + 0.8 * (city % 2))
        lines.append(f"{'' if price < 0.1 else city},{price:.3f},{bought}")
    log.write_text("\n".join(lines) + "\n")
    for _ in range(2):
        made = example(
            "own_csv",
            f"{log} --label bought --batch-size 64",
            tmp_path / "out",
        )
    assert made["aucs"]["auto"] > 0.75
    served = np.array(made["served_scores"])
    np.testing.assert_allclose(served, made["scores"], rtol=1e-5)


def test_criteo_dlrm(example, tmp_path):
    aucs = example("criteo_dlrm", "--rows 30000 --batch-size 256", tmp_path)[
        "aucs"
    ]
    assert aucs["full 1x"] > 0.6
    assert min(aucs.values()) > 0.58
    # The log that was generated, as a file of the user's own.
    again = example(
        "criteo_dlrm",
        f"{tmp_path / 'clicks_30000.tsv'} --batch-size 256",
        tmp_path,
    )["aucs"]
    assert again == aucs


def test_movielens_ncf_reads_ratings(example, tmp_path):
    from keras_pss.data import synthetic

    likes = synthetic.generate_likes(rows=20_000, num_users=500, num_items=100)
    file = tmp_path / "ratings.dat"
    file.write_text(
        "".join(
            f"{user}::{item}::{2 + 3 * like}::{time}\n"
            for time, (user, item, like) in enumerate(
                zip(likes.users, likes.items, likes.labels, strict=True)
            )
        )
    )
    made = example("movielens_ncf", f"{file} --epochs 2", tmp_path)
    np.testing.assert_array_equal(made["likes"].labels, likes.labels)
    assert made["results"]["full", "1x"][1] > 0.58


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_distributed(backend, root):
    """Several devices give the AUC of one."""
    if backend == "jax":
        pytest.importorskip("jax")
    call = (
        "import json, runpy, sys; sys.argv[1:] = sys.argv[2:]; made = "
        "runpy.run_path('examples/distributed.py', run_name='__main__'); "
        "print(json.dumps([[*k, v] for k, v in made['aucs'].items()]))"
    )
    sizes = "--rows 30000 --users 600 --items 200 --epochs 2"
    ran = subprocess.run(
        [sys.executable, "-c", call, "", *sizes.split()],
        cwd=root,
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": f"{root}{os.pathsep}"
            f"{os.environ.get('PYTHONPATH', '')}",
        },
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    aucs = {
        (method, devices): auc
        for method, devices, auc in json.loads(ran.stdout.splitlines()[-1])
    }
    assert aucs.keys() == {(m, n) for m in ("full", "robe") for n in (1, 2)}
    for method in ("full", "robe"):
        assert aucs[method, 1] > 0.6
        assert aucs[method, 2] == pytest.approx(aucs[method, 1], abs=5e-3)


def names(root):
    return sorted(
        path
        for path in (root / "examples").glob("*.py")
        if path.name != "demo.py"
    )


def test_examples_are_notebooks(root):
    """Cells of percent format: the first one says what a reader asks first."""
    for path in names(root):
        first, *cells = path.read_text().split("# %%")[1:]
        assert first.startswith(" [markdown]\n# # "), path
        for asked in ("- Install", "- Run: `python examples/", "```text"):
            assert asked in first, (path, asked)
        assert f"python examples/{path.name}" in first
        for cell in cells:
            head, _, body = cell.partition("\n")
            if head == " [markdown]":
                rest = [line for line in body.splitlines() if line]
                assert all(line.startswith("#") for line in rest), path
            else:
                assert head == "", (path, head)
                ast.parse(body)


def test_the_table_of_examples_has_each_of_them(root):
    table = (root / "examples" / "README.md").read_text()
    for path in (root / "examples").glob("*.py"):
        assert f"({path.name})" in table, path.name
