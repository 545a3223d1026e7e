"""Base classes and helpers of the embedding layers.

They cover tables of weights, the base class of all methods, budgets, memory
reports and argument checks. No code here depends on a particular method.
"""
