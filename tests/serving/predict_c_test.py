"""The C program of examples/serving, built and run."""

import math
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from served_shop import EXAMPLES

pytestmark = [
    pytest.mark.tf_only,
    pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Built by the command of its first comment."""
    path = tmp_path_factory.mktemp("c") / "predict"
    library = tf.sysconfig.get_lib()
    command = (
        f"gcc -O2 -std=c11 -Wall -Wextra -Werror {EXAMPLES / 'predict.c'} "
        f"-o {path} -I{library}/include -L{library} "
        "-l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2 "
        f"-Wl,-rpath,{library}"
    )
    subprocess.run(command.split(), check=True)
    return path


def run(program, model, text, *more):
    return subprocess.run(
        [program, model, *more], input=text, capture_output=True, check=False
    )


def table(rows):
    lines = ["\t".join(("row", *rows[0]))]
    for number, row in enumerate(rows):
        fields = [
            " ".join(value).strip()
            if isinstance(value, list)
            else ""
            if isinstance(value, float) and math.isnan(value)
            else str(value)
            for value in row.values()
        ]
        lines.append("\t".join((str(number), *fields)))
    return "\n".join(lines).encode()


def test_it_prints_the_probabilities_of_keras(program, shop):
    assert any(math.isnan(row["price"]) for row in shop.rows)
    for end in (b"", b"\n"):
        done = run(program, shop.saved_model, table(shop.rows) + end)
        assert not done.returncode, done.stderr
        found = [float(line) for line in done.stdout.split()]
        np.testing.assert_allclose(found, shop.wanted, atol=1e-6)


def test_it_says_what_is_wrong(program, shop):
    good = table(shop.rows[:2])
    for text, message in (
        (b"", "must have a line of column names and rows"),
        (good.replace(b"price", b"prise"), "stdin has no column price"),
        (good.replace(b"row", b"user"), "two columns are named user"),
        (good + b"\n1\t2", "line 4 has 2 fields, line 1 has 5"),
        (good.replace(b"17000", b"x"), "row 1: column at must be a whole"),
        (good + b"\0", "stdin has a byte 0"),
        (good.replace("ü".encode(), b"\xff"), "Column `user` must be UTF-8"),
    ):
        done = run(program, shop.saved_model, text)
        assert done.returncode == 1
        assert message in done.stderr.decode(errors="replace")
    done = run(program, shop.saved_model, good, "nothing")
    assert b"the SavedModel has no signature nothing" in done.stderr
    done = run(program, shop.model, good)
    assert done.returncode == 1
