"""The tab that completes a picture of which a part is erased."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr
import jax
import numpy as np
from gradio.components.image_editor import EditorData
from jaxtyping import Bool, UInt, UInt8
from PIL import Image

import pixel_rnn_jax as prnn
from pixel_rnn_jax.demo import models, show, work

CANVAS = 448  # pixels to a side; a multiple of 8, 28 and 32
MARGIN = 128  # grey beside pictures that are not square
ERASED = 0.2  # share of a pixel of the model's image that must be painted over, for it to count as erased
PINK = "#ff4081"
MAX_COMPLETIONS = 8
MAX_LAYERS = 3  # of paint; the page itself sends one


class Canvas(NamedTuple):
    """What the editor shows, and the image in it as the model takes it. The editor gives back the paint only."""

    editor: dict[str, Any]
    image: UInt[np.ndarray, "1 H W C"]


def tab(model: gr.Dropdown, label: gr.Dropdown) -> None:
    """Adds the tab's parts to the page."""
    gr.Markdown(
        "Paint over a part in **pink**: the model draws it anew. White and black, among the brush's colours, draw. The eraser"
        " removes paint, not the picture."
    )
    start_editor, start_image = canvas(model.value, models.example(model.value, 0))
    number, image, before = gr.State(0), gr.State(start_image), gr.State(model.value)
    with gr.Row():
        with gr.Column():
            editor = gr.ImageEditor(
                start_editor,
                image_mode="RGBA",
                format="png",
                sources=(),
                transforms=(),
                layers=False,
                canvas_size=(CANVAS, CANVAS),
                fixed_canvas=True,
                brush=gr.Brush(32, [PINK, "#ffffff", "#000000"], PINK, "fixed"),
                eraser=gr.Eraser(32),
                height=560,
                buttons=[],
                show_label=False,
                elem_id="editor",
            )
            editor.preprocess = painted  # Gradio's own decodes pictures of any size
            editor.accept_blobs = None  # another way in, without limits, that the page does not use
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
        [model, label, editor, image, num, temperature, seed],
        [status, pictures],
        show_progress_on=status,
        **work.JOB,
    )
    stop.click(work.stopped, status, status, cancels=completing, **work.QUICK)
    another.click(
        lambda name, number: (number + 1, *canvas(name, models.example(name, number + 1))),
        [model, number],
        [number, editor, image],
        **work.QUICK,
    )
    blank.click(lambda name: canvas(name, models.black(name)), model, [editor, image], **work.QUICK)
    upload.upload(work.told(uploaded), [model, upload], [editor, image], **work.UPLOAD)
    model.change(of_model, [model, before], [before, editor, image], **work.QUICK)


def canvas(name: str, image: UInt[np.ndarray, "one H W C"]) -> Canvas:
    """The editor with an image in its middle, enlarged; with a black one, if there is none."""
    image = image if len(image) else models.black(name)
    top, left, height, width = place(image.shape[1:3])
    (picture,) = show.rgb(image, models.load(name).config.levels)
    background = np.full((CANVAS, CANVAS, 3), MARGIN, np.uint8)
    background[top : top + height, left : left + width] = resized(picture, (height, width), Image.Resampling.NEAREST)
    return Canvas({"background": background, "layers": [], "composite": background}, image)


