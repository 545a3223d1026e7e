"""Prepared logs on disk: fixed-length records, their metadata and splits.

Nothing here trains; pipelines read the records back.
"""
