"""Trains a tiny model on some layout of devices. As a program it is one of the processes of `test_layouts.py`."""

import dataclasses
import os
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
import optax

from pixel_rnn_jax.cli import configuration
from pixel_rnn_jax.parallel.distributed import connect, is_main
from pixel_rnn_jax.parallel.mesh import fetch, make_mesh, process_share, shard_batch
from pixel_rnn_jax.storage.checkpoint import Checkpoints
from pixel_rnn_jax.storage.run_record import Validations
from pixel_rnn_jax.training.resume import start_or_resume
from pixel_rnn_jax.training.run import compile_step, prepare

TINY = {
    "batch_size": 16,
    "num_steps": 5,
    "model.depth": 2,
    "model.features": 8,
    "model.head_features": 8,
    "model.dropout": 0.0,
    "calm_start": False,
}


def make_setup(*overrides, devices=None):
    """A training with SGD, whose first steps depend on the size of the gradient; those of Adam and RMSProp do not."""
    flags = [f"--config.{name}={value}" for name, value in TINY.items()]
    config = configuration.read_config("digits_rowlstm", [*flags, *overrides])
    setup = prepare(config)
    optimizer = optax.sgd(0.1, momentum=0.9)
    mesh = make_mesh(**config.mesh) if devices is None else make_mesh(devices=devices)
    return dataclasses.replace(setup, optimizer=optimizer, mesh=mesh)


def run(setup, workdir, last_step):
    """Trains up to a step, from the last checkpoint in a folder if there is one, and saves the last step there.

    Returns:
      The bits/dim of the steps, the state after them as NumPy arrays, and the validation score in nats.
    """
    with Checkpoints(workdir) as checkpoints:
        state, _ = start_or_resume(setup, checkpoints)
        first = int(state.step)
        update = compile_step(setup)
        batch_size = setup.config.batch_size
        batches = setup.data.train_batches(batch_size=batch_size, seed=0, first_batch=first, share=process_share(batch_size))
        losses = []
        for _ in range(first, last_step):
            state, metrics = update(state, shard_batch(next(batches), setup.mesh), setup.step_key)
            losses.append(float(metrics["bits_per_dim"]))
        score = setup.evaluate(state.ema, "validation", setup.data.examples("validation"))
        checkpoints.save(last_step, ema=state.ema, state=state.without_ema, record=setup.record(Validations()))
    return losses, fetch(state), score.nats


def main(coordinator, num_processes, process, workdir, last_step, *overrides):
    """Runs one of the processes; the first one writes its results."""
    connect(coordinator, int(num_processes), int(process))
    losses, state, nats = run(make_setup(*overrides), workdir, int(last_step))
    if is_main():
        np.savez(Path(workdir) / "result.npz", *jax.tree.leaves(state.params), losses=losses, nats=nats)


if __name__ == "__main__":
    main(*sys.argv[1:])
