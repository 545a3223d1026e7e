"""Rows by popularity: which ids have rows, of what width and storage."""
