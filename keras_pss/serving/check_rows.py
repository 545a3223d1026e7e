"""Rows on which an export is compared with the model."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_pss.layers.base.walk import every
from keras_pss.layers.composite.embedding_collection import EmbeddingCollection
from keras_pss.layers.composite.frequency_filter import FrequencyFilter

if TYPE_CHECKING:
    from keras_pss.serving.formats.portable import NumberRules

ROWS = 256
PADDING = -1
OPEN = 2**31 - 1  # ids of an open vocabulary are below it
CATEGORICAL = "categorical"
_HEAD = 5  # rows whose ids are not shuffled
# Around the largest integers that float16, bfloat16 and float32 hold exactly.
_EDGES = (2**8, 2**11, 2**24, 2**25, 2**30)


def id_limits(model: keras.Model) -> dict[str, list[int]]:
    """The number of ids of each column of a model's inputs, by their names.

    Args:
        model: A model with `EmbeddingCollection`s.

    Returns:
        For `"categorical"` the number of ids of each column; for a list of
        ids one number.
    """
    found: dict[str, list[int]] = {}
    # A filter takes the rare ids as well, which the collection has not.
    before = {
        id(layer.embeddings): layer.input_dims
        for layer in every(model, FrequencyFilter)
    }
    for layer in every(model, EmbeddingCollection):
        dims = before.get(id(layer), layer.input_dims)
        if not isinstance(dims, Mapping):
            _narrow(found, CATEGORICAL, [n or OPEN for n in dims])
            continue
        single = []
        for name, feature in layer.features.items():
            table = dims[feature.table]
            size = getattr(table, "input_dim", table) or OPEN
            if feature.length is None:
                single.append(size)
            else:
                _narrow(found, name, [size])
        if single:
            _narrow(found, CATEGORICAL, single)
    return found


def _narrow(found: dict[str, list[int]], name: str, sizes: list[int]) -> None:
    """Two collections may read one input."""
    before = found.get(name, sizes)
    found[name] = [min(pair) for pair in zip(before, sizes, strict=True)]


def check_rows(model: keras.Model, seed: int = 0) -> dict[str, np.ndarray]:
    """Valid rows over the whole range of a model's inputs.

    Ids are 0, the largest one, those where floats begin to round integers,
    and others, small ones as often as large ones. Lists of ids are of all
    lengths. Numbers are those of a standard normal distribution.

    Args:
        model: A model whose integer inputs are those of
            `EmbeddingCollection`s.
        seed: Seed of what is drawn.

    Returns:
        Arrays of `ROWS` rows by the names of the inputs.

    Raises:
        ValueError: If the ids of an input are unknown.
    """
    random = np.random.default_rng(seed)
    limits = id_limits(model)
    rows: dict[str, np.ndarray] = {}
    for x in model.inputs:
        width = x.shape[1] if len(x.shape) > 1 else 1
        if "int" not in x.dtype:
            drawn = random.normal(size=(ROWS, width))
            if x.name.endswith("_weights"):
                drawn = np.abs(drawn)
            rows[x.name] = drawn.astype(x.dtype)
            continue
        if x.name not in limits:
            raise ValueError(
                "The ids of an input must be those of an EmbeddingCollection "
                "to compare an export with the model. Give `rows`, a dict of "
                f"arrays of valid inputs. Received: an input {x.name!r}"
            )
        sizes = limits[x.name]
        lists = x.name != CATEGORICAL
        columns = [_ids(n, random) for n in (sizes * width if lists else sizes)]
        ids = np.stack(columns, 1)
        if lists:
            lengths = random.integers(0, width + 1, (ROWS, 1))
            lengths[:_HEAD] = width
            ids = np.where(np.arange(width) < lengths, ids, PADDING)
        rows[x.name] = ids.astype(x.dtype)
    return rows


def _ids(size: int, random: np.random.Generator) -> np.ndarray:
    """Ids int64 (ROWS,) below a size."""
    edges = [e + k for e in _EDGES for k in (-1, 0, 1)]
    known = [0, 1, size - 1, size - 2, size // 2, *edges]
    known = [i for i in known if 0 <= i < size]
    rest = ROWS - len(known)
    small = np.exp(random.random(rest // 2) * np.log(size)).astype(np.int64)
    small = np.minimum(small, size - 1)
    even = random.integers(0, size, rest - rest // 2)
    found = np.concatenate([known, small, even])
    # The largest ids of different columns meet in the first rows alone.
    tail = random.permutation(found[_HEAD:])
    return np.concatenate([found[:_HEAD], tail])


def raw_numbers(rules: "NumberRules", seed: int = 0) -> np.ndarray:
    """Raw numbers float32 (ROWS, n): missing ones, integers, the limits."""
    random = np.random.default_rng(seed)
    shape = ROWS, len(rules.names)
    numbers = np.exp(random.normal(0, 3, shape)).astype(np.float32)
    numbers = np.where(random.random(shape) < 0.5, np.floor(numbers), numbers)
    signed = random.random(shape) < 0.2
    # Logarithms of numbers below -1 do not exist.
    signed &= ~np.asarray(rules.logarithmic)
    numbers = np.where(signed, -numbers, numbers)
    numbers[0], numbers[1] = 0, np.nan
    limits = np.stack([rules.low, rules.high])
    real = np.abs(limits) < np.finfo(np.float32).max
    numbers[2:4] = np.where(real, limits, numbers[2:4])
    numbers[random.random(shape) < 0.1] = np.nan
    return numbers.astype(np.float32)
