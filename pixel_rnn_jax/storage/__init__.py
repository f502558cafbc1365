"""Storage: checkpoints of a training, exported models, and loading either by path or by name.

May import `models`, `parallel`, `data` and `compression`.
"""
