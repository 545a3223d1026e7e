"""From bytes to parsed blocks of rows, with each broken row kept aside.

What only one log knows is in that log's room.
"""
