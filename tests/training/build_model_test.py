"""What a configuration builds: tables, their sizes, seeds and precision."""

import keras
import numpy as np
import pytest
from runs import changed

from keras_pss.data import criteo
from keras_pss.data.locate import as_click_log
from keras_pss.training.build_model import (
    build_model,
    embedding_parts,
    methods_of,
)
from keras_pss.training.build_optimizer import OPTIMIZERS
from keras_pss.training.config import RunConfig

pytestmark = pytest.mark.tf_only


def test_tables_start_by_their_rows():
    config = RunConfig(method="full", embedding_scale="rows")
    (layer,) = embedding_parts(config, (3, 12, 30_000)).values()
    layer.build()
    table = np.asarray(layer.full.weights[0])
    for rows, part in zip(
        (3, 12, 30_000), np.split(table, [3, 15]), strict=True
    ):
        assert 0.8 * rows**-0.5 < np.abs(part).max() <= rows**-0.5
    with pytest.raises(ValueError, match="a valid number or 'rows'"):
        RunConfig(embedding_scale="row")


@pytest.mark.parametrize("model", ["deepfm", "neuralcf"])
def test_other_models_have_tables_of_their_own(model, data):
    rows = as_click_log(criteo.load(data / "prepared"))
    config = RunConfig(model=model, budget="20x", dim=8)
    built = build_model(config, rows.cardinalities)
    full = sum(rows.cardinalities)
    second, width = {"deepfm": ("wide", 1), "neuralcf": ("mlp_embeddings", 8)}[
        model
    ]
    first = built.get_layer("embeddings").count_params()
    assert 0.9 * full * 8 / 20 < first <= full * 8 / 20
    assert built.get_layer(second).count_params() <= full * width / 20
    # An absolute budget is one of both.
    config = RunConfig(model=model, budget=9000, dim=8)
    built = build_model(config, rows.cardinalities)
    sizes = [
        built.get_layer(name).count_params() for name in ("embeddings", second)
    ]
    assert 8500 < sum(sizes) <= 9000


@pytest.mark.parametrize("known", [False, True])
def test_the_wide_part_takes_widths_of_its_own(data, known):
    rows = as_click_log(criteo.load(data / "prepared"))
    config = RunConfig(
        model="deepfm",
        method="popularity",
        options={"inner_dim": 4},
        budget="8x",
        dim=8,
    )
    columns = range(len(rows.cardinalities))
    counts = [rows.counts(column) for column in columns] if known else None
    built = build_model(config, rows.cardinalities, counts=counts)
    assert built.get_layer("embeddings").options["inner_dim"] == 4
    assert built.get_layer("wide").options["inner_dim"] == 1
    assert {each["method"] for each in methods_of(built).values()} == {
        "popularity"
    }


def test_a_wide_part_that_a_method_cannot_compress_is_hashed(data, caplog):
    rows = as_click_log(criteo.load(data / "prepared"))
    config = RunConfig(
        model="deepfm", method="mixed_dimension", budget="10x", dim=16
    )
    built = build_model(config, rows.cardinalities)
    parts = methods_of(built)
    assert parts["embeddings"] == {"method": "mixed_dimension"}
    assert parts["wide"]["method"] == built.get_layer("wide").method == "hash"
    reason = "method='mixed_dimension' needs a budget of at least"
    assert parts["wide"]["why"].startswith(reason)
    assert "'wide' are hashed instead of method='mixed_dim" in caplog.text
    # Another mistake is no reason to hash.
    with pytest.raises(ValueError, match="`column_shape` must be output_dim=1"):
        build_model(
            changed(config, method="tt", options={"column_shape": [2, 2, 4]}),
            rows.cardinalities,
        )


def test_parts_that_do_not_fit_are_named(data):
    dims = [50, 40, 40, 30]

    def built(**settings):
        return build_model(RunConfig(**settings), dims)

    with pytest.raises(ValueError, match="cannot choose among tables of 40"):
        built(budget="2x", compress_largest=2)
    with pytest.raises(ValueError, match="at most the number of tables with"):
        built(budget="2x", compress_largest=5)
    with pytest.raises(ValueError, match="has first-order tables of one col"):
        built(
            model="deepfm",
            method="robe",
            budget=None,
            options={"memory_size": 99},
        )
    with pytest.raises(ValueError, match="`hidden_units` must be a list"):
        built(model="dcn", budget="2x", model_options={"hidden_units": 400})
    model = built(method="tt", budget=None, options={"rank": 2}, min_rows=40)
    singles = model.get_layer("embeddings").single
    assert [layer.input_dim for layer in singles] == [50, 40, 40]
    assert {layer.rank for layer in singles} == {2}


def test_precision_is_the_runs_alone(data):
    config = RunConfig(budget="20x", precision="mixed_bfloat16", clip_norm=2.0)
    built = build_model(config, [100] * 26)
    assert built.get_layer("embeddings").compute_dtype == "bfloat16"
    assert built.get_layer("probability").compute_dtype == "float32"
    assert built.optimizer.global_clipnorm == 2.0
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({"optimizer": "lazy_adam"}, (1e-3, 1e-3)),
        ({"optimizer": "lazy_adam", "learning_rate": 0.02}, (0.02, 0.02)),
        ({"optimizer": "rowwise_adagrad"}, (1e-2, 1e-3)),
        (
            {
                "optimizer": "lazy_sgd",
                "learning_rate": 0.5,
                "network_learning_rate": 0.1,
            },
            (0.5, 0.1),
        ),
    ],
)
def test_tables_have_an_optimizer_and_a_rate_of_their_own(settings, rates):
    config = RunConfig(method="full", budget=None, clip_norm=3.0, **settings)
    built = build_model(config, [100] * 26)
    assert built.optimizer.global_clipnorm == 3
    tables, network = built.optimizer.optimizers
    assert isinstance(tables, OPTIMIZERS[config.optimizer])
    assert getattr(tables, "momentum", 0.9) == 0.9
    assert isinstance(network, keras.optimizers.Adam)
    found = [float(np.asarray(o.learning_rate)) for o in (tables, network)]
    assert found == pytest.approx(rates)
    assert RunConfig.of(config.as_dict()) == config


def test_warm_up_and_decay_hold_for_both_optimizers():
    config = RunConfig(
        method="full",
        budget=None,
        optimizer="rowwise_adagrad",
        warmup_steps=4,
        decay="linear",
        end_learning_rate=0.001,
    )
    built = build_model(config, [100] * 26, steps=20)
    tables, network = (
        [float(o._learning_rate(step)) for step in (0, 3, 9, 19, 25)]
        for o in built.optimizer.optimizers
    )
    assert tables[1] == pytest.approx(0.01)
    assert tables[-1] == pytest.approx(0.001)
    np.testing.assert_allclose(np.array(network) * 10, tables, rtol=1e-5)


def test_hash_seed_follows_the_run():
    config = RunConfig(budget="2x", seed=9)
    model = build_model(config, [100] * 26)
    assert model.get_layer("embeddings").options["seed"] == 9
    assert isinstance(model.optimizer, keras.optimizers.Adam)


def test_a_log_without_ids_has_no_embeddings():
    with pytest.raises(
        ValueError,
        match=r"`data` must have at least one feature with ids.* 60 dense",
    ):
        build_model(RunConfig(), [], num_dense=60)
