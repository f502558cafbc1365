"""Bayes' rule."""

import jax
import numpy as np
import pytest
from conftest import make_model
from scipy.special import logsumexp

import pixel_rnn_jax as prnn
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation.classify import classify, log_prior, marginal_log_probs
from pixel_rnn_jax.evaluation.score import Scorer
from pixel_rnn_jax.parallel.mesh import make_mesh


def test_images_of_a_class_are_told():
    """Drawn from the model itself."""
    model, params = make_model("pixel_cnn", num_classes=3, levels=5, features=8)
    params = jax.tree.map(lambda leaf: 2 * leaf, params)  # so that the class matters
    labels = np.arange(90) % 3
    images = np.asarray(prnn.sample(model, params, jax.random.key(0), num=90, size=(4, 4), labels=labels))
    prior = log_prior(np.array([3, 1, 1]))
    np.testing.assert_allclose(np.exp(prior), [4 / 8, 2 / 8, 2 / 8])
    np.testing.assert_allclose(np.exp(log_prior(np.zeros(3, int))), 1 / 3)
    joint = classify(Scorer(model, params, make_mesh(), 16), images, prior)
    assert np.mean(joint.argmax(1) == labels) > 0.8
    expected = prnn.log_prob(model, params, images[:4], labels=np.full(4, 2)) + prior[2]
    np.testing.assert_allclose(joint[:4, 2], expected, rtol=1e-5)


def test_probabilities_of_all_images_and_classes_add_up_to_one():
    model, params = make_model("row_lstm", num_classes=3)
    prior = np.log([0.5, 0.2, 0.3])
    every = np.unpackbits(np.arange(16, dtype=np.uint8)[:, None], axis=1)[:, 4:].reshape(16, 2, 2, 1)
    joint = classify(Scorer(model, params, make_mesh(), 16), every, prior)
    np.testing.assert_allclose(np.exp(logsumexp(joint, axis=1)).sum(), 1, atol=1e-5)
    scorer = Scorer(model, params, make_mesh(), 16)
    np.testing.assert_array_equal(marginal_log_probs(scorer, every, prior), logsumexp(joint, axis=1))


def test_the_prior_decides_where_images_do_not():
    model, params = make_model("pixel_cnn", num_classes=2)
    params["layers"]["pixel_cnn"]["context_to_hidden"]["kernel"] *= 0
    joint = classify(Scorer(model, params, make_mesh(), 8), np.zeros((3, 2, 2, 1), np.uint8), np.log([0.4, 0.6]))
    assert joint.argmax(1).tolist() == [1, 1, 1]


def test_an_unconditional_model_does_not_classify():
    model, params = make_model("pixel_cnn")
    with pytest.raises(InputError, match="only a class-conditional model classifies"):
        classify(Scorer(model, params, make_mesh(), 8), np.zeros((3, 2, 2, 1), np.uint8), np.zeros(0))
