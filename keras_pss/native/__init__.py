"""Compiled kernels: whether they are in use, and how to turn them off.

They are an accelerator and never a second meaning: each computes what the
`keras.ops` path computes, which serves wherever they were not built. Build
them with `keras-pss build-ops`.
"""

from keras_pss.native.dispatch import available as available
from keras_pss.native.switch import disabled as disabled
