"""What a sample of a log says about its columns.

`keras_pss.data.infer_schema` makes the draft of a schema of it.
"""
