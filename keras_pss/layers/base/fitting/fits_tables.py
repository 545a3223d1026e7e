"""Layers whose weights a trained table, or several, can determine."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from keras_pss import keras_internals
from keras_pss.layers.base.checks import shown
from keras_pss.layers.base.fitting.fit_report import FitReport
from keras_pss.layers.base.fitting.passes import Passes
from keras_pss.layers.initial_values.stored import weights_are_fitted
from keras_pss.ops.fitting import variables
from keras_pss.ops.fitting.errors import Errors
from keras_pss.ops.fitting.trained_table import TrainedTable


class FitsTables:
    """What a fit needs of a layer, of one table or of several.

    A class beside a `keras.layers.Layer`.
    """

    name: str
    built: bool
    build: Any

    def fitted_shapes(self) -> dict[Any, tuple[int | None, int]]:
        """Shape of each table, by what a user calls it.

        None is the number of rows of an open vocabulary.
        """
        raise NotImplementedError

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        """Sets the weights of the built layer to those of the best rows.

        Args:
            tables: One table for each of `fitted_shapes`, all numbers finite.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no fit to a trained table. Train it "
            "from scratch, or choose another method. "
            f"Received: layer '{self.name}'"
        )

    def rows_at(self, ids: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Rows of the layer, `(n, width)` for each table.

        Args:
            ids: int32 `(n,)` ids of each table, with the same n.
        """
        raise NotImplementedError

    def check_fits(self) -> None:
        """Raises an error if a fit would not be right for this layer."""
        check_free(self)


def check_free(layer: Any) -> None:
    """Raises an error unless weights may change: neither packed nor frozen.

    Raises:
        ValueError: Names the first layer within `layer` that may not change.
    """
    for part in keras_internals.all_layers(layer):
        if getattr(part, "quantization_mode", None) is not None:
            raise ValueError(
                f"Layer '{part.name}' is packed, so it cannot hold what a fit "
                "finds. Fit a layer with a float dtype, then call `quantize`. "
                f"Received: dtype={part.dtype_policy.name}"
            )
        if not part.trainable:
            raise ValueError(
                f"Layer '{part.name}' is frozen, and a fit would change it. "
                "Set trainable=True for the time of the fit. "
                "Received: trainable=False"
            )


@contextmanager
def unfrozen(layer: Any) -> Iterator[None]:
    """Lets a fit change a layer, whether it is frozen or not."""
    trainable = layer.trainable
    layer.trainable = True
    try:
        yield
    finally:
        layer.trainable = trainable


def fit(
    layer: Any,
    tables: Sequence[Any],
    counts: Sequence[Any],
    progress: Any,
    argument: str,
) -> FitReport:
    """Fits a layer to its trained tables; see `CompressedEmbedding.fit_table`.

    Args:
        layer: A layer with the methods of `FitsTables`.
        tables, counts: The tables, and the counts of each, or None.
        progress: As in `Passes`.
        argument: Name of the user's argument, for error messages.
    """
    passes = Passes(progress)
    layer.check_fits()
    trained = [
        _checked(name, table, each, shape, argument, passes)
        for (name, shape), table, each in zip(
            layer.fitted_shapes().items(), tables, counts, strict=True
        )
    ]
    for table in trained:
        _check_finite(table, argument, layer)
    if not layer.built:
        with weights_are_fitted():
            layer.build()
    with np.errstate(over="ignore"):  # the errors tell
        layer.fit_to(trained)
        errors = measured(layer, trained)
    if not math.isfinite(errors.error):
        raise ValueError(
            f"The rows of layer '{layer.name}' are not finite in its dtype. "
            f"Use 'float32'. Received: dtype={layer.dtype_policy.name}"
        )
    size = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
    return FitReport.of(errors, size)


def measured(layer: Any, tables: Sequence[TrainedTable]) -> Errors:
    """Errors of the rows of a layer for given tables, block by block."""
    errors = Errors()
    step = min(table.step for table in tables)
    longest = max(tables, key=lambda table: table.rows)
    report = longest.start_pass and longest.start_pass(longest.rows)
    for begin in range(0, longest.rows, step):
        block = np.arange(begin, min(begin + step, longest.rows))
        size = len(block)
        # All tables have as many ids; beyond their ends the last one again.
        ids = [
            np.minimum(block, table.rows - 1).astype(np.int32)
            for table in tables
        ]
        found = layer.rows_at(ids)
        for table, own in zip(tables, found, strict=True):
            end = min(begin + size, table.rows)
            if begin >= end:
                continue
            counts = table.counts
            errors.add(
                table.read(begin, end),
                own[: end - begin],
                None if counts is None else counts[begin:end],
            )
        if report:
            report(begin + size)
    return errors


def _checked(
    name: Any,
    table: Any,
    counts: Any,
    shape: tuple[int | None, int],
    argument: str,
    passes: Passes,
) -> TrainedTable:
    """A table and its counts, whose shapes match those of the layer."""
    text = argument if name is None else f"{argument}[{name!r}]"
    if isinstance(table, list | tuple):
        table = np.asarray(table)
    found = variables.shape_of(table)
    rows, width = shape
    ok = found is not None and len(found) == 2 and found[1] == width
    if not ok or found is None or found[0] != (rows or found[0]):
        given = f"of shape {found}" if found else shown(table)
        wanted = "n" if rows is None else rows
        raise ValueError(
            f"`{text}` must be the trained rows, an array or anything that "
            f"slices into arrays, of shape ({wanted}, {width}). "
            f"Received: {text}={given}"
        )
    return TrainedTable(
        partial(variables.rows_between, table),
        found[0],
        width,
        checked_counts(counts, found[0]),
        start_pass=passes.start,
    )


def checked_counts(counts: Any, rows: int) -> np.ndarray | None:
    """Counts of all ids, as they are: the fit converts a block at a time."""
    if counts is None:
        return None
    if isinstance(counts, variables.RowRange):
        counts = counts[:rows]
    found = np.asarray(counts)
    ok = found.shape == (rows,) and found.dtype.kind in "uif"
    ok = ok and bool((found >= 0).all()) and bool(found.any())
    if not ok or not np.isfinite(found).all():
        raise ValueError(
            "`counts` must be finite numbers of at least 0, one for each id, "
            f"at least one of them positive, of shape ({rows},). "
            f"Received: counts of dtype {found.dtype} and shape {found.shape}"
        )
    return found


def _check_finite(table: TrainedTable, argument: str, layer: Any) -> None:
    half = layer.variable_dtype == "float16"
    largest = float(np.finfo("float16" if half else "float32").max)
    for block in table.blocks():
        ok = (np.abs(block.rows) <= largest).all(axis=1)
        if not ok.all():
            place = int(np.argmin(ok))
            raise ValueError(
                f"`{argument}` must have finite numbers of at most "
                f"{largest:.3g}, so the model has diverged or the wrong array "
                f"was given. Received: row {block.ids[place]}, "
                f"{shown(block.rows[place])}"
            )


class FitsSeveralTables(FitsTables):
    """A layer of several tables, which one call fits to trained ones."""

    def fit_tables(
        self, tables: Any, counts: Any = None, progress: Any = False
    ) -> FitReport:
        """Sets the weights such that the rows are nearest to trained tables.

        See `CompressedEmbedding.fit_table`, which does so for one table.

        Args:
            tables: A list of trained tables, or a dict of them by name for
                tables with names; or one array of all tables below each
                other, if they have the same width.
            counts: For each table the numbers of occurrences of its ids, in
                the same form. Defaults to None, all alike.
            progress: As in `fit_table`.

        Returns:
            A `keras_pss.FitReport` of the numbers of all tables together.

        Raises:
            ValueError: As in `fit_table`, and if there is not one table for
                each of the layer's.
        """
        shapes = self.fitted_shapes()
        each, rows = _by_table("tables", tables, shapes, None)
        of_each: list[Any] = [None] * len(each)
        if counts is not None:
            of_each, _ = _by_table("counts", counts, shapes, rows)
        return fit(self, each, of_each, progress, "tables")


def _by_table(
    name: str,
    given: Any,
    shapes: Mapping[Any, tuple[int | None, int]],
    rows: list[int] | None,
) -> tuple[list[Any], list[int] | None]:
    """One argument as a list of one item for each table.

    Args:
        name: Name of the argument.
        given: A list, a dict, or an array of all tables below each other.
        shapes: The shape of each table.
        rows: The numbers of rows, if they are known from another argument.

    Returns:
        The items, and the numbers of rows if they divided an array.
    """
    names = list(shapes)
    if isinstance(given, Mapping) and set(given) == set(names):
        return [given[each] for each in names], rows
    if isinstance(given, list | tuple) and len(given) == len(names):
        return list(given), rows
    dims = rows or [n for n, _ in shapes.values() if n is not None]
    shape = variables.shape_of(given)
    if len(dims) == len(names) and shape and shape[0] == sum(dims):
        ends = np.cumsum(dims)
        return [
            variables.RowRange(given, int(end - n), n)
            for end, n in zip(ends, dims, strict=True)
        ], dims
    text = f"of shape {shape}" if shape else shown(given)
    raise ValueError(
        f"`{name}` must have one entry for each of the {len(names)} tables "
        f"({shown(names)}): a list, a dict by these names, or an array of all "
        f"tables below each other. Received: {name}={text}"
    )
