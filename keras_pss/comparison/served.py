"""The model of a run as it is served, where its tables are stored packed."""

from typing import Any

import keras

from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.layers.base.budget import BYTES_A_PARAMETER
from keras_pss.metrics.click_metrics import Metrics
from keras_pss.planning import memory_report
from keras_pss.serving.own_storage import pack
from keras_pss.training.scorer import Scorer


def full_bytes(parameters: int) -> int:
    """Bytes of full tables, which are stored in float32."""
    return BYTES_A_PARAMETER * parameters


def served_bytes(line: dict[str, Any]) -> int:
    """Bytes of the served tables of a run, index tables included.

    Args:
        line: Result of the run. Those of earlier versions have no tables that
            are packed, and their float tables are what they serve.
    """
    return line.get("served_bytes", line["embedding_bytes"])


def served(model: keras.Model, data: ClickLog) -> dict[str, Any]:
    """The bytes that the served tables take, and the packed model's metrics.

    Call it last: it packs the model.

    Returns:
        `served_bytes`, index tables included; and, where tables are packed,
        `packed_auc` and `packed_logloss` of the test rows, else None.
    """
    found: dict[str, Any] = {"packed_auc": None, "packed_logloss": None}
    if pack(model):
        metrics = Metrics.of(*Scorer(model, data).whole("test"))
        found = {
            "packed_auc": metrics.auc,
            "packed_logloss": metrics.logloss,
        }
    return {"served_bytes": memory_report(model).total.serving_bytes, **found}
