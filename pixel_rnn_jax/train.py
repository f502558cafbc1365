"""Training: the state, one step of it, and the loop that puts the rooms together."""

import contextlib
import dataclasses
import functools
import math
import signal
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from pixel_rnn_jax.checkpoint import Checkpoints, Record, abstract_params, changed_fields, load, restore_model
from pixel_rnn_jax.conditions import blank_conditions, check_conditions
from pixel_rnn_jax.data import Batch, DataConfig, Dataset, Examples, random_subset
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluate import Score, evaluate
from pixel_rnn_jax.likelihood import bits_per_dim, log_prob_from_logits
from pixel_rnn_jax.metrics import MetricsLog, StepReport, read_metrics
from pixel_rnn_jax.model_config import ModelConfig
from pixel_rnn_jax.multi_scale import make_model
from pixel_rnn_jax.optimizer import learning_rate_schedule, make_optimizer
from pixel_rnn_jax.plots import save_curves
from pixel_rnn_jax.progress import progress_bar
from pixel_rnn_jax.sharding import check_batch_size, make_mesh, replicated, shard_batch
from pixel_rnn_jax.stopping import Interrupted, StopSignals


class TrainState(flax.struct.PyTreeNode):
    """All arrays that a training step changes.

    Attributes:
      step: number of finished steps, int32.
      params: the parameters.
      ema: their exponential moving average.
      opt_state: the optimiser's state.
    """

    step: Any
    params: Any
    ema: Any
    opt_state: optax.OptState


def init_state(
    key: jax.Array, *, model: nn.Module, optimizer: optax.GradientTransformation, image_shape: tuple[int, ...]
) -> TrainState:
    """The state before the first step; a function of the key."""
    images = jnp.zeros((1, *image_shape), jnp.uint8)
    params = model.init(key, images, **blank_conditions(model.config, images.shape[:3])._asdict())["params"]
    return TrainState(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), optimizer.init(params))


