"""Sampling and completion, one visit to each sub-pixel.

`decoding` has the decode state and one step of it; all that draws, completes or codes images goes through it. Imports `models`
and `parallel`.
"""
