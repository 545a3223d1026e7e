"""Prepares a log as pipelines of Apache Beam."""

import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from keras_pss.data.encoders.known_texts import KnownTexts
from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.engines.beam.exchange import Exchange
from keras_pss.data.engines.beam.fit_step import (
    borders_of,
    fit_step,
    vocabulary_of,
)
from keras_pss.data.engines.beam.fitted import columns_of, new_state
from keras_pss.data.engines.beam.group_step import group_step, in_order
from keras_pss.data.engines.beam.moment_step import learn_moments
from keras_pss.data.engines.beam.options import exchange_folder
from keras_pss.data.engines.beam.pipelines import Item, Pipelines
from keras_pss.data.engines.beam.plan import planned
from keras_pss.data.engines.beam.progress import Tell
from keras_pss.data.engines.beam.read_step import (
    CUT,
    FoundLog,
    file_items,
    read_step,
    rejects_of,
)
from keras_pss.data.engines.beam.remote_files import all_sources, is_url
from keras_pss.data.engines.beam.write_step import write_step
from keras_pss.data.engines.engine import Engine, Progress, ReadLog
from keras_pss.data.inference.describe import check_criteo
from keras_pss.data.readers.block import BrokenRowError
from keras_pss.data.readers.log_reader import BLOCK_BYTES, BLOCK_ROWS
from keras_pss.data.readers.source import Sources
from keras_pss.data.storage.columns.log_columns import LogColumns
from keras_pss.data.storage.log_splits import Parts, split_log
from keras_pss.data.storage.rejects import REJECTS, RejectsFile
from keras_pss.features import Schema

# Values of a table for each of its partitions, at most as many of which are
# distinct.
PARTITION_ROWS = 1 << 24


