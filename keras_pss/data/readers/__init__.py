"""From bytes to parsed blocks of rows, with each broken row kept aside.

`LogReader` reads any log by its schema; what only one log knows is in that
log's room.
"""
