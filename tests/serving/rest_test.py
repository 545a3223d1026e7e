"""The REST server: Keras' probabilities, and requests that are wrong."""

import base64
import json
import math
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served_shop import get, post

from keras_pss.serving.rest.app import app, described
from keras_pss.serving.rest.request_error import RequestError
from keras_pss.serving.rest.serve import serve
from keras_pss.serving.rest.served_model import ServedModel

pytestmark = pytest.mark.tf_only
MAX_BYTES = 200_000


@pytest.fixture(scope="module")
def url(shop):
    model = ServedModel(shop.saved_model, "shop", 1, max_rows=100)
    config = uvicorn.Config(
        app(model, MAX_BYTES), port=0, ws="none", log_level="warning"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1/models/shop"
    server.should_exit = True
    thread.join()


def raw(rows):
    return {"signature_name": "serve_raw", "instances": rows}


def test_rows_get_the_probabilities_of_keras(url, shop):
    for body in (
        raw(shop.rows),
        {
            "signature_name": "serve_raw",
            "inputs": {k: [row[k] for row in shop.rows] for k in shop.rows[0]},
        },
    ):
        status, answer = post(f"{url}:predict", body)
        assert status == 200
        (found,) = answer.values()
        np.testing.assert_allclose(found, shop.wanted, atol=1e-6)
    strict = [
        {**row, "price": None if math.isnan(row["price"]) else row["price"]}
        for row in shop.rows
    ]
    assert strict != shop.rows
    status, answer = post(f"{url}:predict", raw(strict))
    np.testing.assert_allclose(answer["predictions"], shop.wanted, atol=1e-6)
    status, answer = post(f"{url}/versions/1:predict", raw(shop.rows[3:4]))
    np.testing.assert_allclose(
        answer["predictions"], shop.wanted[3:4], atol=1e-6
    )


def test_a_signature_of_one_input_needs_no_name(url, shop):
    import tensorflow as tf

    served = tf.saved_model.load(str(shop.saved_model))
    assert "serve_examples" in served.signatures
    row = shop.rows[0]
    texts = {"user": [row["user"]], "viewed": [x for x in row["viewed"] if x]}
    features = {
        name: tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[x.encode() for x in values])
        )
        for name, values in texts.items()
    }
    features["at"] = tf.train.Feature(
        int64_list=tf.train.Int64List(value=[row["at"]])
    )
    features["price"] = tf.train.Feature(
        float_list=tf.train.FloatList(value=[row["price"]])
    )
    example = tf.train.Example(features=tf.train.Features(feature=features))
    coded = {"b64": base64.b64encode(example.SerializeToString()).decode()}
    for body in (
        {"instances": [coded]},
        {"instances": [{"examples": coded}]},
        {"inputs": [coded]},
        {"inputs": {"examples": [coded]}},
    ):
        body["signature_name"] = "serve_examples"
        status, answer = post(f"{url}:predict", body)
        assert status == 200, answer
        np.testing.assert_allclose(
            next(iter(answer.values())), shop.wanted[:1], atol=1e-6
        )


def test_it_says_what_it_serves(url):
    status, answer = get(url)
    assert status == 200
    (version,) = answer["model_version_status"]
    assert (version["version"], version["state"]) == ("1", "AVAILABLE")
    status, answer = get(f"{url}/versions/1/metadata")
    assert status == 200
    assert answer["model_spec"]["name"] == "shop"
    served = answer["metadata"]["signature_def"]["signature_def"]["serve_raw"]
    assert {name: x["dtype"] for name, x in served["inputs"].items()} == {
        "user": "DT_STRING",
        "viewed": "DT_STRING",
        "price": "DT_DOUBLE",
        "at": "DT_INT64",
    }
    shapes = {
        name: [int(dim["size"]) for dim in x["tensor_shape"]["dim"]]
        for name, x in served["inputs"].items()
    }
    assert shapes == {
        "user": [-1],
        "viewed": [-1, -1],
        "price": [-1],
        "at": [-1],
    }
    assert list(served["outputs"]) == ["probability"]


def without(row, name):
    return {key: value for key, value in row.items() if key != name}


