"""Training: the loop that puts the rooms together."""

import contextlib
import dataclasses
import math
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from pixel_rnn_jax.data import Examples, at_most
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation.flops import training_flops
from pixel_rnn_jax.evaluation.score import Score, evaluate
from pixel_rnn_jax.parallel.distributed import is_main, on_main
from pixel_rnn_jax.parallel.mesh import process_share, shard_batch
from pixel_rnn_jax.paths import AnyPath, as_path, is_remote
from pixel_rnn_jax.plots import save_curves
from pixel_rnn_jax.progress import note, progress_bar
from pixel_rnn_jax.storage.checkpoint import Checkpoints, Record
from pixel_rnn_jax.storage.load import load
from pixel_rnn_jax.training.lock import lock_workdir
from pixel_rnn_jax.training.metrics import MetricsLog, NoLog, StepReport, read_metrics
from pixel_rnn_jax.training.optimizer import learning_rate_schedule
from pixel_rnn_jax.training.preemption import Interrupted, StopSignals
from pixel_rnn_jax.training.resume import start_or_resume, without_ema
from pixel_rnn_jax.training.run import TrainingRun, compile_step, prepare
from pixel_rnn_jax.training.step import TrainState
from pixel_rnn_jax.training.step_clock import StepClock
from pixel_rnn_jax.training.step_profile import StepProfile
from pixel_rnn_jax.training.summary import parameter_table

DEAD_TOO_MANY = 0.1  # share of ReLU units that are zero on all validation images, above which training warns


def fit(
    setup: TrainingRun,
    state: TrainState,
    record: Record,
    checkpoints: Checkpoints,
    log: MetricsLog | NoLog,
    *,
    trace: AnyPath | None = None,
) -> None:
    """The loop: step, report, evaluate, save.

    Args:
      setup: of the run.
      state: to go on from.
      record: of the validations so far.
      checkpoints: where states are saved.
      log: gets the metrics.
      trace: folder for a trace of a few steps, if there is to be one.

    Raises:
      FloatingPointError: if a loss, a gradient or a validation score is no longer finite.
      Interrupted: after SIGINT or SIGTERM, when the state is saved.
    """
    config = setup.config
    first = int(state.step) + 1
    if first > config.num_steps or record.exhausted(config.patience):
        return
    validation = at_most(setup.data.examples("validation"), config.eval_images)
    batches = setup.data.train_batches(  # one for each step: the step is the position in the data
        batch_size=config.batch_size, seed=config.seed, first_batch=first - 1, share=process_share(config.batch_size)
    )
    begin = time.perf_counter()
    update = compile_step(setup)
    clock = StepClock(config.batch_size, compile_seconds=time.perf_counter() - begin)
    bar = progress_bar(config.num_steps, done=first - 1, unit="step")
    with contextlib.closing(batches), StopSignals() as signals, StepProfile(trace, first, config.num_steps) as profile, bar:
        learning_rate = learning_rate_schedule(config.optimizer, config.num_steps)
        report = StepReport(
            log, bar, clock, log_every=config.log_every, last_step=config.num_steps, learning_rate=learning_rate
        )
        warned = False
        for step in range(first, config.num_steps + 1):
            with clock.stopped():
                profile.before(step)
            with clock.waiting():
                batch = shard_batch(next(batches), setup.mesh)
            state, metrics = update(state, batch, setup.step_key)
            report.add(step, metrics)

            improved = False
            if step % config.eval_every == 0 or step == config.num_steps:
                report.finish()
                with clock.stopped():
                    score = score_images(setup, state.ema, "validation", validation)
                if not math.isfinite(score.nats):
                    raise FloatingPointError(f"step {step} gave validation nats = {score.nats}")
                improved = record.update(step, score.nats)
                log.write(
                    step,
                    validation_nats=score.nats,
                    validation_bits_per_dim=score.bits_per_dim,
                    validation_dead_units=score.dead_share,
                )
                note(bar, f"step {step}: {score}{' (best)' if improved else ''}; dead ReLU units: {score.dead_units}")
                if score.dead_share > DEAD_TOO_MANY and not warned:
                    warned = True
                    note(
                        bar,
                        f"warning: {score.dead_share:.0%} of the ReLU units are zero on all validation images, and learn no"
                        " more; a lower learning rate, or optimizer.name=muon with calm_start=True, keeps them alive.",
                    )

            interruption = signals.at(step)  # read once: what is told to stop is saved
            exhausted = record.exhausted(config.patience)
            stopping = step == config.num_steps or exhausted or interruption is not None
            if stopping or improved or step % config.checkpoint_every == 0:
                report.finish()
                run = describe_run(setup, record)
                with clock.stopped():
                    log.save()
                    checkpoints.save(step, ema=state.ema, state=without_ema(state), run=run, best_step=record.best_step)
            if stopping:
                checkpoints.wait()
            if interruption is not None:
                name = signal.Signals(interruption).name
                raise Interrupted(
                    f"stopped by {name}; saved as {checkpoints.path(step)}, the same command goes on.", interruption
                )
            if exhausted:
                return


