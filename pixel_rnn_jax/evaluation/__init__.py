"""Evaluation: scores of a split, classification, simple baselines, and the floating-point operations for an image.

May import `models`, `parallel` and `data`.
"""
