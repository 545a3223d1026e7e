"""What models are given, converted exactly to the dtypes of their inputs.

Checks of ids against the rows of a table are in `ops/ids.py`.
"""
