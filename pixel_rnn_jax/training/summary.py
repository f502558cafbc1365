"""What a training starts with, in words: its parameters and classes."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Integer

SHOWN_CLASSES = 20


def parameter_table(params: Any, state: Any) -> str:
    """Lines of text: the parameters' names, shapes and numbers of values, and the memory of the training state.

    Both trees have leaves with shardings. If any parameter is sharded, its shape on one device is shown too.
    """
    rows = [("parameter", "shape", "values", "on a device")]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        rows.append((name, _shape(leaf.shape), f"{math.prod(leaf.shape):,}", _shape(_part(leaf))))
    if all(shape == part for _, shape, _, part in rows[1:]):
        rows = [row[:-1] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))])
        for name, *cells in rows
    ]
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    whole = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    part = sum(math.prod(_part(leaf)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    lines.append(f"{count:,} parameters; with average and optimizer state {_mebibytes(whole)}, {_mebibytes(part)} on a device")
    return "\n".join(lines)


def class_summary(labels: Integer[np.ndarray, " N"], num_classes: int, names: Sequence[str] | None) -> str:
    """Lines of text: the numbers of the classes, their names and numbers of training images; a note if a class has none."""
    counts = np.bincount(labels, minlength=num_classes).tolist()
    names = [*(names or ()), *[""] * num_classes][:num_classes]
    shown = [f"{number} {name}".rstrip() + f" ({counts[number]})" for number, name in enumerate(names[:SHOWN_CLASSES])]
    lines = [f"classes (and training images): {', '.join(shown)}{', …' * (num_classes > SHOWN_CLASSES)}"]
    if 0 in counts:
        lines.append(f"note: {counts.count(0)} of the model.num_classes={num_classes} classes have no training images")
    return "\n".join(lines)


def _part(leaf: Any) -> tuple[int, ...]:
    return leaf.sharding.shard_shape(leaf.shape) if isinstance(leaf.sharding, NamedSharding) else leaf.shape


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "1"


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.2f} MiB"
