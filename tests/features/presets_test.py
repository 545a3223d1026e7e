"""The schemas of known logs."""

import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from keras_pss.data.criteo import columns as criteo
from keras_pss.features import Schema

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", Schema.presets())
def test_presets_load_and_return(name):
    schema = Schema.load(name)
    assert schema.title
    assert schema.label is not None
    assert Schema.from_dict(schema.to_dict()) == schema
    text = (
        files("keras_pss") / "features/presets" / f"{name}.toml"
    ).read_text()
    assert max(map(len, text.splitlines())) <= 80


def test_criteo_has_the_columns_of_its_reader():
    schema = Schema.load("criteo")
    assert len(schema.dense) == criteo.NUM_INTEGERS
    assert len(schema.single) == criteo.NUM_CATEGORIES
    assert not schema.multi
    assert schema.format.columns == criteo.COLUMNS
    assert schema.columns == (*schema.format.columns[1:], "label")
    assert {f.transform for f in schema.dense} == {"log1p"}
    assert {f.missing for f in schema.dense} == {0}
    limits = {(f.minimum, f.maximum) for f in schema.dense}
    assert limits == {(0, 2**31 - 1)}  # so that a record holds 32-bit integers
    assert {f.dtype for f in schema.single} == {"hex"}


def test_avazu_has_24_fields_as_in_its_benchmarks():
    schema = Schema.load("avazu")
    assert len(schema.single) == 24
    assert [f.name for f in schema.single[-3:]] == [
        "hour",
        "weekday",
        "weekend",
    ]
    assert "id" not in {f.column for f in schema.features}
    assert schema.keys == ("id",)


def test_movielens_presets_differ_in_the_files_alone():
    small, large = Schema.load("movielens_1m"), Schema.load("movielens")
    assert small.features == large.features
    assert small.split == large.split
    with_genres = Schema.load("movielens_genres")
    assert with_genres.features[:2] == large.features
    assert with_genres["genres"].separator == "|"


def test_presets_are_part_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["keras_pss"]
    assert "features/presets/*.toml" in patterns
