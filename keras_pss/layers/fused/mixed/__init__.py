"""Rows of mixed dimensions, and the power rule that finds their widths."""
