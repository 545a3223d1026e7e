"""Batches for training and evaluation, mostly as `tf.data` pipelines.

They read the records of `data/storage`; parsers are in `data/readers`.
"""
