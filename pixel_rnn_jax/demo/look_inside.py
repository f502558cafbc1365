"""The tab that shows the distribution of one pixel, and what it depends on."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from jaxtyping import Float, Int, UInt, UInt8

import pixel_rnn_jax as prnn
from pixel_rnn_jax.demo import models, show, work

FAINTEST = 1e-4  # of the strongest dependency; what is fainter has the same colour
OPACITY = 0.75  # of the map over the picture
NONE = (226, 232, 240)  # colour of pixels without influence
COLOURS = ("red", "green", "blue")  # channels of a colour model, in the order in which it draws them


class Looked(NamedTuple):
    """What the tab shows: the line at the top, the picture, the map of what the pixel depends on, and its distribution."""

    status: Any
    picture: Any
    influence: Any
    bars: Any


class Fresh(NamedTuple):
    """An image of which no pixel has been clicked."""

    images: UInt[np.ndarray, "one H W C"]
    place: tuple[int, int] | None
    status: str
    picture: UInt8[np.ndarray, "height width 3"] | None
    influence: str
    bars: str


def tab(model: gr.Dropdown, label: gr.Dropdown) -> None:
    """Adds the tab's parts to the page."""
    gr.Markdown("Click a pixel: how likely was each of its values, given the pixels before it, and which of those mattered?")
    first = fresh(model.value, models.example(model.value, 0))
    number, before = gr.State(0), gr.State(model.value)
    shown, place = gr.State(first.images), gr.State(first.place)
    status = gr.HTML(first.status, elem_classes="status")
    with gr.Row():
        with gr.Column(min_width=280):
            picture = gr.Image(
                first.picture,
                format="png",
                type="numpy",
                interactive=False,
                show_label=False,
                buttons=[],
                elem_id="look-inside",
            )
            channel = channels(model.value)
            with gr.Row():
                another = gr.Button("Another test image", size="sm", min_width=80)
                upload = gr.UploadButton("Upload a picture", file_types=work.PICTURES, size="sm", min_width=80)
        with gr.Column(min_width=280):
            influence = gr.HTML(elem_id="influence")
        with gr.Column(min_width=280):
            bars = gr.HTML(elem_id="bars")
    looked = [status, picture, influence, bars]
    anew = [shown, place, *looked]
    again = {"fn": work.told(look), "inputs": [model, label, shown, place, channel], "outputs": looked}
    again |= {"show_progress_on": status, **work.JOB}
    picture.select(clicked, model, place, **work.QUICK).then(**again)
    channel.input(**again)
    another.click(
        lambda name, number: (number + 1, *fresh(name, models.example(name, number + 1))),
        [model, number],
        [number, *anew],
        **work.QUICK,
    )
    upload.upload(work.told(uploaded), [model, upload], anew, **work.UPLOAD)
    model.change(of_model, [model, before], [before, channel, *anew], **work.QUICK).then(**again)


def channels(name: str) -> gr.Radio:
    """The choice of the channel whose dependencies are shown, for a model of colours."""
    label = "What the map is of"
    return gr.Radio(list(COLOURS), value=COLOURS[-1], label=label, visible=models.load(name).config.channels == 3)


def fresh(name: str, images: UInt[np.ndarray, "one H W C"]) -> Fresh:
    """An image, of which no pixel has been clicked; nothing, if there is none."""
    enlarged = [show.enlarged(picture) for picture in show.rgb(images, models.load(name).config.levels)]
    return Fresh(images, None, show.line("Click a pixel of the picture."), enlarged[0] if enlarged else None, "", "")


def uploaded(name: str, file: str) -> Fresh:
    """An uploaded picture, as an image of the model."""
    return fresh(name, work.image_in(file, "The picture", models.load(name)))


def of_model(name: str, before: str) -> tuple[Any, ...]:
    """The tab after another model was chosen: picture and pixel stay, if that model takes the same images."""
    if models.alike(name, before):
        return name, gr.skip(), *(gr.skip() for _ in Fresh._fields)
    return name, channels(name), *fresh(name, models.example(name, 0))


def clicked(name: str, event: gr.SelectData) -> tuple[int, int]:
    """The row and the column of the pixel that was clicked."""
    height, width, _ = shape = models.load(name).image_shape
    scale, (x, y) = show.factor(shape), event.index
    return min(int(y) // scale, height - 1), min(int(x) // scale, width - 1)


def look(
    name: str, label: str, images: UInt[np.ndarray, "one H W C"], place: tuple[int, int] | None, colour: str
) -> Iterator[Looked]:
    """Yields a status, and at the end what the clicked pixel depends on, and its distribution."""
    model = models.load(name)
    if place is None or not len(images):
        yield Looked(*(gr.skip() for _ in Looked._fields))
        return
    row, column = place
    channel = COLOURS.index(colour) if model.config.channels == 3 else 0
    probabilities, influence = yield from work.waiting(
        lambda: computed(model, images, place, channel, label),
        ("look inside", name),
        lambda text: Looked(show.line(text), gr.skip(), gr.skip(), gr.skip()),
    )
    (picture,) = show.rgb(images, model.config.levels)
    scale = show.factor(model.image_shape)
    names = [f"{name}: " for name in COLOURS] if model.config.channels == 3 else [""]
    bars = show.bars(probabilities, images[0, row, column].tolist(), names)
    if influence is None:
        over = show.line("This model looks values up in a table, so there are no derivatives by them, and no map.")
    else:
        over = np.uint8(OPACITY * influence_map(influence) + (1 - OPACITY) * picture)
        subject = colour.capitalize() if model.config.channels == 3 else "It"
        caption = captioned(subject, influence, prnn.pixel_order(model.config, *influence.shape), place)
        over = show.grid([framed(show.enlarged(over), row, column, scale)], [caption], "one")
    marked = framed(show.enlarged(picture), row, column, scale)
    yield Looked(show.line(f"Row {row + 1}, column {column + 1}."), marked, over, bars)


def computed(
    model: prnn.Pretrained, images: UInt[np.ndarray, "1 H W C"], place: tuple[int, int], channel: int, label: str
) -> tuple[Float[np.ndarray, "C levels"], Float[np.ndarray, "H W"] | None]:
    """The distribution of each channel of a pixel; and how strongly one depends on each pixel, where that is defined."""
    labels = models.likely_labels(model, label, images)
    probabilities = np.asarray(prnn.conditionals(model.model, model.params, images, labels=labels)[0, *place])
    if model.config.input != "scaled":
        return probabilities, None
    influence = prnn.dependencies(model.model, model.params, images, *place, channel, labels=labels)[0]
    return probabilities, np.asarray(influence).sum(-1)


def influence_map(influence: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The strength of dependencies on a logarithmic scale; pixels without any influence in a colour of their own."""
    relative = np.maximum(influence / max(influence.max(), 1e-30), FAINTEST)
    colours = show.heat(1 - np.log(relative) / np.log(FAINTEST), 1.0)
    return np.where(influence[..., None] > 0, colours, np.uint8(NONE))


def captioned(subject: str, influence: Float[np.ndarray, "H W"], order: Int[np.ndarray, "H W"], place: tuple[int, int]) -> str:
    """What the map shows."""
    before = order < order[place]
    depends = f"{subject} depends on {(influence[before] > 0).sum()} of the {before.sum()} pixels before it"
    return f"{depends}; the brighter, the more. Pale: not at all."


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
