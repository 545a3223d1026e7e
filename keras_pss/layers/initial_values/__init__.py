"""Initial values: what a table would start with, and what a method draws.

Nothing here names a method or holds weights.
"""
