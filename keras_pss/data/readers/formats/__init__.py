"""How each kind of file is read: its lines or records as raw columns."""
