"""A test double of TensorFlow Serving's gRPC server: PredictionService.

It speaks the real protocol, with the messages of tensorflow-serving-api, and
runs the SavedModel by TensorFlow. What is no part of it: the server's own
loading, batching and errors.
"""

from concurrent import futures
from contextlib import contextmanager

import grpc
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_pss.serving.versions import versions


class PredictionServiceDouble(
    prediction_service_pb2_grpc.PredictionServiceServicer
):
    def __init__(self, name, folder):
        self._name = name
        self._folders = versions(folder)
        self._models = {
            number: tf.saved_model.load(str(path))
            for number, path in self._folders.items()
        }

    def Predict(self, request, context):
        version = self._version(request.model_spec, context)
        name = request.model_spec.signature_name or "serving_default"
        signature = self._models[version].signatures[name]
        expected = signature.structured_input_signature[1]
        if set(expected) != set(request.inputs):
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"input size does not match signature: {sorted(expected)}",
            )
        given = {
            key: tf.make_ndarray(value) for key, value in request.inputs.items()
        }
        for key, spec in expected.items():
            if request.inputs[key].dtype != spec.dtype.as_datatype_enum:
                context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT, f"{key}: wrong dtype"
                )
        try:
            outputs = signature(
                **{
                    k: tf.constant(v, expected[k].dtype)
                    for k, v in given.items()
                }
            )
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        answer = predict_pb2.PredictResponse()
        answer.model_spec.CopyFrom(request.model_spec)
        answer.model_spec.version.value = version
        for key, value in outputs.items():
            answer.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return answer

    def GetModelMetadata(self, request, context):
        version = self._version(request.model_spec, context)
        graph = saved_model_pb2.SavedModel()
        path = self._folders[version] / "saved_model.pb"
        graph.ParseFromString(path.read_bytes())
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for key, value in graph.meta_graphs[0].signature_def.items():
            signatures.signature_def[key].CopyFrom(value)
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.metadata["signature_def"].Pack(signatures)
        return answer

    def _version(self, spec, context):
        version = max(self._models)
        if spec.HasField("version"):
            version = spec.version.value
        if spec.name != self._name or version not in self._models:
            context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"Servable not found for request: {spec.name}, {version}",
            )
        return version


@contextmanager
def serving(name, folder):
    """Its address on this machine."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionServiceDouble(name, folder), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
