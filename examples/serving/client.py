"""Asks a server for the click probabilities of raw rows, by REST or gRPC.

    python examples/serving/client.py --model shop --rows rows.json
    python examples/serving/client.py --model shop --rows rows.json \\
        --grpc localhost:8500

`rows.json` is a list of rows, each an object with the columns of the log:
`[{"user": "u7", "item": "", "price": 1.5}]`. A missing text is `""`, and a
missing number NaN. REST needs nothing but Python; gRPC needs

    pip install tensorflow-serving-api

It prints a probability a line. Both work with TensorFlow Serving, and REST with
`keras-pss serve` as well, in a second at most once the server is up.
"""

import argparse
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

SIGNATURE = "serve_raw"
OUTPUT = "probability"


class ServerError(Exception):
    """The server's own words about a request that it refused."""


def by_rest(server, model, rows, version=None, signature=SIGNATURE, timeout=10):
    """Probabilities of rows, from a REST server.

    Args:
        server: Address, such as `"http://localhost:8501"`.
        model: Name of the model.
        rows: List of dictionaries of columns.
        version: Version of the model. Default: the server's choice.
        signature: Name of the signature.
        timeout: Seconds to wait.
    """
    at = "" if version is None else f"/versions/{version}"
    request = urllib.request.Request(
        f"{server}/v1/models/{model}{at}:predict",
        json.dumps({"signature_name": signature, "instances": rows}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            predictions = json.load(answer)["predictions"]
    except urllib.error.HTTPError as error:
        raise ServerError(_words(error.read())) from error
    # A server may have no axis of size 1, or one: both are a number a row.
    return [p[0] if isinstance(p, list) else p for p in predictions]


def by_grpc(server, model, rows, version=None, signature=SIGNATURE, timeout=10):
    """The same from the PredictionService of a gRPC server, `"host:port"`.

    It asks for the signature first, whose dtypes the columns must have.
    """
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    with grpc.insecure_channel(server) as channel:
        service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        question = get_model_metadata_pb2.GetModelMetadataRequest()
        request = predict_pb2.PredictRequest()
        for spec in (question.model_spec, request.model_spec):
            spec.name = model
            if version is not None:
                spec.version.value = version
        question.metadata_field.append("signature_def")
        request.model_spec.signature_name = signature
        try:
            described = service.GetModelMetadata(question, timeout)
            signatures = get_model_metadata_pb2.SignatureDefMap()
            described.metadata["signature_def"].Unpack(signatures)
            if signature not in signatures.signature_def:
                raise ServerError(f"The model has no signature {signature!r}.")
            inputs = signatures.signature_def[signature].inputs
            for name, spec in inputs.items():
                column = [row[name] for row in rows]
                request.inputs[name].CopyFrom(
                    tf.make_tensor_proto(column, dtype=spec.dtype)
                )
            answer = service.Predict(request, timeout)
        except grpc.RpcError as error:
            raise ServerError(error.details()) from error
    return tf.make_ndarray(answer.outputs[OUTPUT]).reshape(-1).tolist()


def _words(body):
    try:
        return json.loads(body)["error"]
    except (ValueError, KeyError):
        return body.decode(errors="replace")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rest", default="http://localhost:8501")
    parser.add_argument("--grpc", help="host:port, instead of --rest")
    parser.add_argument("--model", required=True)
    parser.add_argument("--version", type=int)
    parser.add_argument("--signature", default=SIGNATURE)
    parser.add_argument(
        "--rows", type=Path, required=True, help="JSON list of rows"
    )
    given = parser.parse_args()
    rows = json.loads(given.rows.read_text())
    asks, server = (
        (by_grpc, given.grpc) if given.grpc else (by_rest, given.rest)
    )
    try:
        scores = asks(server, given.model, rows, given.version, given.signature)
    except ServerError as error:
        sys.exit(f"client.py: {error}")
    except OSError as error:
        sys.exit(f"client.py: no answer from {server}: {error}")
    print(*scores, sep="\n")


if __name__ == "__main__":
    main()
