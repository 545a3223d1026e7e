"""What connects replicas, and what is refused."""

import json

import keras
import pytest
import tensorflow as tf

from keras_pss.distribution import Replicas, connect, read_cluster
from keras_pss.training.config import RunConfig
from keras_pss.training.run import check_replicas

pytestmark = pytest.mark.tf_only

HOSTS = ["a:1", "b:1"]


def config(index=1, kind="worker", **cluster):
    cluster = cluster or {"worker": HOSTS}
    return {"cluster": cluster, "task": {"type": kind, "index": index}}


def test_the_chief_is_the_first_worker(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(config()))
    assert read_cluster().index == 1
    whole = config(0, chief=["c:1"], worker=HOSTS)
    monkeypatch.setenv("TF_CONFIG", json.dumps(whole))
    assert read_cluster().addresses == ("c:1", "a:1", "b:1")
    assert read_cluster().index == 1


@pytest.mark.parametrize(
    ("text", "received"),
    [
        (None, "it is not set"),
        ("", "it is not set"),
        ("{", "{, which is not JSON"),
        ("[" * 100_000, "which is not JSON"),
        ("[]", "no object 'cluster' in it"),
        (config(2), "index 2 of the task, which is none of the cluster's 2"),
        (config(-1), "index -1 of the task"),
        (config(True), "index True of the task"),
        (config("1"), "index '1' of the task"),
        (config(kind="ps"), "type 'ps' and index 1"),
        (config(0, ps=HOSTS), "a cluster with 'ps'; each task"),
        (config(0, worker=[]), "worker=[], which is no list of host:port"),
        (config(0, worker="ab"), "worker='ab', which is no list"),
        (config(0, worker=["a", "b"]), "which is no list of host:port"),
        (config(0, worker=["a:1", "a:1"]), "an address twice in a:1, a:1"),
    ],
    ids=range(15),
)
def test_a_wrong_cluster_is_explained(monkeypatch, text, received):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        text = text if isinstance(text, str) else json.dumps(text)
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match="host1:2222") as error:
        connect("multi-worker")
    assert received in str(error.value)


def test_one_device_or_worker_is_not_several(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(config(0, worker=["a:1"])))
    with pytest.raises(ValueError, match="Received: TF_CONFIG with a:1 alone"):
        connect("multi-worker")
    with pytest.raises(ValueError, match=r"several devices.*Received: CPU:0$"):
        connect("mirrored", devices=["CPU:0"])
    with pytest.raises(ValueError, match="one of mirrored, multi-worker, jax"):
        connect("horovod")
    assert connect(None).count == 1


def test_a_port_in_use_is_explained(monkeypatch):
    def fails():
        raise tf.errors.UnknownError(None, None, "Could not start gRPC server")

    name = "MultiWorkerMirroredStrategy"
    monkeypatch.setattr(tf.distribute, name, fails)
    monkeypatch.setenv("TF_CONFIG", json.dumps(config()))
    with pytest.raises(ValueError, match=r"Free the port.*b:1: Could not"):
        connect("multi-worker")


def test_other_backends_are_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="Received: backend=torch"):
        connect("mirrored")
    with pytest.raises(ValueError, match=r"needs JAX\. Set KERAS_BACKEND=jax"):
        connect("jax")


def test_replicas_divide_the_global_batch():
    replicas = Replicas()
    replicas.count = 3
    replicas.check_batch_size(6)
    with pytest.raises(ValueError, match="batch_size=8 for 3 replicas"):
        replicas.check_batch_size(8)


@pytest.mark.parametrize(
    ("workers", "settings", "message"),
    [
        (1, {"jit_compile": True}, "Leave out `jit_compile` or `distribute`"),
        (2, {"precision": "mixed_float16"}, "Choose precision 'mixed_bfloat16"),
        (1, {"precision": "mixed_float16"}, None),
        (2, {"precision": "mixed_bfloat16", "jit_compile": False}, None),
        (2, {"batch_size": 63}, "batch_size=63 for 2 replicas"),
    ],
    ids=range(5),
)
def test_settings_that_replicas_refuse(workers, settings, message):
    replicas = Replicas()
    replicas.count, replicas.workers, replicas.strategy = 2, workers, object()
    settings = RunConfig(**{"batch_size": 64, **settings})
    if message is None:
        check_replicas(replicas, settings)
        return
    with pytest.raises(ValueError, match=message):
        check_replicas(replicas, settings)
