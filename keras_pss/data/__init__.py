"""Criteo's click logs, synthetic ones in the same format, and MovieLens.

TensorFlow is loaded only when a `tf.data` pipeline is made.
"""

from keras_pss.data import criteo, movielens, synthetic

__all__ = ["criteo", "movielens", "synthetic"]
