"""Many tables of one method as one weight and one lookup.

Methods return these from `fuse`; they take ids that are checked already.
"""