# What is wrong, the request's body as a function of a row, status, message.
WRONG = {
    "no JSON": (lambda row: b"{", 400, "not JSON in UTF-8"),
    "empty": (lambda row: b"", 400, "not JSON in UTF-8"),
    "no UTF-8": (lambda row: b'{"instances": "\xff"}', 400, "not JSON in"),
    "nested": (lambda row: b"[" * 90_000, 400, "not JSON in UTF-8"),
    "digits": (lambda row: b"9" * 9_000, 400, "not JSON in UTF-8"),
    "twice": (
        lambda row: b'{"instances": [], "instances": [1]}',
        400,
        "The key 'instances' stands twice",
    ),
    "a list": (lambda row: [row], 400, "A request is an object"),
    "nothing": (lambda row: None, 400, "A request is an object"),
    "both": (
        lambda row: {**raw([row]), "inputs": row},
        400,
        'either "instances", a list of rows, or "inputs"',
    ),
    "neither": (lambda row: {}, 400, 'either "instances"'),
    "key": (
        lambda row: {**raw([row]), "instance": 1},
        400,
        "Received: 'instance'. Did you mean 'instances'?",
    ),
    "signature": (
        lambda row: {**raw([row]), "signature_name": "raw"},
        400,
        "must be one of 'serve'",
    ),
    "no text": (
        lambda row: {**raw([row]), "signature_name": ["serve_raw"]},
        400,
        "must be one of",
    ),
    "no rows": (lambda row: raw([]), 400, "must be a list of one or more rows"),
    "one row": (lambda row: raw(row), 400, "must be a list of one or more"),
    "no object": (lambda row: raw([row, 7]), 400, "Received row 1: 7"),
    "missing": (
        lambda row: raw([without(row, "price")]),
        400,
        "has no ['price']. A missing number is null or NaN",
    ),
    "missing later": (
        lambda row: raw([row, without(row, "user")]),
        400,
        "row 1 of the \"instances\" must have all inputs, but has no ['user']",
    ),
    "unknown": (
        lambda row: raw([{**row, "prise": 1}]),
        400,
        "alone, but has 'prise'. Did you mean 'price'?",
    ),
    "null": (
        lambda row: raw([{**row, "at": None}]),
        400,
        "dtype int64. Received null. A missing number is null or NaN",
    ),
    "null text": (
        lambda row: raw([{**row, "user": None}]),
        400,
        "dtype string. Received null. A missing number is null or NaN, and a "
        'missing text is ""',
    ),
    "text for a number": (
        lambda row: raw([{**row, "price": "1.5"}]),
        400,
        "The input 'price' has the dtype float64. Received a text: '1.5'",
    ),
    "boolean": (
        lambda row: raw([{**row, "price": True}]),
        400,
        "Received a truth value: True",
    ),
    "real for an integer": (
        lambda row: raw([{**row, "at": 1.5e9}]),
        400,
        "The input 'at' has the dtype int64. Received a number: 1500000000.0",
    ),
    "number for a text": (
        lambda row: raw([{**row, "user": 7}]),
        400,
        "The input 'user' has the dtype string. Received a whole number: 7",
    ),
    "beyond int64": (
        lambda row: raw([{**row, "at": 2**63}]),
        400,
        "an integer that int64 does not hold: 9223372036854775808",
    ),
    "beyond float64": (
        lambda row: raw([{**row, "price": 10**400}]),
        400,
        "a number beyond float64",
    ),
    "infinite": (
        lambda row: raw([{**row, "price": float("inf")}]),
        400,
        "Column `price` must hold finite numbers. Received: inf",
    ),
    "half a character": (
        lambda row: raw([{**row, "user": "\ud800"}]),
        400,
        "half of a character",
    ),
    "bytes": (
        lambda row: raw([{**row, "user": {"b64": "/w=="}}]),
        400,
        "Column `user` must be UTF-8. Received: \\xff",
    ),
    "base64": (
        lambda row: raw([{**row, "user": {"b64": "!"}}]),
        400,
        "Received no base64",
    ),
    "base64 of a number": (
        lambda row: raw([{**row, "user": {"b64": 1}}]),
        400,
        "Received no base64",
    ),
    "scalar for a list": (
        lambda row: raw([{**row, "viewed": "i1"}]),
        400,
        "The input 'viewed' has the shape (?, ?), with the rows first. "
        "Received: less than 2 axes",
    ),
    "list for a scalar": (
        lambda row: raw([{**row, "user": ["u1"]}]),
        400,
        "more than 1 axes",
    ),
    "ragged": (
        lambda row: raw([row, {**row, "viewed": ["i1"]}]),
        400,
        "lists of different lengths, axis 1",
    ),
    "rows": (
        lambda row: {
            "signature_name": "serve_raw",
            "inputs": {
                key: [value] * (2 if key == "user" else 1)
                for key, value in row.items()
            },
        },
        400,
        "All inputs must have the same number of rows",
    ),
    "many": (
        lambda row: raw([row] * 101),
        413,
        "at most 100 rows. Split it, or start the server with a larger "
        "--max-rows. Received: 101 rows",
    ),
    "large": (
        lambda row: raw([{**row, "user": "u" * MAX_BYTES}]),
        413,
        "at most 200,000 bytes",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_request_is_told_what_is_wrong(what, url, shop):
    body, wanted, message = WRONG[what]
    status, answer = post(f"{url}:predict", body(shop.rows[0]))
    assert status == wanted, answer
    assert message in answer["error"]
    assert "Traceback" not in answer["error"]
    assert "\n" not in answer["error"]
    answers(url, shop)


def answers(url, shop):
    status, answer = post(f"{url}:predict", raw(shop.rows[:2]))
    assert status == 200
    np.testing.assert_allclose(
        answer["predictions"], shop.wanted[:2], atol=1e-6
    )


def test_another_address_is_told_which_there_are(url, shop):
    for path, status, message in (
        (f"{url[:-4]}shoq:predict", 404, "'shop', not 'shoq'. Did you mean"),
        (f"{url}/versions/2:predict", 404, "has version 1 of 'shop', not '2'"),
        (f"{url}/versions/x:predict", 404, "has version 1 of 'shop', not 'x'"),
        (f"{url}/nothing", 404, "Send POST to /v1/models/NAME:predict"),
        (f"{url}:classify", 404, "Received: GET ...:classify"),
    ):
        body = raw(shop.rows[:1])
        found, answer = post(path, body) if "predict" in path else get(path)
        assert (found, message in answer["error"]) == (status, True), answer
    assert get(f"{url}:predict")[0] == 405
    assert post(url, {})[0] == 405


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["NaN", "", "i1", 10**19, {"b64": "/w=="}]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["user", "price", "b64", "x", "instances"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.dictionaries(
        st.sampled_from(["user", "viewed", "price", "at", "other"]), VALUES
    ),
    top=st.dictionaries(
        st.sampled_from(["instances", "inputs", "signature_name", "y"]),
        VALUES,
        max_size=1,
    ),
    cut=st.none() | st.integers(0, 300),
)
def test_whatever_is_sent_is_answered(url, shop, changes, top, cut):
    body = {**raw([{**shop.rows[0], **changes}, shop.rows[1]]), **top}
    text = json.dumps(body).encode()[:cut]
    status, answer = post(f"{url}:predict", text)
    assert status in (200, 400), answer
    if status == 200:
        assert len(answer["predictions"]) == 2
        np.testing.assert_allclose(
            answer["predictions"][1], shop.wanted[1], atol=1e-6
        )
    else:
        assert answer["error"]


def test_broken_connections_leave_it_answering(url, shop):
    port = int(url.split(":")[2].split("/")[0])
    head = b"POST /v1/models/shop:predict HTTP/1.1\r\nHost: x\r\n"
    for sent in (
        b"\x00\xff\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        head + b"Content-Length: 1000\r\n\r\n{",  # and no more of it
        head + b"Content-Length: -1\r\n\r\n{}",
        head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(sent)
    answers(url, shop)


def test_many_at_once_get_their_own_answers(url, shop):
    def ask(row):
        _, answer = post(f"{url}:predict", raw([shop.rows[row]]))
        return answer["predictions"][0]

    rows = list(range(len(shop.rows))) * 2
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, rows))
    np.testing.assert_allclose(found, shop.wanted[rows], atol=1e-6)


def test_a_server_says_what_is_no_model(tmp_path):
    with pytest.raises(ValueError, match="cannot load the SavedModel in"):
        ServedModel(tmp_path, "shop", 1, 10)
    (tmp_path / "saved_model.pb").write_bytes(b"no protocol buffer")
    with pytest.raises(ValueError, match="cannot load the SavedModel in"):
        ServedModel(tmp_path, "shop", 1, 10)


def test_any_damage_is_told(tmp_path, shop):
    variables = "variables/variables.data-00000-of-00001"
    for number, name in enumerate(["saved_model.pb", variables]):
        folder = tmp_path / str(number)
        shutil.copytree(shop.saved_model, folder)
        (folder / name).write_bytes(b"" if number == 0 else b"x")
        with pytest.raises(ValueError, match=r"cannot load the SavedModel in"):
            ServedModel(folder, "m", 1, 10)


def test_signatures_of_other_programs(tmp_path):
    def signature(spec):
        function = tf.function(lambda x: {"y": x}, input_signature=[spec])
        return function.get_concrete_function()

    specs = {
        "half": tf.TensorSpec((None,), tf.bfloat16, "x"),
        "complex": tf.TensorSpec((None,), tf.complex64, "x"),
        "any": tf.TensorSpec(None, tf.float32, "x"),
        "bytes": tf.TensorSpec((None,), tf.uint8, "x"),
    }
    tf.saved_model.save(
        tf.Module(), tmp_path, {k: signature(x) for k, x in specs.items()}
    )
    model = ServedModel(tmp_path, "m", 1, 10)
    model.warm_up()
    shown = described(model)["metadata"]["signature_def"]["signature_def"]
    shape = shown["any"]["outputs"]["y"]["tensor_shape"]
    assert shape == {"dim": [], "unknown_rank": True}

    def predict(name, *values):
        rows = list(values)
        return model.predict({"instances": rows, "signature_name": name})

    assert json.dumps(predict("half", 1.5)) == '{"predictions": [1.5]}'
    with pytest.raises(RequestError, match=r"as JSON: .* complex64"):
        predict("complex", 1.5)
    with pytest.raises(RequestError, match=r"as JSON: .* shape \(\.\.\.\)"):
        predict("any", 1.5)
    with pytest.raises(RequestError, match=r"uint8 does not hold: -1$"):
        predict("bytes", 200, -1)


def test_a_port_that_is_taken_meanwhile(shop, monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        # Both are bound, and the other one is the first to listen.
        monkeypatch.setattr(ServedModel, "warm_up", lambda _: other.listen())
        with pytest.raises(OSError, match="cannot listen on"):
            serve(shop.saved_model, port=other.getsockname()[1])
