"""Criteo click logs, synthetic logs in the same format, and MovieLens.

TensorFlow is imported only when a `tf.data` pipeline is created.
"""

from keras_pss.data import criteo, movielens, synthetic

__all__ = ["criteo", "movielens", "synthetic"]
