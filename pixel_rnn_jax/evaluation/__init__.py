"""Scores: of a whole split, by class, of simple baselines; and what an image costs in operations.

Imports `models`, `parallel` and `data`.
"""
