"""The raw columns that a model of a schema reads."""

from dataclasses import dataclass

from keras_pss.features import Dense, MultiCategorical, Schema
from keras_pss.features.cross import Cross
from keras_pss.messages import shown
from keras_pss.serving.signature_names import signature_names

_EPOCHS = ("epoch_s", "epoch_ms")
_SCALARS = {"text", "number", "epoch"}
_DTYPES = {"number": "float64", "numbers": "float64", "epoch": "int64"}


@dataclass(frozen=True)
class RawInput:
    """A raw column as an input.

    Args:
        column: The column of the log.
        name: Name of the input. It is the column's, with `_` for what cannot
            stand in the name of a signature's input.
        kind: `"text"`, `"number"`, `"epoch"`, or for lists `"texts"` or
            `"numbers"`.
        shape: Shape without the batch: (), (None,) for lists, (size,) for
            vectors.
    """

    column: str
    name: str
    kind: str
    shape: tuple[int | None, ...]

    @property
    def dtype(self) -> str:
        """`"string"`, `"float64"` or `"int64"`."""
        return _DTYPES.get(self.kind, "string")


def raw_inputs(schema: Schema) -> tuple[RawInput, ...]:
    """The raw columns that a model of a schema reads, as they are sent to it.

    - A category is a text, whatever its `dtype`: `"42"` for an integer. A
      missing one is `""` or another text of the format's `missing`.
    - A list of categories is one text with the feature's separator if it has
      one, and otherwise an array of texts in which `""` is padding. Its
      weights have the same form: text, or numbers float64 of the same shape.
    - A dense feature is a number, float64, and NaN where it is missing.
    - A time is a text in the timestamp's format, or int64 for `"epoch_s"` and
      `"epoch_ms"`.
    - A column that is read in several of these ways is a text.

    The label, the group, the split and the keys are not read.

    Args:
        schema: The schema of a log.

    Returns:
        The inputs, in the order of `schema.columns`.
    """
    kinds: dict[str, set[str]] = {}
    sizes: dict[str, int] = {}

    def reads(column: str, kind: str) -> None:
        kinds.setdefault(column, set()).add(kind)

    for feature in schema.features:
        if isinstance(feature, Cross):
            continue
        if isinstance(feature, MultiCategorical):
            single = feature.separator is not None
            reads(feature.column, "text" if single else "texts")
            if feature.weights is not None:
                reads(feature.weights, "text" if single else "numbers")
        elif isinstance(feature, Dense):
            reads(feature.column, "number" if feature.size == 1 else "numbers")
            if feature.size > 1:
                sizes[feature.column] = feature.size
        else:
            reads(feature.column, "text")
    if schema.timestamp is not None and schema.time_features:
        epoch = schema.timestamp.format in _EPOCHS
        reads(schema.timestamp.column, "epoch" if epoch else "text")
    columns = [column for column in schema.columns if column in kinds]
    return tuple(
        _input(column, name, kinds[column], sizes.get(column))
        for column, name in signature_names(columns).items()
    )


def _input(
    column: str, name: str, kinds: set[str], size: int | None
) -> RawInput:
    if kinds & _SCALARS and kinds - _SCALARS:
        raise ValueError(
            "A column must hold lists or single values, not both. Received: "
            f"column={shown(column)}, read as {' and '.join(sorted(kinds))}"
        )
    scalar = bool(kinds & _SCALARS)
    mixed = "text" if scalar else "texts"
    kind = kinds.pop() if len(kinds) == 1 else mixed
    shape = () if scalar else (size,)
    return RawInput(column, name, kind, shape)
