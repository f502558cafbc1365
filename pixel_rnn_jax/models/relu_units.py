"""Live ReLU units. A unit that is zero for every image gets no gradient, and so stays dead."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Bool, Float, Float32

from pixel_rnn_jax.images import Images

LIVE = "live_units"  # the Flax collection that layers report to, if it is mutable


def report_live(module: nn.Module, name: str, activations: Float[Array, "B H W units"]) -> None:
    """Reports, for each image, which units of a ReLU layer are above zero at any pixel."""
    if not module.is_initializing():  # `init` is to return parameters only
        module.sow(LIVE, name, jnp.any(activations > 0, (1, 2)), init_fn=lambda: None, reduce_fn=lambda _, live: live)


def log_prob_and_live_units(
    model: nn.Module, params: Any, images: Images, context: Any = None, labels: Any = None
) -> tuple[Float32[Array, " B"], dict[str, Bool[Array, "B ..."]]]:
    """`log_prob`, and which ReLU units are above zero for each image, in one pass. Takes the arguments of `log_prob`.

    Returns:
      Nats [B]; and, by the name of the ReLU layer, [B, units], or [B, depth, units] inside the layers.
    """
    conditions = {"context": context, "labels": labels}
    log_probs, reports = model.apply({"params": params}, images, **conditions, method="log_probs", mutable=[LIVE])
    live = traverse_util.flatten_dict(reports[LIVE], sep="/")
    return jnp.sum(log_probs, (1, 2, 3)), {name: jnp.moveaxis(units, -2, 0) for name, units in live.items()}
