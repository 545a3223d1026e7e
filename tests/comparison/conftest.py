"""Rows and a whole comparison, made once for the tests of a session."""

import pytest
from small_grid import grid

from keras_pss.comparison import compare
from keras_pss.data import criteo, synthetic


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    synthetic.generate(folder / "log.tsv", rows=8_000, scale=0.002)
    criteo.prepare(folder / "log.tsv", folder / "prepared")
    return folder / "prepared"


@pytest.fixture(scope="session")
def done(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("compare")
    told = []
    outcome = compare(
        data, grid(), out, workers=2, progress=lambda *a: told.append(a)
    )
    return out, outcome, told
