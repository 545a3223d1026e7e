"""Sketches: summaries of a stream of ids in bounded memory.

The count-min sketch is in `ops.counting`, with the exact counters.
"""
