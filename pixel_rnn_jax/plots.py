"""Sheets and animations of images, and plots of training curves and scores."""

import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Integer, UInt, UInt8
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from PIL import Image, ImageDraw

from pixel_rnn_jax.images import to_picture
from pixel_rnn_jax.paths import AnyPath, as_path, write_whole

BACKGROUND = 128
UNKNOWN = np.array([90, 110, 160], np.uint8)
FRAMES = 64  # of an animation, at most
FRAME_MS, COURSE_MS, LAST_FRAME_MS = 60, 400, 2000  # how long frames are shown: of drawing, of a training, the last one
CAPTION = 16  # height in pixels
POINTS = 80  # of a training curve, at most
CAPTION_LETTERS = 26  # in a line below an image
UNITS = {"bits_per_dim": "bits/dim", "nats": "nats per image"}


def to_rgb(images: UInt[np.ndarray, "*N H W C"], levels: int) -> UInt8[np.ndarray, "*N H W 3"]:
    """Scales [0, levels) to [0, 255]. Four channels are shown on white; of other numbers than 3, the mean is shown."""
    picture = to_picture(images, levels)
    if images.shape[-1] == 4:
        opacity = picture[..., 3:] / 255
        return np.round(opacity * picture[..., :3] + (1 - opacity) * 255).astype(np.uint8)
    if images.shape[-1] != 3:
        picture = picture.mean(-1, keepdims=True).astype(np.uint8).repeat(3, -1)
    return picture


def hide_unknown(
    rgb: UInt8[np.ndarray, "N H W 3"], known: Bool[np.ndarray, "N H W"] | Bool[np.ndarray, "H W"]
) -> UInt8[np.ndarray, "N H W 3"]:
    """Paints the unknown pixels in a bluish colour."""
    return np.where(known[..., None], rgb, UNKNOWN)


def save_sheet(path: str | Path, rgb: UInt8[np.ndarray, "N H W 3"], *, columns: int, min_width: int = 800) -> None:
    """Writes a sheet of images as a PNG file, see `make_sheet`."""
    save_picture(path, make_sheet(rgb, columns=columns, min_width=min_width))


