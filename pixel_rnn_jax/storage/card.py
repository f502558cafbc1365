"""The card of a trained model: what it is, what of, how it was trained, how well it scores, and what not to use it for."""

from typing import Any

import jax

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.likelihood import bits_per_dim
from pixel_rnn_jax.storage.run_record import RunRecord

SHOWN_CLASSES = 20


def make_card(run: RunRecord, params: Any) -> dict[str, str]:
    """The card of a run: short texts by name.

    To what the record tells come the texts that were given to `save` or `export`, which may replace it: `about`, which goes
    first, `test`, `licence`, `not_for`, or any other.
    """
    model, (height, width, channels) = run.model, run.image_shape
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    sizes = f"Multi-Scale, {', '.join(map(str, model.sizes))} pixels; " if model.sizes else ""
    layers = f"{model.layer}, {model.depth} layer{'s' * (model.depth > 1)}, h = {model.features}"
    card = {
        "model": f"{sizes}{layers}; {count:,} parameters",
        "images": f"{height}x{width} pixels, {channels} channel{'s' * (channels > 1)}, {model.levels} levels",
    }
    if model.num_classes:
        card["classes"] = _classes(run)
    if model.context_channels:
        card["given"] = f"context images of {model.context_channels} channels, {model.context_levels} levels"
    card["data"] = _data(run)
    if run.validations is not None:
        card |= _training(run)
    card |= run.card or {}
    return dict(sorted(card.items(), key=lambda item: item[0] != "about"))


def _data(run: RunRecord) -> str:
    try:
        data = run.data
    except InputError:  # of another version, while the model is fine
        return str(run.config.get("data", {}).get("source", "not told"))
    return f"{data.source}, {data.preprocessing}" if data.source else "not told"


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
    num = f", {config['eval_images']:,} images" if config.get("eval_images") else ""
    texts = {
        "training": f"{steps}; averaged parameters of step {best.best_step:,}, the best on validation",
        "validation": f"{best.best_nats:.2f} nats {bits:.4f} bits/dim{num}",
    }
    if best.relu_units:
        texts["relu_units"] = f"{best.live_units} of {best.relu_units} live: above zero for some validation image"
    return texts
