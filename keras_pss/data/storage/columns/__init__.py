"""The columns of a record: each is staged, fitted and written as words."""
