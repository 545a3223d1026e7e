"""Gradients of tables of rows: their sums, their norms, and row updates."""