def train_step(
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
    """One step on the mean negative log-likelihood of a batch, in bits/dim. Pure.

    Args:
      state: the state before.
      batch: images [B, H, W, C], and what they are given.
      key: random key of the whole run, for dropout.
      model: a `PixelRNN` or a `MultiScalePixelRNN`; of the latter, all sizes are trained together.
      optimizer: turns gradients into updates.
      ema_decay: of the moving average. The decay grows to it, min(ema_decay, (1 + t) / (10 + t)) at step t, so that the
        average forgets the random start.

    Returns:
      The state after, and the batch's nats, bits_per_dim and the norms of gradient (before clipping) and update.
    """
    images = batch["image"]

    def loss(params):
        rngs = {"dropout": jax.random.fold_in(key, state.step)}
        logits = model.apply({"params": params}, images, True, *batch["conditions"], rngs=rngs)
        log_prob = jnp.mean(log_prob_from_logits(logits, images))
        return bits_per_dim(log_prob, images.shape[1:]), -log_prob

    (bits, nats), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
    ema = optax.incremental_update(params, state.ema, 1 - decay)
    metrics = {"nats": nats, "bits_per_dim": bits, "gradient_norm": optax.tree.norm(gradient)}
    metrics["update_norm"] = optax.tree.norm(updates)
    return TrainState(state.step + 1, params, ema, opt_state), metrics


@dataclasses.dataclass(frozen=True)
class Setup:
    """Everything that a configuration stands for, made and checked before the first step."""

    config: ConfigDict
    model: nn.Module
    optimizer: optax.GradientTransformation
    mesh: Mesh
    data: Dataset
    init_key: jax.Array
    step_key: jax.Array


def prepare(config: ConfigDict) -> Setup:
    """Makes the parts of a training.

    Raises:
      InputError: if a field of the configuration cannot be used.
    """
    for name in ("batch_size", "num_steps", "eval_every", "checkpoint_every", "log_every"):
        if config[name] < 1:
            raise InputError(f"{name} must be at least 1; got {config[name]}.")
    if config.seed < 0:
        raise InputError(f"seed must be at least 0; got {config.seed}.")
    for name in ("eval_images", "test_images"):
        if config[name] < 0:
            raise InputError(f"{name} must be at least 0 (all); got {config[name]}.")
    if config.patience < 0:
        raise InputError(f"patience must be at least 0 (never stop early); got {config.patience}.")
    if not 0 <= config.optimizer.ema_decay < 1:
        raise InputError(f"optimizer.ema_decay must be in [0, 1); got {config.optimizer.ema_decay}.")
    model = make_model(ModelConfig(**config.model))
    optimizer = make_optimizer(config.optimizer, config.num_steps)
    mesh = make_mesh()
    check_batch_size(config.batch_size, mesh)
    data = Dataset(DataConfig(**config.data), model.config)
    _check_image_shape(model.config, data.image_shape)
    data.decode()
    return Setup(config, model, optimizer, mesh, data, *jax.random.split(jax.random.key(config.seed)))


def _check_image_shape(config: ModelConfig, shape: tuple[int, int, int]) -> None:
    """Raises `InputError` unless a model can be trained on images of this shape."""
    if config.sizes and shape[0] != config.sizes[-1]:
        raise InputError(f"model.sizes must end with {shape[0]}, the height of the images; got {config.sizes}.")
    check_conditions(config, blank_conditions(config, (1, *shape[:2])), (1, *shape[:2]))


def start_or_resume(setup: Setup, checkpoints: Checkpoints, *, allow_config_change: bool) -> tuple[TrainState, Record]:
    """The first state of a new run, or the last state of the one that the work directory holds.

    Raises:
      InputError: if that run had another configuration, or its last checkpoint is damaged.
    """
    init = functools.partial(init_state, model=setup.model, optimizer=setup.optimizer, image_shape=setup.data.image_shape)
    sharding = replicated(setup.mesh)
    step = checkpoints.latest_step
    if step is None:
        return jax.jit(init, out_shardings=sharding)(setup.init_key), Record()

    run = checkpoints.restore_run(step)
    changes = changed_fields(run["config"], setup.config.to_dict())
    if changes and not allow_config_change:
        raise InputError(
            f"{checkpoints.directory.parent} holds a run of another configuration ({'; '.join(changes)})."
            " Use another work directory, or --allow_config_change to go on from its last checkpoint."
        )
    classes = run.get("classes")
    if classes != (setup.data.classes and list(setup.data.classes)):
        raise InputError(
            f"the classes of the data must be those that the run was started with, {classes}; got {setup.data.classes}."
        )
    saved_model = restore_model(run)
    if abstract_params(saved_model) != abstract_params(setup.model):
        raise InputError(f"{checkpoints.path(step)} holds another model, {saved_model.config}; it cannot go on as this one.")
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), jax.eval_shape(init, setup.init_key)
    )
    arrays = checkpoints.restore_arrays(step, ema=like.ema, state=_without_ema(like))
    return TrainState(ema=arrays["ema"], **arrays["state"]), Record(**run["record"])


