"""CTR models as Functional models that are given their embedding layers."""

from keras_pss.models.autoint import AutoInt as AutoInt
from keras_pss.models.dcn import DCN as DCN
from keras_pss.models.dcn_v2 import DCNv2 as DCNv2
from keras_pss.models.deepfm import DeepFM as DeepFM
from keras_pss.models.dlrm import DLRM as DLRM
from keras_pss.models.fibinet import FiBiNET as FiBiNET
from keras_pss.models.model import Model as Model
from keras_pss.models.neural_cf import NeuralCF as NeuralCF
from keras_pss.models.xdeepfm import XDeepFM as XDeepFM
