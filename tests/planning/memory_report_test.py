"""The memory report of a model, against what Keras really keeps."""

import json

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.ops.dtypes import itemsize
from keras_pss.optimizers import RowwiseAdagrad, for_tables
from keras_pss.optimizers.slots import OPTIMIZER_SLOTS, ROW_OPTIMIZERS


def model_of_tables():
    memory = keras_pss.SharedMemory(300)
    ids = keras.Input((2,), dtype="int32")
    rows = [
        keras_pss.ROBEEmbedding(500, 8, memory=memory, name="users")(ids),
        keras_pss.ROBEEmbedding(900, 4, memory=memory, name="items")(ids),
        keras_pss.TTEmbedding(1000, 4, rank=2, name="shops")(ids),
        keras.layers.Embedding(50, 4, name="days")(ids),
    ]
    joined = keras.layers.Concatenate()(rows)
    return keras.Model(ids, keras.layers.Dense(3, name="head")(joined))


def test_shared_memory_is_counted_once():
    model = model_of_tables()
    report = keras_pss.memory_report(model)
    assert set(report.layers) == {"users", "items", "shops", "days"}
    assert report.layers["users"].parameters == 300
    tables = model.count_params() - report.other_parameters
    assert report.total.parameters == tables
    assert report.other_parameters == 3 * 20 + 3
    full = 500 * 8 + 900 * 4 + 1000 * 4 + 50 * 4
    assert report.total.full_parameters == full
    assert report.total.compression == full / tables
    assert report.total.lookup_bytes == 4 * (8 + 4 + 4) + (
        report.layers["shops"].lookup_bytes
    )
    assert json.loads(json.dumps(report.as_dict()))["optimizer"] == "adam"


def test_printed_as_a_table():
    text = str(keras_pss.memory_report(model_of_tables(), "sgd"))
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["layer", "parameters", "uncompressed"]
    assert lines[2].split()[:2] == ["users", "300"]
    assert lines[-2].startswith("all tables")
    assert lines[-1].startswith("optimizer: sgd; ")
    assert lines[-1].endswith(": 63")


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        ("adam", keras.optimizers.Adam),
        ("adamw", keras.optimizers.AdamW),
        ("sgd", keras.optimizers.SGD),
        ("momentum", lambda: keras.optimizers.SGD(momentum=0.9)),
        ("adagrad", keras.optimizers.Adagrad),
        ("rmsprop", keras.optimizers.RMSprop),
        ("ftrl", keras.optimizers.Ftrl),
        ("nadam", keras.optimizers.Nadam),
        ("adamax", keras.optimizers.Adamax),
        ("adadelta", keras.optimizers.Adadelta),
        ("lamb", keras.optimizers.Lamb),
        ("lion", keras.optimizers.Lion),
    ],
)
def test_the_optimizers_slots_are_those_that_keras_keeps(name, optimizer):
    model = model_of_tables()
    model.compile(optimizer(), "mse")
    model.optimizer.build(model.trainable_variables)
    report = keras_pss.memory_report(model)
    assert report.optimizer == type(model.optimizer).__name__.lower()
    kept = sum(
        4 * int(np.prod(v.shape))
        for v in model.optimizer.variables
        if len(v.shape)
    )
    others = 4 * report.other_parameters * OPTIMIZER_SLOTS[name]
    assert report.total.optimizer_bytes == kept - others


@pytest.mark.filterwarnings("ignore:The lookup of keras.layers.Embedding")
@pytest.mark.parametrize("name", ROW_OPTIMIZERS)
def test_row_optimizers_keep_what_the_report_says(name):
    """Adam keeps two numbers for each one of factors and of the network."""
    ids = keras.Input((3,), dtype="int32")
    layers = [
        keras_pss.FullEmbedding(50, 20, name="full", dtype="bfloat16"),
        keras_pss.MixedDimensionEmbedding(50, 20, inner_dim=2, name="narrow"),
        keras.layers.Embedding(30, 20, name="stock", dtype="float16"),
    ]
    rows = sum(layer(ids) for layer in layers)
    model = keras.Model(ids, keras.layers.Dense(1)(rows))
    model.compile(for_tables(model, ROW_OPTIMIZERS[name]()), "mse")
    model.optimizer.build(model.trainable_variables)
    report = keras_pss.memory_report(model)
    kept = sum(
        itemsize(v.dtype) * int(np.prod(v.shape))
        for v in model.optimizer.variables
        if len(v.shape)
    )
    others = 2 * 4 * report.other_parameters
    assert report.total.optimizer_bytes == kept - others
    assert report.optimizer == f"{name.replace('_', '')} and adam"
    # The name stands for the same choice, also before a layer is built.
    named = keras_pss.memory_report(model, name)
    assert named.layers == report.layers
    layer = keras_pss.MixedDimensionEmbedding(50, 20, inner_dim=2)
    assert layer.memory_report(name) == report.layers["narrow"]
    with pytest.raises(ValueError, match="so the layers must be built"):
        keras_pss.FullEmbedding(5, 4).memory_report(model.optimizer)


