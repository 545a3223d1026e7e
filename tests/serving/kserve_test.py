"""KServe's server with an exported model (make test-serving)."""

import socket
import time

import numpy as np
import pytest
import served_shop
from served_shop import EXAMPLES, get, post

pytest.importorskip("kserve")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_kserve_answers_as_keras_does(shop):
    port = free_port()
    command = [
        *(EXAMPLES / "kserve_server.py", "--model_name", "shop"),
        *("--model_dir", shop.model, "--http_port", port),
        *("--enable_grpc", "false"),
    ]
    with served_shop.process(command, "Uvicorn running"):
        url = f"http://127.0.0.1:{port}/v1/models/shop"
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if get(url)[0] == 200:
                    break
            except OSError:
                time.sleep(0.2)
        # It reads JSON strictly, without NaN.
        rows = [
            {k: None if v != v else v for k, v in row.items()}
            for row in shop.rows
        ]
        body = {"signature_name": "serve_raw", "instances": rows}
        status, answer = post(f"{url}:predict", body)
        assert status == 200, answer
        np.testing.assert_allclose(
            answer["predictions"], shop.wanted, atol=1e-6
        )
        for wrong in ([], [{"user": "u"}], [{**shop.rows[0], "price": "x"}]):
            body["instances"] = wrong
            status, answer = post(f"{url}:predict", body)
            assert status == 400, answer
            assert "instances" in str(answer) or "price" in str(answer)
        body["instances"] = shop.rows[:1]
        assert post(f"{url}:predict", body)[0] == 200
