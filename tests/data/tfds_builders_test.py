"""The datasets for TFDS pass its own checks, and hold what the log holds."""

import gzip
import random
import tempfile
from pathlib import Path

import polars as pl
import pytest
import tensorflow_datasets as tfds

import keras_pss.data.tfds as datasets
from keras_pss.data import synthetic
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.data.tfds.criteo_rows import CATEGORIES, INTEGERS
from keras_pss.features import Schema

pytestmark = pytest.mark.tf_only

KAGGLE = 71  # seven days of 10 rows, the first with one more
DAY = 5


def write_criteo(path, rows, seed):
    plain = path.with_suffix(".tsv")
    synthetic.generate(plain, rows=rows, scale=0.001, seed=seed)
    text = plain.read_bytes()
    plain.unlink()
    packed = path.suffix == ".gz"
    path.write_bytes(gzip.compress(text) if packed else text)


def write_avazu(path):
    draw = random.Random(3)
    names = datasets.avazu_dataset_builder._COLUMNS
    lines = [",".join(names)]
    for number in range(50):
        row = {name: str(draw.randrange(9)) for name in names}
        row["id"] = str(2**63 + number)
        row["hour"] = f"1410{25 + number // 10}{number % 10:02d}"
        row["click"] = str(number % 2)
        lines.append(",".join(row[name] for name in names))
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


class OfFiles(tfds.testing.DatasetBuilderTestCase):
    """TFDS' checks on files that are written before them."""

    # The files of a class are written once.
    pytestmark = pytest.mark.xdist_group("tfds_builders")
    BUILDER_CONFIG_NAMES_TO_TEST = ("full",)

    @classmethod
    def setUpClass(cls):
        if cls.DATASET_CLASS is None:
            pytest.skip("not for the base class")
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.EXAMPLE_DIR = folder.name
        files = Path(folder.name) / cls.DATASET_CLASS.name
        files.mkdir()
        cls.write(files)
        super().setUpClass()


class CriteoKaggleTest(OfFiles):
    DATASET_CLASS = datasets.CriteoKaggle
    SPLITS = {"train": 61, "validation": 5, "test": 5}  # noqa: RUF012

    @staticmethod
    def write(folder):
        write_criteo(folder / "train.txt", KAGGLE, seed=1)


class CriteoTerabyteTest(OfFiles):
    DATASET_CLASS = datasets.CriteoTerabyte
    SPLITS = {"train": 23 * DAY, "validation": 2, "test": 3}  # noqa: RUF012

    @staticmethod
    def write(folder):
        for day in range(24):
            write_criteo(folder / f"day_{day}.gz", DAY, seed=day)


class AvazuTest(OfFiles):
    DATASET_CLASS = datasets.Avazu
    SPLITS = {"train": 30, "validation": 10, "test": 10}  # noqa: RUF012

    @staticmethod
    def write(folder):
        write_avazu(folder / "train.gz")


del OfFiles  # pytest would collect it


def prepared(name, tfds_dir, manual):
    config = tfds.download.DownloadConfig(
        manual_dir=manual, try_download_gcs=False
    )
    builder = tfds.builder(f"{name}/full", data_dir=tfds_dir / "of_files")
    builder.download_and_prepare(download_config=config)
    return builder


def rows_of(builder, split):
    rows = builder.as_dataset(split=split).as_numpy_iterator()
    return [
        {
            name: value.decode() if isinstance(value, bytes) else value.item()
            for name, value in row.items()
        }
        for row in rows
    ]


def test_criteo_kaggle_has_the_rows_of_the_log_in_order(tfds_dir, tmp_path):
    path = tmp_path / "criteo_kaggle" / "train.txt"
    path.parent.mkdir()
    write_criteo(path, KAGGLE, seed=1)
    builder = prepared("criteo_kaggle", tfds_dir, tmp_path)
    # The first half of the last day tests, as in DLRM.
    found = [
        row
        for split in ("train", "test", "validation")
        for row in rows_of(builder, split)
    ]
    (block,) = LogReader(path, Schema.load("criteo"))
    missing = pl.col(INTEGERS).fill_null(-(2**31))
    columns = ["label", *INTEGERS, *CATEGORIES]
    wanted = block.rows.with_columns(missing).select(columns).to_dicts()
    assert [{name: row[name] for name in columns} for row in found] == wanted
    assert any(row["I1"] == -(2**31) for row in found)


def test_the_first_half_of_the_last_day_tests(tfds_dir, tmp_path):
    folder = tmp_path / "criteo_terabyte"
    folder.mkdir()
    CriteoTerabyteTest.write(folder)
    builder = prepared("criteo_terabyte", tfds_dir, tmp_path)
    (day,) = LogReader(folder / "day_23.gz", Schema.load("criteo"))
    wanted = day.rows["C3"].to_list()
    assert [row["C3"] for row in rows_of(builder, "test")] == wanted[:3]
    assert [row["C3"] for row in rows_of(builder, "validation")] == wanted[3:]
    (folder / "day_7.gz").unlink()
    with pytest.raises(ValueError, match=r"Missing: \['day_7'\]"):
        tfds.builder(
            "criteo_terabyte/full", data_dir=tmp_path / "again"
        ).download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                manual_dir=tmp_path, try_download_gcs=False
            )
        )


def test_avazu_is_split_by_day(tfds_dir, tmp_path):
    (tmp_path / "avazu").mkdir()
    write_avazu(tmp_path / "avazu" / "train.gz")
    builder = prepared("avazu", tfds_dir, tmp_path)
    days = {
        split: {row["hour"] // 100 for row in rows_of(builder, split)}
        for split in builder.info.splits
    }
    assert days == {
        "train": {141025, 141026, 141027},
        "validation": {141028},
        "test": {141029},
    }
    first = rows_of(builder, "train")[0]
    assert first["id"] == str(2**63)


def test_a_broken_row_is_not_left_out(tfds_dir, tmp_path):
    folder = tmp_path / "criteo_kaggle"
    folder.mkdir()
    write_criteo(folder / "train.txt", KAGGLE, seed=1)
    with open(folder / "train.txt", "a") as file:
        file.write("1\t2\n")
    with pytest.raises(ValueError, match=r"train.txt:72: wrong number of fi"):
        tfds.builder(
            "criteo_kaggle/full", data_dir=tmp_path / "out"
        ).download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                manual_dir=tmp_path, try_download_gcs=False
            )
        )


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("criteo_kaggle", {"train": 1800, "validation": 150, "test": 150}),
        ("criteo_terabyte", {"train": 2300, "validation": 50, "test": 50}),
        ("avazu", {"train": 1920, "validation": 240, "test": 240}),
    ],
)
def test_tiny_rows_are_the_same_each_time(name, rows, tmp_path):
    made = []
    for folder in ("a", "b"):
        builder = tfds.builder(f"{name}/tiny", data_dir=tmp_path / folder)
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
        splits = builder.info.splits
        assert {k: v.num_examples for k, v in splits.items()} == rows
        made.append([p.read_bytes() for p in splits["train"].filepaths])
    assert made[0] == made[1]
    assert builder.info.citation.startswith("@misc{")
    assert all(feature._doc.desc for feature in builder.info.features.values())
