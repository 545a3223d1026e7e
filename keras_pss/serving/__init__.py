"""Exports models for serving; `raw_rows` serves the raw columns of a log.

`rest` answers requests for an exported model, by TensorFlow alone.
"""

import typing as _typing

from keras_pss.on_demand import names_of as _names_of

if _typing.TYPE_CHECKING:
    from keras_pss.serving.exports import *  # noqa: F403
else:  # for a type checker, `__getattr__` would have any name
    __getattr__, __dir__ = _names_of(__name__)