def save_picture(path: str | AnyPath, rgb: UInt8[np.ndarray, "H W 3"]) -> None:
    """Writes one picture as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    write_whole(as_path(path), file.getvalue())


def save_animation(
    path: str | Path,
    rgb: UInt8[np.ndarray, "N H W 3"],
    known: Bool[np.ndarray, "N H W"] | Bool[np.ndarray, "H W"],
    order: Integer[np.ndarray, "H W"],
    *,
    columns: int,
    min_width: int = 400,
) -> None:
    """Writes an animation that shows the unknown pixels being drawn by their rank in `order`; WebP or GIF, by its ending."""
    known = np.broadcast_to(known, rgb.shape[:3])
    ends = np.append(np.sort(order[~known.all(0)]), known[0].size)  # one frame before each drawn pixel, and one at the end
    frames = [
        Image.fromarray(make_sheet(hide_unknown(rgb, known | (order < end)), columns=columns, min_width=min_width))
        for end in ends[np.linspace(0, len(ends) - 1, min(FRAMES, len(ends))).astype(int)]
    ]
    _write_animation(path, frames, FRAME_MS)


def save_course(path: str | AnyPath, sheets: Mapping[int, UInt8[np.ndarray, "H W 3"]]) -> None:
    """Writes an animation of pictures that were drawn at steps of a training, each with its step below it."""
    steps = np.array(sorted(sheets))[np.linspace(0, len(sheets) - 1, min(FRAMES, len(sheets))).astype(int)]
    frames = []
    for step in steps.tolist():
        frame = Image.fromarray(np.pad(sheets[step], ((0, CAPTION), (0, 0), (0, 0)), constant_values=BACKGROUND))
        ImageDraw.Draw(frame).text((4, frame.height - CAPTION + 2), f"step {step}", "white")
        frames.append(frame)
    _write_animation(path, frames, COURSE_MS)


def _write_animation(path: str | AnyPath, frames: Sequence[Image.Image], frame_ms: int) -> None:
    """Writes a WebP or GIF file, by its ending; the last frame stays longer."""
    kind = "WEBP" if as_path(path).suffix.lower() == ".webp" else "GIF"
    file = io.BytesIO()
    durations = [frame_ms] * (len(frames) - 1) + [LAST_FRAME_MS]
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=durations, loop=0, lossless=kind == "WEBP")
    write_whole(as_path(path), file.getvalue())


def make_sheet(rgb: UInt8[np.ndarray, "N H W 3"], *, columns: int, min_width: int) -> UInt8[np.ndarray, "height width 3"]:
    """Lays images out row by row, `columns` in each, enlarged by an integer factor to a width of about `min_width` pixels."""
    scale = max(1, round(min_width / (columns * (rgb.shape[2] + 1))))
    gap = max(2, scale // 2)
    fill = functools.partial(np.pad, constant_values=BACKGROUND)
    cells = fill(repeat(rgb, "n h w c -> n (h sh) (w sw) c", sh=scale, sw=scale), ((0, 0), (0, gap), (0, gap), (0, 0)))
    cells = fill(cells, ((0, -len(rgb) % columns), (0, 0), (0, 0), (0, 0)))
    sheet = rearrange(cells, "(rows columns) h w c -> (rows h) (columns w) c", columns=columns)
    return fill(sheet, ((gap, 0), (gap, 0), (0, 0)))


def save_curves(
    path: str | AnyPath,
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    unit: str = "bits_per_dim",
    best_step: int | None = None,
    title: str = "",
) -> None:
    """Draws the training and validation scores of runs against the step: rows of `metrics.jsonl` by name, which may be ""."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    training, validation = ([_points(rows, f"{kind}_{unit}") for rows in runs.values()] for kind in ("train", "validation"))
    training = [_means_of_neighbours(points) for points in training]
    thin, dotted = {"alpha": 0.5, "linewidth": 1}, {"marker": "o", "markersize": 3}
    for kind, curves, style in (("training batches", training, thin), ("validation", validation, dotted)):
        for number, (name, points) in enumerate(zip(runs, curves, strict=True)):
            if len(points):
                axes.plot(*points.T, color=f"C{number}", label=_literal(f"{name}: {kind}" if name else kind), **style)
    if all(len(points) > 1 for points in validation):  # leave out the first steps, which are far above the rest
        low = min(points[:, 1].min() for points in (*training, *validation) if len(points))
        high = max(points[:, 1].max() for points in validation)
        margin = 0.1 * (high - low) + 0.005 * high
        axes.set_ylim(low - margin, high + 2 * margin)
    if best_step:
        axes.axvline(best_step, color="grey", linestyle=":", label=f"best on validation: step {best_step}")
    axes.set(xlabel="step", ylabel=UNITS[unit], title=_literal(title))
    axes.grid(alpha=0.3)
    figure.legend(fontsize="small", loc="outside lower center", ncols=2)
    _write(path, figure)


def _write(path: str | AnyPath, figure: Figure) -> None:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    write_whole(as_path(path), file.getvalue())


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> Float[np.ndarray, "points 2"]:
    """The steps that have a value of this name, and the values."""
    return np.array([(row["step"], row[name]) for row in rows if name in row], float).reshape(-1, 2)


def _means_of_neighbours(points: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "means 2"]:
    """Averages neighbouring points of a noisy curve, so that at most `POINTS` remain."""
    parts = np.array_split(points, max(1, min(POINTS, len(points))))
    return np.array([part.mean(0) for part in parts if len(part)]).reshape(-1, 2)


