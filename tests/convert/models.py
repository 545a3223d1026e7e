"""Models with uncompressed tables, and what compressing them must give."""

import keras
import numpy as np

import keras_pss
from keras_pss.layers.base.walk import every

ROWS = 600


def ids(rows=16, length=4, seed=0):
    return np.random.RandomState(seed).randint(0, ROWS, (rows, length))


def embedding(name="table", width=4, **kwargs):
    return keras.layers.Embedding(ROWS, width, name=name, **kwargs)


def flat(layer, inputs):
    return keras.layers.Flatten()(layer(inputs))


def outputs(model, x):
    """What a call computes, without the seconds that `predict` compiles."""
    return np.array(keras.ops.convert_to_numpy(model(x, training=False)))


def scaled(model):
    """The model with all tables scaled, so that they matter."""
    for layer in every(model, keras.layers.Embedding):
        layer.embeddings.assign(30 * layer.embeddings)
    return model


def outputs_with_rows_of(new, model, x):
    """Predictions of a model whose tables have the rows of the new layers."""
    layers = {x.name: x for x in every(new, keras_pss.FullEmbedding)}
    layers |= {
        layer.name: layer
        for cls in (keras_pss.ROBEEmbedding, keras_pss.HashedEmbedding)
        for layer in every(new, cls)
    }
    kept = []
    for cls in (keras.layers.Embedding, keras_pss.FullEmbedding):
        for layer in every(model, cls):
            if layer.name in layers:
                table = layer.embeddings
                kept.append((table, keras.ops.convert_to_numpy(table)))
                table.assign(layers[layer.name].materialize())
    assert kept
    found = outputs(model, x)
    for table, values in kept:
        table.assign(values)
    return found
