"""Prepares logs as pipelines of Apache Beam, on any of its runners.

Beam is an optional package: `make_engine.py` says so before it imports the
other modules, which need it. The caller runs one pipeline after the other. A
pipeline gets a list of small items and gives one back; blocks of rows, counts
and shards are files of a folder that all workers see. A worker that is started
again writes files of other names, so none is read half written.
"""
