"""Sampling and completion, one decode step for each sub-pixel.

`decoding` has the decode state and the loop over sub-pixels that drawing, completing and coding share; `sampling` draws one
batch, `batched` many over all devices, `by_rows` a row at a time, to be shown meanwhile; `sheet` lays them out. Imports
`models` and `parallel`.
"""
