"""Classification by a class-conditional model and Bayes' rule: p(y | x) = p(x | y) p(y) / p(x)."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Float64, Integer
from scipy.special import logsumexp

from pixel_rnn_jax.data import ImageSet
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation.score import Scorer
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions


def classify(
    scorer: Scorer, images: ImageSet, log_prior: Float64[np.ndarray, " classes"], conditions: Conditions = UNCONDITIONAL
) -> Float64[np.ndarray, "N classes"]:
    """The joint log-probability of each image and each class, log p(x, y) = log p(x | y) + log p(y), in nats.

    The most probable class is its argmax over y. Its logsumexp over y is log p(x), as a model without classes would give it;
    its log-softmax is log p(y | x).

    Raises:
      InputError: if the model is not class-conditional.
    """
    num_classes = scorer.model.config.num_classes
    if not num_classes:
        raise InputError("only a class-conditional model classifies; this one has num_classes=0.")
    return joint_log_probs(
        lambda label: scorer.log_probs(images, conditions._replace(labels=np.full(len(images), label, np.int32))),
        log_prior,
    )


def joint_log_probs(
    of_class: Callable[[int], Float32[np.ndarray, " N"]], log_prior: Float64[np.ndarray, " classes"]
) -> Float64[np.ndarray, "N classes"]:
    """log p(x, y) = log p(x | y) + log p(y) of images, from a function that gives log p(x | y) of a class y."""
    return np.stack([of_class(label) for label in range(len(log_prior))], 1).astype(np.float64) + log_prior


def marginal_log_probs(
    scorer: Scorer, images: ImageSet, log_prior: Float64[np.ndarray, " classes"], conditions: Conditions = UNCONDITIONAL
) -> Float64[np.ndarray, " N"]:
    """log p(x) of each image, the sum of p(x | y) p(y) over all classes, in nats."""
    return logsumexp(classify(scorer, images, log_prior, conditions), axis=1)


def log_prior(counts: Integer[np.ndarray, " classes"]) -> Float64[np.ndarray, " classes"]:
    """log p(y) from the number of training images of each class, with one added to each. Zeros give equal priors."""
    return np.log((counts + 1) / (counts + 1).sum())
