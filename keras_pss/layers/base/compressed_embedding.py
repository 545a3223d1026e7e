"""What every compressed embedding shares: ids in, rows out, sizes told.

All that a method may override stands here with its documentation, hence the
length.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_pss.layers.base.budget import (
    Budget,
    InfeasibleBudget,
    feasible,
    units,
)
from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    LARGEST_ROW,
    boolean,
    positive_int,
    shown,
)
from keras_pss.layers.base.memory import MemoryReport
from keras_pss.layers.base.tables import TableLayer, cast_rows
from keras_pss.ops import ids as ids_ops
from keras_pss.optimizers.slots import Optimizer

Tensor = Any


class CompressedEmbedding(TableLayer):
    """Base of the embedding layers: `ids -> address -> gather -> combine`.

    A method declares `tables()`, maps ids to rows of them in `address`
    (integers only) and rows to vectors in `combine` (floats only). One that
    does not fit this form overrides `lookup`.

    Further argument of every method:
        gradient: How the gradient of a gathered table reaches the optimizer.
            `"dense"`: as a tensor of the table's shape. `"sparse"`: as the
            rows that a batch reads, each once, its duplicates summed; on
            TensorFlow graphs of one replica only, and dense elsewhere, as for
            a table that a graph reads a second time. `"auto"`: sparse from
            2^24 numbers on, for tables of rows (not for ROBE's memory).
            Keras' SGD then takes time in proportion to the batch; its Adam
            and Adagrad touch every row either way. (A layer within a
            `tf.function` of your own that a step calls twice needs
            `"dense"`.)

    Call arguments:
        inputs: Integer ids of any shape; dense, sparse (a missing entry is
            id 0) or ragged. Float ids are taken only where every id is exact
            in their dtype.

    Input shape: `(...)`. Output shape: `(..., output_dim)`.

    Raises:
        ValueError: For an id without a row, in eager execution. A TensorFlow
            graph raises `InvalidArgumentError`; code compiled by XLA cannot
            raise and returns NaN for that id.
    """

    # Whether ids need no upper bound, so that `input_dim` may be None.
    open_vocabulary = False

    # Whether it is smaller than the table, so that a budget says by how much.
    compresses = True
    # Whether all tables of a collection share the numbers of one memory.
    one_memory = False
    # The argument that a budget decides.
    sized_by = ""
    # What to do where the budget is too small.
    budget_advice = "Give a larger budget or choose another method."

    def __init__(
        self,
        input_dim: int | None,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        gradient: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            gradient,
            **kwargs,
        )
        self.check_shape(input_dim, output_dim)
        # An integer, or None where the method has an open vocabulary.
        self.input_dim: Any = input_dim
        self.output_dim = output_dim
        self.mask_zero = boolean("mask_zero", mask_zero)
        self.supports_masking = mask_zero

    @classmethod
    def check_shape(cls, input_dim: Any, output_dim: Any) -> None:
        """Raises for a table that this method cannot stand for."""
        if input_dim is not None or not cls.open_vocabulary:
            positive_int("input_dim", input_dim, LARGEST_DIM)
        positive_int("output_dim", output_dim, LARGEST_ROW)

    @classmethod
    def smallest_size(
        cls, input_dim: Any, output_dim: int, **kwargs: Any
    ) -> int:
        """What a budget counts of the method's smallest layer for a table.

        Args:
            input_dim: An integer; None for an open vocabulary.
            output_dim: Columns of the table.
            **kwargs: Further arguments of the constructor.
        """
        raise NotImplementedError

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: Any, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        """Constructor arguments of the largest layer within a size.

        Args:
            size: At least `smallest_size`: trained numbers, index tables and
                codes, in units of four bytes.
            input_dim, output_dim: Shape of the table.
            **kwargs: Further arguments of the constructor.
        """
        raise NotImplementedError

    @classmethod
    def index_size(cls, input_dim: Any, output_dim: int, **kwargs: Any) -> int:
        """The part of `smallest_size` that index tables take."""
        return 0

    @classmethod
    def from_budget(
        cls,
        input_dim: int | None,
        output_dim: int,
        budget: Budget | str | int,
        **kwargs: Any,
    ) -> Self:
        """The largest layer of this method within a budget.

        Args:
            input_dim, output_dim: Shape of the table that it replaces.
            budget: `"1000x"`, an int (parameters, units of four bytes) or
                `"10MB"`, of all that the served layer stores, index tables
                included.
            **kwargs: Further arguments of the constructor.

        Raises:
            InfeasibleBudget: A ValueError, if the method has no size within
                the budget.
        """
        cls.check_shape(input_dim, output_dim)
        cls.check_unsized(kwargs)
        budget = Budget.parse(budget)
        full = None if input_dim is None else input_dim * output_dim
        size = budget.parameters(full)
        smallest = cls.smallest_size(input_dim, output_dim, **kwargs)
        if size < smallest:
            index = cls.index_size(input_dim, output_dim, **kwargs)
            tables = f", {index} of them index tables," if index else ""
            raise InfeasibleBudget(
                f"{cls.__name__} needs a budget of at least "
                f"{feasible(smallest, full)}{tables} for a table of "
                f"{input_dim} x {output_dim}. {cls.budget_advice} "
                f"Received: budget={budget}, which allows {size}"
            )
        return cls.of_size(size, input_dim, output_dim, **kwargs)

    @classmethod
    def option_names(cls, options: Mapping[str, Any]) -> list[str]:
        """Arguments of the method's own, beside those of every layer.

        Args:
            options: Those that are given, on which others may depend.
        """
        common = {*inspect.signature(CompressedEmbedding.__init__).parameters}
        given = inspect.signature(cls.__init__).parameters
        return [name for name in given if name not in common]

    @classmethod
    def size_name(cls, options: Mapping[str, Any]) -> str:
        """The one of them that a budget decides; empty where none is."""
        return cls.sized_by

    @classmethod
    def sized(cls, input_dim: Any, output_dim: int, **kwargs: Any) -> Self:
        """The layer of a table, of the size that its arguments say."""
        return cls(input_dim, output_dim, **kwargs)

    @classmethod
    def fuse(
        cls,
        input_dims: Sequence[int | None],
        output_dim: int,
        numbers: Sequence[int],
        size: int | None = None,
        **kwargs: Any,
    ) -> TableLayer | None:
        """Many tables as one layer with one lookup, where the method has one.

        Args:
            input_dims, output_dim: Shapes of the tables.
            numbers: The tables' places in their collection.
            size: Parameters of all; None where the arguments say the size.
            **kwargs: Further arguments of the constructor.

        Returns:
            A layer of `(n, F)` valid ids to `(n, F, output_dim)` rows, a
            `TableGroup`; None for a layer of its own for each table.
        """
        return None

    @classmethod
    def check_unsized(cls, arguments: dict[str, Any]) -> None:
        """Raises for an argument that the budget decides about."""
        for name in {cls.sized_by, "memory"} & set(arguments):
            raise ValueError(
                f"The budget decides about `{name}` of {cls.__name__}. Leave "
                f"it out, or call {cls.__name__} itself. "
                f"Received: {name}={shown(arguments[name])}"
            )

    @classmethod
    def of_size(
        cls, size: int, input_dim: Any, output_dim: int, **kwargs: Any
    ) -> Self:
        """The largest layer within a size, which must be enough."""
        found = cls.arguments_within(size, input_dim, output_dim, **kwargs)
        return cls(input_dim, output_dim, **{**kwargs, **found})

    def address(self, ids: Tensor) -> dict[str, Tensor]:
        """Row numbers for each table: `(n,)` ids to `(n, ...)` integers."""
        raise NotImplementedError

    def combine(self, rows: dict[str, Tensor]) -> Tensor:
        """Gathered rows of each table to vectors `(n, output_dim)`."""
        raise NotImplementedError

    def lookup(self, ids: Tensor) -> Tensor:
        """Rows of valid ids: `(n,)` integers to `(n, output_dim)` floats."""
        return self.combine(
            {
                name: self.gather_rows(name, index)
                for name, index in self.address(ids).items()
            }
        )

    def latent(self, ids: Tensor) -> Tensor:
        """Rows before the method's last linear map: `(n,)` ids to `(n, k)`.

        `lookup(ids)` is `project(latent(ids))`. A method that ends in a
        linear map overrides all three, and a bag pools before that map.
        """
        return self.lookup(ids)

    def project(self, latent: Tensor) -> Tensor:
        """The method's last linear map: `(..., k)` to `(..., output_dim)`."""
        return latent

    def latent_sums(
        self,
        ids: Tensor,
        splits: Callable[[], Tensor | None],
        weights: Tensor | None,
    ) -> Tensor | None:
        """Sums of `latent` over bags, where a kernel gives them at once.

        Args:
            ids: `(n,)` ids as they come.
            splits: Gives int32 `(bags + 1,)`, where each bag begins, then n;
                None for bags that do not lie one after another.
            weights: Floats `(n,)`, or None for ones.

        Returns:
            float32 `(bags, k)`, or None where rows are to be looked up.
        """
        return None

    def observe(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        """Sees the ids of each training step; for layers that count them.

        Args:
            inputs: As in a call.
            mask: Booleans of the shape of dense ids, False for padding.
        """

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = ids_ops.uncut(inputs, self.name)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Tensor) -> Tensor:
        return self.mapped(self.lookup, inputs)

    def mapped(
        self,
        function: Callable[[Tensor], Tensor],
        inputs: Tensor,
        dtype: str | None = None,
    ) -> Tensor:
        """A function of valid flat ids, on ids as they come.

        Args:
            function: `(n,)` valid ids to `(n, k)` floats, as `lookup`.
            inputs: Ids of any shape; dense, sparse or ragged.
            dtype: Of the result, by default the compute dtype.

        Returns:
            Floats `inputs.shape + (k,)`; NaN for ids without a row where
            nothing can be raised.
        """
        dtype = dtype or self.compute_dtype

        def rows(ids: Tensor) -> Tensor:
            ids, valid = ids_ops.checked(ids, self.input_dim, self.name)
            return cast_rows(function(ids), valid, dtype)

        ids_ops.check_dtype(inputs.dtype, self.input_dim, self.name)
        return ids_ops.map_flat(rows, inputs)

    def compute_mask(self, inputs: Tensor, mask: Any = None) -> Any:
        if not self.mask_zero:
            return None
        if not ids_ops.is_ragged(inputs):
            inputs = ids_ops.densified(inputs)
        return ops.not_equal(inputs, 0)

    def compute_output_shape(
        self, input_shape: Sequence[int | None]
    ) -> tuple[int | None, ...]:
        return (*input_shape, self.output_dim)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        ids_ops.check_dtype(inputs.dtype, self.input_dim, self.name)
        return keras.KerasTensor(
            self.compute_output_shape(inputs.shape),
            dtype=self.compute_dtype,
            ragged=getattr(inputs, "ragged", False),
        )

    def materialize(
        self, ids: Any = None, batch_size: int = 1 << 16
    ) -> np.ndarray:
        """The uncompressed rows, as a NumPy array.

        Args:
            ids: 1-D array of ids; None for all of `[0, input_dim)`.
            batch_size: Ids looked up at once, to bound the memory.

        Returns:
            float32 array of shape `(len(ids), output_dim)`.
        """
        if ids is None:
            if self.input_dim is None:
                raise ValueError(
                    f"Layer '{self.name}' has an open vocabulary "
                    "(input_dim=None), which has no last row. Give `ids`."
                )
            ids = np.arange(self.input_dim, dtype="int32")
        if not self.built:
            self.build()
        ids = np.asarray(ids)
        ids = ids_ops.uncut(ids, self.name)
        ids_ops.check_dtype(ids.dtype, self.input_dim, self.name)
        out = np.empty((len(ids), self.output_dim), np.float32)
        for begin in range(0, len(ids), batch_size):
            part = ops.convert_to_tensor(ids[begin : begin + batch_size])
            part, _ = ids_ops.checked(part, self.input_dim, self.name)
            rows = ops.convert_to_numpy(self.lookup(part))
            out[begin : begin + batch_size] = rows
        return out

    def budget_size(self) -> int:
        """What a budget counts: all that the served layer stores.

        Trained numbers and index tables, in units of four bytes. A method
        whose served form is smaller than four bytes a number counts that.
        """
        report = self.memory_report()
        return report.parameters + units(report.index_bytes)

    def memory_report(self, optimizer: Optimizer = "adam") -> MemoryReport:
        """Parameters and bytes of the layer beside the table it replaces."""
        full = None
        if self.input_dim is not None:
            full = self.input_dim * self.output_dim
        return MemoryReport.of(self, full, optimizer)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {
            **config,
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "mask_zero": self.mask_zero,
        }
