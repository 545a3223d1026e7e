"""The reader of any log against one that goes line by line in plain Python."""

import pytest
from log_makers import SCHEMAS, make_log
from log_oracle import Oracle

from keras_pss.data.readers.log_reader import LogReader


def read(path, schema, **settings):
    """All rows as dictionaries, and (line, reason, column) of the rejects."""
    reader = LogReader(path, schema, **settings)
    rows, rejects = [], []
    for block in reader:
        rows += block.rows.to_dicts()
        rejects += block.rejects
    assert sum(reader.rejects.values()) == len(rejects)
    assert reader.first_reject == (rejects[0] if rejects else None)
    assert sum(source.rows for source in reader.sources) == len(rows)
    assert reader.bytes_done == reader.bytes_total
    return rows, [(r.line, r.reason, r.column) for r in rejects]


def check(path, schema, data, **settings):
    path.write_bytes(data)
    expected = Oracle(schema, data, settings.get("labelled", True))
    rows, rejects = read(path, schema, **settings)
    assert rejects == expected.rejects
    assert len(rows) == len(expected.rows)
    for row, right in zip(rows, expected.rows, strict=True):
        assert row == right
    return rows


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("odd", [0.0, 0.02, 0.3])
def test_reader_equals_oracle(tmp_path, name, odd):
    for seed in range(4):
        data = make_log(SCHEMAS[name], seed, 60, odd)
        check(tmp_path / "log.csv", SCHEMAS[name], data)
