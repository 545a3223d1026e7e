"""Click logs: Criteo's, and synthetic ones in the same format.

TensorFlow is loaded only when a `tf.data` pipeline is made.
"""

from keras_pss.data import criteo, synthetic

__all__ = ["criteo", "synthetic"]
