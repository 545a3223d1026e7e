"""Folders of version 1, which hold Criteo's columns and no others.

`criteo.prepare` writes them; folders of other logs are in the room above.
"""
