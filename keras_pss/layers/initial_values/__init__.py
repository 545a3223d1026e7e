"""Initial values that give the parameters the scale of the table.

No code here depends on a particular method or holds weights.
"""
