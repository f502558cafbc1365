"""Training: the configuration of a run, the training step, and the loop.

`run` checks a configuration and creates everything that a training needs; `trainer` is the loop. May import all folders but
`cli`.
"""
