"""AUC, log loss, calibration, gAUC, and significance tests of AUC differences.

All functions take labels and probabilities, never a model.
"""
