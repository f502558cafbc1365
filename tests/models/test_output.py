"""The kinds of output: normalisation, drawing, and the mixture against SciPy in float64."""

import functools
import itertools
import runpy

import jax
import numpy as np
import pytest
from conftest import LAYERS, ROOT, make_model
from scipy.stats import betabinom, logistic

import pixel_rnn_jax as prnn
from pixel_rnn_jax.models import registry
from pixel_rnn_jax.models.logistic_mixture import LogisticMixture
from pixel_rnn_jax.models.softmax import Softmax

OUTPUTS = ("softmax", "logistic_mixture")
UNIFORM = (np.arange(1000, dtype=np.float32) + 0.5) / 1000


def takes(kind, **fields):
    return kind(prnn.ModelConfig(layer="row_lstm", channels=1, **fields))


def mixture_in_float64(numbers, levels, values):
    """The log-probability of values under a mixture, by differences of SciPy's distribution functions."""
    weights, means, log_scales = np.split(np.float64(numbers), 3, -1)
    half = (levels - 1) / 2
    weights = np.exp(weights - np.log(np.exp(weights).sum(-1, keepdims=True)))
    spread = logistic((means + 1) * half, np.exp(log_scales) * half)
    values = values[..., None]
    below, above = (np.where(values == 0, -np.inf, values - 0.5), np.where(values == levels - 1, np.inf, values + 0.5))
    # Of the tail to the right, the differences of 1 - F keep their precision.
    probs = np.where(values > spread.mean(), spread.sf(below) - spread.sf(above), spread.cdf(above) - spread.cdf(below))
    return np.log((weights * probs).sum(-1))


def test_softmax_by_hand():
    logits = np.log(np.array([[0.7, 0.1, 0.2], [0.25, 0.5, 0.25]], np.float32))
    log_probs = jax.jit(takes(Softmax, levels=3).log_probs)(logits, np.array([0, 1]))
    np.testing.assert_allclose(log_probs, np.log([0.7, 0.5]), rtol=1e-6)


def test_softmax_never_picks_a_value_of_probability_zero():
    output = takes(Softmax, levels=5)
    logits = np.array([[-np.inf, 0, -np.inf, 1, -np.inf]] * 2, np.float32)
    picked = jax.jit(output.pick)(logits, np.array([0, 1 - 2**-24], np.float32), 1.0)
    assert picked.tolist() == [1, 3]


@pytest.mark.parametrize("levels", [2, 256, 65_536])
def test_a_mixture_equals_differences_of_the_distribution_function(levels):
    """At the edges, inside, and up to 60 scales away from every mean; and its gradient is finite."""
    rng = np.random.default_rng(0)
    scales = rng.uniform(1, 5, (40, 4)) * max(levels / 5000, 0.05)  # in levels
    means = rng.uniform(0, levels - 1, (40, 4))
    means[:4] = np.array([[0], [levels - 1], [0], [levels - 1]]) + scales[:4] * rng.uniform(-60, 60, (4, 4))
    values = np.round(means[:, 0] + scales[:, 0] * rng.uniform(-60, 60, 40))
    values[:4] = 0, levels - 1, 0, levels - 1
    values = np.clip(values, 0, levels - 1).astype(np.int32)
    half = (levels - 1) / 2
    numbers = np.concatenate([rng.normal(size=(40, 4)), means / half - 1, np.log(scales / half)], -1).astype(np.float32)
    output = takes(LogisticMixture, levels=levels, output="logistic_mixture", mixture_components=4)
    log_probs, gradient = jax.jit(jax.vmap(jax.value_and_grad(output.log_probs)))(numbers, values)
    np.testing.assert_allclose(log_probs, mixture_in_float64(numbers, levels, values), rtol=1e-4, atol=1e-5)
    assert np.all(np.isfinite(gradient))


def test_mixtures_of_any_numbers_have_finite_gradients():
    output = takes(LogisticMixture, levels=256, mixture_components=2)
    numbers = np.float32([-200, -20, 0, 20, 200])[:, None].repeat(6, 1)
    by_numbers = jax.jit(jax.vmap(jax.value_and_grad(output.log_probs), (0, None)))
    for value in np.int32([0, 100, 255]):
        log_probs, gradient = by_numbers(numbers, value)
        assert np.all(np.isfinite(log_probs)) and np.all(np.isfinite(gradient))


@pytest.mark.parametrize("kind", [Softmax, LogisticMixture])
def test_logits_and_log_probs_are_one_distribution(kind):
    output = takes(kind, levels=5)
    numbers = np.random.default_rng(0).normal(0, 2, (3, output.size)).astype(np.float32)
    log_probs = jax.jit(jax.vmap(output.log_probs, (None, 0), -1))(numbers, np.arange(5)[:, None].repeat(3, 1))
    np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1, rtol=1e-6)
    logits = jax.jit(lambda numbers: jax.nn.log_softmax(output.logits(numbers)))(numbers)
    np.testing.assert_allclose(logits, log_probs, rtol=1e-5)


