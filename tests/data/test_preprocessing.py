"""Fewer levels, binarization, mirroring."""

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_model, takes

import pixel_rnn_jax as prnn
from pixel_rnn_jax.data import DataConfig, Dataset
from pixel_rnn_jax.errors import InputError


@pytest.fixture
def grey(tmp_path):
    """A file of 20 training images that hold every value of 8 bits, and 10 test images."""
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    np.savez(tmp_path / "grey.npz", train=ramp.repeat(20, 0), validation=ramp, test=ramp.repeat(10, 0))
    return f"npz:{tmp_path}/grey.npz"


def open_data(source, levels, **fields):
    return Dataset(DataConfig(source=source, **fields), takes(levels, 1))


def test_levels_are_bins_of_one_width(grey):
    values = open_data(grey, 8, quantize=True).images("validation").ravel()
    np.testing.assert_array_equal(values, np.arange(256) // 32)
    uneven = open_data(grey, 3, quantize=True).images("validation").ravel()
    assert np.bincount(uneven).tolist() == [86, 85, 85]


@pytest.mark.parametrize(
    "levels,fields", [(16, {"quantize": True}), (2, {"binarization": "threshold"}), (2, {"binarization": "stochastic"})]
)
def test_what_was_reduced_before_is_not_reduced_to_nothing(tmp_path, levels, fields):
    reduced = np.arange(256).reshape(1, 16, 16, 1).repeat(5, 0) * levels // 256
    np.savez(tmp_path / "reduced.npz", train=reduced, test=0 * reduced)
    source = f"npz:{tmp_path}/reduced.npz"
    message = f"train: data.source_levels must be .*; with 256, all values up to the largest one, {levels - 1}, would become 0"
    with pytest.raises(InputError, match=message):
        open_data(source, levels, **fields)
    dataset = open_data(source, levels, source_levels=levels, **fields)
    np.testing.assert_array_equal(dataset.images("train")[0], reduced[0])


@pytest.mark.parametrize(
    "levels,fields", [(8, {"quantize": True}), (3, {"quantize": True}), (2, {"binarization": "threshold"})]
)
def test_arrays_of_pictures_are_quantized_as_in_training(grey, levels, fields):
    expected = open_data(grey, levels, **fields).images("test")
    pictures = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(10, 0)
    scaled = pictures / 255
    for array in (pictures, pictures.astype(int), scaled, scaled.astype(np.float32), jnp.asarray(pictures)):
        np.testing.assert_array_equal(prnn.quantize(array, levels), expected)
    np.testing.assert_array_equal(prnn.quantize(pictures.astype(np.float16)[:, :8] / 255, 256), pictures[:, :8])
    np.testing.assert_array_equal(prnn.quantize(np.arange(17) / 16, 17, source_levels=17), np.arange(17))
    np.testing.assert_array_equal(prnn.quantize(pictures > 127, levels), (levels - 1) * (pictures > 127))


@pytest.mark.parametrize(
    "pictures,levels,message",
    [
        (np.array([0.0, 255.0]), 8, r"got float64 from 0.0 to 255.0. np.round\(array\).astype\(int\) converts floats"),
        (
            np.array([-1.0, 1.0]),
            8,
            r"pictures must be integers in \[0, 256\) or floats in \[0, 1\]; got float64 from -1.0 to 1.0",
        ),
        (np.array([0.5, np.nan]), 8, "got float64 from nan to nan"),
        (np.array([0, 256]), 8, "got int64 from 0 to 256"),
        (np.array([0, 255]), 257, "levels must be an integer from 2 to 256; got 257"),
    ],
)
def test_what_cannot_be_quantized_is_refused(pictures, levels, message):
    with pytest.raises(InputError, match=message):
        prnn.quantize(pictures, levels)


@pytest.mark.parametrize("array", [np.full((1, 2, 2, 1), 0.9), np.full((1, 2, 2, 1), 230), np.ones((1, 2, 2, 1), bool)])
def test_the_error_for_pictures_names_what_helps(array):
    model, params = make_model("row_lstm", levels=8)
    with pytest.raises(InputError, match=r"images must .* in \[0, 8\); .* pixel_rnn_jax.quantize\(array, levels=8\) gives"):
        prnn.log_prob(model, params, array)
    assert np.isfinite(prnn.log_prob(model, params, prnn.quantize(array, levels=8))).all()


def test_threshold_is_one_half_of_the_range(grey):
    dataset = open_data(grey, 2, binarization="threshold")
    np.testing.assert_array_equal(dataset.images("test")[0].ravel(), np.arange(256) >= 128)
    np.testing.assert_array_equal(next(dataset.train_batches(batch_size=4, seed=0))["image"][0], dataset.images("test")[0])
    assert dataset.config.preprocessing == "binarization by threshold"


def test_digits_know_their_levels():
    dataset = open_data("digits", 2, binarization="threshold")
    stored = open_data("digits", 17).images("test")
    np.testing.assert_array_equal(dataset.images("test"), stored > 8)


def test_stochastic_binarization_is_fresh_in_training_and_fixed_in_evaluation(grey):
    dataset = open_data(grey, 2, binarization="stochastic")
    batches = dataset.train_batches(batch_size=500, seed=0)
    epochs = np.stack([next(batches)["image"] for _ in range(2)]).reshape(50, 20, 16, 16, 1)
    assert set(np.unique(epochs)) == {0, 1}
    assert np.any(epochs[0] != epochs[1])
    assert np.any(epochs[0] != epochs[25]), "each batch has random numbers of its own"
    # All 1,000 images are the same ramp: a pixel is 1 as often as its value says, within five standard deviations.
    probability = np.arange(256) / 255
    means = epochs.reshape(-1, 256).mean(0)
    np.testing.assert_array_less(np.abs(means - probability), 5 * np.sqrt(probability * (1 - probability) / 1000) + 1e-9)

    test = dataset.images("test")
    np.testing.assert_array_equal(open_data(grey, 2, binarization="stochastic").images("test"), test)
    assert np.any(test[0] != test[1]), "each image has random numbers of its own"
    assert np.any(open_data(grey, 2, binarization="stochastic", seed=1).images("test") != test)
    lazy = open_data(grey, 2, binarization="stochastic", memory_gib=0.0).images("test")
    np.testing.assert_array_equal(lazy[np.arange(10)], test)
    np.testing.assert_array_equal(lazy[np.array([7, 2])], test[[7, 2]])
    assert dataset.config.preprocessing == "stochastic binarization (seed 0)"


def test_mirroring_is_for_training_only(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 5, 1)).astype(np.uint8)
    np.savez(tmp_path / "x.npz", train=images, validation=images)
    dataset = open_data(f"npz:{tmp_path}/x.npz", 256, flip=True)
    np.testing.assert_array_equal(dataset.images("validation"), images)
    np.testing.assert_array_equal(dataset.images("train"), images)
    straight = {image.tobytes() for image in images}
    mirrored = {image[:, ::-1].tobytes() for image in images}
    batches = dataset.train_batches(batch_size=200, seed=0)
    seen = [image.tobytes() for _ in range(2) for image in next(batches)["image"]]
    assert set(seen) <= straight | mirrored
    assert 150 < sum(image in mirrored for image in seen) < 250


