"""Other formats than the SavedModel, and the check of each in its runtime.

A format is a module with `write(function, folder)`, which converts a traced
function, and `load(folder)`, which opens what was written in the runtime of
the format: a function from a dictionary of arrays to probabilities.
"""
