"""Layers that multiply or mix the vectors of fields.

They take rows, not ids, and know nothing of tables.
"""