@pytest.mark.parametrize(
    "levels,fields,message",
    [
        (4, {"binarization": "stochastic"}, "model.levels must be 2 with data.binarization 'stochastic'; got 4"),
        (2, {"binarization": "dither"}, "must be one of none, threshold, stochastic; got 'dither'"),
        (
            2,
            {"binarization": "threshold", "quantize": True},
            "data.binarization must be 'none' with data.quantize; got 'threshold'",
        ),
        (17, {"quantize": True, "source_levels": 8}, "model.levels must be at most 8"),
        (2, {"quantize": True, "source_levels": 17}, r"images must lie in \[0, 17\); got values from 0 to 255"),
        (8, {}, r"images must lie in \[0, 8\); got values from 0 to 255"),
        (256, {"source_levels": 1}, "source_levels must be an integer from 2 to 65536; got 1"),
        (256, {"size": (0,)}, "data.size: height must be an integer of at least 1; got 0"),
        (256, {"size": (4, 4, 4)}, r"data.size must be \(height, width\); got \(4, 4, 4\)"),
        (256, {"size": (17, 4)}, r"an image is 16x16 pixels, smaller than data.size \(17x4\)"),
        (256, {"num_threads": 0}, "num_threads must be an integer of at least 1; got 0"),
        (256, {"seed": -1}, "data.seed must be an integer of at least 0; got -1"),
        (256, {"memory_gib": -1.0}, "memory_gib must be a number of at least 0; got -1.0"),
    ],
)
def test_what_does_not_go_together_is_refused(grey, levels, fields, message):
    with pytest.raises(InputError, match=message):
        open_data(grey, levels, **fields)


def test_values_without_order_are_not_averaged(grey):
    model = takes(256, 1, input="embedding")
    assert Dataset(DataConfig(source=grey, size=(16, 16)), model).image_shape == (16, 16, 1)
    with pytest.raises(InputError, match=r"model.input=embedding, data.size must be None or .*\(16, 16\); got \(8, 8\)"):
        Dataset(DataConfig(source=grey, size=(8, 8)), model)


def test_arrays_are_reduced_to_the_size_asked_for(grey):
    dataset = open_data(grey, 256, size=(8, 8))
    expected = np.arange(256).reshape(8, 2, 8, 2).mean((1, 3))
    np.testing.assert_allclose(dataset.images("test")[0, ..., 0], expected, atol=1)
    assert dataset.image_shape == (8, 8, 1)
    assert dataset.config.preprocessing == "cut and reduced to 8x8"
