"""Pictures, downloads and figures as HTML. All of it is inside the page: no file is written on the server."""

import base64
import html
import io
import zipfile
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt, UInt8
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

import pixel_rnn_jax as prnn

UNKNOWN = (70, 98, 168)  # colour of pixels that are not drawn yet, or hidden
MARK = (255, 64, 129)  # of what the visitor chose
BLUE = "#3b82f6"
INK = "#64748b"  # of axes and letters; can be read on white and on black


def rgb(
    images: UInt[np.ndarray, "N H W C"], levels: int, known: Bool[np.ndarray, "N H W"] | None = None
) -> UInt8[np.ndarray, "N H W 3"]:
    """Images of 1 or 3 channels in colours; pixels that are not known in blue."""
    pictures = np.broadcast_to(prnn.to_picture(images, levels), (*images.shape[:3], 3))
    return pictures if known is None else np.where(known[..., None], pictures, np.uint8(UNKNOWN))


def enlarged(picture: UInt8[np.ndarray, "H W 3"], side: int = 448) -> UInt8[np.ndarray, "height width 3"]:
    """A picture whose pixels can be seen, by a whole factor; its longer side gets about `side` pixels."""
    scale = factor(picture.shape, side)
    return picture.repeat(scale, 0).repeat(scale, 1)


def factor(shape: Sequence[int], side: int = 448) -> int:
    """By how much `enlarged` enlarges pictures of a shape [H, W, ...]."""
    return max(1, side // max(shape[:2]))


def heat(values: Float[np.ndarray, "*N H W"], most: float) -> UInt8[np.ndarray, "*N H W 3"]:
    """Values from 0 to `most` as colours, from dark to bright."""
    return np.uint8(255 * colormaps["inferno"](np.clip(values / max(most, 1e-12), 0, 1))[..., :3])


def png(picture: UInt8[np.ndarray, "H W *C"]) -> bytes:
    """A PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def grid(pictures: Iterable[UInt8[np.ndarray, "H W 3"]], captions: Sequence[str], kind: str = "") -> str:
    """Pictures side by side, with a caption below each."""
    cells = [
        f'<figure><img alt="{html.escape(caption)}" src="{_inside("image/png", png(picture))}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for picture, caption in zip(pictures, captions, strict=True)
    ]
    return f'<div class="pictures {kind}">{"".join(cells)}</div>'


def pictures(count: int) -> str:
    """A number of pictures in words."""
    return f"{count} picture{'s' * (count != 1)}"


def nats(value: float) -> str:
    """A log-probability in words."""
    return f"{value:.1f} nats".replace("-", "−")


def line(text: str) -> str:
    """A line of text."""
    return f'<p class="line">{html.escape(text)}</p>'


def sizes(bytes_by_name: dict[str, int]) -> str:
    """Sizes of files, as bars."""
    most = max(bytes_by_name.values())
    rows = [
        f'<tr><th>{html.escape(name)}</th><td>{size:,} bytes</td><td class="bar"><div style="width:{100 * size / most:.1f}%">'
        "</div></td></tr>"
        for name, size in bytes_by_name.items()
    ]
    return f'<table class="sizes">{"".join(rows)}</table>'


def download(name: str, content: bytes, text: str) -> str:
    """A link that saves a file."""
    return f'<a class="save" download="{name}" href="{_inside("application/octet-stream", content)}">{html.escape(text)}</a>'


def downloads(images: UInt[np.ndarray, "N H W C"], levels: int, **arrays: np.ndarray) -> str:
    """Links that save images: as one sheet, at their true size, and with other arrays in an npz file."""
    pictures = rgb(images, levels)
    true_size, npz = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(true_size, "w") as archive:
        for number, picture in enumerate(prnn.to_picture(images, levels)):
            archive.writestr(f"{number:06}.png", png(picture[..., 0] if picture.shape[-1] == 1 else picture))
    np.savez_compressed(npz, images=images, **arrays)
    links = (
        download("sheet.png", png(sheet(pictures)), "Sheet, PNG"),
        download("pictures.zip", true_size.getvalue(), "True size, PNG in a zip"),
        download("images.npz", npz.getvalue(), "Arrays, npz"),
    )
    return f'<p class="saves">Save: {" ".join(links)}</p>'


def sheet(pictures: UInt8[np.ndarray, "N H W 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """Enlarged pictures in rows, with white gaps."""
    columns = int(np.ceil(np.sqrt(len(pictures))))
    cells = np.stack([np.pad(enlarged(picture, 128), ((4, 4), (4, 4), (0, 0)), constant_values=255) for picture in pictures])
    cells = np.pad(cells, ((0, -len(cells) % columns), (0, 0), (0, 0), (0, 0)), constant_values=255)
    rows = [np.concatenate(list(row), 1) for row in cells.reshape(-1, columns, *cells.shape[1:])]
    return np.concatenate(rows)


def bars(heights: Iterable[Float[np.ndarray, " levels"]], true: Sequence[int], names: Sequence[str]) -> str:
    """The distribution of each channel of a pixel, one below the other, with the true value marked."""
    figure, all_axes = _figure(3.8, 2.4 + 0.9 * len(names), rows=len(names))
    for axes, probabilities, value, name in zip(all_axes, heights, true, names, strict=True):
        values = np.arange(len(probabilities))
        axes.bar(values, probabilities, width=1 if len(values) > 32 else 0.8, color=BLUE)
        axes.axvline(value, color=_hex(MARK), linestyle=":")
        axes.bar(value, probabilities[value], width=max(0.8, len(values) / 64), color=_hex(MARK))
        axes.set_title(f"{name}true value {value}: {100 * probabilities[value]:.3g} %", color=INK)
        axes.set_ylabel("probability", color=INK)
        if len(values) <= 17:
            axes.set_xticks(values[:: 1 if len(values) < 10 else 4])
    all_axes[-1].set_xlabel("value", color=INK)
    return _drawn(figure, f"probability of each value; true: {', '.join(map(str, true))}")


def histogram(usual: Float[np.ndarray, " M"], scores: Float[np.ndarray, " N"]) -> str:
    """The scores of a model's own validation images, and those of some pictures as numbered lines."""
    figure, (axes,) = _figure(7.2, 3)
    if len(usual):
        axes.hist(usual, bins=40, color="#94a3b8")
    for place, number in enumerate(np.argsort(scores)):
        axes.axvline(scores[number], color=_hex(MARK), linewidth=1)
        height = 1.02 + 0.07 * (place % 3)  # numbers of neighbours would cover each other
        axes.text(scores[number], height, str(number + 1), transform=axes.get_xaxis_transform(), color=_hex(MARK), ha="center")
    axes.set_xlabel("bits/dim: to the right, less likely", color=INK)
    axes.set_ylabel("validation images", color=INK)
    return _drawn(figure, "histogram of scores")


def _figure(width: float, height: float, rows: int = 1) -> tuple[Figure, list]:
    """A figure, in inches, that suits light and dark pages."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    all_axes = list(figure.subplots(rows, squeeze=False).flat)
    for axes in all_axes:
        axes.patch.set_alpha(0)
        axes.tick_params(colors=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(INK)
    return figure, all_axes


def _drawn(figure: Figure, alt: str) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=160)
    return f'<img class="plot" alt="{html.escape(alt)}" src="{_inside("image/png", file.getvalue())}">'


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _inside(kind: str, content: bytes) -> str:
    """A file as an address that holds the file itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
