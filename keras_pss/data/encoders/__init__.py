"""Maps from raw values to ids: vocabularies by frequency, and hashing.

An encoder knows values and ids, not files of rows or models.
"""
