"""Drafts of schemas from small texts."""

from keras_pss.data.infer_schema import infer


def table(tmp_path, text, **options):
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="utf-8")
    return infer(path, **options)


def column(tmp_path, values, name="x", rows=1):
    """The draft for one column beside a label."""
    values = [*values] * rows
    lines = [f"{i % 2};{value}" for i, value in enumerate(values)]
    schema, report = table(tmp_path, f"label;{name}\n" + "\n".join(lines))
    return schema, report.columns[1]
