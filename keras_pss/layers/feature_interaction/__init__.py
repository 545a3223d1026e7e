"""Layers that compute interactions between the feature vectors of fields.

Their inputs are float vectors, not ids.
"""
