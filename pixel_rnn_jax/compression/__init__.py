"""Lossless compression of images by an entropy coder on the decoding steps.

Imports `models`, `parallel` and `generation`.
"""
