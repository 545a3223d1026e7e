"""Raw columns to valid values: casts, labels, times, and what is refused.

This is the only place that interprets what a file holds.
"""
