"""Folders and encoders that `criteo.prepare` of version 1 wrote.

They hold Criteo's columns, and records with the bytes of today's. They are only
read.
"""
