import jax
import numpy as np
import pytest
from conftest import make_model

import pixel_rnn_jax as prnn

KEY = jax.random.key(3)


@pytest.mark.parametrize(
    "layer,fields,labels",
    [
        ("row_lstm", {}, None),
        pytest.param("pixel_cnn", {"sizes": (2, 4), "num_classes": 3}, np.array([2, 0, 1]), marks=pytest.mark.slow),
    ],
)
def test_the_last_row_gives_the_images_of_sample_and_complete(layer, fields, labels):
    model, params = make_model(layer, channels=2, levels=4, **fields)
    rng = np.random.default_rng(0)
    images, known = rng.integers(0, 4, (3, 4, 8, 2)), rng.random((3, 4, 8)) < 0.4
    *_, drawn = prnn.sample_by_rows(model, params, KEY, 3, (4, 8), 0.8, labels=labels)
    np.testing.assert_array_equal(drawn.images, prnn.sample(model, params, KEY, 3, (4, 8), 0.8, labels=labels))
    *_, completed = prnn.complete_by_rows(model, params, KEY, images, known, 0.8, labels=labels)
    np.testing.assert_array_equal(completed.images, prnn.complete(model, params, KEY, images, known, 0.8, labels=labels))
    for last in (drawn, completed):
        expected = prnn.log_probs(model, params, last.images, labels=labels)
        np.testing.assert_allclose(last.log_probs, expected, rtol=1e-4, atol=1e-5)
        assert last.known.all()


def test_rows_appear_one_by_one_and_stay():
    model, params = make_model("row_lstm", levels=4)
    seen = list(prnn.sample_by_rows(model, params, KEY, 2, (5, 3)))
    assert [progress.known[:, :, 0].sum(1).tolist() for progress in seen] == [[row] * 2 for row in range(1, 6)]
    for progress in seen:
        known = progress.known[..., None]
        np.testing.assert_array_equal(progress.images, np.where(known, seen[-1].images, 0))
        np.testing.assert_array_equal(progress.log_probs, np.where(known, seen[-1].log_probs, 0))


def test_completions_show_what_is_given_from_the_start():
    model, params = make_model("row_lstm", levels=4)
    images, known = np.full((1, 3, 2, 1), 3), np.array([[True, False], [False, False], [False, True]])
    first = next(prnn.complete_by_rows(model, params, KEY, images, known))
    np.testing.assert_array_equal(first.known[0], [[True, True], [False, False], [False, True]])
    assert first.images[0, 0, 0] == first.images[0, 2, 1] == 3
    assert np.all(first.log_probs[0, 1:] == 0)


def test_parameters_may_lie_on_any_device():
    model, params = make_model("row_lstm", levels=4)
    elsewhere = jax.device_put(params, jax.devices()[1])
    (progress,) = prnn.sample_by_rows(model, elsewhere, KEY, 2, (1, 3))
    np.testing.assert_array_equal(progress.images, prnn.sample(model, params, KEY, 2, (1, 3)))


def test_faults_show_before_the_first_row_is_asked_for():
    model, params = make_model("row_lstm")
    with pytest.raises(ValueError, match="temperature must be a number greater than 0; got 0"):
        prnn.sample_by_rows(model, params, KEY, 1, (4, 4), 0)
    with pytest.raises(ValueError, match=r"known must be bool of shape \(4, 4\)"):
        prnn.complete_by_rows(model, params, KEY, np.zeros((1, 4, 4, 1), int), np.ones((4, 4)))
