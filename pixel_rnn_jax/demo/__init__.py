"""A page on which the models can be seen at work: `app` assembles it, and each tab is one file.

The only folder that imports Gradio (the extra `demo`). It calls what `import pixel_rnn_jax` offers, and nothing else of the
package.
"""
