"""The models by the strings that name them in runs."""

from typing import Any

from keras_pss.models.autoint import AutoInt
from keras_pss.models.dcn import DCN
from keras_pss.models.dcn_v2 import DCNv2
from keras_pss.models.deepfm import DeepFM
from keras_pss.models.dlrm import DLRM
from keras_pss.models.fibinet import FiBiNET
from keras_pss.models.neural_cf import NeuralCF
from keras_pss.models.xdeepfm import XDeepFM

MODELS: dict[str, Any] = {
    "dlrm": DLRM,
    "dcn": DCN,
    "dcnv2": DCNv2,
    "deepfm": DeepFM,
    "autoint": AutoInt,
    "xdeepfm": XDeepFM,
    "fibinet": FiBiNET,
    "neuralcf": NeuralCF,
}
