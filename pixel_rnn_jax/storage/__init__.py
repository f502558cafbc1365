"""Storage: checkpoints of a training, exported models and their cards, and loading either by path or by name.

May import `models`, `parallel`, `data` and `compression`.
"""
