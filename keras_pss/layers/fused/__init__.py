"""Layers that store several tables in one weight, read by one lookup.

A method's `fuse` creates them. They expect ids that are already checked.
"""
