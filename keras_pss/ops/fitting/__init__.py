"""Algorithms that fit compressed parameters to a trained table.

They are functions of NumPy arrays, and read the table in blocks of rows, so
that none needs a second copy of it. Sums are float64. The layers say where
their parameters are read, and hold the results.
"""
