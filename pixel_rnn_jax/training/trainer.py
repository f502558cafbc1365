"""Training loop."""

import contextlib
import math
import signal
import time
import warnings
from collections.abc import Iterator

from ml_collections import ConfigDict

from pixel_rnn_jax.data import at_most
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation.flops import training_flops
from pixel_rnn_jax.evaluation.score import Score
from pixel_rnn_jax.parallel.distributed import is_main, on_main, tell
from pixel_rnn_jax.parallel.mesh import process_share, shard_batch
from pixel_rnn_jax.paths import AnyPath, as_path, is_remote
from pixel_rnn_jax.plots import save_curves
from pixel_rnn_jax.progress import progress_bar
from pixel_rnn_jax.storage.checkpoint import Checkpoints
from pixel_rnn_jax.storage.load import load
from pixel_rnn_jax.storage.run_record import Validations
from pixel_rnn_jax.training.lock import lock_workdir
from pixel_rnn_jax.training.metrics import MetricsLog, NoLog, StepReport, read_metrics
from pixel_rnn_jax.training.preemption import Interrupted, StopSignals
from pixel_rnn_jax.training.resume import start_or_resume
from pixel_rnn_jax.training.run import TrainingRun, compile_step, prepare
from pixel_rnn_jax.training.samples import SampleSheets, save_animation_of_sheets
from pixel_rnn_jax.training.step import TrainState
from pixel_rnn_jax.training.step_clock import StepClock
from pixel_rnn_jax.training.step_profile import StepProfile
from pixel_rnn_jax.training.summary import class_summary, parameter_table
from pixel_rnn_jax.training.validation import Validator


def train(
    config: ConfigDict,
    workdir: str | AnyPath,
    *,
    init_from: str | AnyPath | None = None,
    init_params: str | AnyPath | None = None,
    init_missing: bool = False,
    allow_config_change: bool = False,
    fall_back: bool = False,
    profile: bool = False,
) -> Score:
    """Trains a model, or resumes a training that was interrupted.

    Args:
      config: see `training/config.py`.
      workdir: folder of checkpoints, metrics, samples and curves.
      init_from: work directory of another run of the same model. If `workdir` holds no run yet, this one starts from the last
        parameters, average, optimizer state and step of the other, whatever the rest of its configuration.
      init_params: a trained model, named as for `load`. If `workdir` holds no run yet, this one starts at step 0 with the
        parameters of that model, for fine-tuning.
      init_missing: with `init_params`, initialize parameters that the trained model lacks, or has in another shape.
      allow_config_change: resume although the configuration has changed.
      fall_back: resume from the checkpoint before, if the latest is damaged.
      profile: write a trace of a few steps to the folder `profile` of the work directory.

    Returns:
      The score of the best checkpoint on the test split, or on validation if the source has no test split.

    Raises:
      InputError: (a ValueError) if the configuration or the work directory cannot be used.
      FloatingPointError: if a loss, a gradient or a validation score is no longer finite.
      OSError: if something cannot be written. The message names the last good checkpoint, as that of FloatingPointError does.
      Interrupted: after SIGINT or SIGTERM, when the state is saved.
    """
    if init_params is None and init_missing:
        raise InputError("--init_missing needs --init_params, whose parameters it completes.")
    if init_params is not None and init_from is not None:
        raise InputError("--init_from and --init_params must not both be given: a run starts with one of them.")
    workdir = as_path(workdir)
    run = prepare(config)
    tell(parameter_table(run.abstract_state.params, run.abstract_state))
    if run.model.config.num_classes:
        tell(class_summary(run.data.labels("train"), run.model.config.num_classes, run.data.classes))
    flops = training_flops(run.model.config, *run.image_shape[:2]).total
    tell(f"{flops / 1e9:.3g} GFLOP for each image of a training step")
    lock = None if is_remote(workdir) else on_main(lambda: lock_workdir(workdir))
    with lock or contextlib.nullcontext():
        with Checkpoints(workdir) as checkpoints:
            if checkpoints.latest_step is not None and (init_from or init_params):
                tell(f"{workdir} holds a run, which goes on; {init_from or init_params} is not used")
                init_from = init_params = None
            state, validations = start_or_resume(
                run,
                checkpoints,
                init_from=init_from,
                init_params=init_params,
                init_missing=init_missing,
                allow_config_change=allow_config_change,
                fall_back=fall_back,
            )
            if init_from is not None:
                tell(f"starting with step {state.step} of {init_from}")
            log = on_main(lambda: MetricsLog(workdir, int(state.step), history=init_from)) or NoLog()
            trace = workdir / "profile" if profile and is_main() else None
            with log, _naming_the_last_checkpoint(checkpoints):
                fit(run, state, validations, checkpoints, log, workdir, trace=trace)
            best_step = checkpoints.best_step
        return _score_best(run, workdir, best_step)


