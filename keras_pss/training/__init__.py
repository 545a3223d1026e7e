"""Training runs on click logs."""

import typing as _typing

from keras_pss.on_demand import names_of as _names_of

if _typing.TYPE_CHECKING:
    from keras_pss.training.exports import *  # noqa: F403
else:  # for a type checker, `__getattr__` would have any name
    __getattr__, __dir__ = _names_of(__name__)
