"""The tab that compresses pictures without loss, and decodes them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

import pixel_rnn_jax as prnn
from pixel_rnn_jax.demo import models, show, work


def tab(model: gr.Dropdown, label: gr.Dropdown) -> None:
    """Adds the tab's parts to the page."""
    gr.Markdown("A model that predicts well compresses well. Only the same model, on such a machine, can decode the file.")
    with gr.Row():
        with gr.Column():
            files = gr.File(
                file_count="multiple", file_types=work.PICTURES, height=140,
                label=f"Up to {models.MAX_IMAGES} pictures; none: test images", elem_id="compress-files",
            )  # fmt: skip
            start = gr.Button("Compress", variant="primary")
        with gr.Column():
            coded = gr.File(file_types=[".prnn"], label="A .prnn file", height=140, elem_id="coded-file")
            back = gr.Button("Decode")
    status, result = gr.HTML(elem_classes="status"), gr.HTML()
    start.click(work.told(compress), [model, label, files], [status, result], show_progress_on=status, **work.JOB)
    back.click(work.told(decode), [model, label, coded], [status, result], show_progress_on=status, **work.JOB)


def compress(name: str, label: str, files: list[str] | None) -> Iterator[tuple[str, Any]]:
    """Yields a status, and at the end the sizes and a link that saves the file."""
    model = models.load(name)
    images = work.uploaded(files, name, model)
    labels = models.labels_of(model, label, len(images))
    blob = yield from work.waiting(
        lambda: prnn.compress(model.model, model.params, images, labels=labels),
        ("compress", name, len(images)),
        _status,
    )
    sizes = {"this model": len(blob), **prnn.encoded_sizes(images, model.config.levels)}
    height, width = images.shape[1:3]
    form = f"{height}x{width} pixels, {model.config.levels} levels"
    text = f"{show.pictures(len(images))}, as the model takes them ({form}): {len(blob):,} bytes."
    save = f'<p class="saves">{show.download("pictures.prnn", blob, "Save pictures.prnn")}</p>'
    yield show.line(text), show.sizes(sizes) + save + _grid(images, model)


def decode(name: str, label: str, file: str | None) -> Iterator[tuple[str, Any]]:
    """Yields a status, and at the end the pictures in a file."""
    if file is None:
        raise prnn.InputError("Upload a .prnn file first.")
    model, blob = models.load(name), Path(file).read_bytes()
    count, *shape = prnn.compressed_shape(blob)
    if not 0 < count <= models.MAX_IMAGES or tuple(shape) != model.image_shape:
        expected, found = ("x".join(map(str, sides)) for sides in (model.image_shape, shape))
        raise prnn.InputError(
            f"The file must hold 1 to {models.MAX_IMAGES} images of {expected}; it holds {count} of {found}."
        )
    labels = models.labels_of(model, label, count)
    images = yield from work.waiting(
        lambda: prnn.decompress(model.model, model.params, blob, labels=labels), ("compress", name, count), _status
    )
    saves = show.downloads(images, model.config.levels)
    yield show.line(f"{show.pictures(count)}, as they were, bit for bit."), _grid(images, model) + saves


def _status(text: str) -> tuple[str, Any]:
    return show.line(text), gr.skip()


def _grid(images: np.ndarray, model: prnn.Pretrained) -> str:
    return show.grid(show.rgb(images, model.config.levels), [str(number + 1) for number in range(len(images))])