def fit(
    run: TrainingRun,
    state: TrainState,
    validations: Validations,
    checkpoints: Checkpoints,
    log: MetricsLog | NoLog,
    workdir: AnyPath,
    *,
    trace: AnyPath | None = None,
) -> None:
    """The loop: step, report, validate, draw, save. It raises what `train` documents.

    It starts from a state and the validations until then, and writes a trace of a few steps to the folder `trace`, if any.
    """
    config = run.config
    first, last = int(state.step) + 1, config.num_steps
    if first > last or validations.exhausted(config.patience):
        return
    batches = run.data.train_batches(  # one for each step: the step is the position in the data
        batch_size=config.batch_size, seed=config.seed, first_batch=first - 1, share=process_share(config.batch_size)
    )
    begin = time.perf_counter()
    update = compile_step(run)
    clock = StepClock(config.batch_size, compile_seconds=time.perf_counter() - begin)
    bar = progress_bar(last, done=first - 1, unit="step")
    validator = Validator(run, log, bar)
    report = StepReport(log, bar, clock, config)
    sheets = SampleSheets(run, workdir, log, bar, first_step=first)
    with contextlib.closing(batches), StopSignals() as signals, StepProfile(trace, first, last) as profile, bar:
        for step in range(first, last + 1):
            with clock.stopped():
                profile.before(step)
            with clock.waiting():
                batch = shard_batch(next(batches), run.mesh)
            state, metrics = update(state, batch, run.step_key)
            report.add(step, metrics)

            if step == last or step % config.eval_every == 0:
                report.finish()
                with clock.stopped():
                    validations = validator.validate(step, state.ema, validations)
            improved = validations.best_step == step
            finished = step == last or validations.exhausted(config.patience)
            if sheets.may_be_due(step, last=finished):
                report.finish()
                with clock.stopped():
                    sheets.draw_if_due(step, state.ema, last=finished)

            interruption = signals.at(step)  # asked once: a later signal must not stop an unsaved step
            stopping = finished or interruption is not None
            if stopping or improved or step % config.checkpoint_every == 0:
                report.finish()
                with clock.stopped():
                    log.save()
                    checkpoints.save(step, ema=state.ema, state=state.without_ema, record=run.record(validations))
            if stopping:
                checkpoints.wait()
            if interruption is not None:
                name = signal.Signals(interruption).name
                raise Interrupted(
                    f"stopped by {name}; saved as {checkpoints.path(step)}, the same command goes on.", interruption
                )
            if stopping:
                return


@contextlib.contextmanager
def _naming_the_last_checkpoint(checkpoints: Checkpoints) -> Iterator[None]:
    """Adds the last good checkpoint to the error of a training that cannot go on."""
    try:
        yield
    except (FloatingPointError, OSError) as error:
        with contextlib.suppress(OSError):  # the first error counts
            checkpoints.wait()
        step = checkpoints.latest_step
        kept = f"the last good checkpoint is {checkpoints.path(step)}" if step else "there is no checkpoint yet"
        kind = FloatingPointError if isinstance(error, FloatingPointError) else OSError
        raise kind(f"{error}; {kept}.") from None


def _score_best(run: TrainingRun, workdir: AnyPath, best_step: int | None) -> Score:
    """Scores the best checkpoint on the final split, and draws the curves and the animation of the samples."""
    config = run.config
    _, params = load(workdir)
    split = run.data.final_split
    score = run.evaluate(params, split, at_most(run.data.examples(split), config.test_images))
    _warn_if_worse_than_uniform(score, config.model.levels)
    if is_main():
        title = f"{config.model.layer} on {config.data.source}: {score}"
        try:
            save_curves(workdir / "curves.png", {"": read_metrics(workdir)}, best_step=best_step, title=title)
            save_animation_of_sheets(workdir)
        except (InputError, OSError) as error:  # the score matters more
            warnings.warn(f"the curves or samples.gif could not be drawn ({error})", stacklevel=2)
    return score


def _warn_if_worse_than_uniform(score: Score, levels: int) -> None:
    """The exit status stays 0: a supervisor would only repeat the training, and a short trial ends like this."""
    if score.bits_per_dim > math.log2(levels):
        tell(
            f"warning: {score.bits_per_dim:.4f} bits/dim is worse than {math.log2(levels):.4f}, the score of a model to which"
            f" all {levels} values are equally likely. The training was too short, or it diverged; curves.png shows which."
        )
