"""The kernels of the backend in use, where they can be used."""

import functools
import warnings
from types import ModuleType
from typing import Any

from keras import backend

from keras_pss.native import library, switch, tracing


def available() -> bool:
    """Whether lookups outside of exports use compiled kernels.

    That is: they were built for this backend, version and machine, load, and
    are not turned off.
    """
    return switch.on() and _loaded(backend.backend()) is not None


def kernels() -> Any:
    """The kernels for what is being computed or traced now, or None.

    A module with `robe_lookup`, `gather_rows` and, on TensorFlow, `check_ids`
    and `sum_equal`.
    """
    if not switch.on():
        return None
    module = _loaded(backend.backend())
    if module is None or not module.usable() or tracing.exporting():
        return None
    return module


@functools.lru_cache
def _loaded(name: str) -> ModuleType | None:
    """The backend's kernels with their library loaded, or None."""
    if name == "tensorflow":
        from keras_pss.native import tensorflow_kernels as module
    elif name == "jax":
        from keras_pss.native import jax_kernels as module  # type: ignore[no-redef]
    else:
        return None
    path = library.find(name, module.version())
    if path is None:
        return None
    try:
        module.load(path)
    except Exception as error:
        # Whatever a loader raises, the other path still works.
        warnings.warn(
            f"The native kernels in {path.parent} do not load. Lookups take "
            "the slower path. Build them anew with `keras-pss build-ops "
            f"--force`. ({error})",
            library.NativeWarning,
            stacklevel=2,
        )
        return None
    return module
