"""What lasts: checkpoints of a training, exported models, and loading either by path or by name.

Imports `models`, `parallel`, `data` and `compression`.
"""
