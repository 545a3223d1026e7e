"""Checkpoints of other libraries: their arrays, and the tables among them."""
