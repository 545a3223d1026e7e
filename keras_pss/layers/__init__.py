"""Embedding layers, and layers that compute feature interactions.

Each kind of layer has its own subpackage. The public classes are listed
in exports.py; those of the compression methods in embedding/methods.py.
Layers use `keras.ops` only; the differences between backends are in
`keras_pss/ops`.
"""

import typing as _typing

from keras_pss.on_demand import names_of as _names_of

if _typing.TYPE_CHECKING:
    from keras_pss.layers.exports import *  # noqa: F403
else:  # for a type checker, `__getattr__` would have any name
    __getattr__, __dir__ = _names_of(__name__)
