"""The tab that scores pictures."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np
from jaxtyping import Float32, UInt

import pixel_rnn_jax as prnn
from pixel_rnn_jax.demo import models, show, work

SHOWN = 0.995  # share of the pixels within the scale of colours; the few others would make all of these dark


def tab(model: gr.Dropdown, label: gr.Dropdown) -> None:
    """Adds the tab's parts to the page."""
    gr.Markdown("How likely are pictures, beside the model's own validation images? And which of their pixels surprise it?")
    files = gr.File(
        file_count="multiple", file_types=work.PICTURES, height=140,
        label=f"Up to {models.MAX_IMAGES} pictures; none: test images", elem_id="score-files",
    )  # fmt: skip
    start = gr.Button("Score", variant="primary")
    status, pictures = gr.HTML(elem_classes="status"), gr.HTML()
    start.click(work.told(score), [model, label, files], [status, pictures], show_progress_on=status, **work.JOB)


def score(name: str, label: str, files: list[str] | None) -> Iterator[tuple[str, Any]]:
    """Yields a status, and at the end the scores with their histogram and maps of surprise."""
    model = models.load(name)
    images = work.uploaded(files, name, model)
    surprise, given = yield from work.waiting(
        lambda: surprise_of(model, images, label),
        ("score", name, models.filled(len(images))),
        lambda text: (show.line(text), gr.skip()),
    )
    bits = prnn.bits_per_dim(-surprise.sum((1, 2, 3), dtype=np.float64), images.shape[1:])
    usual, pixels = model.validation_scores, surprise.sum(-1)
    captions = [
        f"{number}: {value:.3f} bits/dim{of_class}{_place(value, usual)}"
        for number, (value, of_class) in enumerate(zip(bits, given, strict=True), 1)
    ]
    pairs = np.concatenate([show.rgb(images, model.config.levels), show.heat(pixels, np.quantile(pixels, SHOWN))], 2)
    legend = show.line("Right of each picture: how unexpected each pixel is, given those before it. Bright: surprising.")
    beside = f", beside {len(usual):,} of the model's own validation images" if len(usual) else ""
    text = f"{show.pictures(len(bits))}: {bits.mean():.3f} bits/dim on average{beside}."
    yield show.line(text), show.histogram(usual, bits) + legend + show.grid(pairs, captions, "pairs")


def surprise_of(
    model: prnn.Pretrained, images: UInt[np.ndarray, "N H W C"], label: str
) -> tuple[Float32[np.ndarray, "N H W C"], list[str]]:
    """The nats of each sub-pixel, given the chosen or else the most probable class; and which class that was, in words."""
    labels = models.likely_labels(model, label, images)
    given = [""] * len(images)
    if labels is not None:
        note = "" if label else " (most probable)"
        given = [f", given class {model.class_names[number]}{note}" for number in labels]
    numbers = np.arange(models.filled(len(images))) % len(images)
    labels = None if labels is None else labels[numbers]
    return -np.asarray(prnn.log_probs(model.model, model.params, images[numbers], labels=labels))[: len(images)], given


def _place(bits: float, usual: np.ndarray) -> str:
    """Where a score lies among those of the validation images."""
    return f", less likely than {100 * np.mean(usual < bits):.0f} % of the validation images" if len(usual) else ""