def place(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where on the canvas an image is: top, left, height, width. It is enlarged by a whole factor, or reduced to fit."""
    scale = show.factor(size, CANVAS) if max(size) <= CANVAS else CANVAS / max(size)
    height, width = (max(1, int(side * scale)) for side in size)
    return (CANVAS - height) // 2, (CANVAS - width) // 2, height, width


def resized(picture: UInt8[np.ndarray, "H W *C"], size: tuple[int, int], how: Image.Resampling) -> UInt8[np.ndarray, "h w *C"]:
    """A picture of another size, (height, width)."""
    return np.asarray(Image.fromarray(picture).resize(size[::-1], how))


def uploaded(name: str, file: str) -> Canvas:
    """The editor with an uploaded picture, as the model takes it."""
    return canvas(name, work.image_in(file, "The picture", models.load(name)))


def of_model(name: str, before: str) -> tuple[Any, ...]:
    """The editor after another model was chosen: as it was, if that model takes the same images; else with a test image."""
    kept = models.alike(name, before)
    return name, *((gr.skip(), gr.skip()) if kept else canvas(name, models.example(name, 0)))


def painted(payload: EditorData | None) -> tuple[bool, list[str]]:
    """Whether there is a picture below the paint, and the files of the layers of paint."""
    if payload is None:
        return False, []
    return payload.background is not None, [layer.path for layer in payload.layers]


def complete(
    name: str,
    label: str,
    drawing: tuple[bool, list[str]],
    image: UInt[np.ndarray, "1 H W C"],
    num: int,
    temperature: float,
    seed: int | None,
) -> Iterator[tuple[str, Any]]:
    """Yields a status and the completions after each row; at the end, the most likely ones come first."""
    model, num = models.load(name), int(num)
    image, known = read(drawing, image if drawing[0] else models.black(name), model)
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


def read(
    drawing: tuple[bool, list[str]], image: UInt[np.ndarray, "1 H W C"], model: prnn.Pretrained
) -> tuple[UInt[np.ndarray, "H W C"], Bool[np.ndarray, "H W"]]:
    """The image with what the visitor drew on it, and which pixels are known. Pixels without paint stay as they are."""
    (below, files), size = drawing, image.shape[1:3]
    if len(files) > MAX_LAYERS:
        raise prnn.InputError(f"There can be at most {MAX_LAYERS} layers of paint; these are {len(files)}.")
    top, left, height, width = place(size)
    picture = resized(show.rgb(image, model.config.levels)[0], (height, width), Image.Resampling.NEAREST)
    drawn, erased = np.zeros((2, height, width), bool)
    for file in files:
        layer = np.asarray(work.opened(file, "The drawing").convert("RGBA").resize((CANVAS, CANVAS)))
        layer = layer[top : top + height, left : left + width]
        opaque = layer[..., 3] > 127
        pink = opaque & (np.abs(layer[..., :3].astype(int) - show.MARK).max(-1) < 60)
        picture = np.where((opaque & ~pink)[..., None], layer[..., :3], picture)
        drawn, erased = drawn | (opaque & ~pink), erased | pink
    if not (below or drawn.any() or erased.any()):
        raise prnn.InputError("There is no picture: take a test image, draw one, or upload one.")
    drawn, erased = (resized(np.uint8(255 * mask), size, Image.Resampling.BOX) for mask in (drawn, erased))
    new = model.images(Image.fromarray(resized(picture, size, Image.Resampling.BOX)))
    return np.where(drawn[..., None] > 0, new, image)[0], erased <= 255 * ERASED


def note_unused(model: prnn.Pretrained, known: Bool[np.ndarray, "H W"]) -> str:
    """Says how many known pixels come after the hole: the model draws in its order, and never sees them."""
    order = prnn.pixel_order(model.config, *known.shape)
    unused = int((known & (order > order[~known].max())).sum())
    return f" The {unused} known pixels after the hole cannot be used: the model looks back only." if unused else ""


def drawn_nats(progress: prnn.Progress, known: Bool[np.ndarray, "H W"]) -> np.ndarray:
    """The log-probability of what was drawn so far, for each image; of the known pixels none."""
    return np.where(known[..., None], 0, progress.log_probs).sum((1, 2, 3), dtype=np.float64)


def pictures(model: prnn.Pretrained, image: Any, known: Any, progress: prnn.Progress, order: Any) -> str:
    """The picture with its hole, and the completions in an order, each with the log-probability of what was drawn."""
    start = show.rgb(image[None], model.config.levels, known[None])
    drawn = show.rgb(progress.images, model.config.levels, progress.known)
    captions = [show.nats(value) for value in drawn_nats(progress, known)]
    return show.grid([*start, *(drawn[number] for number in order)], ["known", *(captions[number] for number in order)])