def test_the_probabilities_of_many_levels_add_up_to_one():
    output = takes(LogisticMixture, levels=65_536)
    numbers = np.random.default_rng(0).normal(0, 2, (20, output.size)).astype(np.float32)
    numbers[:, 20:] += np.linspace(-10, 0, 20)[:, None]  # scales from a level to the whole range
    np.testing.assert_allclose(np.exp(np.float64(jax.jit(output.logits)(numbers))).sum(-1), 1, atol=1e-4)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_picked_values_follow_the_distribution(output, temperature):
    """By evenly spaced uniform numbers, so that each value is picked as often as its probability says, to within one."""
    output = takes({"softmax": Softmax, "logistic_mixture": LogisticMixture}[output], levels=7, mixture_components=3)
    numbers = np.random.default_rng(1).normal(size=output.size).astype(np.float32)
    picked = jax.jit(output.pick)(numbers[None].repeat(1000, 0), UNIFORM, temperature)
    if isinstance(output, Softmax):
        cooled = numbers / temperature
    else:
        weights, means, log_scales = np.split(numbers, 3)
        cooled = np.concatenate([weights / temperature, means, log_scales + np.float32(np.log(temperature))])
    expected = np.exp(jax.jit(output.log_probs)(cooled[None].repeat(7, 0), np.arange(7)))
    np.testing.assert_allclose(np.bincount(picked, minlength=7) / 1000, expected, atol=2e-3)


@pytest.mark.parametrize("levels", [2, 6, 4096])
def test_a_mixtures_biases_are_near_the_frequencies(levels):
    output = takes(LogisticMixture, levels=levels)
    frequencies = np.exp(-0.5 * ((np.arange(levels) / levels - 0.3) / 0.1) ** 2) + 1e-4
    frequencies = np.float32(frequencies / frequencies.sum())[None]
    probabilities = np.exp(jax.jit(lambda frequencies: output.logits(output.biases(frequencies)))(frequencies))
    assert 0.5 * np.abs(probabilities - frequencies).sum() < 0.15


def test_the_example_of_an_output_is_one(monkeypatch):
    """The beta-binomial distribution adds up to 1, picks by its probabilities, and starts flat."""
    monkeypatch.setitem(registry.OUTPUTS, "beta_binomial", None)  # which the file replaces
    runpy.run_path(str(ROOT / "docs" / "examples" / "beta_binomial.py"))
    output = takes(registry.OUTPUTS["beta_binomial"], levels=7)
    numbers = np.float32([0.3, 1.2])
    probabilities = np.exp(jax.jit(output.log_probs)(numbers, np.arange(7)))
    alpha, beta = np.log1p(np.exp(numbers)) + 1e-3
    np.testing.assert_allclose(probabilities, betabinom.pmf(np.arange(7), 6, alpha, beta), rtol=1e-4)
    picked = jax.jit(output.pick)(numbers[None].repeat(1000, 0), UNIFORM, 1.0)
    np.testing.assert_allclose(np.bincount(picked, minlength=7) / 1000, probabilities, atol=2e-3)
    flat = jax.jit(lambda frequencies: output.logits(output.biases(frequencies)))(np.ones((3, 7), np.float32))
    np.testing.assert_allclose(np.exp(flat), 1 / 7, rtol=1e-2)


MIXTURE = {"output": "logistic_mixture", "mixture_components": 2}
EMBEDDING = {"input": "embedding", "embedding_features": 3}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "channels,levels,size,fields", [(1, 5, (3, 1), MIXTURE | EMBEDDING), (3, 2, (1, 2), MIXTURE), (3, 2, (1, 2), EMBEDDING)]
)
def test_probabilities_of_all_images_add_up_to_one(layer, channels, levels, size, fields):
    model, params = make_model(layer, channels=channels, levels=levels, **fields)
    shape = (*size, channels)
    every = np.array(list(itertools.product(range(levels), repeat=np.prod(shape))), np.uint8).reshape(-1, *shape)
    np.testing.assert_allclose(np.exp(np.float64(prnn.log_prob(model, params, every))).sum(), 1, atol=1e-4)


@pytest.mark.parametrize("layer", LAYERS)
def test_embedded_values_depend_on_what_comes_before_and_on_nothing_else(layer):
    """Another value of one sub-pixel changes the numbers of later ones only, those of its pixel's next colours too."""
    model, params = make_model(layer, channels=3, levels=4, head_features=24, **EMBEDDING)
    images = np.random.default_rng(0).integers(0, 4, (30, 1, 3, 3, 3)).repeat(28, 1)  # of each, one as it is, and 27 changed
    flat, place = images.reshape(30, 28, 27), np.arange(27)
    flat[:, place, place] = (flat[:, place, place] + 1) % 4
    numbers = jax.jit(functools.partial(model.apply, method="numbers"))({"params": params}, flat.reshape(-1, 3, 3, 3))
    numbers = np.asarray(numbers).reshape(30, 28, 27, -1)
    changed = np.any(numbers[:, :27] != numbers[:, 27:], (0, 3))
    assert not np.any(changed & (place <= place[:, None]))
    assert np.all(np.diagonal(changed, 1)[place[:26] % 3 < 2])


@pytest.mark.parametrize("fields", [MIXTURE, EMBEDDING])
def test_samples_follow_the_models_distribution(fields):
    model, params = make_model("row_lstm", channels=2, levels=3, **fields)
    count = 20_000
    images = np.asarray(prnn.sample(model, params, jax.random.key(0), count, (1, 1)))
    every = np.array(list(itertools.product(range(3), repeat=2)), np.uint8).reshape(9, 1, 1, 2)
    expected = np.exp(prnn.log_prob(model, params, every))
    counts = np.array([np.sum(np.all(images == image, (1, 2, 3))) for image in every])
    assert np.sum((counts - count * expected) ** 2 / (count * expected)) < 26.1  # χ² of 8 degrees of freedom, p = 0.001
