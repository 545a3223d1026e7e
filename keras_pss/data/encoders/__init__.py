"""Encoders from raw values to ids: vocabularies by frequency, and hashing.

An encoder is independent of log files and models.
"""
