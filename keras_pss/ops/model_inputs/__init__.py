"""Exact conversion of a model's inputs to the dtypes of its `keras.Input`s.

Checks of ids against the number of rows of a table are in `ops/ids.py`.
"""
