"""Exported folders are whole, and never replaced unasked."""

import shutil

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.serving import saved_model
from keras_pss.serving.saved_model import export_saved_model

pytestmark = pytest.mark.tf_only


@pytest.fixture
def model():
    ids = keras.Input((2,), dtype="int32", name="ids")
    layer = keras_pss.ROBEEmbedding(100, 4, memory_size=50)
    return keras.Model({"ids": ids}, layer(ids))


def test_signature_and_answers(model, tmp_path):
    import tensorflow as tf

    path = export_saved_model(model, tmp_path / "served" / "1")
    loaded = tf.saved_model.load(str(path))
    assert set(loaded.signatures) == {
        "serve",
        "serving_default",
        "serve_examples",
    }
    ids = np.array([[1, 99], [5, 5]], "int32")
    by_name = loaded.signatures["serving_default"](ids=tf.constant(ids))
    (rows,) = by_name.values()
    np.testing.assert_array_equal(
        rows.numpy(), model.predict({"ids": ids}, verbose=0)
    )


def test_an_existing_folder_is_kept(model, tmp_path):
    path = export_saved_model(model, tmp_path / "m")
    before = sorted(p.name for p in path.rglob("*"))
    with pytest.raises(ValueError, match=r"give overwrite.*already exists"):
        export_saved_model(model, path)
    export_saved_model(model, path, overwrite=True)
    assert sorted(p.name for p in path.rglob("*")) == before


def test_overwrite_replaces_a_saved_model_only(model, tmp_path):
    kept = tmp_path / "run"
    kept.mkdir()
    (kept / "report.json").write_text("{}")
    for path in (kept, kept / "report.json"):
        with pytest.raises(ValueError, match="a SavedModel and nothing else"):
            export_saved_model(model, path, overwrite=True)
    assert (kept / "report.json").read_text() == "{}"


def test_what_appears_meanwhile_is_kept(model, tmp_path, monkeypatch):
    path, write = tmp_path / "m", saved_model.write

    def slow(*args):
        write(*args)
        path.mkdir()
        (path / "thesis.txt").write_text("...")

    monkeypatch.setattr(saved_model, "write", slow)
    with pytest.raises(ValueError, match=r"`path` must be a new.*already"):
        export_saved_model(model, path)
    assert [p.name for p in tmp_path.rglob("*")] == ["m", "thesis.txt"]


@pytest.mark.parametrize("lost", ["saved_model.pb", "variables"])
def test_what_a_cut_removal_left_is_replaced(model, tmp_path, lost):
    path = export_saved_model(model, tmp_path / "m")
    before = sorted(p.name for p in path.rglob("*"))
    if lost == "variables":
        shutil.rmtree(path / lost)
    else:
        (path / lost).unlink()
    export_saved_model(model, path, overwrite=True)
    assert sorted(p.name for p in path.rglob("*")) == before


def test_a_failed_export_leaves_nothing(model, tmp_path, monkeypatch):
    def fail(model, scorer, name, path):
        (path / "half").write_text("")
        raise OSError("disk full")

    monkeypatch.setattr(saved_model, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        export_saved_model(model, tmp_path / "m")
    assert not list(tmp_path.iterdir())
