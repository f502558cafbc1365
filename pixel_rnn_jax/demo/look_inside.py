"""The tab that shows the distribution of one pixel, and what it depends on."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np
from jaxtyping import Float, UInt, UInt8

import pixel_rnn_jax as prnn
from pixel_rnn_jax.demo import models, show, work

FAINTEST = 1e-4  # of the strongest dependency; what is fainter has the same colour
OPACITY = 0.75  # of the map over the picture
NONE = (226, 232, 240)  # colour of pixels without influence
EMPTY = show.line("Click a pixel of the picture."), "", ""
CHANNELS = {1: ("",), 3: ("red: ", "green: ", "blue: ")}


def tab(model: gr.Dropdown, label: gr.Dropdown) -> None:
    """Adds the tab's parts to the page."""
    gr.Markdown("Click a pixel: how likely was each of its values, given the pixels before it, and which of those mattered?")
    number, shown = gr.State(0), gr.State(models.example(model.value, 0))
    status = gr.HTML(EMPTY[0], elem_classes="status")
    with gr.Row():
        with gr.Column(min_width=280):
            picture = gr.Image(
                fresh(model.value, models.example(model.value, 0))[0],
                format="png",
                type="numpy",
                interactive=False,
                show_label=False,
                buttons=[],
                elem_id="look-inside",
            )
            with gr.Row():
                another = gr.Button("Another test image", size="sm", min_width=80)
                upload = gr.UploadButton("Upload a picture", file_types=work.PICTURES, size="sm", min_width=80)
        with gr.Column(min_width=280):
            influence = gr.HTML(elem_id="influence")
        with gr.Column(min_width=280):
            bars = gr.HTML(elem_id="bars")
    outputs = [status, picture, influence, bars]
    picture.select(work.told(clicked), [model, label, shown], outputs, show_progress_on=status, **work.JOB)
    outputs = [picture, shown, status, influence, bars]
    another.click(
        lambda name, number: (number + 1, *fresh(name, models.example(name, number + 1))),
        [model, number],
        [number, *outputs],
        **work.QUICK,
    )
    model.change(lambda name: (0, *fresh(name, models.example(name, 0))), model, [number, *outputs], **work.QUICK)
    upload.upload(work.told(uploaded), [model, upload], outputs, **work.UPLOAD)


def fresh(name: str, images: UInt[np.ndarray, "one H W C"]) -> tuple[Any, ...]:
    """An image, enlarged and as it is, of which no pixel has been clicked; nothing, if there is none."""
    enlarged = [show.enlarged(picture) for picture in show.rgb(images, models.load(name).config.levels)]
    return (enlarged[0] if enlarged else None), images, *EMPTY


def uploaded(name: str, file: str) -> tuple[Any, ...]:
    """An uploaded picture, as an image of the model."""
    return fresh(name, models.load(name).images(work.opened(file, "The picture")))


def clicked(
    name: str, label: str, images: UInt[np.ndarray, "one H W C"], event: gr.SelectData
) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Yields a status, the picture with the clicked pixel marked, what the pixel depends on, and its distribution."""
    model = models.load(name)
    scale = show.factor(model.image_shape)
    column, row = (
        min(int(place) // scale, side - 1) for place, side in zip(event.index, model.image_shape[1::-1], strict=True)
    )
    labels = models.likely_labels(model, label, images)
    probabilities, influence = yield from work.waiting(
        lambda: look(model, images, row, column, labels),
        ("look inside", name),
        lambda text: (show.line(text), gr.skip(), gr.skip(), gr.skip()),
    )
    (picture,) = show.rgb(images, model.config.levels)
    marked = framed(show.enlarged(picture), row, column, scale)
    bars = show.bars(probabilities, images[0, row, column].tolist(), CHANNELS[model.config.channels])
    over = np.uint8(OPACITY * influence_map(influence) + (1 - OPACITY) * picture)
    over = show.grid([framed(show.enlarged(over), row, column, scale)], [captioned(influence)], "one")
    yield show.line(f"Row {row + 1}, column {column + 1}."), marked, over, bars


def look(
    model: prnn.Pretrained, images: UInt[np.ndarray, "1 H W C"], row: int, column: int, labels: Any
) -> tuple[Float[np.ndarray, "C levels"], Float[np.ndarray, "H W"]]:
    """The distribution of each channel of a pixel; and how strongly its last channel depends on each pixel."""
    probabilities = prnn.conditionals(model.model, model.params, images, labels=labels)[0, row, column]
    last = model.config.channels - 1
    influence = prnn.dependencies(model.model, model.params, images, row, column, last, labels=labels)[0]
    return np.asarray(probabilities), np.asarray(influence).sum(-1)


def influence_map(influence: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The strength of dependencies on a logarithmic scale; pixels without any influence in a colour of their own."""
    relative = np.maximum(influence / max(influence.max(), 1e-30), FAINTEST)
    colours = show.heat(1 - np.log(relative) / np.log(FAINTEST), 1.0)
    return np.where(influence[..., None] > 0, colours, np.uint8(NONE))


def captioned(influence: Float[np.ndarray, "H W"]) -> str:
    """What the map shows."""
    return f"It depends on {(influence > 0).sum()} of {influence.size} pixels; the brighter, the more. Pale: not at all."


def framed(
    picture: UInt8[np.ndarray, "height width 3"], row: int, column: int, scale: int
) -> UInt8[np.ndarray, "height width 3"]:
    """An enlarged picture with a frame around one pixel."""
    picture, width = picture.copy(), max(2, scale // 5)
    top, left = row * scale, column * scale
    inside = picture[top : top + scale, left : left + scale].copy()
    picture[max(0, top - width) : top + scale + width, max(0, left - width) : left + scale + width] = show.MARK
    picture[top : top + scale, left : left + scale] = inside
    return picture
