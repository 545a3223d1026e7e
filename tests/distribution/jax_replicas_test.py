"""Devices and processes of JAX train as one device."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import workers

import keras_pss

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="devices of JAX"
)
SCRIPT = Path(__file__).parents[1] / "jax_run.py"
TWO_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


def results(done):
    assert done.returncode == 0, done.stderr
    # JAX's collectives print lines of their own.
    lines = [line for line in done.stdout.splitlines() if line[0] == "{"]
    return [json.loads(line) for line in lines]


def task(out, *kinds, **more):
    return json.dumps({"kinds": kinds, "out": str(out), **more})


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def one_process(out):
    """One device, two devices, and two that divide tables."""
    kinds = ("one", "jax", "tables")
    done = subprocess.run(
        [sys.executable, SCRIPT, task(out, *kinds)],
        env={**os.environ, **TWO_DEVICES},
        capture_output=True,
        text=True,
        check=False,
    )
    return dict(zip(kinds, results(done), strict=True))


def same(found, wanted):
    for key, values in wanted["history"].items():
        np.testing.assert_allclose(found["history"][key], values, atol=1e-5)
    assert found["hot"] == wanted["hot"]
    assert found["counters"] == wanted["counters"]
    np.testing.assert_allclose(found["sums"], wanted["sums"], rtol=1e-3)


def same_models(one, other):
    wanted = keras.saving.load_model(one).get_weights()
    found = keras.saving.load_model(other).get_weights()
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.slow
def test_two_devices_train_as_one(one_process, out):
    """With dropout, batch normalization, clipping, and a last batch of 3."""
    same(one_process["jax"], one_process["one"])
    same(one_process["tables"], one_process["one"])
    for kind in ("jax", "tables"):
        same_models(out / "one.keras", out / f"{kind}.keras")
    assert one_process["jax"]["replicas"] == [2, 1, 0]
    assert one_process["tables"]["replicas"] == [1, 1, 0]


@pytest.mark.slow
def test_a_device_holds_its_part_of_a_table_and_of_the_slots(one_process):
    whole = one_process["jax"]["table_bytes"]
    assert whole == 3 * 4 * (1 << 16)  # float32, with Adam's two slots
    assert one_process["tables"]["table_bytes"] == whole / 2


@pytest.mark.slow
def test_two_processes_train_as_one(one_process, out):
    """Each reads its own rows; then, tables are divided among processes."""
    kinds = ("shards", "tables")
    done = workers.run(
        SCRIPT, task(out, *kinds), environments=workers.of_jax(2)
    )
    for index, each in enumerate(done):
        found = dict(zip(kinds, results(each), strict=True))
        assert found["shards"]["replicas"] == [2, 2, index]
        assert found["tables"]["replicas"] == [1, 2, index]
        for kind in kinds:
            same(found[kind], one_process["one"])
        whole = one_process["one"]["table_bytes"]
        assert found["tables"]["table_bytes"] == whole / 2
    same_models(out / "one.keras", out / "shards.keras")
    same_models(out / "one.keras", out / "tables.keras")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "status"), [({"die": [1, 1, 2]}, -9), ({"fail": 1}, 1)]
)
def test_a_process_that_stops_ends_all(tmp_path, how, status):
    done = workers.run(
        SCRIPT,
        task(tmp_path, "jax", **how),
        environments=workers.of_jax(2),
    )
    assert done[1].returncode == status
    assert done[0].returncode == 1
    message = "WorkerLost: Worker 0 of 2 stopped, because another worker"
    assert message in done[0].stderr


def test_one_device_of_a_mesh_trains_as_one():
    """The path of several devices, where there is one."""
    from keras_pss.distribution import Replicas, TableParallel
    from keras_pss.distribution.on_jax.jax_replicas import JaxReplicas

    x, y = np.arange(10.0, dtype="float32")[:, None], np.ones((10, 1))
    found = []
    for replicas in (Replicas(), JaxReplicas(TableParallel(1))):
        keras.utils.set_random_seed(0)
        with replicas.scope():
            model = keras.Sequential([keras.layers.Dense(1)])  # not built yet
            model.compile("sgd", "mse", metrics=["mae"], steps_per_execution=2)
        history = keras.callbacks.History()
        replicas.fit(
            model,
            ((x[i : i + 4], y[i : i + 4]) for i in (0, 4, 8)),
            epochs=1,
            steps_per_epoch=3,
            callbacks=[history],
            verbose=0,
        )
        assert model.train_function is None or replicas.strategy is None
        found.append({**history.history, "weights": model.get_weights()[0]})
    for key, value in found[0].items():
        np.testing.assert_allclose(found[1][key], value, rtol=1e-6)
    keras.distribution.set_distribution(None)
    model.fit(x, y, verbose=0)  # Keras' own training goes on
    model.evaluate(x, y, verbose=0)


def test_what_cannot_be_divided_is_explained():
    from keras_pss.distribution import TableParallel, connect
    from keras_pss.distribution.on_jax import jax_replicas
    from keras_pss.distribution.on_jax.batches import Batches

    with pytest.raises(ValueError, match=r"several devices.*Received: cpu:0"):
        connect("jax")
    with pytest.raises(ValueError, match="Received: model_parallel=2 for 1"):
        TableParallel(2)
    with pytest.raises(ValueError, match="KERAS_BACKEND=tensorflow"):
        connect("mirrored")
    for counts, parts in (([3, 3], 2), ([1, 3], 1)):
        received = f"Received: model_parallel={parts} for .* {counts[0]}, 3 dev"
        with pytest.raises(ValueError, match=received):
            jax_replicas._check_groups(counts, parts)
    for counts, parts in (([4, 4], 2), ([2, 2], 4), ([3], 3), ([2], 1)):
        jax_replicas._check_groups(counts, parts)
    whole, own = (Batches(TableParallel(1), each) for each in (False, True))
    x = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"\(features, labels\).*3 parts"):
        whole((x, x, x))
    with pytest.raises(ValueError, match=r"labels, rows.*Received: 2 parts"):
        own((x, x))
    with pytest.raises(ValueError, match=r"dense arrays.*Received: str"):
        whole(("ids", x))
    with pytest.raises(ValueError, match=r"from 0 to 4294967296$"):
        whole((np.array([0, 2**32]), x))


def test_layers_that_read_their_tables_need_them_whole(monkeypatch):
    from keras_pss import keras_internals
    from keras_pss.distribution import TableParallel
    from keras_pss.distribution.on_jax.jax_replicas import JaxReplicas

    replicas = JaxReplicas(TableParallel(1))
    inner = keras_pss.HashedEmbedding(60, 4, num_buckets=7)
    with replicas.scope():
        layer = keras_pss.HotRows(inner, 5)
        model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    replicas._check_updates(model)
    divided = SimpleNamespace(
        is_fully_addressable=False, is_fully_replicated=False
    )
    monkeypatch.setattr(keras_internals, "held_value", lambda _: divided)
    with pytest.raises(ValueError, match=r"'hot_rows.*or model_parallel=1"):
        replicas._check_updates(model)


def test_processes_that_train_something_else_are_explained(monkeypatch):
    from keras_pss.distribution import TableParallel
    from keras_pss.distribution.on_jax.jax_replicas import JaxReplicas

    replicas = JaxReplicas(TableParallel(1))
    with replicas.scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    monkeypatch.setattr(
        replicas, "on_chief", lambda mine: {**mine(), "steps_per_epoch": 4}
    )
    with pytest.raises(ValueError, match=r"steps_per_epoch=3 on .* and 4 on"):
        replicas.fit(model, iter(()), epochs=1, steps_per_epoch=3)


def test_one_process_tests_the_model_that_its_devices_trained():
    """A table that they divide may be too large for one device."""
    from keras_pss.distribution import Replicas, TableParallel
    from keras_pss.distribution.on_jax.jax_replicas import JaxReplicas
    from keras_pss.training.run import _has_copies

    replicas = JaxReplicas(TableParallel(1))
    assert not _has_copies(replicas)
    assert not _has_copies(Replicas())
    replicas.workers = 2
    assert _has_copies(replicas)


def test_a_model_of_another_device_is_explained():
    from keras_pss.distribution import TableParallel
    from keras_pss.distribution.on_jax.jax_replicas import JaxReplicas

    replicas = JaxReplicas(TableParallel(1))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    replicas._check_built_here(model)
    replicas.strategy = SimpleNamespace(
        device_mesh=SimpleNamespace(
            backend_mesh=SimpleNamespace(devices=np.arange(2))
        )
    )
    with pytest.raises(ValueError, match=r"within `scope`.*on 1 of 2 devices"):
        replicas._check_built_here(model)


@pytest.mark.parametrize(
    ("variables", "received"),
    [
        ({"COUNT": "2"}, "JAX_NUM_PROCESSES without JAX_COORDINATOR_ADDRESS"),
        ({"ADDRESS": "a:1"}, "JAX_COORDINATOR_ADDRESS=a:1 alone"),
        ({"ADDRESS": "a:1", "COUNT": "2"}, "JAX_COORDINATOR_ADDRESS=a:1 alone"),
        ({"ADDRESS": "a:1", "COUNT": "x"}, "JAX_NUM_PROCESSES=x, which is no"),
        (
            {"ADDRESS": "a:1", "COUNT": "2", "INDEX": "2"},
            "JAX_PROCESS_ID=2 of 2 processes",
        ),
        (
            {"ADDRESS": "a", "COUNT": "2", "INDEX": "1"},
            "JAX_COORDINATOR_ADDRESS=a, which is no host:port",
        ),
    ],
    ids=range(6),
)
def test_a_wrong_job_is_explained(monkeypatch, variables, received):
    from keras_pss.distribution import connect
    from keras_pss.distribution.on_jax import processes

    for name in ("ADDRESS", "COUNT", "INDEX"):
        variable = getattr(processes, name)
        monkeypatch.delenv(variable, raising=False)
        if name in variables:
            monkeypatch.setenv(variable, variables[name])
    wanted = f"JAX_PROCESS_ID from 0 on.*Received: {re.escape(received)}"
    with pytest.raises(ValueError, match=wanted):
        connect("jax")


def test_tables_are_divided_by_what_their_parts_have_in_common(
    monkeypatch, caplog
):
    from keras_pss.distribution import table_parallel
    from keras_pss.layers.base.tables import Table

    layout = table_parallel.TableParallel(1)
    layout.model_parallel = 4
    monkeypatch.setattr(table_parallel, "SMALLEST", 24)

    def axes(rows, width, **more):
        return layout._axes(Table(rows, width, None, **more))

    assert axes(8, 3) == ("model", None)
    assert axes(9, 8) == (None, "model")
    assert axes(8, 2) is None, "a small table"
    assert axes(8, 3, whole=True) is None
    assert not caplog.records
    assert axes(9, 9) is None
    assert "9 rows and 9 columns stays whole on each device" in caplog.text
    layout.model_parallel = 1
    with layout.scope():
        layer = keras_pss.FullEmbedding(10, 4)
        layer.build()
    assert layer.weights[0].value.sharding.is_fully_replicated


@pytest.mark.slow
def test_no_tensorflow_is_needed():
    script = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from keras_pss import distribution as d\n"
        "with d.connect(None).scope(): print(d.JaxReplicas.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "JaxReplicas", done.stderr
