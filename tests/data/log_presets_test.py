"""The reader of any log gives Criteo's reader's values for Criteo's rows."""

from keras_pss.data.readers.log_reader import LogReader
from keras_pss.features import Schema


def test_criteo(log, rows):
    (block,) = LogReader(log, Schema.load("criteo"), block_bytes=1 << 30)
    found = block.rows
    assert found["label"].to_list() == rows.labels.tolist()
    for i in range(13):
        integers = found[f"I{i + 1}"].fill_null(0).clip(0)
        assert integers.to_list() == rows.integers[:, i].tolist()
    for i in range(26):
        texts = [f"{x:08x}" for x in rows.categories[:, i].tolist()]
        assert found[f"C{i + 1}"].to_list() == texts
    assert not block.rejects
    assert block.lines == len(block) == 3000


def test_avazu(tmp_path):
    schema = Schema.load("avazu")
    columns = list(schema.columns)
    row = dict.fromkeys(columns, "1") | {"hour": "14102123", "click": "0"}
    path = tmp_path / "train.csv"
    lines = [columns, [row[name] for name in columns]]
    path.write_text("".join(",".join(line) + "\n" for line in lines))
    (block,) = LogReader(path, schema)
    (values,) = block.rows.to_dicts()
    assert values["label"] == 0
    assert values["time"] == 1_413_932_400 * 10**6
    assert not block.rejects
