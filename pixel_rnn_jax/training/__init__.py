"""Training: from a configuration to a run, one step of it, and the loop.

`run` checks a configuration and makes everything that a training needs; `trainer` is the loop. Imports all folders before it.
"""
