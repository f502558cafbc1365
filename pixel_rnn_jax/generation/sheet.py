"""Sheets of drawn images: what is drawn, and how it is laid out in rows and columns."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, UInt, UInt8

from pixel_rnn_jax.models.conditioning import Conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.plots import to_rgb


class Plan(NamedTuple):
    """What to draw: `num` images of a height and width, `columns` in each row of the sheet.

    For a model with context images, `truth` is the true image of each row, if known.
    """

    size: tuple[int, int]
    conditions: Conditions
    num: int
    columns: int
    truth: UInt[np.ndarray, "rows H W C"] | None = None


def plan_from_contexts(
    conditions: Conditions, columns: int, scale: int, truth: UInt[np.ndarray, "rows H W C"] | None = None
) -> Plan:
    """Plans `columns` images from each context image, which is `scale` times smaller than they are."""
    conditions = jax.tree.map(lambda array: np.repeat(array, columns, 0), conditions)
    num, height, width, _ = conditions.context.shape
    return Plan((height * scale, width * scale), conditions, num, columns, truth)


def plan_of_classes(num_classes: int, columns: int, size: tuple[int, int]) -> Plan:
    """Plans a row of images of each class."""
    labels = np.repeat(np.arange(num_classes, dtype=np.int32), columns)
    return Plan(size, Conditions(labels=labels), len(labels), columns)


def lay_out(
    images: UInt[np.ndarray, "num H W C"], plan: Plan, config: ModelConfig
) -> tuple[UInt8[np.ndarray, "cells H W 3"], Bool[np.ndarray, "..."], int]:
    """Returns the cells of the sheet, the pixels of them that an animation shows from the start, and the number of columns."""
    rgb = to_rgb(images, config.levels)
    if plan.conditions.context is None:
        return rgb, np.zeros(plan.size, bool), plan.columns
    scale = config.context_scale
    context = to_rgb(plan.conditions.context[:: plan.columns], config.context_levels).repeat(scale, 1).repeat(scale, 2)
    rows = [context[:, None], rgb.reshape(-1, plan.columns, *rgb.shape[1:])]
    if plan.truth is not None:
        rows.append(to_rgb(plan.truth, config.levels)[:, None])
    cells = np.concatenate(rows, 1)
    known = np.ones(cells.shape[:-1], bool)
    known[:, 1 : 1 + plan.columns] = False
    return cells.reshape(-1, *rgb.shape[1:]), known.reshape(-1, *rgb.shape[1:3]), cells.shape[1]
