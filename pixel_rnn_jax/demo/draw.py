"""The tab that draws images, and shows them while they are drawn."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
import jax
import numpy as np

import pixel_rnn_jax as prnn
from pixel_rnn_jax.demo import models, show, work


def tab(model: gr.Dropdown, label: gr.Dropdown) -> None:
    """Adds the tab's parts to the page."""
    gr.Markdown("The model draws new images, pixel by pixel from the top left, each pixel given all before it.")
    with gr.Row():
        num = gr.Slider(1, models.MAX_IMAGES, 16, step=1, label="Images", info="All are drawn at once.")
        temperature = gr.Slider(0.1, 2, 1, step=0.05, label="Temperature", info="Below 1: more likely, less diverse.")
        seed = gr.Number(0, precision=0, label="Seed", info="The same seed draws the same images.")
    with gr.Row():
        start = gr.Button("Draw", variant="primary")
        stop = gr.Button("Stop")
    status, pictures = gr.HTML(elem_classes="status"), gr.HTML()
    drawing = start.click(
        work.told(draw), [model, label, num, temperature, seed], [status, pictures], show_progress_on=status, **work.JOB
    )
    stop.click(work.stopped, status, status, cancels=drawing, **work.QUICK)


def draw(name: str, label: str, num: int, temperature: float, seed: int | None) -> Iterator[tuple[str, Any]]:
    """Yields a status and the images after each row, and at the end links that save them."""
    model, num = models.load(name), int(num)
    count = models.filled(num)
    labels = models.labels_to_draw(model, label, count)
    key, size = jax.random.key(work.seed(seed)), model.image_shape[:2]
    rows = prnn.sample_by_rows(model.model, model.params, key, count, size, temperature, labels=labels)
    for status, progress in work.row_by_row(rows, ("draw", name, count)):
        yield show.line(status), gr.skip() if progress is None else pictures(model, progress, num)
    saves = show.downloads(progress.images[:num], model.config.levels, log_prob=progress.log_probs[:num].sum((1, 2, 3)))
    yield show.line(status), pictures(model, progress, num) + saves


def pictures(model: prnn.Pretrained, progress: prnn.Progress, num: int) -> str:
    """The first `num` images so far, each with its log-probability."""
    rgb = show.rgb(progress.images[:num], model.config.levels, progress.known[:num])
    nats = progress.log_probs[:num].sum((1, 2, 3), dtype=np.float64)
    return show.grid(rgb, [show.nats(value) for value in nats])
