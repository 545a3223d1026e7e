"""The form of a collection in which tables and features have names."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_pss.layers.base.budget import Budget
from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    LARGEST_ROW,
    positive_int,
    shown,
    text,
)
from keras_pss.layers.composite.allocation import TableSpec
from keras_pss.layers.composite.embedding_collection import EmbeddingCollection
from keras_pss.layers.composite.features.feature_config import FeatureConfig
from keras_pss.layers.composite.features.feature_inputs import (
    PACKED,
    Bag,
    FeatureInputs,
)
from keras_pss.layers.composite.features.named_features import NamedFeatures
from keras_pss.layers.composite.features.pooled_lookup import observed, pooled
from keras_pss.layers.composite.features.table_config import TableConfig
from keras_pss.layers.embedding.methods import checked_options, method_class

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class NamedCollection(NamedFeatures, EmbeddingCollection):
    """An `EmbeddingCollection` that was given tables by name.

    Its arguments are documented there. Uncompressed tables of one width are
    read by one gather, and so are compressed tables that share one memory,
    whatever the number of their features and of the ids of each.
    """

    def _create(self, input_dims: Any, features: Any, dense: Any) -> None:
        self.input_dims = _checked_tables(input_dims)
        self.features = _checked_features(features, self.input_dims)
        self.dense = _checked_dense(dense)
        self._inputs = FeatureInputs(
            dict(self.features),
            {
                name: self.input_dims[feature.table].input_dim or LARGEST_DIM
                for name, feature in self.features.items()
            },
        )
        _check_names(self._inputs, self.dense)
        widths = {
            name: table.output_dim or self.output_dim
            for name, table in self.input_dims.items()
        }
        self.widths = tuple(
            widths[feature.table] for feature in self.features.values()
        )
        # Each part with the names of the features that it looks up.
        self.lookups: list[Any] = []
        self._served: list[tuple[str, ...]] = []
        self._tables_of_parts: list[tuple[int, ...]] = []
        parts = self._divided()
        for tables in _by_width(self._allocation.full, parts.tables):
            kwargs = self._serve(tables, "full")
            self._tables_of_parts.append(tuple(tables))
            self.lookups.append(
                parts.full(tables, **kwargs, **parts.moved(tables[0]))
            )
        units, sizes = self._allocation.units, self._allocation.sizes
        for unit, size in zip(units, sizes or [None] * len(units), strict=True):
            kwargs = self._serve(unit, "shared")
            self._tables_of_parts.append(tuple(unit))
            part = parts.shared(
                unit, size, **kwargs, **parts.moved(unit[0])
            ) or parts.single(unit[0], size)
            self.lookups.append(part)

    def _serve(self, tables: Sequence[int], kind: str) -> dict[str, Any]:
        """Assigns features to the next part; returns arguments for it."""
        names = list(self.input_dims)
        places = {names[table]: place for place, table in enumerate(tables)}
        served = [
            (name, feature)
            for name, feature in self.features.items()
            if feature.table in places
        ]
        self._served.append(tuple(name for name, _ in served))
        return {
            "name": f"{kind}_{tables[0]}",
            "columns": [
                places[feature.table]
                for _, feature in served
                for _ in range(feature.columns)
            ],
        }

    def specs(self) -> list[TableSpec]:
        return [self._spec(table) for table in self.input_dims.values()]

    def _spec(self, table: TableConfig) -> TableSpec:
        method, options = self.method, dict(self.options)
        if table.method is not None and table.method != method:
            method, options = table.method, {}
        if table.options is not None:
            options = dict(table.options)
        shape = table.input_dim, table.output_dim or self.output_dim
        method_class(method).check_shape(*shape)
        options = checked_options(method, options, self.budget is None)
        if self.budget is not None:
            implied = method_class(method).budget_options(
                Budget.parse(self.budget)
            )
            options = {**implied, **options}
        return TableSpec(*shape, method, options)

    def parts(self) -> list[Any]:
        return list(self.lookups)

    def part_tables(self) -> list[tuple[Any, tuple[int, ...]]]:
        return list(zip(self.lookups, self._tables_of_parts, strict=True))

    def fitted_shapes(self) -> dict[Any, tuple[int | None, int]]:
        return {
            name: (table.input_dim, table.output_dim or self.output_dim)
            for name, table in self.input_dims.items()
        }

    def table_rows(self) -> dict[str, int | None]:
        return {name: t.input_dim for name, t in self.input_dims.items()}

    def pooled(
        self, bags: Mapping[str, Bag], training: bool | None
    ) -> dict[str, Tensor]:
        vectors: dict[str, Tensor] = {}
        for part, names in zip(self.lookups, self._served, strict=True):
            served = [bags[name] for name in names]
            if training and getattr(part, "observes", True):
                part.observe(*observed(served))
            combiners = [self.features[name].combiner for name in names]
            found = pooled(part, served, combiners, self.compute_dtype)
            vectors |= zip(names, found, strict=True)
        return vectors

    def full_parameters(self) -> int | None:
        specs = self.specs()
        if any(spec.rows is None for spec in specs):
            return None
        return sum(spec.size for spec in specs)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dims": {
                name: table.get_config()
                for name, table in self.input_dims.items()
            },
            "features": {
                name: feature.get_config()
                for name, feature in self.features.items()
            },
            "dense": dict(self.dense),
        }


def _by_width(
    tables: Sequence[int], specs: Sequence[TableSpec]
) -> list[list[int]]:
    """Groups of tables of one width."""
    groups: dict[int, list[int]] = {}
    for table in tables:
        groups.setdefault(specs[table].width, []).append(table)
    return list(groups.values())


def _checked_tables(tables: Mapping[str, Any]) -> dict[str, TableConfig]:
    if not tables:
        raise ValueError(
            "`input_dims` must have at least one table. Received: {}"
        )
    return {
        text("input_dims", name): TableConfig.of(name, table)
        for name, table in tables.items()
    }


def _checked_features(
    features: Any, tables: Mapping[str, TableConfig]
) -> dict[str, FeatureConfig]:
    if features is None:
        features = {name: name for name in tables}
    if not isinstance(features, Mapping) or not features:
        raise ValueError(
            "`features` must be a dict of features by name, such as "
            "{'history': keras_pss.FeatureConfig('item', length=50)}. "
            f"Received: features={shown(features)}"
        )
    found = {
        text("features", name): FeatureConfig.of(name, feature)
        for name, feature in features.items()
    }
    slashed = [name for name in found if "/" in name]
    if slashed:
        raise ValueError(
            "`features` must have names without '/', which Keras does not "
            f"allow in the names of inputs. Received: {shown(slashed)}"
        )
    used = {feature.table for feature in found.values()}
    unknown = [name for name in used if name not in tables]
    unused = [name for name in tables if name not in used]
    if unknown or unused:
        raise ValueError(
            "Each feature must name a table of `input_dims`, and each table "
            "must have a feature. Received: unknown tables "
            f"{shown(sorted(unknown))}, tables without a feature "
            f"{shown(unused)}"
        )
    return found


def _checked_dense(dense: Any) -> dict[str, int]:
    if dense is None:
        return {}
    if isinstance(dense, list | tuple):
        names = [text("dense", name) for name in dense]
        if len(set(names)) < len(names):
            raise ValueError(
                "`dense` must have each name once. "
                f"Received: dense={shown(dense)}"
            )
        dense = dict.fromkeys(names, 1)
    if not isinstance(dense, Mapping):
        raise ValueError(
            "`dense` must be a list of names of dense features, or a dict of "
            f"their lengths by name. Received: dense={shown(dense)}"
        )
    return {
        text("dense", name): positive_int("dense", size, LARGEST_ROW)
        for name, size in dense.items()
    }


def _check_names(inputs: FeatureInputs, dense: Mapping[str, int]) -> None:
    """Raises an error if two inputs of a model would have the same name."""
    names = [*inputs.features, *dense, "dense", PACKED]
    names += [
        f"{name}_weights"
        for name, feature in inputs.features.items()
        if feature.weighted
    ]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            "The names of features, of `dense` features and of weights must "
            "differ from each other and from 'dense' and 'categorical', the "
            f"inputs that pack several features. Received: {twice} twice"
        )
