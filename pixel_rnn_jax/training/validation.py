"""The validations of a training."""

import math
from typing import Any

import numpy as np
from tqdm import tqdm

from pixel_rnn_jax.compression.picture_formats import webp_bits
from pixel_rnn_jax.data import at_most
from pixel_rnn_jax.evaluation.score import Score
from pixel_rnn_jax.progress import note
from pixel_rnn_jax.storage.run_record import ImageScores, Validations
from pixel_rnn_jax.training.metrics import MetricsLog, NoLog
from pixel_rnn_jax.training.run import TrainingRun

KEPT_SCORES = 1000  # of validation images, at most, with which `score` compares others
DEAD_TOO_MANY = 0.1  # share of ReLU units that are zero on all validation images, above which training warns


class Validator:
    """Scores the validation images, logs and shows the score, and warns once if many ReLU units are dead."""

    def __init__(self, run: TrainingRun, log: MetricsLog | NoLog, bar: tqdm):
        self._run, self._log, self._bar = run, log, bar
        self._examples = at_most(run.data.examples("validation"), run.config.eval_images)
        self._warned = False
        images, levels = self._examples.images, run.config.model.levels
        self._every = -(-len(images) // KEPT_SCORES)
        self._webp_bits = webp_bits(images[np.arange(0, len(images), self._every)], levels).tolist()

    def validate(self, step: int, params: Any, validations: Validations) -> Validations:
        """Scores the averaged parameters of a step, and returns the validations including this one.

        Raises:
          FloatingPointError: if the score is not finite.
        """
        score = self._run.evaluate(params, "validation", self._examples)
        if not math.isfinite(score.nats):
            raise FloatingPointError(f"step {step} gave validation nats = {score.nats}")
        units = {"live_units": score.live_units, "relu_units": score.total_units}
        validations = validations.add(step, score.nats, self._image_scores(score), **units)
        self._log.write(
            step,
            validation_nats=score.nats,
            validation_bits_per_dim=score.bits_per_dim,
            validation_dead_units=score.dead_share,
        )
        best = " (best)" if validations.best_step == step else ""
        note(self._bar, f"step {step}: {score}{best}; dead ReLU units: {score.dead_units}")
        if score.dead_share > DEAD_TOO_MANY and not self._warned:
            self._warned = True
            note(
                self._bar,
                f"warning: {score.dead_share:.0%} of the ReLU units are zero on all validation images, and learn no more."
                " In a new training, a lower learning rate, or optimizer.name=muon with calm_start=True, keeps them alive.",
            )
        return validations

    def _image_scores(self, score: Score) -> ImageScores:
        """The scores of single images that the run keeps."""
        nats = (round(value, 3) for value in score.image_nats[:: self._every])
        bits = (None if math.isnan(value) else value for value in self._webp_bits)
        return tuple(zip(nats, bits, strict=False))
