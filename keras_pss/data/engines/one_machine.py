"""Prepares a log on this machine, by its threads."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from keras_pss.data.engines.engine import Engine, Progress, ReadLog
from keras_pss.data.readers.block import Reject
from keras_pss.data.readers.source import Source
from keras_pss.data.readers.threads import WORKERS
from keras_pss.data.storage.columns.log_columns import LogColumns
from keras_pss.data.storage.log_records import write_shard
from keras_pss.data.storage.log_splits import Parts, split_log
from keras_pss.data.storage.log_staging import LogStaging
from keras_pss.data.storage.rejects import REJECTS, RejectsFile
from keras_pss.data.storage.shard_checks import shard_name
from keras_pss.data.storage.splits import blocks_of
from keras_pss.features import Schema


class Reader(Protocol):
    """Blocks of values, and what reading them has found, as of `LogReader`."""

    sources: list[Source]
    rejects: Counter[str]
    first_reject: Reject | None

    @property
    def bytes_done(self) -> int: ...

    @property
    def bytes_total(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class OneMachine(Engine):
    """Stages the columns of a log on disk between three passes.

    Args:
        reader: The blocks of the log.
        schema: The schema of the log.
    """

    def __init__(self, reader: Reader, schema: Schema):
        self._reader = reader
        self._schema = schema
        self._work: Path | None = None
        self._staging: LogStaging | None = None

    @property
    def staging(self) -> LogStaging:
        assert self._staging is not None
        return self._staging

    def read(self, folder: Path, report: Progress) -> tuple[ReadLog, int]:
        self._work = folder / "work"
        self._work.mkdir()
        self._staging = LogStaging(self._work, self._schema)
        rejects, reader = RejectsFile(folder / REJECTS), self._reader
        for values in reader:
            self.staging.append(values.rows)
            # An archive of 82 bytes may hold millions of empty lines.
            rejects.add(values.rejects)
            report(reader.bytes_done, reader.bytes_total, "read")
        self.staging.close()
        return reader, self.staging.num_rows

    def split(self) -> Parts:
        return split_log(self._schema.split, self.staging)

    def fit(self, parts: Parts, report: Progress) -> None:
        staging = self.staging
        develop = [rows for name, rows in parts.items() if name != "test"]
        steps = len(staging.tables) + len(staging.columns)
        total = staging.num_rows * staging.layout.record_bytes
        for done, _ in enumerate(staging.fit(parts["train"], develop), 1):
            report(done * total // steps, total, "count")

    def write(
        self, folder: Path, parts: Parts, rows_per_shard: int, report: Progress
    ) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        staging, layout = self.staging, self.staging.layout
        total = staging.num_rows * layout.record_bytes
        done = 0
        for name, rows in parts.items():
            shards = []
            count = -(-len(rows) // rows_per_shard)
            for index, block in enumerate(blocks_of(rows, rows_per_shard)):
                path = folder / shard_name(name, index, count)
                shards.append(
                    write_shard(path, layout, staging.columns, block, WORKERS)
                )
                done += len(block) * layout.record_bytes
                report(done, total, "write")
            yield name, shards

    def learned(self) -> LogColumns:
        return self.staging

    def remove(self) -> None:
        if self._staging is not None:
            self._staging.remove()
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