def describe_run(setup: TrainingRun, record: Record) -> dict[str, Any]:
    """What a checkpoint holds besides arrays; JSON."""
    return {
        "config": setup.config.to_dict(),
        "image_shape": setup.data.image_shape,
        "classes": setup.data.classes,
        "record": dataclasses.asdict(record),
    }


def train(
    config: ConfigDict,
    workdir: str | AnyPath,
    *,
    init_from: str | AnyPath | None = None,
    allow_config_change: bool = False,
    fall_back: bool = False,
    profile: bool = False,
) -> Score:
    """Trains a model, or goes on with a training that was interrupted.

    Args:
      config: see `training/config.py`.
      workdir: where checkpoints, metrics and curves go.
      init_from: work directory of another run of the same model: if `workdir` holds no run yet, this one starts with that
        one's last parameters, average, optimizer state and step, whatever the rest of its configuration.
      allow_config_change: go on although the configuration is not the one that the run was started with.
      fall_back: go on from the checkpoint before, if the latest is damaged.
      profile: write a trace of a few steps to the folder `profile` of the work directory.

    Returns:
      The score of the best checkpoint on the test split, or on validation if the source has no test split.

    Raises:
      InputError: (a ValueError) if the configuration or the work directory cannot be used.
      FloatingPointError: if a loss or a gradient is no longer finite.
      OSError: if something cannot be written, with what is kept.
      Interrupted: after SIGINT or SIGTERM, when the state is saved.
    """
    workdir = as_path(workdir)
    setup = prepare(config)
    if is_main():
        print(parameter_table(setup.abstract_state.params, setup.abstract_state), file=sys.stderr)
        flops = training_flops(setup.model.config, *setup.data.image_shape[:2]).total
        print(f"{flops / 1e9:.3g} GFLOP for each image of a training step", file=sys.stderr)
    lock = None if is_remote(workdir) else on_main(lambda: lock_workdir(workdir))
    with lock or contextlib.nullcontext():
        with Checkpoints(workdir) as checkpoints:
            if checkpoints.latest_step is not None:
                init_from = None
            state, record = start_or_resume(
                setup, checkpoints, init_from=init_from, allow_config_change=allow_config_change, fall_back=fall_back
            )
            if is_main() and init_from is not None:
                print(f"starting with step {state.step} of {init_from}", file=sys.stderr)
            log = on_main(lambda: MetricsLog(workdir, int(state.step), history=init_from)) or NoLog()
            with log, _telling_what_is_kept(checkpoints):
                fit(
                    setup,
                    state,
                    record,
                    checkpoints,
                    log,
                    trace=workdir / "profile" if profile and is_main() else None,
                )
            best_step = checkpoints.best_step
        return _score_best(setup, workdir, best_step)


@contextlib.contextmanager
def _telling_what_is_kept(checkpoints: Checkpoints) -> Iterator[None]:
    """Adds to the error of a training that cannot go on, from which checkpoint it can."""
    try:
        yield
    except (FloatingPointError, OSError) as error:
        with contextlib.suppress(InputError):  # the first error counts
            checkpoints.wait()
        step = checkpoints.latest_step
        kept = f"the last good checkpoint is {checkpoints.path(step)}" if step else "there is no checkpoint yet"
        kind = FloatingPointError if isinstance(error, FloatingPointError) else OSError
        raise kind(f"{error}; {kept}.") from None


def _score_best(setup: TrainingRun, workdir: AnyPath, best_step: int | None) -> Score:
    """Scores the best checkpoint on the final split, and draws the curves."""
    config = setup.config
    _, params = load(workdir)
    split = setup.data.final_split
    score = score_images(setup, params, split, at_most(setup.data.examples(split), config.test_images))
    if is_main():
        title = f"{config.model.layer} on {config.data.source}: {score}"
        try:
            save_curves(workdir / "curves.png", {"": read_metrics(workdir)}, best_step=best_step, title=title)
        except (InputError, OSError) as error:  # the score counts
            warnings.warn(f"the curves could not be drawn ({error})", stacklevel=2)
    return score


def score_images(setup: TrainingRun, params: Any, split: str, examples: Examples) -> Score:
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