def fit(setup: Setup, state: TrainState, record: Record, checkpoints: Checkpoints, log: MetricsLog) -> None:
    """The loop: step, report, evaluate, save.

    Raises:
      FloatingPointError: if a loss, a gradient or a validation score is no longer finite.
      Interrupted: after SIGINT or SIGTERM, when the state is saved.
    """
    config = setup.config
    update = functools.partial(train_step, model=setup.model, optimizer=setup.optimizer, ema_decay=config.optimizer.ema_decay)
    update = jax.jit(update, donate_argnums=0)
    learning_rate = learning_rate_schedule(config.optimizer, config.num_steps)
    validation = _some(setup.data.examples("validation"), config.eval_images)
    first = int(state.step) + 1
    batches = setup.data.train_batches(  # one for each step: the step is the position in the data
        batch_size=config.batch_size,
        seed=config.seed,
        first_batch=first - 1,
        process=jax.process_index(),
        num_processes=jax.process_count(),
    )
    bar = progress_bar(config.num_steps, done=first - 1, unit="step")
    with contextlib.closing(batches), StopSignals() as signals, bar:
        report = StepReport(log, bar, log_every=config.log_every, learning_rate=learning_rate)
        for step in range(first, config.num_steps + 1):
            if record.exhausted(config.patience):
                break
            state, metrics = update(state, shard_batch(next(batches), setup.mesh), setup.step_key)
            report.add(step, metrics)

            score, improved = None, False
            if step % config.eval_every == 0 or step == config.num_steps:
                report.finish()
                score = score_images(setup, state.ema, "validation", validation)
                if not math.isfinite(score.nats):
                    raise FloatingPointError(f"step {step} gave validation nats = {score.nats}")
                improved = record.update(step, score.nats)
                log.write(step, validation_nats=score.nats, validation_bits_per_dim=score.bits_per_dim)
                bar.write(f"step {step}: {score}{' (best)' if improved else ''}", file=bar.fp)

            interruption = signals.received  # read once: what is told to stop is saved
            stopping = step == config.num_steps or record.exhausted(config.patience) or interruption is not None
            if stopping or improved or step % config.checkpoint_every == 0:
                report.finish()
                run = describe_run(setup, record)
                checkpoints.save(
                    step, ema=state.ema, state=_without_ema(state), run=run, best_nats=score.nats if improved else None
                )
            if interruption is not None:
                checkpoints.wait()
                name = signal.Signals(interruption).name
                raise Interrupted(
                    f"stopped by {name}; saved as {checkpoints.path(step)}, the same command goes on.", interruption
                )


def describe_run(setup: Setup, record: Record) -> dict[str, Any]:
    """What a checkpoint holds besides arrays; JSON."""
    return {
        "config": setup.config.to_dict(),
        "image_shape": setup.data.image_shape,
        "classes": setup.data.classes,
        "record": dataclasses.asdict(record),
    }


def train(config: ConfigDict, workdir: str | Path, *, allow_config_change: bool = False) -> Score:
    """Trains a model, or goes on with a training that was interrupted.

    Args:
      config: see `experiments/base.py`.
      workdir: where checkpoints, metrics and curves go.
      allow_config_change: go on although the configuration is not the one that the run was started with.

    Returns:
      The score of the best checkpoint on the test split, or on validation if the source has no test split.

    Raises:
      InputError: (a ValueError) if the configuration or the work directory cannot be used.
      FloatingPointError: if a loss or a gradient is no longer finite.
      Interrupted: after SIGINT or SIGTERM, when the state is saved.
    """
    setup = prepare(config)
    with Checkpoints(workdir) as checkpoints:
        state, record = start_or_resume(setup, checkpoints, allow_config_change=allow_config_change)
        with MetricsLog(workdir, int(state.step)) as log:
            try:
                fit(setup, state, record, checkpoints, log)
            except FloatingPointError as error:
                checkpoints.wait()
                step = checkpoints.latest_step
                good = f"the last good checkpoint is {checkpoints.path(step)}" if step else "there is no checkpoint yet"
                raise FloatingPointError(f"{error}; {good}.") from None
        best_step = checkpoints.best_step
    _, params = load(workdir)
    split = setup.data.final_split
    score = score_images(setup, params, split, _some(setup.data.examples(split), config.test_images))
    title = f"{config.model.layer} on {config.data.source}: {score}"
    save_curves(Path(workdir) / "curves.png", read_metrics(workdir), best_step=best_step, title=title)
    return score


def score_images(setup: Setup, params: Any, split: str, examples: Examples) -> Score:
    """Evaluates parameters on images of a split."""
    config = setup.config
    return evaluate(
        setup.model,
        params,
        split,
        *examples,
        batch_size=config.batch_size,
        mesh=setup.mesh,
        num_threads=config.data.num_threads,
    )


def _some(examples: Examples, count: int) -> Examples:
    """So many images of a set, drawn at random but always the same; all, if `count` is 0."""
    if not 0 < count < len(examples.images):
        return examples
    return random_subset(examples, count, seed=0)


def _without_ema(state: TrainState) -> dict[str, Any]:
    return {"step": state.step, "params": state.params, "opt_state": state.opt_state}
