"""AUC, log loss and calibration of clicks, and whether differences are real.

They take labels and probabilities, never a model.
"""
