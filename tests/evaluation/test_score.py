import jax
import numpy as np
import pytest
from conftest import make_model

import pixel_rnn_jax as prnn
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation.score import Score, evaluate, log_probs
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions
from pixel_rnn_jax.models.multi_scale import log_prob_by_size
from pixel_rnn_jax.parallel.mesh import check_batch_size, make_mesh
from pixel_rnn_jax.parallel.microbatch import fast_microbatches


def test_every_image_weighs_the_same_whatever_the_batches_and_devices():
    model, params = make_model("row_lstm", levels=3)
    images = np.random.default_rng(0).integers(0, 3, (21, 4, 3, 1)).astype(np.uint8)
    expected = -float(np.mean(prnn.log_prob(model, params, images)))
    one = make_mesh(devices=jax.devices()[:1])
    for batch_size, mesh in ((8, one), (21, one), (16, make_mesh())):
        score = evaluate(model, params, "test", images, batch_size=batch_size, mesh=mesh)
        assert score.num_images == 21
        assert score.nats == pytest.approx(expected, rel=1e-5)
        assert score.bits_per_dim == pytest.approx(expected / np.log(2) / 12, rel=1e-5)


@pytest.mark.parametrize(
    "fields,function",
    [
        ({"layer": "diagonal_bilstm", "num_classes": 3}, prnn.log_prob),
        ({"layer": "pixel_cnn", "sizes": (2, 4)}, log_prob_by_size),
    ],
    ids=["with labels", "by size"],
)
def test_parts_of_a_share_keep_their_order(fields, function):
    """21 images on one core are scored seven at a time."""
    model, params = make_model(levels=3, **fields)
    images = np.random.default_rng(0).integers(0, 3, (21, 4, 4, 1)).astype(np.uint8)
    conditions = Conditions(labels=np.arange(21) % 3) if model.config.num_classes else UNCONDITIONAL
    assert fast_microbatches(21, (4, 4), model.config.features, "cpu") == 3
    one = make_mesh(devices=jax.devices()[:1])
    scores = log_probs(model, params, images, conditions, batch_size=21, mesh=one, function=function)
    expected = function(model, params, images, *conditions)
    assert len(np.unique(np.asarray(expected), axis=0)) == 21
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_score_reads_as_documented():
    score = Score("test", 3, 79.2, 0.14574)
    assert str(score) == "test 79.20 nats 0.1457 bits/dim"


def test_a_batch_that_the_devices_do_not_divide_is_refused():
    with pytest.raises(InputError, match=r"batch_size \(=20\) must be a multiple of the 8 devices: 16 or 24"):
        check_batch_size(20, make_mesh())
    with pytest.raises(InputError, match="devices: 8"):
        check_batch_size(0, make_mesh())
