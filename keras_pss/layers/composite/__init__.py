"""Layers made of embedding layers: collections, bags, filters, hot rows.

They own no method's mathematics, which is in `layers/embedding`.
"""
