"""The example of a KerasHub backbone with a compressed token embedding."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_pss

pytest.importorskip("keras_hub")

EXAMPLE = Path(__file__).parents[2] / "examples" / "text_classifier.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("text_classifier", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ids_of_words_are_sorted_by_frequency(example):
    vocabulary = example.Vocabulary([["a", "b", "a"], ["c", "a", "b"]], 4)
    assert len(vocabulary) == 5
    inputs = vocabulary.encode([["b", "a", "new", "c", "a"], ["c"]])
    np.testing.assert_array_equal(
        inputs["token_ids"], [[3, 2, 1, 4], [4, 0, 0, 0]]
    )
    np.testing.assert_array_equal(inputs["padding_mask"][1], [1, 0, 0, 0])


def test_the_best_accuracy_is_that_of_the_true_probabilities(example):
    language = example.Language(words=500, topics=4, seed=1)
    texts, labels, best = language.sentences(2_000)
    assert len(texts) == len(labels) == 2_000
    assert {len(words) for words in texts} == {len(example.GRAMMAR)}
    assert 0.8 < best < 1


def test_a_compressed_backbone_saves_and_loads(example, tmp_path):
    model = example.build("tt", "4x", vocabulary=300, length=13, topics=4)
    tokens = model.get_layer("token_embedding")
    assert isinstance(tokens, keras_pss.TTEmbedding)
    assert tokens.memory_report().compression >= 4
    # The rest of the backbone is that of KerasHub.
    full = example.build("full", "", vocabulary=300, length=13, topics=4)
    saved = full.count_params() - model.count_params()
    assert saved == 300 * tokens.output_dim - tokens.count_params()
    path = tmp_path / "model.keras"
    model.save(path)
    again = keras.models.load_model(path, compile=False)
    ids = np.arange(2, 15, dtype="int32")[None]
    inputs = {
        "token_ids": ids,
        "segment_ids": np.zeros_like(ids),
        "padding_mask": np.ones_like(ids),
    }
    found = [keras.ops.convert_to_numpy(m(inputs)) for m in (model, again)]
    assert found[0].shape == (1, 4)
    np.testing.assert_array_equal(*found)


@pytest.mark.slow
def test_a_compressed_classifier_learns(example):
    """A table that learns nothing would be at 1/4."""
    scores = example.main(
        [
            *("--methods", "tt", "--budget", "4x", "--words", "300"),
            *("--topics", "4", "--sentences", "8000", "--epochs", "4"),
        ]
    )
    assert scores["tt"][0] > 0.5


def test_a_classifier_of_keras_hub_is_converted(example):
    """With as many numbers as the rows have directions it stays the same."""
    model = example.build("full", "", vocabulary=300, length=13, topics=4)
    ids = np.arange(2, 28, dtype="int32").reshape(2, 13)
    inputs = {
        "token_ids": ids,
        "segment_ids": np.zeros_like(ids),
        "padding_mask": np.ones_like(ids),
    }
    table = model.get_layer("token_embedding").embeddings
    rows = np.array(keras.ops.convert_to_numpy(table))
    rows[:, 5:] = rows[:, :5] @ np.ones((5, rows.shape[1] - 5))
    table.assign(rows)
    small, report = keras_pss.compress_model(
        model, "mixed_dimension", "10x", layers=["token_embedding"]
    )
    assert report.tables[0].method == "mixed_dimension"
    tokens = small.get_layer("token_embedding")
    assert tokens.count_params() <= rows.size / 10
    expected, found = (
        keras.ops.convert_to_numpy(m(inputs)) for m in (model, small)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