class BeamEngine(Engine):
    """Runs pipelines of Beam, whose results it joins.

    Args:
        sources: See `prepare`.
        schema: The schema of the log.
        strict: Whether broken rows are an error.
        options: Options of Beam.
        block_bytes, block_rows: See `LogReader`.
        partition_rows: Number of values of a table for each of its partitions.
            Default: 2^24.
    """

    def __init__(
        self,
        sources: Sources,
        schema: Schema,
        strict: bool,
        options: PipelineOptions,
        *,
        block_bytes: int = BLOCK_BYTES,
        block_rows: int = BLOCK_ROWS,
        partition_rows: int = PARTITION_ROWS,
    ):
        self._sources = all_sources(sources)
        paths = (source.path for source in self._sources)
        check_criteo((path for path in paths if not is_url(path)), schema)
        self._schema = schema
        self._strict = strict
        self._options = options
        self._sizes = block_bytes, block_rows
        self._partition_rows = partition_rows
        self._state = new_state(schema)
        self._exchange: Exchange | None = None
        self._blocks: list[Item] = []
        self._starts: list[int] = []
        self._columns: LogColumns | None = None
        self._vocabularies: dict[str, Vocabulary] = {}
        self.num_rows = 0

    @property
    def _pipelines(self) -> Pipelines:
        assert self._exchange is not None
        return Pipelines(self._options, self._exchange)

    def read(self, folder: Path, report: Progress) -> tuple[ReadLog, int]:
        shared = exchange_folder(self._options)
        path = str(folder / "work")
        if shared is not None:
            path = FileSystems.join(shared, f"keras-pss-{uuid.uuid4().hex}")
        FileSystems.mkdirs(path)
        self._exchange = Exchange(path)
        log = FoundLog(self._sources)
        report(0, log.bytes_total, "read")
        found = self._pipelines.run(
            "read",
            file_items(self._sources),
            read_step(self._exchange, self._schema, *self._sizes),
            # A worker cuts a file, and others parse what it has cut.
            lambda done: report(
                min(done // 2, log.bytes_total), log.bytes_total, "read"
            ),
        )
        self._exchange.remove_all(CUT)
        log.fill_in(found)
        self._blocks = [item for item in found if item["kind"] == "block"]
        self._blocks.sort(key=lambda item: (item["file"], item["number"]))
        self._join_blocks(log, RejectsFile(folder / REJECTS))
        if self._strict and log.first_reject is not None:
            raise BrokenRowError(log.first_reject)
        if self.num_rows and self._schema.group is not None:
            self._number_groups()
        report(log.bytes_total, log.bytes_total, "read")
        return log, self.num_rows

    def _join_blocks(self, log: FoundLog, file: RejectsFile) -> None:
        """Numbers rows and lines of all blocks, and lists broken rows."""
        assert self._exchange is not None
        for block in self._blocks:
            source = log.sources[block["file"]]
            log.rejects.update(block["rejects"])
            wanted = file.left or log.first_reject is None
            if block["broken"] is not None and wanted:
                rejects = [
                    reject._replace(
                        file=str(source.path), line=reject.line + source.lines
                    )
                    for reject in rejects_of(self._exchange, block["broken"])
                ]
                log.first_reject = log.first_reject or rejects[0]
                file.add(rejects)
            source.lines += block["lines"]
            source.rows += block["rows"]
            self._starts.append(self.num_rows)
            self.num_rows += block["rows"]
        wide = {name for block in self._blocks for name in block["wide"]}
        self._state["wide"] = sorted(wide)

    def _number_groups(self) -> None:
        assert self._exchange is not None
        items = [
            {"keys": block["keys"], "start": start}
            for block, start in zip(self._blocks, self._starts, strict=True)
            if block["rows"]
        ]
        number = -(-self.num_rows // self._partition_rows)
        step = group_step(self._exchange, number)
        found = self._pipelines.run("groups", items, step)
        groups = in_order(self._exchange, found)
        self._state["groups"] = self._exchange.write_frame("groups", groups)

    def split(self) -> Parts:
        return split_log(self._schema.split, self)

    def times(self) -> np.ndarray | None:
        """The times of all rows, if rows are split by them."""
        keys = list(self._keys("time"))
        return np.concatenate(keys) if keys else None

    def codes(self) -> np.ndarray:
        """`SPLIT_CODES` of all rows."""
        return np.concatenate(list(self._keys("split")))

    def groups(self) -> np.ndarray:
        """Numbers of the groups of all rows."""
        assert self._exchange is not None
        file = self._state["groups"]
        texts = self._exchange.read_frame(file)["value"]
        numbers = Vocabulary(texts, np.zeros(0, np.int64))
        keys = [numbers(texts) - 1 for texts in self._series("group")]
        return np.concatenate(keys)

    def _keys(self, name: str) -> Iterator[np.ndarray]:
        return (series.to_numpy() for series in self._series(name))

    def _series(self, name: str) -> Iterator[pl.Series]:
        assert self._exchange is not None
        for block in self._blocks:
            if block["keys"] is not None:
                keys = self._exchange.read_frame(block["keys"])
                if name in keys.columns:
                    yield keys[name]

    def fit(self, parts: Parts, report: Progress) -> None:
        assert self._exchange is not None
        columns = columns_of(self._exchange, self._state)
        tell = self._teller(report, "count", columns)
        tell(0)
        step = fit_step(
            self._exchange, self._state, self.num_rows, self._partition_rows
        )
        found = self._pipelines.run("fit", self._planned(parts), step, tell)
        for name, table in columns.counted.items():
            vocabulary = vocabulary_of(
                self._exchange, _of(found, "texts", name), table.max_values
            )
            self._vocabularies[name] = vocabulary
            self._state["vocabularies"][name] = self._exchange.write_frame(
                "vocabulary", vocabulary.values.alias("value").to_frame()
            )
        for column in columns.buckets:
            column.borders = borders_of(
                self._exchange,
                _of(found, "borders", column.name),
                column.num_buckets,
            )
            self._state["borders"][column.name] = column.borders.tolist()
        numbers = _of(found, "numbers")
        learn_moments(self._pipelines, self._state, columns, numbers)
        columns.tables |= {
            name: KnownTexts(vocabulary)
            for name, vocabulary in self._vocabularies.items()
        }
        self._columns = columns
        tell(self.num_rows)

    def _teller(
        self, report: Progress, stage: str, columns: LogColumns, times: int = 1
    ) -> Tell:
        """Reports the bytes of records; a row counts so many times."""
        size, rows = columns.layout.record_bytes, self.num_rows

        def tell(done: int) -> None:
            report(min(done // times, rows) * size, rows * size, stage)

        return tell

    def _planned(self, parts: Parts) -> list[Item]:
        return list(planned(self._blocks, self._starts, parts))

    def write(
        self, folder: Path, parts: Parts, rows_per_shard: int, report: Progress
    ) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        assert self._exchange is not None
        columns = self.learned()
        tell = self._teller(report, "write", columns, 2)
        tell(0)
        step = write_step(
            self._exchange,
            self._state,
            columns.layout,
            {name: len(rows) for name, rows in parts.items()},
            rows_per_shard,
        )
        found = self._pipelines.run("write", self._planned(parts), step, tell)
        for item in _of(found, "buckets"):
            for column in columns.buckets:
                column.counts += np.array(item["counts"][column.name])
        entries = defaultdict(list)
        for item in sorted(_of(found, "shard"), key=lambda one: one["index"]):
            with open(folder / item["entry"]["name"], "wb") as file:
                self._exchange.copy(item["file"], file)
            entries[item["split"]].append(item["entry"])
        tell(2 * self.num_rows)
        yield from ((name, entries[name]) for name in parts)

    def learned(self) -> LogColumns:
        assert self._columns is not None
        return self._columns

    def remove(self) -> None:
        if self._exchange is not None:
            self._exchange.remove()


def _of(
    found: Sequence[Item], kind: str, name: str | None = None
) -> list[Item]:
    """The items of a kind, and of the name of a table or column."""
    return [
        item
        for item in found
        if item["kind"] == kind and name in (None, item.get("name"))
    ]
