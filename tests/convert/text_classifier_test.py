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


def test_a_compressed_classifier_learns_and_loads(
    example, tmp_path, monkeypatch
):
    """Words tell the topic, so a table that learns nothing would be at 1/4."""
    found = {}
    build = example.build

    def kept(method, *arguments):
        found[method] = build(method, *arguments)
        return found[method]

    monkeypatch.setattr(example, "build", kept)
    scores = example.main(
        [
            *("--methods", "tt", "--budget", "4x", "--words", "300"),
            *("--topics", "4", "--sentences", "1200", "--epochs", "3"),
        ]
    )
    assert scores["tt"][0] > 0.5
    model = found["tt"]
    tokens = model.get_layer("token_embedding")
    assert isinstance(tokens, keras_pss.TTEmbedding)
    assert tokens.memory_report().compression >= 4
    path = tmp_path / "model.keras"
    model.save(path)
    again = keras.models.load_model(path)
    ids = np.arange(2, 15, dtype="int32")[None]
    inputs = {
        "token_ids": ids,
        "segment_ids": np.zeros_like(ids),
        "padding_mask": np.ones_like(ids),
    }
    np.testing.assert_array_equal(
        *(keras.ops.convert_to_numpy(m(inputs)) for m in (again, model))
    )
