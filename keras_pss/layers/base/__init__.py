"""What the embedding layers are built on.

Tables of weights, the base class of all methods, initial values, budgets and
memory reports. Nothing here names a method.
"""
