"""The hash functions that place ids, in exact integers.

`ops/hashing.py` computes them on tensors.
"""
