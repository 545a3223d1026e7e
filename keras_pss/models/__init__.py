"""CTR models, Functional, with their embeddings passed in as a part."""

from keras_pss.models.dlrm import DLRM as DLRM
