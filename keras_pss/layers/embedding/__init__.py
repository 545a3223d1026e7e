"""The methods, one file each, and `methods.py`, which maps names to them.

What combines several layers is in `layers/composite`.
"""
