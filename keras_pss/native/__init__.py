"""Compiled kernels: whether they are in use, and how to disable them.

They only speed up lookups: each kernel computes what the `keras.ops` path
computes, which is used wherever no kernels were built. Build them with
`keras-pss build-ops`.
"""

from keras_pss.native.dispatch import available as available
from keras_pss.native.switch import disabled as disabled