def test_accumulated_gradients_count_for_row_optimizers():
    layer = keras_pss.FullEmbedding(50, 20)
    optimizer = RowwiseAdagrad(gradient_accumulation_steps=2)
    assert layer.memory_report(optimizer).optimizer_bytes == 4 * (50 + 1000)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.Adam(amsgrad=True),
        lambda: keras.optimizers.Adam(gradient_accumulation_steps=4),
        lambda: keras.optimizers.SGD(use_ema=True, momentum=0.9),
        lambda: keras.optimizers.RMSprop(centered=True, momentum=0.9),
    ],
    ids=["amsgrad", "accumulation", "ema", "centered"],
)
@pytest.mark.parametrize("frozen", [False, True])
def test_slots_follow_the_optimizers_settings(optimizer, frozen):
    layer = keras_pss.FullEmbedding(50, 20)
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    layer.trainable = not frozen
    model.compile(optimizer(), "mse")
    model.optimizer.build(model.trainable_variables)
    slots = [v for v in model.optimizer.variables if tuple(v.shape) == (50, 20)]
    report = keras_pss.memory_report(model).total
    assert report.optimizer_bytes == 4000 * len(slots)
    assert bool(slots) != frozen
    gradient = 0 if frozen else 4000
    assert report.training_bytes == 4000 + gradient + report.optimizer_bytes


def test_bags_of_one_embedding_stand_for_one_table():
    layer = keras_pss.FPDEmbedding(1000, 8, rank=4, terms=1)
    ids = keras.Input((3,), dtype="int32")
    bags = [keras_pss.EmbeddingBag(layer, c)(ids) for c in ("sum", "mean")]
    report = keras_pss.memory_report(keras.Model(ids, bags))
    assert len(report.layers) == 2
    assert report.total.full_parameters == 8000
    assert report.total.compression == layer.memory_report().compression


def test_collections_and_custom_layers_are_found():
    class Tower(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="tower")
            self.rows = [keras_pss.FullEmbedding(20, 4, name="inner")]

        def call(self, x):
            return self.rows[0](x)

    ids = keras.Input((2,), dtype="int32")
    collection = keras_pss.EmbeddingCollection([500, 40], 8, "hash", "5x")
    model = keras.Model(ids, [Tower()(ids), collection(ids)])
    report = keras_pss.memory_report(model)
    assert set(report.layers) == {"inner", collection.name}
    assert report.total.parameters == model.count_params()
    assert report.other_parameters == 0


@pytest.mark.parametrize("width", [5, 130])
@pytest.mark.parametrize("ours", [True, False], ids=["keras_pss", "keras"])
def test_what_packing_is_promised_to_give_is_kept(ours, width):
    ids = keras.Input((2,), dtype="int32")
    cls = keras_pss.FullEmbedding if ours else keras.layers.Embedding
    for mode in ("int8", "int4"):
        layer = cls(20, width)
        model = keras.Model(ids, layer(ids))
        promised = keras_pss.memory_report(model).total
        layer.quantize(mode)
        report = keras_pss.memory_report(model).total
        held = sum(
            int(np.prod(w.shape)) * np.dtype(w.dtype).itemsize
            for w in layer.weights
        )
        assert getattr(promised, f"serving_bytes_{mode}") == held
        assert report.serving_bytes == held
        number = {"int8": 1, "int4": 0.5}[mode]
        assert report.lookup_bytes == np.ceil(width * number)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras_pss.EmbeddingCollection([500, 40], 8, "hash", "5x"),
        lambda: keras_pss.EmbeddingBag(keras_pss.FullEmbedding(90, 4)),
        lambda: keras_pss.HotRows(keras_pss.TTEmbedding(90, 4, rank=2), 5),
        lambda: keras_pss.FrequencyFilter(
            keras_pss.EmbeddingCollection([500, 40], 8, "full"), [600, 60]
        ),
        lambda: keras_pss.ROBEEmbedding(
            90, 4, memory=keras_pss.SharedMemory(50)
        ),
        lambda: keras_pss.SharedMemory(50),
        lambda: keras.layers.Embedding(90, 4),
    ],
    ids=["collection", "bag", "hot", "filter", "robe", "memory", "stock"],
)
def test_a_layer_is_reported_on_as_a_model_of_it_is(layer):
    layer = layer()
    report = keras_pss.memory_report(layer, "adagrad")
    assert list(report.layers) == [layer.name]
    if not isinstance(layer, keras_pss.SharedMemory):
        ids = keras.Input((2,), dtype="int32")
        model = keras.Model(ids, layer(ids))
        assert keras_pss.memory_report(model, "adagrad") == report
    layer.build()
    assert report.total.parameters == sum(
        int(np.prod(weight.shape)) for weight in layer.trainable_weights
    )
    assert report.other_parameters == 0


def test_what_has_no_tables_has_none():
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    report = keras_pss.memory_report(layer)
    assert (report.layers, report.other_parameters) == ({}, 15)


@pytest.mark.parametrize("wrong", [keras.layers.Dense, None, "robe", 5])
def test_what_is_no_layer_is_an_error(wrong):
    with pytest.raises(ValueError, match=r"`model` must be a Keras model or"):
        keras_pss.memory_report(wrong)


def test_an_unknown_optimizer_is_an_error():
    model = model_of_tables()
    with pytest.raises(ValueError, match="`optimizer` must be one of"):
        keras_pss.memory_report(model, "adama")
    stock = keras.Sequential([keras.layers.Embedding(5, 4)])
    with pytest.raises(ValueError, match="`optimizer` must be one of"):
        keras_pss.memory_report(stock, "adafactor")
    model.compile(keras.optimizers.Adafactor(), "mse")
    with pytest.raises(
        ValueError, match="The number of slots of Adafactor is unknown"
    ):
        keras_pss.memory_report(model)
