"""The figures of `benchmark train` as tables, JSON and curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pixel_rnn_jax.cli import outputs
from pixel_rnn_jax.plots import save_scaling

Record = dict[str, Any]

AXES = {
    "batch_size": "images in a batch",
    "side": "height and width of the images",
    "depth": "layers",
    "features": "hidden features h",
}
NOTES = """
GFLOP: operations of the step, counted from the model's shapes (matrix products and convolutions). Share: GFLOP / step s,
divided by the rate of matrix products. MiB: the memory that XLA plans for each device, which takes its share of the batch in
microbatches. Times are medians. Steps and likelihood use all devices, the sampler one."""
FIGURES = {
    "step s": "step_seconds",
    "images/s": "images_per_second",
    "compile s": "compile_seconds",
    "MiB": "planned_mib",
    "GFLOP": "gflop",
    "share": "share",
    "likelihood images/s": "likelihood_images_per_second",
    "sampler images/s": "sampler_images_per_second",
}
HEADINGS = ("sizes", "layer", "layers, h", "batch, microbatches", *FIGURES)


def number(value: float | None) -> str:
    """A number with three digits, or as an integer from 100 on; empty for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cells(entry: Record) -> list[str]:
    """An entry's row in the table of steps."""
    if "error" in entry:
        figures = [entry["error"], *[""] * (len(FIGURES) - 1)]
    else:
        figures = [f"{entry[name]:.1%}" if name == "share" else number(entry.get(name)) for name in FIGURES.values()]
    layers, batch = f"{entry['depth']}, {entry['features']}", f"{entry['batch_size']}, {entry['microbatches']}"
    return [entry["name"], entry["layer"], layers, batch, *figures]


def exponent(points: Sequence[tuple[float | int, float]]) -> float | None:
    """The slope on logarithmic axes over the upper half of points (value, seconds), which includes the middle one.

    That is p, where times grow as value^p; None for fewer than two points.
    """
    upper = np.log(points[(len(points) - 1) // 2 :])
    return float(np.polyfit(*upper.T, 1)[0]) if len(upper) > 1 else None


def points(sweep: Record) -> list[tuple[float, float]]:
    """Values and seconds of the steps that fit in memory."""
    pairs = zip(sweep["values"], sweep["seconds"], strict=True)
    return [(float(value), seconds) for value, seconds in pairs if seconds is not None]


def write(folder: Path, record: Record) -> None:
    """Writes the figures so far as train.json, train.md and, with sweeps, sweeps.png."""
    outputs.write_json(folder / "train.json", record)
    title = describe(record["machine"])
    lines = [f"# Speed of training: {title}", "", *table([HEADINGS, *map(cells, record["entries"])]), NOTES]
    curves = {}
    for axis, heading in AXES.items():
        sweeps = [sweep for sweep in record["sweeps"] if sweep["axis"] == axis]
        if sweeps:
            curves[heading] = {sweep["layer"]: points(sweep) for sweep in sweeps}
            lines += ["", f"## Seconds by {heading}", "", *map(sweep_line, sweeps)]
    outputs.write_lines(folder / "train.md", lines)
    if curves:
        save_scaling(folder / "sweeps.png", curves, title=f"Seconds of a training step, {title}")


def describe(machine: Record) -> str:
    """The machine in one line."""
    return (
        f"{machine['devices']} x {machine['device_kind']} ({machine['platform']}), {machine['cores']} cores,"
        f" JAX {machine['jax']}, {machine['dtype']}, {number(machine['product_gflop_per_second'])} GFLOP/s in matrix products"
    )


def sweep_line(sweep: Record) -> str:
    """A sweep as an item of a list. Time grows as the p-th power; p is missing if fewer than two steps fit in memory."""
    times = ", ".join(f"{value:g}: {number(seconds)}" for value, seconds in points(sweep))
    return f"- {sweep['layer']}: {times}" + (f"; p = {sweep['exponent']:.2f}" if sweep["exponent"] is not None else "")


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown; the first row is its head."""
    head, *others = rows
    return [line(head), f"|{'---|' * len(head)}", *map(line, others)]


def line(row: Sequence[str]) -> str:
    """A row in Markdown."""
    return f"| {' | '.join(f'{cell:9}' for cell in row)} |"
