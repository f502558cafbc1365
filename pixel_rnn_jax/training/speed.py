"""Measures a training step: time, memory and operations; also the speed of likelihood and sampler."""

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from pixel_rnn_jax.data import Batch
from pixel_rnn_jax.evaluation.flops import training_flops
from pixel_rnn_jax.evaluation.score import score_batch
from pixel_rnn_jax.generation.sampling import sample
from pixel_rnn_jax.models.likelihood import log_prob
from pixel_rnn_jax.parallel.machine import is_out_of_memory, timed
from pixel_rnn_jax.parallel.mesh import replicate, shard_batch
from pixel_rnn_jax.training.run import StepRecipe, compile_step, prepare_step
from pixel_rnn_jax.training.step import TrainState, blank_batch, train_step

PROFILED = 3  # steps in a trace


class Case(NamedTuple):
    """A training step to measure.

    Attributes:
      name: in the tables.
      recipe: of the step.
      likelihood: whether to measure the likelihood's speed too.
      sampler: whether to measure the sampler's speed too.
      profile: folder for a trace of a few steps; None: no trace.
    """

    name: str
    recipe: StepRecipe
    likelihood: bool = True
    sampler: bool = False
    profile: Path | None = None


def make_case(name: str, config: ConfigDict, size: tuple[int, int], **more: Any) -> Case:
    """The step of a configuration, for images of a height and width.

    Raises:
      InputError: if either cannot be used.
    """
    return Case(name, prepare_step(config, (*size, config.model.channels)), **more)


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """The figures of a case, for JSON; its description and an "error", if it does not fit in memory.

    Args:
      case: the step to measure.
      repeats: calls after the first one; their median counts.
    """
    return _describe(case) | _if_it_fits(_measure, case, repeats)


def _if_it_fits(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """The result of a function, or an "error" if the memory is exhausted."""
    try:
        return function(*arguments)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return {"error": "does not fit in memory"}


def _describe(case: Case) -> dict[str, Any]:
    recipe, model = case.recipe, case.recipe.model.config
    return {
        "name": case.name, "layer": model.layer, "depth": model.depth, "features": model.features,
        "head_features": model.head_features, "levels": model.levels, "remat": model.remat, "dtype": model.dtype,
        "image_shape": list(recipe.image_shape), "batch_size": recipe.config.batch_size, "microbatches": recipe.microbatches,
    }  # fmt: skip


def _measure(case: Case, repeats: int) -> dict[str, Any]:
    recipe, peak = case.recipe, _peak_bytes()
    begin = time.perf_counter()
    step = compile_step(recipe)
    compile_seconds = time.perf_counter() - begin
    planned = _planned_bytes(step)
    _check_fits(planned)
    state, batch = recipe.init(), random_batch(recipe)

    def update():
        nonlocal state
        state, metrics = step(state, batch, recipe.step_key)
        return state, metrics

    _, seconds = timed(update, repeats)
    entry = {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "compile_seconds": compile_seconds,
        "step_seconds": seconds,
        "images_per_second": recipe.config.batch_size / seconds,
        "planned_mib": planned / 2**20,
        "gflop": recipe.config.batch_size * training_flops(recipe.model.config, *recipe.image_shape[:2]).total / 1e9,
        "xla_gflop": _xla_gflop(recipe),
    }
    if case.profile:
        with jax.profiler.trace(case.profile):
            timed(update, PROFILED - 1)
    # The device keeps the highest peak of the whole process. If it rose, it is this step's.
    entry["peak_mib"] = _peak_bytes() / 2**20 if _peak_bytes() > peak else None
    if case.likelihood:
        entry["likelihood"] = _if_it_fits(_speed_of_likelihood, recipe, state, batch, repeats)
    if case.sampler:
        entry["sampler"] = _if_it_fits(_speed_of_sampler, recipe, state, repeats)
    return entry


def random_batch(recipe: StepRecipe) -> Batch:
    """A batch of random images on the devices; labels and context are zeros."""
    config = recipe.model.config
    batch = blank_batch(config, (recipe.config.batch_size, *recipe.image_shape[:2]))
    batch["image"] = np.random.default_rng(0).integers(config.levels, size=batch["image"].shape, dtype=np.uint8)
    return jax.block_until_ready(shard_batch(batch, recipe.mesh))


def _speed_of_likelihood(recipe: StepRecipe, state: TrainState, batch: Batch, repeats: int) -> dict[str, float]:
    params = replicate(state.ema, recipe.mesh)
    _, seconds = timed(lambda: score_batch(log_prob, recipe.model, recipe.mesh, params, batch), repeats)
    return {"seconds": seconds, "images_per_second": recipe.config.batch_size / seconds}


def _speed_of_sampler(recipe: StepRecipe, state: TrainState, repeats: int) -> dict[str, float]:
    """On one device, like `sample` itself."""
    size, num = recipe.image_shape[:2], recipe.config.batch_size
    params, key = jax.device_put((state.ema, recipe.step_key), jax.local_devices()[0])
    conditions = blank_batch(recipe.model.config, (num, *size))["conditions"]._asdict()
    _, seconds = timed(lambda: sample(recipe.model, params, key, num, size, **conditions), repeats)
    return {"seconds": seconds, "images_per_second": num / seconds}


def _planned_bytes(step: jax.stages.Compiled) -> int:
    """The memory that XLA plans for each device. Outputs that take the place of inputs (the state) count once."""
    plan = step.memory_analysis()
    return plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes + plan.temp_size_in_bytes


def _check_fits(planned: int) -> None:
    """Raises `MemoryError` if the host has less memory: on a CPU, the system would end the process instead of XLA."""
    if jax.default_backend() == "cpu":
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if planned * jax.local_device_count() > memory:
            raise MemoryError


def _peak_bytes() -> int:
    """The highest memory use of the first device so far; 0 on platforms that do not measure it."""
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)


def _xla_gflop(recipe: StepRecipe) -> float | None:
    """XLA's own count in units of 1e9, with activations and optimizer; None for LSTMs: XLA counts a scan's body once."""
    if recipe.model.config.layer != "pixel_cnn":
        return None
    # In one microbatch, since microbatches are a loop too; without a mesh, since XLA would count the share of one device.
    step = functools.partial(train_step, model=recipe.model, optimizer=recipe.optimizer, ema_decay=0.0)
    lowered = jax.jit(step).lower(recipe.abstract_state, recipe.abstract_batch, recipe.step_key)
    return (lowered.cost_analysis() or {}).get("flops", 0) / 1e9 or None
