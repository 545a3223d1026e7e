"""Small logs in Criteo's format, made for the tests of a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from criteo_text import parsed

from keras_pss.data import PreparedFolder, criteo, synthetic

ROWS = 3_000


@pytest.fixture(scope="session")
def log(tmp_path_factory) -> Path:
    """A plain file of `ROWS` good rows."""
    path = tmp_path_factory.mktemp("log") / "log.tsv"
    synthetic.generate(path, rows=ROWS, scale=0.0001, seed=5)
    return path


@pytest.fixture(scope="session")
def rows(log):
    """The rows of `log`, as the package has not read them."""
    return parsed(log)


@pytest.fixture(scope="session")
def prepared(log, tmp_path_factory) -> PreparedFolder:
    """`log`, prepared with a vocabulary in several shards."""
    out = tmp_path_factory.mktemp("prepared") / "out"
    return criteo.prepare(log, out, min_count=2, rows_per_shard=700)


@pytest.fixture(scope="session")
def tfds_dir(tmp_path_factory) -> Iterator[Path]:
    """An empty folder, in which TFDS looks for datasets and prepares them."""
    from tensorflow_datasets.core import constants

    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    kept, constants.DATA_DIR = constants.DATA_DIR, str(folder)
    yield folder
    constants.DATA_DIR = kept
