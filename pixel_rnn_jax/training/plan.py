"""What a compiler plans for a configuration on TPUs or GPUs that are only described. Nothing runs, and no data is needed."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
from ml_collections import ConfigDict

from pixel_rnn_jax.errors import one_line
from pixel_rnn_jax.evaluation.score import lower_scoring
from pixel_rnn_jax.generation.batched import lower_row
from pixel_rnn_jax.parallel.compiled_plan import read_plan
from pixel_rnn_jax.parallel.described_devices import described_devices
from pixel_rnn_jax.parallel.hardware import is_out_of_memory
from pixel_rnn_jax.parallel.mesh import platform_of, replicated
from pixel_rnn_jax.training.run import StepRecipe, lower_step, prepare_step


def _lower_scoring(recipe: StepRecipe) -> jax.stages.Lowered:
    return lower_scoring(recipe.model, recipe.mesh, _abstract_params(recipe), recipe.abstract_batch)


def _lower_row(recipe: StepRecipe) -> jax.stages.Lowered:
    batch = recipe.abstract_batch
    return lower_row(recipe.model, _abstract_params(recipe), batch["image"].shape, batch["conditions"], recipe.mesh)


PROGRAMS: dict[str, Callable[[StepRecipe], jax.stages.Lowered]] = {
    "train": lower_step,  # a step
    "evaluate": _lower_scoring,  # a batch
    "sample": _lower_row,  # a row of a batch of images
}
# A GPU's compiler would measure kernels to choose among them, for which there must be one.
COMPILER_OPTIONS = {"cuda": {"xla_gpu_autotune_level": "0"}}


def plan_costs(config: ConfigDict, size: tuple[int, int], topology: str, what: str) -> dict[str, Any]:
    """Compiles one of the `PROGRAMS` of a configuration for a topology, as it would be there; returns the plan, for JSON.

    Args:
      config: of the run.
      size: height and width of the images.
      topology: see `described_devices`.
      what: a name of `PROGRAMS`.

    Returns:
      What was compiled, for which devices, in how many seconds, and the fields of the `CompiledPlan`. If a device's memory
      does not suffice, the compiler may give up: then there is no plan, but an "error".

    Raises:
      InputError: if the topology is unknown or has no compiler here, or a field of the configuration cannot be used there.
    """
    described = described_devices(topology)
    recipe = prepare_step(config, (*size, config.model.channels), described.devices)
    mesh = recipe.mesh
    begin = time.perf_counter()
    lowered = PROGRAMS[what](recipe)
    traced = time.perf_counter()
    figures = {
        "what": what,
        "topology": topology,
        "device_kind": mesh.devices.flat[0].device_kind,
        "devices": mesh.size,
        "hosts": len({device.process_index for device in mesh.devices.flat}),
        "batch_size": recipe.config.batch_size,
        "microbatches": recipe.microbatches,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(recipe.abstract_state.params)),
        "device_bytes": described.memory,
        "trace_seconds": traced - begin,
    }
    try:
        compiled = lowered.compile(COMPILER_OPTIONS.get(platform_of(mesh)))
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return figures | {"fits": False, "error": one_line(error)}
    seconds, plan = time.perf_counter() - traced, read_plan(compiled)
    fits = plan.total_bytes <= described.memory
    return figures | {"fits": fits, "compile_seconds": seconds, "total_bytes": plan.total_bytes} | dataclasses.asdict(plan)


def _abstract_params(recipe: StepRecipe) -> Any:
    """Shapes and types of the parameters, whole on each device, as evaluation and sampler have them."""
    whole = replicated(recipe.mesh)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), recipe.abstract_state.params
    )
