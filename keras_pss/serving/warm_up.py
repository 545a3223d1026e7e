"""Requests that TensorFlow Serving runs while it loads a model."""

from pathlib import Path
from typing import Any

import numpy as np

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
SIZES = (1, 32)  # rows of the requests for each signature


def write(
    folder: Path,
    requests: dict[str, dict[str, np.ndarray]],
    model_name: str = "",
) -> None:
    """Writes the warm-up requests of a SavedModel.

    They are records of `tensorflow.serving.PredictionLog`, each with a
    `PredictRequest`. Without them, the first real request pays for what a
    loaded model sets up.

    Args:
        folder: Folder of the SavedModel.
        requests: For each signature the valid inputs of at least 32 rows.
        model_name: Name of the model on the server. Default: none.

    Reference: https://www.tensorflow.org/tfx/serving/saved_model_warmup
    """
    import tensorflow as tf

    (folder / FILE).parent.mkdir(exist_ok=True)
    log = _prediction_log()
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for signature, inputs in requests.items():
            for size in SIZES:
                record = log()
                request = record.predict_log.request
                request.model_spec.name = model_name
                request.model_spec.signature_name = signature
                for name, values in inputs.items():
                    proto = tf.make_tensor_proto(values[:size])
                    request.inputs[name] = proto.SerializeToString()
                writer.write(record.SerializeToString())


def _prediction_log() -> Any:
    """The class of the message `tensorflow.serving.PredictionLog`.

    Its package, tensorflow-serving-api, needs `tensorflow` and would replace
    tensorflow-cpu. So the few fields that are used are declared here, in a
    pool of their own. A tensor is declared as bytes, which is the same on the
    wire as the message of these bytes.
    """
    from google.protobuf import (
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    file = descriptor_pb2.FileDescriptorProto(
        name="keras_pss/prediction_log.proto",
        package="keras_pss",
        syntax="proto3",
    )
    kinds = descriptor_pb2.FieldDescriptorProto

    def message(name: str, *fields: tuple[str, int, str]) -> Any:
        made = file.message_type.add(name=name)
        for label, number, kind in fields:
            field = made.field.add(
                name=label, number=number, label=kinds.LABEL_OPTIONAL
            )
            if kind in ("string", "bytes"):
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
            else:
                field.type = kinds.TYPE_MESSAGE
                field.type_name = f".keras_pss.{kind}"
        return made

    message("ModelSpec", ("name", 1, "string"), ("signature_name", 3, "string"))
    request = message(
        "PredictRequest",
        ("model_spec", 1, "ModelSpec"),
        ("inputs", 2, "PredictRequest.InputsEntry"),
    )
    request.field[1].label = kinds.LABEL_REPEATED
    entry = request.nested_type.add(name="InputsEntry")
    entry.options.map_entry = True
    for number, (name, kind) in enumerate(
        (("key", kinds.TYPE_STRING), ("value", kinds.TYPE_BYTES)), start=1
    ):
        entry.field.add(
            name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL
        )
    message("PredictLog", ("request", 1, "PredictRequest"))
    message("PredictionLog", ("predict_log", 6, "PredictLog"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("keras_pss.PredictionLog")
    return message_factory.GetMessageClass(found)
