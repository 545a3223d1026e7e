"""Streams of batches for training and scoring, as `tf.data` pipelines.

They read what `data/storage` wrote; parsing is in `data/readers`.
"""
