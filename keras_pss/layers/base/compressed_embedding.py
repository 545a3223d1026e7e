"""The base class of all compressed embeddings.

The file is long because it documents everything that a method may override.
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
from keras_pss.layers.base.fitting.fit_report import FitReport
from keras_pss.layers.base.fitting.fits_tables import (
    FitsTables,
    check_free,
    fit,
    unfrozen,
)
from keras_pss.layers.base.fitting.pretrained_table import PretrainedTable
from keras_pss.layers.base.memory import MemoryReport
from keras_pss.layers.base.tables import TableLayer, cast_rows
from keras_pss.layers.initial_values.stored import (
    are_fitted,
    are_stored,
    weights_are_fitted,
)
from keras_pss.ops import ids as ids_ops
from keras_pss.ops import wide_ids
from keras_pss.ops.methods.chain import Chain
from keras_pss.ops.methods.distinct import each_once
from keras_pss.optimizers.slots import Optimizer

Tensor = Any


class CompressedEmbedding(FitsTables, TableLayer):
    """Base of the embedding layers: `ids -> address -> gather -> combine`.

    A method declares its weights in `tables()`, maps ids to row numbers in
    `address` (integers only) and gathered rows to vectors in `combine`
    (floats only). A method that does not fit this scheme overrides `lookup`.

    Args:
        input_dim: Integer n, the number of ids; None for an open vocabulary,
            if the method supports one.
        output_dim: Integer d, the length of a row.
        embeddings_initializer: Initializer of the uncompressed `(n, d)` table
            that the layer represents. Each method scales its parameters so
            that the rows start with that distribution's mean and standard
            deviation. A `keras_pss.PretrainedTable` starts with the rows that
            are nearest to a trained table. Defaults to `"uniform"`.
        embeddings_regularizer: Regularizer of each trained weight.
        embeddings_constraint: Constraint of each trained weight.
        mask_zero: Boolean, whether id 0 is padding that is masked, as in
            `keras.layers.Embedding`. Defaults to False.
        gradient: How the gradient of a gathered table is passed to the
            optimizer. `"dense"`: as a tensor of the table's shape.
            `"sparse"`: as the rows that a batch reads, each row once, with
            the gradients of duplicate ids summed. Sparse gradients need a
            TensorFlow graph with a single replica that reads the table once;
            elsewhere the gradient is dense. `"auto"` (the default): sparse
            for tables of at least 2^24 parameters, except the memory of ROBE.
            With sparse gradients, a step of Keras' SGD takes time in
            proportion to the batch; Adam and Adagrad update every row either
            way. If a step calls the layer twice within a `tf.function` that
            you wrote, use `"dense"`.

    Call arguments:
        inputs: Integer ids of any shape, as a dense, sparse (a missing entry
            is id 0) or ragged tensor. Float ids are accepted only if their
            dtype represents every id exactly.

    Input shape: `(...)`. Output shape: `(..., output_dim)`.

    Raises:
        ValueError: For an out-of-range id in eager execution. A TensorFlow
            graph raises `InvalidArgumentError`. Code compiled by XLA cannot
            raise; it returns NaN for that id.
    """

    # Whether ids need no upper bound, so that `input_dim` may be None.
    open_vocabulary = False

    # Whether the layer can be smaller than the table, so that a budget applies.
    compresses = True
    # Whether all tables of a collection share the parameters of one memory.
    one_memory = False
    # Name of the argument that a budget determines.
    sized_by = ""
    # Advice in the error message for a budget that is too small.
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
        # An integer, or None for an open vocabulary.
        self.input_dim: Any = input_dim
        self.output_dim = output_dim
        self.mask_zero = boolean("mask_zero", mask_zero)
        self.supports_masking = mask_zero

    @classmethod
    def check_shape(cls, input_dim: Any, output_dim: Any) -> None:
        """Raises an error for a table shape that the method cannot represent.

        Raises:
            ValueError: If `input_dim` or `output_dim` is not a positive
                integer within its bounds.
        """
        if input_dim is not None or not cls.open_vocabulary:
            positive_int("input_dim", input_dim, LARGEST_DIM)
        positive_int("output_dim", output_dim, LARGEST_ROW)

    @classmethod
    def smallest_size(
        cls, input_dim: Any, output_dim: int, **kwargs: Any
    ) -> int:
        """Size of the method's smallest layer, as a budget counts it.

        Args:
            input_dim: Integer, rows of the table; None for an open
                vocabulary.
            output_dim: Integer, columns of the table.
            **kwargs: Further arguments of the constructor.

        Returns:
            Integer, in parameters (units of four bytes).
        """
        raise NotImplementedError

    @classmethod
    def smallest_together(
        cls, input_dims: Sequence[Any], output_dim: int, **kwargs: Any
    ) -> int:
        """Size of the smallest memory that several tables can share."""
        return max(
            cls.smallest_size(rows, output_dim, **kwargs) for rows in input_dims
        )

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: Any, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        """Constructor arguments of the largest layer within a size.

        Args:
            size: Integer, at least `smallest_size`. It bounds trained
                parameters, index tables and codes, in units of four bytes.
            input_dim, output_dim: Shape of the table.
            **kwargs: Further arguments of the constructor.
        """
        raise NotImplementedError

    @classmethod
    def index_size(cls, input_dim: Any, output_dim: int, **kwargs: Any) -> int:
        """Size of the index tables within `smallest_size`, in parameters."""
        return 0

    @classmethod
    def from_budget(
        cls,
        input_dim: int | None,
        output_dim: int,
        budget: Budget | str | int,
        **kwargs: Any,
    ) -> Self:
        """Creates the largest layer of this method within a budget.

        Args:
            input_dim, output_dim: Shape of the table that the layer replaces.
            budget: Upper bound on everything that the served layer stores,
                index tables included: a ratio such as `"1000x"`, an int
                (parameters, four bytes each) or a string such as `"10MB"`.
            **kwargs: Further arguments of the constructor.

        Raises:
            InfeasibleBudget: A ValueError, if the budget is below the size of
                the method's smallest layer.
        """
        cls.check_shape(input_dim, output_dim)
        cls.check_unsized(kwargs)
        budget = Budget.parse(budget)
        kwargs = {**cls.budget_options(budget), **kwargs}
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
        """Names of the arguments that only this method has.

        Args:
            options: Dict of the arguments that the user gave. They may
                determine which others exist.
        """
        common = {*inspect.signature(CompressedEmbedding.__init__).parameters}
        given = inspect.signature(cls.__init__).parameters
        return [name for name in given if name not in common]

    @classmethod
    def size_name(cls, options: Mapping[str, Any]) -> str:
        """Name of the argument that a budget determines, or `""`.

        Args:
            options: As in `option_names`.
        """
        return cls.sized_by

    @classmethod
    def divides_size(cls, options: Mapping[str, Any]) -> bool:
        """Whether a rule of the method divides a size among several tables.

        Otherwise a collection keeps the smallest tables uncompressed, and
        divides the rest of a budget in proportion to the tables' sizes.

        Args:
            options: As in `option_names`.
        """
        return False

    @classmethod
    def sized(cls, input_dim: Any, output_dim: int, **kwargs: Any) -> Self:
        """Creates a layer whose arguments, not a budget, determine its size."""
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
        """Creates one layer with one fused lookup for several tables.

        Args:
            input_dims: Rows of each table.
            output_dim: Columns of all tables.
            numbers: Indices of the tables in their collection.
            size: Integer, parameters of all tables together; None if
                `**kwargs` determine the size.
            **kwargs: Further arguments of the constructor.

        Returns:
            A `TableGroup` that maps `(n, F)` valid ids to `(n, F, output_dim)`
            rows; None if the method needs a separate layer for each table.
        """
        return None

    @classmethod
    def shares_memory(cls, options: Mapping[str, Any]) -> bool:
        """Whether the tables of a collection share one memory.

        Args:
            options: Dict of the arguments that the user gave.
        """
        return cls.one_memory

    @classmethod
    def takes_open_vocabulary(cls, options: Mapping[str, Any]) -> bool:
        """Whether `input_dim` may be None with these arguments."""
        return cls.open_vocabulary

    @classmethod
    def fuses_cold(cls, options: Mapping[str, Any]) -> bool:
        """Whether `fuse_cold` creates a layer with these arguments."""
        return cls.shares_memory(options)

    @classmethod
    def smallest_cold(
        cls, input_dims: Sequence[Any], output_dim: int, **kwargs: Any
    ) -> int:
        """Size of the smallest layer of `fuse_cold`, in parameters."""
        return cls.smallest_together(input_dims, output_dim, **kwargs)

    @classmethod
    def fuse_cold(
        cls,
        input_dims: Sequence[int | None],
        output_dim: int,
        numbers: Sequence[int],
        size: int | None = None,
        **kwargs: Any,
    ) -> TableLayer | None:
        """Creates one layer for the ids of several tables that are not hot.

        It is that of `fuse`, unless a method whose tables are separate in a
        collection can be fused under shared hot rows.

        Args: See `fuse`.
        """
        return cls.fuse(input_dims, output_dim, numbers, size, **kwargs)

    @classmethod
    def check_unsized(cls, arguments: dict[str, Any]) -> None:
        """Raises an error for an argument that the budget determines."""
        for name in {cls.sized_by, "memory"} & set(arguments):
            raise ValueError(
                f"The budget determines `{name}` of {cls.__name__}. Leave "
                f"`{name}` out, or create the layer by {cls.__name__}(...). "
                f"Received: {name}={shown(arguments[name])}"
            )

    @classmethod
    def of_size(
        cls, size: int, input_dim: Any, output_dim: int, **kwargs: Any
    ) -> Self:
        """Creates the largest layer within a size that is known to suffice."""
        found = cls.arguments_within(size, input_dim, output_dim, **kwargs)
        return cls(input_dim, output_dim, **{**kwargs, **found})

    @classmethod
    def options_from_counts(
        cls,
        counts: Sequence[Any],
        output_dim: int,
        budget: Budget,
        options: Mapping[str, Any],
    ) -> dict[str, Any] | None:
        """Options for tables of known counts, which replace the budget.

        Args:
            counts: For each table the number of occurrences of each id, in
                descending order from id 1 on.
            output_dim: Columns of all tables.
            budget: Budget of all tables together.
            options: Options that the user gave.

        Returns:
            Further options of a collection; None if the method does not
            depend on counts.
        """
        return None

    @classmethod
    def options_to_convert(
        cls,
        counts: Sequence[Any],
        output_dim: int,
        budget: Budget,
        options: Mapping[str, Any],
    ) -> dict[str, Any] | None:
        """Options for trained tables, which a fit then sets the weights of.

        Args and result: see `options_from_counts`.
        """
        return cls.options_from_counts(counts, output_dim, budget, options)

    @classmethod
    def budget_options(cls, budget: Budget) -> dict[str, Any]:
        """Arguments that a form of budget implies where they are left out."""
        return {}

    @classmethod
    def options_of_width(
        cls, options: Mapping[str, Any], output_dim: int, before: int
    ) -> dict[str, Any] | None:
        """Options that set the size of tables of another width.

        Args:
            options: Options of tables that have `before` columns.
            output_dim: Columns of the other tables.
            before: Integer, see `options`.

        Returns:
            None if the method's options say nothing about other widths.
        """
        return None

    def address(self, ids: Tensor) -> dict[str, Tensor]:
        """Row numbers in each table: `(n,)` ids to `(n, ...)` integers."""
        raise NotImplementedError

    def combine(self, rows: dict[str, Tensor]) -> Tensor:
        """Combines gathered rows of each table to `(n, output_dim)` vectors."""
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

        `lookup(ids)` equals `project(latent(ids))`. A method that ends with a
        linear map overrides all three, so that `EmbeddingBag` pools before
        the map is applied.
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
        """Sums of `latent` over bags, if a kernel computes them directly.

        Args:
            ids: `(n,)` unchecked ids.
            splits: Function that returns the int32 row splits of shape
                `(bags + 1,)`, or None if the bags are not contiguous.
            weights: Floats of shape `(n,)`; None for weights of one.

        Returns:
            float32 tensor of shape `(bags, k)`; None if no kernel applies, so
            that the caller has to look up the rows.
        """
        return None

    def observe(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        """Receives the ids of each training step; a layer may count them.

        Args:
            inputs: Ids, as in a call.
            mask: Booleans of the shape of the dense ids, False for padding.
        """

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = wide_ids.untruncated(inputs, self.name)
        return super().__call__(inputs, *args, **kwargs)

    def computes_once(self, ids: Tensor) -> bool:
        """Whether a row of `ids` costs more than to find those that repeat."""
        return False

    def chain(self) -> Chain | None:
        """`lookup` in stages, if rows of repeated ids are computed once under
        XLA, too: for rows that cost thousands of operations."""
        return None

    def rows(self, ids: Tensor) -> Tensor:
        """`lookup`, which computes the rows of repeated ids once if it pays."""
        if self.computes_once(ids):
            return each_once(self.chain() or self.lookup, ids)
        return self.lookup(ids)

    def call(self, inputs: Tensor) -> Tensor:
        return self.mapped(self.rows, inputs)

    def mapped(
        self,
        function: Callable[[Tensor], Tensor],
        inputs: Tensor,
        dtype: str | None = None,
    ) -> Tensor:
        """Applies a function of valid flat ids to unchecked ids of any shape.

        Args:
            function: Maps `(n,)` valid ids to `(n, k)` floats, as `lookup`.
            inputs: Ids of any shape; dense, sparse or ragged.
            dtype: Dtype of the result. Defaults to the compute dtype.

        Returns:
            Floats of shape `inputs.shape + (k,)`, with NaN for out-of-range
            ids where code compiled by XLA cannot raise an error.
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
        """Computes uncompressed rows, as a NumPy array.

        Args:
            ids: 1-D array of ids. Defaults to all ids in `[0, input_dim)`.
            batch_size: Integer, the number of ids that are looked up at once,
                which bounds the memory.

        Returns:
            float32 array of shape `(len(ids), output_dim)`.

        Raises:
            ValueError: If `ids` is not 1-D, has no integers or is left out
                for an open vocabulary.
        """
        if ids is None:
            if self.input_dim is None:
                raise ValueError(
                    f"Layer '{self.name}' has an open vocabulary, so it "
                    "cannot materialize all rows. Give `ids`. "
                    "Received: ids=None with input_dim=None"
                )
            ids = np.arange(self.input_dim, dtype="int32")
        if not self.built:
            self.build()
        ids = np.asarray(ids)
        if ids.ndim != 1:
            raise ValueError(
                "`ids` must be a 1-D array. Pass `numpy.ravel(ids)`, and "
                f"reshape the rows. Received: ids of shape {ids.shape}"
            )
        ids = wide_ids.untruncated(ids, self.name)
        ids_ops.check_dtype(ids.dtype, self.input_dim, self.name)
        out = np.empty((len(ids), self.output_dim), np.float32)
        for begin in range(0, len(ids), batch_size):
            part = ops.convert_to_tensor(ids[begin : begin + batch_size])
            part, _ = ids_ops.checked(part, self.input_dim, self.name)
            rows = ops.convert_to_numpy(self.lookup(part))
            out[begin : begin + batch_size] = rows
        return out

    def build(self, input_shape: Any = None) -> None:
        given = self.embeddings_initializer
        if self.built or not isinstance(given, PretrainedTable):
            super().build(input_shape)
            return
        known = are_stored() or are_fitted()
        fits = given.table is not None and not known
        if not known:
            given.warn_if_unknown()
        # A frozen layer is fitted as well, since its weights are new.
        with unfrozen(self):
            if fits:
                check_free(self)
            with weights_are_fitted():
                super().build(input_shape)
            if fits:
                self.fit_table(given.table, given.counts)

    def fit_table(
        self, table: Any, counts: Any = None, progress: Any = False
    ) -> FitReport:
        """Sets the weights such that the rows are nearest to a trained table.

        The fit is one of least squares, by the algorithm of the method; see
        docs/fit_table.md for what each method loses. It reads the table in
        blocks of rows, several times, and never copies it. The layer is built
        if it is not. If the input is refused, nothing changes. Slots of an
        optimizer stay as they are: compile again before fine-tuning.

        Args:
            table: The trained rows, of shape `(input_dim, output_dim)`; any
                number of rows for an open vocabulary. A NumPy array, a memory
                map, a slice of a safetensors file, a Keras variable or a
                tensor.
            counts: Array `(input_dim,)` of the number of occurrences of each
                id in the training data. Where ids share parameters, the error
                of each row is weighted by them. Defaults to None, all alike.
            progress: Boolean, whether to show a bar for each pass over the
                table; or a function that is called as
                `progress(rows_done, rows_total, text)`. Defaults to False.

        Returns:
            A `keras_pss.FitReport` with the relative errors.

        Raises:
            ValueError: If the table has another shape or numbers that are not
                finite, if `counts` are negative, all zero or of another shape,
                if the layer is packed or frozen, and if its rows are not
                finite after the fit, as in float16.
            NotImplementedError: If the method has no fit.
        """
        return fit(self, [table], [counts], progress, "table")

    def fitted_shapes(self) -> dict[Any, tuple[int | None, int]]:
        return {None: (self.input_dim, self.output_dim)}

    def rows_at(self, ids: Sequence[np.ndarray]) -> list[np.ndarray]:
        (own,) = ids
        rows = self.lookup(ops.convert_to_tensor(own))
        return [ops.convert_to_numpy(ops.cast(rows, "float32"))]

    def budget_size(self) -> int:
        """Size of the served layer as a budget counts it, in parameters.

        It includes trained parameters and index tables, in units of four
        bytes. A method that serves parameters of fewer bytes overrides this.
        """
        report = self.memory_report()
        return report.parameters + units(report.index_bytes)

    def memory_report(self, optimizer: Optimizer = "adam") -> MemoryReport:
        """Sizes of the layer, compared with the table that it replaces."""
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
