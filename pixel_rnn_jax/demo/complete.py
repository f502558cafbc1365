"""The tab that completes a picture of which a part is erased."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
import jax
import numpy as np
from jaxtyping import Bool, UInt, UInt8
from PIL import Image, ImageOps

import pixel_rnn_jax as prnn
from pixel_rnn_jax.demo import models, show, work

CANVAS = 336  # pixels to a side; a multiple of 28
ERASED = 0.2  # share of a pixel of the model's image that must be painted over, for it to count as erased
PINK = "#ff4081"
MAX_COMPLETIONS = 8


def tab(model: gr.Dropdown, label: gr.Dropdown) -> None:
    """Adds the tab's parts to the page."""
    gr.Markdown("Paint over a part in **pink**: the model draws it anew. White and black, among the brush's colours, draw.")
    number = gr.State(0)
    with gr.Row():
        with gr.Column():
            editor = gr.ImageEditor(
                canvas(model.value, 0),
                type="numpy",
                image_mode="RGBA",
                format="png",
                sources=(),
                transforms=(),
                layers=False,
                canvas_size=(CANVAS, CANVAS),
                fixed_canvas=True,
                brush=gr.Brush(32, [PINK, "#ffffff", "#000000"], PINK, "fixed"),
                eraser=gr.Eraser(32),
                height=460,
                buttons=[],
                show_label=False,
                elem_id="editor",
            )
            with gr.Row():
                another = gr.Button("Another test image", size="sm", min_width=80)
                blank = gr.Button("Blank, to draw on", size="sm", min_width=80)
                upload = gr.UploadButton("Upload a picture", file_types=work.PICTURES, size="sm", min_width=80)
        with gr.Column():
            num = gr.Slider(1, MAX_COMPLETIONS, 4, step=1, label="Completions")
            temperature = gr.Slider(0.1, 2, 1, step=0.05, label="Temperature", info="Below 1: more likely, less diverse.")
            seed = gr.Number(0, precision=0, label="Seed", info="The same seed draws the same completions.")
            with gr.Row():
                start = gr.Button("Complete", variant="primary")
                stop = gr.Button("Stop")
            status = gr.HTML(elem_classes="status")
    pictures = gr.HTML()
    completing = start.click(
        work.told(complete),
        [model, label, editor, num, temperature, seed],
        [status, pictures],
        show_progress_on=status,
        **work.JOB,
    )
    stop.click(lambda: show.line("Stopped."), None, status, cancels=completing, **work.QUICK)
    another.click(lambda name, number: (canvas(name, number + 1), number + 1), [model, number], [editor, number], **work.QUICK)
    blank.click(lambda: background(np.zeros((CANVAS, CANVAS, 3), np.uint8)), None, editor, **work.QUICK)
    upload.upload(work.told(uploaded), upload, editor, **work.UPLOAD)
    model.change(lambda name: (canvas(name, 0), 0), model, [editor, number], **work.QUICK)


def canvas(name: str, number: int) -> dict[str, Any]:
    """The editor with a test image, or black if there is none."""
    for picture in show.rgb(models.example(name, number), models.load(name).config.levels):
        return background(show.enlarged(picture, CANVAS))
    return background(np.zeros((CANVAS, CANVAS, 3), np.uint8))


def uploaded(file: str) -> dict[str, Any]:
    """The editor with an uploaded picture, cut around its centre."""
    picture = ImageOps.exif_transpose(work.opened(file, "The picture")).convert("RGB")
    return background(np.asarray(ImageOps.fit(picture, (CANVAS, CANVAS))))


def background(picture: UInt8[np.ndarray, "H W 3"]) -> dict[str, Any]:
    """The editor with a picture on which nothing is painted."""
    return {"background": picture, "layers": [], "composite": picture}


def complete(
    name: str, label: str, drawing: dict[str, Any], num: int, temperature: float, seed: int | None
) -> Iterator[tuple[str, Any]]:
    """Yields a status and the completions after each row; at the end, the most likely ones come first."""
    model, num = models.load(name), int(num)
    image, known = read(drawing, model)
    if known.all():
        raise prnn.InputError("Nothing is erased: paint over a part of the picture in pink.")
    count = models.filled(num)
    labels = models.labels_of(model, label, count)
    key, images = jax.random.key(work.seed(seed)), np.repeat(image[None], count, 0)
    rows = prnn.complete_by_rows(model.model, model.params, key, images, known, temperature, labels=labels)
    note = note_unused(model, known)
    for status, progress in work.row_by_row(rows, ("complete", name, count)):
        yield show.line(status + note), gr.skip() if progress is None else pictures(model, image, known, progress, range(num))
    order = np.argsort(-drawn_nats(progress, known)[:num], kind="stable")
    saves = show.downloads(
        progress.images[order], model.config.levels, known=known, log_prob=drawn_nats(progress, known)[order]
    )
    yield show.line(status + note), pictures(model, image, known, progress, order) + saves


def read(drawing: dict[str, Any] | None, model: prnn.Pretrained) -> tuple[UInt[np.ndarray, "H W C"], Bool[np.ndarray, "H W"]]:
    """What the visitor painted: the image as the model takes it, and which pixels are known."""
    if drawing is None or (drawing["background"] is None and not any(layer.any() for layer in drawing["layers"])):
        raise prnn.InputError("There is no picture: take a test image, draw one, or upload one.")
    size = model.image_shape[:2]
    layers = [layer for layer in (drawing["background"], *drawing["layers"]) if layer is not None]
    picture, erased = np.zeros((*layers[0].shape[:2], 3)), np.zeros(layers[0].shape[:2], bool)
    for layer in layers:
        opaque = layer[..., 3] > 127
        pink = opaque & (np.abs(layer[..., :3].astype(int) - show.MARK).max(-1) < 60) & (layer is not drawing["background"])
        picture = np.where((opaque & ~pink)[..., None], layer[..., :3], picture)
        erased |= pink
    fitted = [
        ImageOps.fit(Image.fromarray(array), size[::-1], Image.Resampling.BOX)
        for array in (picture.astype(np.uint8), 255 * erased.astype(np.uint8))
    ]
    return model.images(fitted[0])[0], np.asarray(fitted[1]) <= 255 * ERASED


def note_unused(model: prnn.Pretrained, known: Bool[np.ndarray, "H W"]) -> str:
    """Says how many known pixels come after the hole: the model draws in its order, and never sees them."""
    order = prnn.pixel_order(model.config, *known.shape)
    unused = int((known & (order > order[~known].max())).sum())
    return f" The {unused} known pixels after the hole cannot be used: the model looks back only." * (unused > 0)


def drawn_nats(progress: prnn.Progress, known: Bool[np.ndarray, "H W"]) -> np.ndarray:
    """The log-probability of what was drawn so far, for each image; of the known pixels none."""
    return np.where(known[..., None], 0, progress.log_probs).sum((1, 2, 3), dtype=np.float64)


def pictures(model: prnn.Pretrained, image: Any, known: Any, progress: prnn.Progress, order: Any) -> str:
    """The picture with its hole, and the completions in an order, each with the log-probability of what was drawn."""
    start = show.rgb(image[None], model.config.levels, known[None])
    drawn = show.rgb(progress.images, model.config.levels, progress.known)
    captions = [show.nats(value) for value in drawn_nats(progress, known)]
    return show.grid([*start, *(drawn[number] for number in order)], ["known", *(captions[number] for number in order)])
