"""Rows and whole runs, made once for the tests of a session."""

import pytest
from runs import without_raw_rows

from keras_pss.data import criteo, synthetic


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    synthetic.generate(folder / "log.tsv", rows=12_000, scale=0.002)
    synthetic.generate(folder / "later.tsv", rows=3_000, scale=0.002, seed=1)
    criteo.prepare(folder / "log.tsv", folder / "prepared")
    return folder


@pytest.fixture
def plain_exports():
    """A test's runs export no raw rows, which take most of a short run."""
    with without_raw_rows():
        yield
