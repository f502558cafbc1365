"""Lossless compression of images: an entropy coder on the decode steps.

`codec` codes and decodes, `tiles` cuts large images, `container` is the file format, `fingerprint` names model and platform;
`picture_formats` has the sizes in PNG and WebP. Imports `models`, `parallel` and `generation`.
"""
