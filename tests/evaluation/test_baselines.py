"""Baselines against what can be counted by hand."""

import itertools

import numpy as np
import pytest

from pixel_rnn_jax.evaluation.baselines import gaussian, independent_pixels, uniform


def all_images(shape, levels):
    size = int(np.prod(shape))
    return np.array(list(itertools.product(range(levels), repeat=size)), np.uint8).reshape(-1, *shape)


def random_images(count, shape, levels, seed=0):
    return np.random.default_rng(seed).integers(0, levels, (count, *shape)).astype(np.uint8)


def test_uniform_and_independent_pixels_are_normalised():
    images = all_images((1, 2, 2), 3)
    train = random_images(10, (1, 2, 2), 3)
    for log_prob in (uniform(3), independent_pixels([train[:4], train[4:]], 3)):
        np.testing.assert_allclose(np.exp(log_prob(images)).sum(), 1)


def test_histograms_are_of_each_sub_pixel_plus_one():
    train = np.array([[[[0, 1]]], [[[0, 2]]], [[[1, 2]]]], np.uint8)  # three images of one pixel and two channels
    log_prob = independent_pixels([train], 3)
    np.testing.assert_allclose(log_prob(np.array([[[[0, 2]]]], np.uint8)), [np.log(3 / 6 * 3 / 6)])
    np.testing.assert_allclose(log_prob(np.array([[[[2, 0]]]], np.uint8)), [np.log(1 / 6 * 1 / 6)])


def test_gaussian_is_the_expected_density_under_uniform_noise():
    """Against the density of y = (x + u) / levels, with sampled noise."""
    levels, rng = 16, np.random.default_rng(0)
    mixing = rng.normal(size=(6, 6))
    values = np.clip(8 + rng.normal(size=(4000, 6)) @ mixing, 0, levels - 1).astype(np.uint8)
    images = values.reshape(-1, 1, 2, 3)
    log_prob = gaussian([images[:1000], images[1000:]], levels)

    y = (values + rng.random(values.shape)) / levels
    mean, covariance = y.mean(0), np.cov(y.T, bias=True)
    noisy = (values[:50, None] + rng.random((50, 4000, 6))) / levels - mean
    squares = np.einsum("bsi,ij,bsj->bs", noisy, np.linalg.inv(covariance), noisy)
    density = -0.5 * (6 * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + squares)
    np.testing.assert_allclose(log_prob(images[:50]), density.mean(1) - 6 * np.log(levels), rtol=0.02)


def test_gaussian_is_a_lower_bound_that_sums_to_less_than_one():
    train = random_images(50, (1, 2, 1), 5)
    total = np.exp(gaussian([train], 5)(all_images((1, 2, 1), 5))).sum()
    assert 0.3 < total < 1


def test_gaussian_stands_pixels_that_never_change():
    train = random_images(30, (1, 2, 2), 5)
    train[..., 0] = 0
    assert np.all(np.isfinite(gaussian([train], 5)(train)))


def test_65536_levels_are_told_apart():
    """By two training images of one pixel."""
    levels, images = 2**16, np.array([255, 2**16 - 1], np.uint16).reshape(2, 1, 1, 1)
    every = np.arange(levels, dtype=np.uint16).reshape(-1, 1, 1, 1)
    probabilities = np.exp(independent_pixels([images], levels)(every))
    assert probabilities.sum() == pytest.approx(1)
    assert np.flatnonzero(probabilities > 1.5 / levels).tolist() == [255, 2**16 - 1]
    assert gaussian([images], levels)(every).argmax() == (255 + 2**16 - 1) // 2
