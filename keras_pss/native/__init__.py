"""Compiled kernels: whether they are in use, and how to disable them.

They only speed up lookups: each kernel computes what the `keras.ops` path
computes, which is used wherever no kernels were built. Build them with
`keras-pss build-ops`.
"""

import typing as _typing

from keras_pss.on_demand import names_of as _names_of

if _typing.TYPE_CHECKING:
    from keras_pss.native.exports import *  # noqa: F403
else:  # for a type checker, `__getattr__` would have any name
    __getattr__, __dir__ = _names_of(__name__)
