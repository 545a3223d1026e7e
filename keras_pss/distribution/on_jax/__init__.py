"""Training on all devices of one or several processes of JAX.

A step is one program for all devices (SPMD), so that its loss, gradients and
counters are those of the global batch.
"""
