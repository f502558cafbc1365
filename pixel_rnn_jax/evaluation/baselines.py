"""Distributions of images that need no training by gradients, which a model must beat (§5.6).

Each is a function from images to log-probabilities, `log_prob(images) -> nats [B]`, for `evaluation.score.score`.
"""

from collections.abc import Callable, Iterable

import numpy as np
import scipy.linalg
from jaxtyping import Float, UInt

LogProb = Callable[[UInt[np.ndarray, "B H W C"]], Float[np.ndarray, " B"]]
Batches = Iterable[UInt[np.ndarray, "_ H W C"]]


def uniform(levels: int) -> LogProb:
    """Every value of every sub-pixel has the same probability."""

    def log_prob(images: UInt[np.ndarray, "B H W C"]) -> Float[np.ndarray, " B"]:
        return np.full(len(images), -np.log(levels) * images[0].size)

    return log_prob


def independent_pixels(batches: Batches, levels: int) -> LogProb:
    """Every sub-pixel has a histogram of its own, over the training images, with one added to each count."""
    counts = 1
    for batch in batches:
        flat = batch.reshape(len(batch), -1)
        cells = flat + levels * np.arange(flat.shape[1])
        counts = counts + np.bincount(cells.ravel(), minlength=levels * flat.shape[1]).reshape(-1, levels)
    log_probs = np.log(counts / counts.sum(axis=1, keepdims=True))

    def log_prob(images: UInt[np.ndarray, "B H W C"]) -> Float[np.ndarray, " B"]:
        flat = images.reshape(len(images), -1)
        return log_probs[np.arange(flat.shape[1]), flat].sum(axis=1)

    return log_prob


def gaussian(batches: Batches, levels: int) -> LogProb:
    """A multivariate normal density of y = (x + u) / levels, with u uniform in [0, 1), turned into a probability of x.

    P(x) = ∫ p(x + u) du is bounded by Jensen's inequality: log P(x) >= E_u[log p(y)] - D log levels. The expectation over u
    and the noise's share of mean and covariance are in closed form, not sampled. `batches` are the training images.
    """
    count, total, products = 0, 0.0, 0.0
    for batch in batches:
        flat = batch.reshape(len(batch), -1).astype(np.float64)
        count, total, products = count + len(flat), total + flat.sum(axis=0), products + flat.T @ flat
    # In units of levels: the scaling of y by 1 / levels and the term D log levels cancel. Uniform noise has variance 1/12.
    mean = total / count
    covariance = products / count - np.outer(mean, mean) + np.eye(len(mean)) / 12
    factor = np.linalg.cholesky(covariance)
    log_det = 2 * np.log(np.diag(factor)).sum()
    inverse_factor = scipy.linalg.solve_triangular(factor, np.eye(len(mean)), lower=True)
    expected_noise = np.square(inverse_factor).sum() / 12  # E[(u - 1/2)ᵀ Σ⁻¹ (u - 1/2)]

    def log_prob(images: UInt[np.ndarray, "B H W C"]) -> Float[np.ndarray, " B"]:
        centred = images.reshape(len(images), -1) - mean
        squares = np.square(centred @ inverse_factor.T).sum(axis=1)
        return -0.5 * (len(mean) * np.log(2 * np.pi) + log_det + squares + expected_noise)

    return log_prob
