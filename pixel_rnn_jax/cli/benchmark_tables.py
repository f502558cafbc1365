"""The figures of `benchmark train` as tables, JSON and curves."""

import itertools
from collections.abc import Callable, Sequence
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
GFLOP: operations of the step, counted from the model's shapes (matrix products and convolutions). By XLA: its own count, with
activations and optimizer, for models without a scan. Share: GFLOP / step s, divided by the larger rate of matrix products.
MiB: the memory that XLA plans for each device, which takes its share of the batch in microbatches; in brackets the highest
memory use of the device, unless an earlier step needed more. Times are medians. Steps and likelihood use all devices, the
sampler one."""
SWEEP_NOTES = """
Seconds; each table varies one of MNIST's sizes. The exponent p, where the time grows as the p-th power, is the slope on
logarithmic axes over the upper half of the values."""


def number(value: float) -> str:
    """A number with three digits, or as an integer from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _memory(entry: Record) -> str:
    peak = entry["peak_mib"]
    return number(entry["planned_mib"]) + (f" ({number(peak)})" if peak else "")


def _images_per_second(entry: Record, name: str) -> str:
    measured = entry.get(name, {})
    return measured.get("error") or (number(measured["images_per_second"]) if measured else "")


DESCRIPTION: dict[str, Callable[[Record], str]] = {
    "sizes": lambda entry: entry["name"],
    "layer": lambda entry: entry["layer"],
    "layers, h": lambda entry: f"{entry['depth']}, {entry['features']}",
    "batch, microbatches": lambda entry: f"{entry['batch_size']}, {entry['microbatches']}",
}
FIGURES: dict[str, Callable[[Record], str]] = {
    "step s": lambda entry: number(entry["step_seconds"]),
    "images/s": lambda entry: number(entry["images_per_second"]),
    "compile s": lambda entry: number(entry["compile_seconds"]),
    "MiB": _memory,
    "GFLOP": lambda entry: number(entry["gflop"]),
    "by XLA": lambda entry: number(entry["xla_gflop"]) if entry["xla_gflop"] else "",
    "share": lambda entry: f"{entry['share']:.1%}",
    "likelihood images/s": lambda entry: _images_per_second(entry, "likelihood"),
    "sampler images/s": lambda entry: _images_per_second(entry, "sampler"),
}
HEADINGS = (*DESCRIPTION, *FIGURES)


def begin(record: Record) -> None:
    """Prints the machine and the head of the table."""
    print(_machine(record), "", *_table([HEADINGS]), sep="\n", flush=True)


def show_entry(record: Record) -> None:
    """Prints the last entry's row of the table."""
    print(_line(_cells(with_shares(record)["entries"][-1])), flush=True)


def show_sweep(sweep: Record) -> None:
    """Prints the times of a sweep in one line."""
    times = ", ".join(f"{value}: {_seconds(entry)}" for value, entry in zip(sweep["values"], sweep["entries"], strict=True))
    print(f"{sweep['layer']}, seconds by {AXES[sweep['axis']]}: {times}; exponent {_exponent(sweep)}", flush=True)


def end(record: Record) -> None:
    """Prints both rates of matrix products."""
    print(_rates(record), flush=True)


def write(folder: Path | None, record: Record) -> None:
    """Writes the figures so far as train.json, train.md and, with sweeps, sweeps.png; does nothing without a folder."""
    if folder is None:
        return
    record = with_shares(record)
    outputs.write_json(folder / "train.json", record)
    outputs.write_lines(folder / "train.md", _markdown(record))
    if record["sweeps"]:
        lines = {AXES[axis]: {sweep["layer"]: _points(sweep) for sweep in sweeps} for axis, sweeps in _by_axis(record)}
        save_scaling(folder / "sweeps.png", lines, title=f"Seconds of a training step, {_machine(record)}")


def with_shares(record: Record) -> Record:
    """Adds to each entry its share of the measured rate of matrix products, and to each sweep its exponent."""
    rate = max(record["product_gflop_per_second"].values())

    def with_share(entry: Record) -> Record:
        return entry if "error" in entry else entry | {"share": entry["gflop"] / entry["step_seconds"] / rate}

    sweeps = [
        sweep | {"entries": list(map(with_share, sweep["entries"])), "exponent": exponent(_points(sweep))}
        for sweep in record["sweeps"]
    ]
    return record | {"entries": list(map(with_share, record["entries"])), "sweeps": sweeps}


def exponent(points: Sequence[tuple[float | int, float | int]]) -> float | None:
    """The slope on logarithmic axes over the upper half of the points: p, where times grow as value^p.

    Args:
      points: (value, seconds), by increasing value. The upper half includes the middle one.

    Returns:
      The slope; None for fewer than two points.
    """
    upper = np.log(points[(len(points) - 1) // 2 :])
    return float(np.polyfit(*upper.T, 1)[0]) if len(upper) > 1 else None


def _points(sweep: Record) -> list[tuple[float, float]]:
    """Values and seconds of the entries without an error."""
    pairs = zip(sweep["values"], sweep["entries"], strict=True)
    return [(float(value), entry["step_seconds"]) for value, entry in pairs if "error" not in entry]


def _by_axis(record: Record) -> list[tuple[str, list[Record]]]:
    return [(axis, list(sweeps)) for axis, sweeps in itertools.groupby(record["sweeps"], lambda sweep: sweep["axis"])]


def _markdown(record: Record) -> list[str]:
    rows = [HEADINGS, *map(_cells, record["entries"])]
    lines = [f"# Speed of training: {_machine(record)}", "", _rates(record), "", *_table(rows), NOTES]
    if record["sweeps"]:
        lines += ["", "## How the time of a step grows", SWEEP_NOTES, "", "![seconds of a step](sweeps.png)"]
    for axis, sweeps in _by_axis(record):
        rows = [(AXES[axis], *(sweep["layer"] for sweep in sweeps))]
        rows += [
            (str(value), *map(_seconds, entries))
            for value, *entries in zip(sweeps[0]["values"], *(sweep["entries"] for sweep in sweeps), strict=True)
        ]
        rows.append(("**exponent**", *map(_exponent, sweeps)))
        lines += ["", f"### By {AXES[axis]}", "", *_table(rows)]
    return lines


def _machine(record: Record) -> str:
    machine = record["machine"]
    return (
        f"{machine['devices']} x {machine['device_kind']} ({machine['platform']}), {machine['cores']} cores,"
        f" JAX {machine['jax']}, {machine['dtype']}"
    )


def _rates(record: Record) -> str:
    rates = " and ".join(f"{number(rate)} {when}" for when, rate in record["product_gflop_per_second"].items())
    return f"Matrix products on all devices, GFLOP/s: {rates} the measurements."


def _cells(entry: Record) -> list[str]:
    described = [describe(entry) for describe in DESCRIPTION.values()]
    if "error" in entry:
        return described + [entry["error"]] + [""] * (len(FIGURES) - 1)
    return described + [figure(entry) for figure in FIGURES.values()]


def _seconds(entry: Record) -> str:
    return entry.get("error") or number(entry["step_seconds"])


def _exponent(sweep: Record) -> str:
    slope = exponent(_points(sweep))
    return "" if slope is None else f"{slope:.2f}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown; the first row is its head."""
    head, *others = rows
    return [_line(head), f"|{'---|' * len(head)}", *map(_line, others)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(f'{cell:9}' for cell in cells)} |"
