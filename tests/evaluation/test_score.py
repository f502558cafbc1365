import types
from contextlib import nullcontext
from unittest.mock import Mock

import jax
import numpy as np
import pytest
from conftest import make_model

import pixel_rnn_jax as prnn
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation import score as score_module
from pixel_rnn_jax.evaluation.score import LiveUnits, Score, Scorer
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions
from pixel_rnn_jax.models.multi_scale import log_prob_by_size
from pixel_rnn_jax.parallel import hardware
from pixel_rnn_jax.parallel.mesh import check_batch_size, make_mesh
from pixel_rnn_jax.platforms import fast_microbatches


def test_every_image_weighs_the_same_whatever_the_batches_and_devices():
    model, params = make_model("row_lstm", levels=3)
    images = np.random.default_rng(0).integers(0, 3, (21, 4, 3, 1)).astype(np.uint8)
    expected = -float(np.mean(prnn.log_prob(model, params, images)))
    one = make_mesh(devices=jax.devices()[:1])
    for batch_size, mesh in ((8, one), (21, one), (16, make_mesh())):
        score = Scorer(model, params, mesh, batch_size).evaluate("test", images)
        assert score.num_images == 21
        assert score.nats == pytest.approx(expected, rel=1e-5)
        assert score.bits_per_dim == pytest.approx(expected / np.log(2) / 12, rel=1e-5)


@pytest.fixture
def batch_sizes(monkeypatch):
    """The sizes of the batches that a `Scorer` asks for."""
    sizes, eval_batches = [], score_module.eval_batches

    def recorded(examples, *, batch_size, **options):
        sizes.append(batch_size)
        return eval_batches(examples, batch_size=batch_size, **options)

    monkeypatch.setattr(score_module, "eval_batches", recorded)
    return sizes


def test_a_batch_is_never_larger_than_the_number_of_images(batch_sizes):
    model, params = make_model("row_lstm", depth=1)
    scorer = Scorer(model, params, make_mesh(), 16)
    images = np.random.default_rng(0).integers(0, 2, (11, 4, 3, 1)).astype(np.uint8)
    expected = prnn.log_prob(model, params, images)
    for num in (1, 3, 11):
        np.testing.assert_allclose(scorer.log_probs(images[:num]), expected[:num], rtol=1e-5)
    assert batch_sizes == [1, 3, 16], "a multiple of the eight devices, if there are as many images"


def test_images_that_do_not_fit_in_memory_are_refused(monkeypatch):
    """On a CPU, the system would end the process."""
    model, params = make_model("row_lstm", depth=1)
    images = np.zeros((2, 40, 30, 1), np.uint8)
    monkeypatch.setattr(score_module, "free_memory", lambda devices: 50 * 2**10)
    with pytest.raises(InputError, match="scoring 2 images of 40x30 pixels at a time must need at most the 0.0 GiB"):
        Scorer(model, params, make_mesh(), 8).log_probs(images)
    monkeypatch.setattr(score_module, "free_memory", lambda devices: 2**30)
    assert len(Scorer(model, params, make_mesh(), 8).log_probs(images)) == 2


@pytest.mark.parametrize("free,fits", [(2.7, False), (3.1, True)])
def test_more_memory_is_required_than_xla_plans(monkeypatch, free, fits):
    """For a picture of 400x600, `cifar_rowlstm_small`, with a softmax, took 2.5 GiB where XLA planned 0.97."""
    lowered = Mock(spec=jax.stages.Lowered)
    lowered.compile.return_value.memory_analysis.return_value.temp_size_in_bytes = 2**30
    monkeypatch.setattr(score_module, "free_memory", lambda devices: free * 2**30)
    refused = (
        nullcontext() if fits else pytest.raises(InputError, match="the 2.7 GiB of memory that are free; it may need 3.0")
    )
    with refused:
        score_module._check_memory(lowered, (1, 400, 600, 3), 1)


def test_the_time_to_score_is_estimated_from_the_first_rows(monkeypatch, batch_sizes):
    model, params = make_model("row_lstm", depth=1, context_channels=1, context_scale=2)
    images, context = np.zeros((5, 12, 4, 1), np.uint8), np.zeros((5, 6, 2, 1), np.uint8)
    clock = iter([0.0, 5.0, 6.0, 8.0])
    monkeypatch.setattr(hardware, "time", types.SimpleNamespace(perf_counter=lambda: next(clock)))
    one = make_mesh(devices=jax.devices()[:1])
    seconds = Scorer(model, params, one, 2).seconds(images, Conditions(context=context), rows=4)
    assert seconds == 2 * 12 / 4 * 5 / 2
    assert batch_sizes == [2, 2]


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
    scores = Scorer(model, params, one, 21).log_probs(images, conditions, function=function)
    expected = jax.jit(function, static_argnums=0)(model, params, images, *conditions)
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


@pytest.mark.parametrize("layer", ["pixel_cnn", "row_lstm"])
def test_a_relu_unit_lives_where_any_image_of_the_split_brings_it_above_zero(layer):
    """Units are shut by their biases."""
    model, params = make_model(layer, depth=2)
    bias = np.zeros(8, np.float32)
    bias[1] = -1e6
    for name in ("hidden_1", "hidden_2"):
        params["head"][name] = {"kernel": np.zeros_like(params["head"][name]["kernel"]), "bias": bias + 1}
    expected = {"head/relu_1": LiveUnits(7, 8), "head/relu_2": LiveUnits(7, 8)}
    if layer == "pixel_cnn":
        down = params["layers"]["pixel_cnn"]["down"]
        down["kernel"], down["bias"] = np.zeros_like(down["kernel"]), np.full_like(down["bias"], 1)
        down["bias"][1, 2:5] = -1
        conv = params["layers"]["pixel_cnn"]["conv"]
        conv["kernel"], conv["bias"] = np.zeros_like(conv["kernel"]), np.full_like(conv["bias"], 1)
        conv["bias"][0, 0] = -1
        expected |= {"layers/pixel_cnn/relu_1": LiveUnits(11, 14), "layers/pixel_cnn/relu_2": LiveUnits(13, 14)}
    score = Scorer(model, params, make_mesh(), 8).evaluate("test", np.zeros((21, 4, 3, 1), np.uint8))
    assert score.relu_units == expected
    lost = 2 if layer == "row_lstm" else 6
    assert score.dead_share == pytest.approx(lost / (16 if layer == "row_lstm" else 44))
    assert score.dead_units.startswith("head/relu_1 1 of 8, head/relu_2 1 of 8")


def test_padding_wakes_no_unit():
    """The rows that fill up the last batch are of no image."""
    model, params = make_model("row_lstm", depth=1, head_features=64)
    images = np.ones((3, 4, 3, 1), np.uint8)  # black ones would wake other units
    one = make_mesh(devices=jax.devices()[:1])
    few, whole = (Scorer(model, params, one, batch_size).evaluate("test", images) for batch_size in (16, 3))
    assert few.relu_units == whole.relu_units
    assert 0 < few.dead_share < 1
