"""Selects the kernels of the current backend, where they can be used."""

import functools
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from keras import backend

from keras_pss.native import library, switch, tracing
from keras_pss.native.packed_table import PackedTable

FLOATS = ("float32", "bfloat16", "float16")
INTEGERS = ("int32", "int64")


def available() -> bool:
    """Whether lookups outside of exports use compiled kernels.

    They do if the kernels were built for this backend, version and machine,
    can be loaded, and are not disabled.
    """
    return switch.on() and _loaded(backend.backend()) is not None


def kernels(*values: Any) -> Any:
    """The kernels if they can be used in the current trace, or None."""
    if not switch.on():
        return None
    module = _loaded(backend.backend())
    if (
        module is None
        or not module.usable(*values)
        or tracing.exporting(*values)
        or tracing.vectorizing()
    ):
        return None
    return module


def robe_kernels(memory: Any, ids: Any) -> Any:
    """The kernels if `robe_lookup` supports this memory and these ids."""
    return kernels(memory, ids) if _known(memory, ids) else None


def packed_kernels(tables: Sequence[PackedTable], ids: Any) -> Any:
    """The kernels if they support lookups in packed tables, or None.

    It covers `packed_robe_lookup` and `packed_tensor_train_lookup`, of which
    there are none for GPUs and for tables that devices share.
    """
    arrays = [array for table in tables for array in (table.codes, table.scale)]
    found = kernels(*arrays, ids)
    if found is None or found.on_gpu():
        return None
    return found if all(_known(t, ids) for t in tables) else None


def unpack_kernels(table: PackedTable, index: Any) -> Any:
    """The kernels if `unpack_rows` is the fastest choice, or None.

    XLA gathers and unpacks in one pass by itself.
    """
    return None if compiled_by_xla() else packed_kernels([table], index)


def pair_kernels(tables: Sequence[Any], ids: Any) -> Any:
    """The kernels if `pair_sums` supports two tables; none for GPUs."""
    found = train_kernels(tables, ids)
    return None if found is None or found.on_gpu() else found


def id_kernels(ids: Any) -> Any:
    """The kernels if `distinct_ids` supports these ids; none for GPUs."""
    found = kernels(ids)
    if found is None or found.on_gpu() or not _known(None, ids):
        return None
    return found


def table_kernels(values: Any, ids: Any) -> Any:
    """The kernels if they are the fastest choice for rows of a table, or None.

    They are in TensorFlow graphs on the CPU, by a factor of 1.2 to 4; XLA and
    JAX need no kernels. It covers `sum_equal`, `split_columns` and
    `join_columns`.
    """
    return check_kernels() if _known(values, ids) else None


def row_kernels(values: Any, ids: Any) -> Any:
    """The kernels if `gather_rows` is the fastest choice, or None.

    Unlike `table_kernels`, it includes GPUs where kernels are enabled.
    """
    found = None if compiled_by_xla() else kernels()
    return found if _known(values, ids) else None


def train_kernels(cores: Sequence[Any], ids: Any) -> Any:
    """The kernels if `tensor_train_lookup` supports these cores and ids."""
    found = kernels(*cores, ids)
    return found if all(_known(core, ids) for core in cores) else None


def check_kernels() -> Any:
    """The kernels if `check_ids` can check ids and raise an error, or None."""
    found = None if compiled_by_xla() else kernels()
    return None if found is None or found.on_gpu() else found


def compiled_by_xla() -> bool:
    """Whether XLA compiles the current trace."""
    return backend.backend() != "tensorflow" or tracing.under_xla()


def vectorized() -> bool:
    """Whether TensorFlow traces a function to vectorize it."""
    return tracing.vectorizing()


def _known(values: Any, ids: Any) -> bool:
    """Whether kernels support the dtypes of the given values and ids."""
    return all(
        x is None or backend.standardize_dtype(x.dtype) in known
        for x, known in ((values, FLOATS), (ids, INTEGERS))
    )


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
        module.load(path, library.has_cuda(path))
    except Exception as error:
        # The loader may raise anything, but the `keras.ops` path still works.
        warnings.warn(
            f"The native kernels in {path.parent} do not load. Lookups take "
            "the slower path. Rebuild them with `keras-pss build-ops "
            f"--force`. ({error})",
            library.NativeWarning,
            stacklevel=2,
        )
        return None
    return module