def save_comparison(
    path: str | Path,
    names: Sequence[str],
    *,
    measured: Float[np.ndarray, " rows"],
    published: Float[np.ndarray, " rows"],
    title: str,
) -> None:
    """Draws measured validation scores beside the paper's, each on its own scale, in bits/dim; NaN leaves a gap."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, values, decimals, label in (
        (left, measured, 4, "measured here"),
        (right, published, 2, "the paper, on CIFAR-10"),
    ):
        axes.plot(range(len(names)), values, marker="o")
        for place, value in enumerate(values):
            if np.isfinite(value):
                axes.annotate(f"{value:.{decimals}f}", (place, value), xytext=(6, 6), textcoords="offset points")
        axes.set(title=label, ylabel="validation bits/dim")
        axes.set_xticks(range(len(names)), names, rotation=30 if len(names) > 4 else 0)
        axes.margins(x=0.24, y=0.2)  # room for the numbers
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    _write(path, figure)


def save_histogram(
    path: str | Path, scores: Mapping[str, Float[np.ndarray, " N"]], *, title: str, unit: str = "bits/dim"
) -> None:
    """Draws the distribution of the scores of each named set of images."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    together = np.concatenate(list(scores.values()))
    shown = together.min(), np.quantile(together, 0.999)  # a few outliers would squeeze all others
    bins = np.histogram_bin_edges(together, bins=60, range=shown)
    for name, values in scores.items():
        axes.hist(values, bins, density=True, alpha=0.6, label=_literal(f"{name} ({len(values)} images)"))
    axes.set(xlabel=unit, ylabel="density", title=_literal(title))
    axes.margins(y=0.25)  # room for the legend
    axes.grid(alpha=0.3)
    axes.legend()
    _write(path, figure)


def save_map(
    path: str | Path, rgb: UInt8[np.ndarray, "H W 3"], nats: Float[np.ndarray, "H W"], *, most: float, title: str
) -> None:
    """Draws an image beside the negative log-likelihood of each of its pixels, with a colour bar from 0 to `most`."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(rgb)
    colours = right.imshow(nats, vmin=0, vmax=most)
    figure.colorbar(colours, ax=right, label="nats per pixel", extend="max")
    for axes in (left, right):
        axes.set_axis_off()
    figure.suptitle(_drawable(title), parse_math=False)
    _write(path, figure)


def save_captioned(
    path: str | Path, rgb: UInt8[np.ndarray, "N H W 3"], captions: Sequence[str], *, title: str, columns: int = 5
) -> None:
    """Draws images row by row, each with a caption of one or more lines above it; long lines are cut in their middle."""
    columns = min(columns, len(rgb))
    rows, (height, width) = -(-len(rgb) // columns), rgb.shape[1:3]
    figure = Figure(figsize=(2 * columns, (2 * min(height / width, 2) + 0.6) * rows + 0.4), layout="constrained")
    all_axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, image, caption in zip(all_axes, rgb, captions, strict=False):
        axes.imshow(image)
        axes.set_title("\n".join(map(_shortened, caption.splitlines())), fontsize="small", parse_math=False)
    for axes in all_axes:
        axes.set_axis_off()
    figure.suptitle(_drawable(title), fontsize="medium", parse_math=False)
    _write(path, figure)


def _shortened(line: str) -> str:
    line = _drawable(line)
    return line if len(line) <= CAPTION_LETTERS else f"{line[: CAPTION_LETTERS // 2]}…{line[-CAPTION_LETTERS // 2 + 1 :]}"


def _drawable(text: str) -> str:
    """A text without bytes that cannot be drawn: names of files may be of any encoding."""
    return text.encode(errors="replace").decode()


def _literal(text: str) -> str:
    """A text for a label, in which a $ begins no formula."""
    return _drawable(text).replace("$", r"\$")


def save_scaling(path: str | Path, sweeps: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], *, title: str) -> None:
    """Draws points (value, seconds) by name of the quantity that grows and name of the line, on logarithmic axes."""
    rows = -(-len(sweeps) // 2)
    figure = Figure(figsize=(10, 3.5 * rows + 0.5), layout="constrained")
    all_axes = figure.subplots(rows, 2, squeeze=False).flat
    for axes, (name, lines) in zip(all_axes, sweeps.items(), strict=False):
        for label, points in lines.items():
            axes.plot(*np.array(points).reshape(-1, 2).T, marker="o", markersize=4, label=label)
        values = sorted({value for points in lines.values() for value, _ in points})
        axes.set(xscale="log", yscale="log", xlabel=name, ylabel="seconds")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
    for axes in list(all_axes):
        axes.set_axis_off()
    figure.suptitle(title)
    _write(path, figure)
