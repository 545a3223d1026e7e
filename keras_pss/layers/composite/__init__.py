"""Layers composed of embedding layers: collections, bags, filters, hot rows.

The mathematics of the methods is in `layers/embedding`.
"""
