"""What is done with a finished run: scoring rows, and opening its model.

Training is in the room around this one.
"""
