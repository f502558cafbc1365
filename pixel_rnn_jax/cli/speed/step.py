"""One training step: its times, memory and operations, and the speed of likelihood and sampler beside it."""

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from pixel_rnn_jax.cli import command
from pixel_rnn_jax.cli.speed.machine import timed
from pixel_rnn_jax.data import Batch
from pixel_rnn_jax.evaluation.flops import training_flops
from pixel_rnn_jax.evaluation.score import score_batch
from pixel_rnn_jax.generation.sampling import sample
from pixel_rnn_jax.models.likelihood import log_prob
from pixel_rnn_jax.parallel.mesh import replicate, shard_batch
from pixel_rnn_jax.training.run import StepRecipe, compile_step, prepare_step
from pixel_rnn_jax.training.step import TrainState, blank_batch, train_step

PROFILED = 3  # steps in a trace


class Case(NamedTuple):
    """What is measured.

    Attributes:
      name: for the tables.
      setup: of the training step.
      likelihood: whether to measure the evaluation's speed too.
      sampler: whether to measure the sampler's speed too.
      profile: folder for a trace of some steps, if wanted.
    """

    name: str
    setup: StepRecipe
    likelihood: bool = True
    sampler: bool = False
    profile: Path | None = None


def make_case(name: str, config: ConfigDict, size: tuple[int, int], **more: Any) -> Case:
    """Prepares the step of a configuration for images of a height and width.

    Raises:
      InputError: if they cannot be used.
    """
    return Case(name, prepare_step(config, (*size, config.model.channels)), **more)


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """The figures of a case, for JSON; of one that does not fit in memory, only what it is.

    Args:
      case: what to measure.
      repeats: calls of which the median counts, after a first one.
    """
    return _describe(case) | _if_it_fits(_measure, case, repeats)


def _if_it_fits(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What a function returns; an "error", if there is not enough memory for it."""
    try:
        return function(*arguments)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not command.is_out_of_memory(error):
            raise
        return {"error": "does not fit in memory"}


def _describe(case: Case) -> dict[str, Any]:
    config, model = case.setup.config, case.setup.model.config
    return {
        "name": case.name, "layer": model.layer, "depth": model.depth, "features": model.features,
        "head_features": model.head_features, "levels": model.levels, "remat": model.remat, "dtype": model.dtype,
        "image_shape": list(case.setup.image_shape), "batch_size": config.batch_size, "microbatches": case.setup.microbatches,
    }  # fmt: skip


def _measure(case: Case, repeats: int) -> dict[str, Any]:
    setup, peak = case.setup, _peak_bytes()
    begin = time.perf_counter()
    step = compile_step(setup)
    compile_seconds = time.perf_counter() - begin
    planned = _planned_bytes(step)
    _check_fits(planned)
    state, batch = setup.init(), random_batch(setup)

    def update():
        nonlocal state
        state, metrics = step(state, batch, setup.step_key)
        return state, metrics

    _, seconds = timed(update, repeats)
    entry = {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "compile_seconds": compile_seconds,
        "step_seconds": seconds,
        "images_per_second": setup.config.batch_size / seconds,
        "planned_mib": planned / 2**20,
        "gflop": setup.config.batch_size * training_flops(setup.model.config, *setup.image_shape[:2]).total / 1e9,
        "xla_gflop": _xla_gflop(setup),
    }
    if case.profile:
        with jax.profiler.trace(case.profile):
            timed(update, PROFILED - 1)
    # The device keeps the highest peak of the whole process: it is this step's if it rose.
    entry["peak_mib"] = _peak_bytes() / 2**20 if _peak_bytes() > peak else None
    if case.likelihood:
        entry["likelihood"] = _if_it_fits(_speed_of_likelihood, setup, state, batch, repeats)
    if case.sampler:
        entry["sampler"] = _if_it_fits(_speed_of_sampler, setup, state, repeats)
    return entry


def random_batch(setup: StepRecipe) -> Batch:
    """A batch of random images on the devices; what they are given, if anything, is zero."""
    config = setup.model.config
    batch = blank_batch(config, (setup.config.batch_size, *setup.image_shape[:2]))
    batch["image"] = np.random.default_rng(0).integers(config.levels, size=batch["image"].shape, dtype=np.uint8)
    return jax.block_until_ready(shard_batch(batch, setup.mesh))


def _speed_of_likelihood(setup: StepRecipe, state: TrainState, batch: Batch, repeats: int) -> dict[str, float]:
    params = replicate(state.ema, setup.mesh)
    _, seconds = timed(lambda: score_batch(log_prob, setup.model, setup.mesh, params, batch), repeats)
    return {"seconds": seconds, "images_per_second": setup.config.batch_size / seconds}


def _speed_of_sampler(setup: StepRecipe, state: TrainState, repeats: int) -> dict[str, float]:
    """On one device: `sample` knows of no others."""
    size, num = setup.image_shape[:2], setup.config.batch_size
    params, key = jax.device_put((state.ema, setup.step_key), jax.local_devices()[0])
    given = blank_batch(setup.model.config, (num, *size))["conditions"]._asdict()
    _, seconds = timed(lambda: sample(setup.model, params, key, num, size, **given), repeats)
    return {"seconds": seconds, "images_per_second": num / seconds}


def _planned_bytes(step: jax.stages.Compiled) -> int:
    """What XLA plans to need of each device: what goes in stays there, unless what comes out takes its place."""
    plan = step.memory_analysis()
    of_arrays = plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return of_arrays + plan.temp_size_in_bytes


def _check_fits(planned: int) -> None:
    """Raises `MemoryError` if a CPU has less: instead of an error from XLA, the system would end the process."""
    if jax.default_backend() == "cpu":
        has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if planned * jax.local_device_count() > has:
            raise MemoryError


def _peak_bytes() -> int:
    """The most memory that the first device ever had in use; 0 where it does not tell."""
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)


def _xla_gflop(setup: StepRecipe) -> float | None:
    """XLA's count in units of 1e9, activations and optimiser included; None for sweeps: of a loop it counts one turn."""
    if setup.model.config.layer != "pixel_cnn":
        return None
    # All at once, since parts are a loop, too, and without a mesh: what devices share would be counted for one of them.
    step = functools.partial(train_step, model=setup.model, optimizer=setup.optimizer, ema_decay=0.0)
    lowered = jax.jit(step).lower(setup.abstract_state, setup.abstract_batch, setup.step_key)
    return (lowered.cost_analysis() or {}).get("flops", 0) / 1e9 or None
