"""The card of a trained model: what it is, what of, how it was trained, how well it scores, and what not to use it for."""

from typing import Any

import jax

from pixel_rnn_jax.models.likelihood import bits_per_dim
from pixel_rnn_jax.storage.run_record import RunRecord

SHOWN_CLASSES = 20


def make_card(run: RunRecord, params: Any) -> dict[str, str]:
    """The card of a run: short texts by what they are about.

    What the record tells comes first, then the texts that were given to `save` or `export`, which may replace it: `about`,
    `test`, `licence`, `not_for`, or any other.
    """
    model, (height, width, channels) = run.model, run.image_shape
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    sizes = f"Multi-Scale, {', '.join(map(str, model.sizes))} pixels; " if model.sizes else ""
    card = {
        "model": f"{sizes}{model.layer}, {model.depth} layers, h = {model.features}; {count:,} parameters",
        "images": f"{height}x{width} pixels, {channels} channels, {model.levels} levels",
    }
    if model.num_classes:
        card["classes"] = _classes(run)
    if model.context_channels:
        card["given"] = f"context images of {model.context_channels} channels, {model.context_levels} levels"
    data = run.data
    card["data"] = f"{data.source}, {data.preprocessing}" if data.source else "not told"
    if run.validations is not None:
        card |= _training(run)
    return card | (run.card or {})


def _classes(run: RunRecord) -> str:
    names, counts = run.class_names, run.class_counts
    shown = names if counts is None else [f"{name} ({count})" for name, count in zip(names, counts, strict=True)]
    images = "" if counts is None else ", with their training images"
    return f"{len(names)}{images}: {', '.join(shown[:SHOWN_CLASSES])}{', …' * (len(names) > SHOWN_CLASSES)}"


def _training(run: RunRecord) -> dict[str, str]:
    config, best = run.config, run.validations
    steps = f"{config['num_steps']:,} steps of {config['batch_size']} images by {config['optimizer']['name']}"
    if not best.best_step:
        return {"training": f"{steps}; not validated yet"}
    bits = bits_per_dim(-best.best_nats, run.image_shape)
    texts = {
        "training": f"{steps}; averaged parameters of step {best.best_step:,}, the best on validation",
        "validation": f"{best.best_nats:.2f} nats {bits:.4f} bits/dim",
    }
    if best.relu_units:
        texts["relu_units"] = f"{best.live_units} of {best.relu_units} live: above zero for some validation image"
    return texts
