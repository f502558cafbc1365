"""Measures a training step: its time, memory and operations, and the speed of likelihood and sampler."""

import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pixel_rnn_jax.evaluation.flops import training_flops
from pixel_rnn_jax.evaluation.score import score_batch
from pixel_rnn_jax.generation.sampling import sample
from pixel_rnn_jax.models.likelihood import log_prob
from pixel_rnn_jax.parallel.hardware import free_memory, is_out_of_memory, timed
from pixel_rnn_jax.parallel.mesh import replicate, shard_batch
from pixel_rnn_jax.training.run import StepRecipe, compile_step
from pixel_rnn_jax.training.step import blank_batch

PROFILED = 3  # steps in a trace


def measure(
    recipe: StepRecipe, repeats: int, *, likelihood: bool = True, sampler: bool = False, profile: Path | None = None
) -> dict[str, Any]:
    """The figures of a step, for JSON; times are medians of `repeats` calls. If memory is exhausted, there is an "error".

    Args:
      recipe: of the step.
      repeats: calls after the first one.
      likelihood: whether to measure the likelihood's speed too.
      sampler: whether to measure the sampler's speed too.
      profile: folder for a trace of a few steps.
    """
    model = recipe.model.config
    description = {name: getattr(model, name) for name in ("layer", "depth", "features", "head_features", "levels", "remat")}
    description |= {
        "image_shape": list(recipe.image_shape),
        "batch_size": recipe.config.batch_size,
        "microbatches": recipe.microbatches,
    }
    try:
        return description | _measure(recipe, repeats, likelihood=likelihood, sampler=sampler, profile=profile)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return description | {"error": "does not fit in memory"}


def _measure(recipe: StepRecipe, repeats: int, *, likelihood: bool, sampler: bool, profile: Path | None) -> dict[str, Any]:
    model, num, size = recipe.model, recipe.config.batch_size, recipe.image_shape[:2]
    begin = time.perf_counter()
    step = compile_step(recipe)
    compile_seconds = time.perf_counter() - begin
    plan = step.memory_analysis()
    # Outputs that take the place of inputs (the state) count once.
    planned = plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes + plan.temp_size_in_bytes
    if planned > free_memory(jax.local_device_count()):
        raise MemoryError
    batch = blank_batch(model.config, (num, *size))
    blank = batch["image"]
    batch["image"] = np.random.default_rng(0).integers(model.config.levels, size=blank.shape, dtype=blank.dtype)
    state, batch = recipe.init(), jax.block_until_ready(shard_batch(batch, recipe.mesh))

    def update():
        nonlocal state
        state, metrics = step(state, batch, recipe.step_key)
        return state, metrics

    _, seconds = timed(update, repeats)
    entry = {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "compile_seconds": compile_seconds,
        "step_seconds": seconds,
        "images_per_second": num / seconds,
        "planned_mib": planned / 2**20,
        "gflop": num * training_flops(model.config, *size).total / 1e9,
    }
    if profile is not None:
        with jax.profiler.trace(profile):
            timed(update, PROFILED - 1)
    if likelihood:
        params = replicate(state.ema, recipe.mesh)
        _, seconds = timed(lambda: score_batch(log_prob, model, recipe.mesh, params, batch), repeats)
        entry["likelihood_images_per_second"] = num / seconds
    if sampler:  # on one device, like `sample` itself
        params, key = jax.device_put((state.ema, recipe.step_key), jax.local_devices()[0])
        _, seconds = timed(lambda: sample(model, params, key, num, size), repeats)
        entry["sampler_images_per_second"] = num / seconds
    return entry
