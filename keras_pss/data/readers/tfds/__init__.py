"""Reads datasets of TensorFlow Datasets (TFDS) as logs.

The package `tensorflow_datasets` is imported only when such a log is opened.
"""
