"""The compression methods, one file for each, and a mapping of their names.

`methods.py` has the mapping. Layers that combine other layers are in
`layers/composite`.
"""
