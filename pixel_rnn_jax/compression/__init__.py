"""Lossless compression of images: an entropy coder on the decode steps.

`codec` codes and decodes, `container` is the file format. Imports `models`, `parallel` and `generation`.
"""
