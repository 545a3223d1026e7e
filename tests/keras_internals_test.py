"""The private names of Keras: each is there, and each in one module."""

import ast
import inspect
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss import keras_internals

PACKAGE = Path(keras_pss.__file__).parent
# Names that Python itself documents.
OWN = {"_asdict", "_make", "_replace", "_getframe", "_exit"}
# What callbacks of ours, which are no layers, call their own attributes.
OWN |= {"_layers", "_metrics"}


def trained():
    layers = [keras.layers.Dense(3), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def test_layers_are_found_where_keras_finds_them():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model = keras.Sequential([keras.Input((4,)), inner])
    direct = list(keras_internals.direct_sublayers(model))
    assert inner in direct
    assert inner.layers[-1] not in direct
    found = list(keras_internals.all_layers(model))
    assert {id(model), id(inner), id(inner.layers[-1])} <= set(map(id, found))


def test_variables_are_found_in_the_lists_of_an_optimizer():
    model = trained()
    optimizer = model.optimizer
    assert keras_internals.count_trained(optimizer) == 4
    places = [
        keras_internals.place_among_trained(optimizer, variable)
        for variable in model.trainable_variables
    ]
    assert places == [0, 1, 2, 3]
    other = keras.Variable(np.zeros(3))
    assert keras_internals.place_among_trained(optimizer, other) is None


def test_keras_does_not_pack_what_is_marked():
    layer = keras.layers.Embedding(4, 2)
    layer.build()
    keras_internals.mark_quantized(layer)
    with pytest.raises(ValueError, match="already quantized"):
        layer.quantize("int8")
    keras_internals.mark_quantized(layer, False)
    layer.quantize("int8")
    assert layer.quantization_mode == "int8"


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_keras_calls_a_packed_layer_by_the_mixins_methods(mode):
    class Layer(keras_internals.QuantizedCalls, keras.layers.Layer):
        def call(self, x):
            return x + 1

    layer = Layer(dtype=f"{mode}_from_float32")
    keras_internals.mark_quantized(layer)
    assert float(layer(np.float32(1))) == 2
    for name in vars(keras_internals.QuantizedCalls):
        if name.startswith("_") and not name.startswith("__"):
            assert name in vars(keras.layers.Layer), name


def test_keras_asks_the_layer_for_the_error_of_a_mode():
    layer = keras_pss.FullEmbedding(4, 2)
    layer.build()
    with pytest.raises(NotImplementedError, match="'int8' and 'int4'"):
        layer.quantized_call(np.zeros(1, "int32"))


def private_names_of_keras():
    model = trained()
    packed = keras.layers.Embedding(4, 2)
    packed.build()
    packed.quantize("int8")
    held = [
        packed,
        model,
        model.optimizer,
        model.layers[0],
        model.layers[0].kernel,
    ]
    held += [keras.DTypePolicy("float32"), keras.layers.Layer]
    return {
        name
        for each in held
        for name in [*dir(each), *getattr(each, "__dict__", ())]
        if name.startswith("_") and not name.startswith("__")
    }


def imports_keras(tree):
    """Whether a module imports Keras."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            continue
        if any(name.split(".")[0] == "keras" for name in modules):
            return True
    return False


def test_no_other_module_uses_a_private_name_of_keras():
    private = private_names_of_keras() - OWN
    assert {"_is_quantized", "_flatten_layers", "_tracker"} <= private
    used = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE).as_posix()
        if where == "keras_internals.py":
            continue
        tree = ast.parse(path.read_text())
        if not imports_keras(tree):
            continue  # names of its own, then
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in private:
                used.setdefault(where, set()).add(node.attr)
    assert used == {}


def test_the_module_says_which_versions_were_checked():
    text = inspect.getdoc(keras_internals)
    assert "3.15.1" in text
    assert keras.__version__.startswith("3.15.")
