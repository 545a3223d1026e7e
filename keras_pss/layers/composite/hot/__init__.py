"""The parts of hot rows: their table, their counters, and groups of both."""
