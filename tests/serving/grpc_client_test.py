"""The example client by gRPC, and the configuration of TensorFlow Serving."""

import importlib.util
import json
import shutil
import sys
from unittest import mock

import numpy as np
import pytest
from served_shop import EXAMPLES

pytest.importorskip("tensorflow_serving")
import prediction_service_double
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

pytestmark = pytest.mark.tf_only


@pytest.fixture(scope="module")
def client():
    spec = importlib.util.spec_from_file_location(
        "client", EXAMPLES / "client.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def server(shop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions") / "shop"
    for version in ("1", "2"):
        shutil.copytree(shop.saved_model, folder / version)
    with prediction_service_double.serving("shop", folder) as address:
        yield address


def test_grpc_gives_the_probabilities_of_keras(client, server, shop):
    for version in (None, 1, 2):
        found = client.by_grpc(server, "shop", shop.rows, version)
        np.testing.assert_allclose(found, shop.wanted, atol=1e-6)


def test_the_servers_words_come_back(client, server, shop):
    with pytest.raises(client.ServerError, match="not found for request: shoq"):
        client.by_grpc(server, "shoq", shop.rows)
    with pytest.raises(client.ServerError, match="not found for request: sho"):
        client.by_grpc(server, "shop", shop.rows, version=3)
    with pytest.raises(client.ServerError, match="no signature 'raw'"):
        client.by_grpc(server, "shop", shop.rows, signature="raw")
    broken = [{**shop.rows[0], "price": float("inf")}]
    with pytest.raises(client.ServerError, match="`price` must hold finite"):
        client.by_grpc(server, "shop", broken)
    found = client.by_grpc(server, "shop", shop.rows[:1])
    np.testing.assert_allclose(found, shop.wanted[:1], atol=1e-6)


def test_its_command_line_prints_them(client, server, shop, tmp_path, capsys):
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps(shop.rows[:3]))
    command = ["client.py", "--grpc", server, "--model", "shop", "--rows"]
    with mock.patch.object(sys, "argv", [*command, str(rows)]):
        client.main()
    found = [float(line) for line in capsys.readouterr().out.split()]
    np.testing.assert_allclose(found, shop.wanted[:3], atol=1e-6)


def test_the_configuration_is_what_the_server_reads():
    text = (EXAMPLES / "models.config").read_text()
    for state in (text, uncommented(text)):
        config = text_format.Parse(
            state, model_server_config_pb2.ModelServerConfig()
        )
        (model,) = config.model_config_list.config
        assert (model.name, model.model_platform) == ("shop", "tensorflow")
        assert model.model_version_policy.latest.num_versions == 1
    assert model.version_labels == {"stable": 1}


def uncommented(text):
    """With the lines that it suggests."""
    return text.replace("# version_labels", "version_labels")
