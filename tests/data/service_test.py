"""Input servers of tf.data, in this process, and what is refused."""

import json
import shutil
import socket
import subprocess
import sys
from queue import Empty

import numpy as np
import pytest
import tensorflow as tf

from keras_pss import data
from keras_pss.data.service import checks
from keras_pss.data.service.failures import InputLost

pytestmark = pytest.mark.tf_only


@pytest.fixture
def used():
    """A port that something uses which never answers."""
    with socket.socket() as server:
        server.bind(("", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_in_use_and_an_unknown_host_are_explained(used):
    with pytest.raises(ValueError, match=rf"`port` must be a free.*{used}"):
        data.InputServer("localhost", used)
    with pytest.raises(ValueError, match=r"`worker_port` must be a free"):
        data.InputServer("localhost", 0, used)
    with pytest.raises(ValueError, match=r"`host` must be.*no\.invalid"):
        data.InputServer("no.invalid", 0)


def test_what_does_not_answer_as_an_input_server_is_refused(
    used, tmp_path, monkeypatch
):
    class Silent:
        def __init__(self, make):
            pass

        def get(self, timeout):
            raise Empty

        def stop(self):
            pass

    monkeypatch.setattr(checks, "Reading", Silent)
    metadata = tmp_path / "metadata.json"
    with pytest.raises(InputLost, match=r"sends nothing.*--host NAME.*127\."):
        checks.check_servers([f"127.0.0.1:{used}"], metadata, 0)
    with pytest.raises(InputLost, match=r"Start it with `keras-pss data-se.*"):
        checks.check_servers(["no.invalid:1"], metadata, 0)


def test_servers_with_other_versions_or_rows_are_refused(tmp_path, monkeypatch):
    metadata = tmp_path / "metadata.json"
    metadata.write_text('{"rows": 1}')
    missing = tf.errors.NotFoundError(None, None, "no such file")
    same = tf.constant(json.dumps(checks.versions()))
    old = tf.errors.FailedPreconditionError(None, None, "protocol version 8")

    def check(*found):
        answers = list(found)
        monkeypatch.setattr(checks, "answers", lambda _: True)
        monkeypatch.setattr(checks, "_first", lambda *_: answers.pop(0))
        checks.check_servers(["a:1"], metadata, 0)

    check(same, tf.constant('{"rows":1}'))
    for found, message in (
        ([missing], r"started with `keras-pss data-service`.*grpc://a:1"),
        ([tf.constant('{"tensorflow": "1"}')], r"Install the same.*'1'} at"),
        ([old], r"Install the same ones.*protocol version 8 at grpc://a:1"),
        ([same, missing], r"same path as the trainer.*grpc://a:1 cannot read"),
        ([same, tf.constant("{}")], r"Copy the folder again.*other rows"),
    ):
        with pytest.raises(ValueError, match=message):
            check(*found)


@pytest.mark.slow
def test_batches_are_those_read_here_although_a_server_stops(
    prepared, tmp_path
):
    servers = [data.InputServer("localhost", 0) for _ in range(2)]
    service = data.InputService(
        [each.address for each in servers], compress=True
    )
    batches = data.service_dataset(prepared, service, batch_size=33, skip=5)
    expected = data.dataset(prepared, batch_size=33, repeat=True, skip=5)
    assert batches.element_spec == expected.element_spec
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY
    pairs = zip(batches, expected, strict=True)
    for _, (found, wanted) in zip(range(300), pairs, strict=False):
        tf.nest.map_structure(np.testing.assert_array_equal, found, wanted)
        if len(servers) == 2:
            servers.pop(0).stop()
    assert len(service.lost) == 1
    assert service.failure is None
    copy = tmp_path / "copy"
    shutil.copytree(prepared.directory, copy)
    log = data.load(copy)
    shutil.rmtree(copy)
    with pytest.raises(ValueError, match=r"same path.*copy, which grpc://loc"):
        data.InputService(servers[0].address).check(log)
    servers[0].stop()


@pytest.mark.slow
def test_python_ends_although_batches_are_being_read(prepared):
    """An iterator that is alive at the end would wait for its generator."""
    server = data.InputServer("localhost", 0)
    code = (
        "import sys; from keras_pss import data\n"
        "batches = data.service_dataset(*sys.argv[1:], batch_size=64)\n"
        "iterator = iter(batches); next(iterator)\n"
        "raise ValueError('after a batch')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(prepared.directory), server.address],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    server.stop()
    assert "ValueError: after a batch" in done.stderr
    assert done.returncode == 1
