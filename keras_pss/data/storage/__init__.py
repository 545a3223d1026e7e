"""Prepared logs on disk: fixed-length records, their metadata and splits.

Input pipelines over the records are in `data/pipelines`.
"""
