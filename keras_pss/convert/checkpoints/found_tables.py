"""Finds the tables among the arrays of a checkpoint, by names and shapes."""

from collections.abc import Iterator, Mapping, Sequence

from keras_pss.convert.checkpoints.found_cores import (
    FoundBatchedCores,
    FoundCores,
)
from keras_pss.convert.checkpoints.found_narrow import FoundNarrow
from keras_pss.convert.checkpoints.found_quotients import FoundQuotients
from keras_pss.convert.checkpoints.found_rows import FoundRows
from keras_pss.convert.checkpoints.found_table import FoundTable, Shape
from keras_pss.convert.checkpoints.sources import ArrayInfo

# Wrappers of PyTorch put these into the names of what they wrap.
WRAPPERS = {"_dmp_wrapped_module", "_fsdp_wrapped_module", "_orig_mod"}
OUTER = "module"


class FoundTables(Mapping[str, FoundTable]):
    """The tables of a checkpoint by name, and what else it contains.

    Attributes:
        other: Text about each array that belongs to no table, by key.
    """

    def __init__(self, arrays: Mapping[str, ArrayInfo]) -> None:
        self._keys = _unwrapped(arrays)
        self._arrays = {new: arrays[old] for new, old in self._keys.items()}
        self._floats = [
            key
            for key, array in self._arrays.items()
            if array.floats and 0 not in (array.shape or ())
        ]
        self._tables: dict[str, FoundTable] = {}
        used: set[str] = set()
        # A kind that is found first, by more specific names, keeps them.
        for find in (self._quotients, self._narrow, self._trains, self._rows):
            found = [
                table
                for table in find()
                if table.name not in self._tables
                and not used & {*table.parts.values()}
            ]
            for table in found:
                self._tables[table.name] = table
                used |= {*table.parts.values()}
        self.other = {k: str(a) for k, a in arrays.items() if k not in used}

    def __getitem__(self, name: str) -> FoundTable:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __str__(self) -> str:
        tables = [f"{name!r}: {table}" for name, table in self.items()]
        other = [f"{key!r}: {text}" for key, text in self.other.items()]
        return "\n".join([*tables, "No tables:", *other] if other else tables)

    def matrix(self, key: str) -> FoundTable | None:
        """A table of rows by its exact key, whatever its name says."""
        for new, old in self._keys.items():
            array = self._arrays[new]
            if key in (new, old) and array.floats and _rank(array) == 2:
                return FoundRows(key, *self._described({"embeddings": new}))
        return None

    def _quotients(self) -> Iterator[FoundTable]:
        """Those of dlrm's `--qr-flag`."""
        for key in self._floats:
            prefix, leaf = _split(key)
            parts = {"quotient": key, "remainder": _join(prefix, "weight_r")}
            if leaf == "weight_q" and self._matrices(parts):
                yield FoundQuotients(prefix, *self._described(parts))

    def _narrow(self) -> Iterator[FoundTable]:
        """Those of dlrm's `--md-flag`; the widest have no projection."""
        for key in self._floats:
            if key != "embs.weight" and not key.endswith(".embs.weight"):
                continue
            prefix = _split(_split(key)[0])[0]
            parts = {
                "narrow": key,
                "projection": _join(prefix, "proj.weight"),
            }
            if self._matrices(parts):
                yield FoundNarrow(prefix, *self._described(parts))
            elif self._matrices({"narrow": key}):
                yield FoundRows(prefix, *self._described({"embeddings": key}))

    def _trains(self) -> Iterator[FoundTable]:
        """Tensor trains: FBTT's cores of several tables, or TT matrices."""
        for key in self._floats:
            prefix, leaf = _split(key)
            if leaf != "0":
                continue
            cores = list(self._numbered(prefix))
            name, last = _split(prefix)
            shapes = [self._arrays[core].shape or () for core in cores]
            parts = {f"core{k}": core for k, core in enumerate(cores)}
            if _is_fbtt(last, shapes):
                count = shapes[0][0]
                for number in range(count):
                    each = f"{name}[{number}]" if count > 1 else name
                    yield FoundBatchedCores(
                        each, *self._described(parts), number=number
                    )
            elif _is_tt_matrix(shapes):
                known = last in ("parameters", "tt_cores")
                yield FoundCores(
                    name if known else prefix,
                    *self._described(parts),
                    reversed_digits=last == "parameters",
                )

    def _rows(self) -> Iterator[FoundTable]:
        """Tables of rows: a module whose only array is a matrix.

        A dense layer has a bias as well, unless it was made without.
        """
        for key in self._floats:
            prefix, leaf = _split(key)
            alone = not any(
                other != key
                and other.startswith(f"{prefix}." if prefix else "")
                for other in self._arrays
            )
            if leaf == "weight" and alone and _rank(self._arrays[key]) == 2:
                yield FoundRows(prefix, *self._described({"embeddings": key}))

    def _numbered(self, prefix: str) -> Iterator[str]:
        number = 0
        while (key := _join(prefix, str(number))) in self._arrays:
            yield key
            number += 1

    def _matrices(self, parts: Mapping[str, str]) -> bool:
        found = [self._arrays.get(key) for key in parts.values()]
        return all(a is not None and a.floats and _rank(a) == 2 for a in found)

    def _described(
        self, parts: Mapping[str, str]
    ) -> tuple[dict[str, str], dict[str, Shape]]:
        """Keys as the checkpoint has them, and shapes, by part."""
        shapes = {p: self._arrays[key].shape or () for p, key in parts.items()}
        return {p: self._keys[key] for p, key in parts.items()}, shapes


def _unwrapped(keys: Mapping[str, ArrayInfo]) -> dict[str, str]:
    """The keys without the names of wrappers, and the keys as they are."""
    plain = {_plain(key): key for key in keys}
    return plain if len(plain) == len(keys) else {key: key for key in keys}


def _plain(key: str) -> str:
    parts = [part for part in key.split(".") if part not in WRAPPERS]
    while len(parts) > 1 and parts[0] == OUTER:
        parts.pop(0)
    return ".".join(parts)


def _split(key: str) -> tuple[str, str]:
    """The path of the module and the last part of a key."""
    prefix, _, leaf = key.rpartition(".")
    return prefix, leaf


def _join(prefix: str, leaf: str) -> str:
    return f"{prefix}.{leaf}" if prefix else leaf


def _rank(array: ArrayInfo) -> int:
    return -1 if array.shape is None else len(array.shape)


def _is_fbtt(name: str, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether these are cores of `(tables, p, r q r')`."""
    return (
        name == "tt_cores"
        and len(shapes) > 1
        and all(len(shape) == 3 for shape in shapes)
        and len({shape[0] for shape in shapes}) == 1
    )


def _is_tt_matrix(shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether these are cores of `(r, p, q, r')` that fit to each other."""
    if len(shapes) < 2 or any(len(shape) != 4 for shape in shapes):
        return False
    ranks = [1, *(shape[3] for shape in shapes)]
    return ranks[-1] == 1 and ranks[:-1] == [shape[0] for shape in shapes]
