"""Counts what a configuration costs: parameters, memory and operations. Nothing is run, and no data is needed."""

import math
import time
from typing import Any

import jax
from ml_collections import ConfigDict

from pixel_rnn_jax.evaluation.flops import forward_flops, training_flops
from pixel_rnn_jax.models.multi_scale import make_model
from pixel_rnn_jax.training.config import TrainConfig
from pixel_rnn_jax.training.optimizer import make_optimizer
from pixel_rnn_jax.training.run import check_image_shape
from pixel_rnn_jax.training.step import blank_batch, init_state, train_step

BATCH_SIZES = (8, 16)  # their difference in memory tells what an image takes


def measure_costs(config: ConfigDict, size: tuple[int, int]) -> dict[str, Any]:
    """The figures of a configuration, for images of a height and width, on one device and without gradient accumulation."""
    fields = TrainConfig.from_config_dict(config)
    model, optimizer = make_model(fields.model), make_optimizer(fields.optimizer, fields.num_steps)
    image_shape = (*size, model.config.channels)
    check_image_shape(model.config, image_shape)
    key, parts = jax.random.key(0), {"model": model, "optimizer": optimizer}
    state = init_state.eval_shape(key, **parts)
    temporary = []
    for batch_size in BATCH_SIZES:
        batch = blank_batch(model.config, (batch_size, *size))
        begin = time.perf_counter()
        compiled = train_step.lower(state, batch, key, ema_decay=fields.optimizer.ema_decay, **parts).compile()
        seconds = time.perf_counter() - begin
        temporary.append(compiled.memory_analysis().temp_size_in_bytes)
    image_bytes = (temporary[1] - temporary[0]) / (BATCH_SIZES[1] - BATCH_SIZES[0])
    state_bytes = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return {
        "parameters": sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params)),
        "state_mib": state_bytes / 2**20,
        "forward_gflop": forward_flops(model.config, *size).total / 1e9,
        "training_gflop": training_flops(model.config, *size).total / 1e9,
        "platform": jax.devices()[0].device_kind,
        "image_mib": image_bytes / 2**20,
        "fixed_mib": (state_bytes + max(temporary[0] - BATCH_SIZES[0] * image_bytes, 0)) / 2**20,
        "compile_seconds": seconds,
    }
