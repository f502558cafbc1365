"""Labels and context images of a data set."""

import numpy as np
import pytest
from conftest import takes
from PIL import Image
from sklearn.datasets import load_digits

from pixel_rnn_jax.data import DataConfig, Dataset, eval_batches
from pixel_rnn_jax.errors import InputError


def random_images(count, height, width, channels, high=256):
    return np.random.default_rng(0).integers(0, high, (count, height, width, channels)).astype(np.uint8)


def test_digits_know_their_classes():
    dataset = Dataset(DataConfig(source="digits"), takes(17, 1, num_classes=10))
    labels = np.concatenate([dataset.examples(split).conditions.labels for split in dataset.splits])
    images = np.concatenate([dataset.images(split) for split in dataset.splits])
    digits = load_digits()
    stored = {image.tobytes(): label for image, label in zip(digits.images.astype(np.uint8), digits.target, strict=True)}
    assert [stored[image.tobytes()] for image in images] == labels.tolist()


def pairs(path, **more):
    """Images whose context and label can be told from them."""
    images = random_images(20, 4, 6, 3)
    arrays = {"train": images, "train_labels": images[:, 0, 0, 0] % 3, "train_context": images[:, ::2, ::2, 1:]}
    np.savez(path / "x.npz", **{**arrays, **more})
    return DataConfig(source=f"npz:{path}/x.npz", flip=True)


def test_batches_keep_images_and_what_they_are_given_together(tmp_path):
    """Shuffled, mirrored, carved into training and validation, and filled up."""
    dataset = Dataset(pairs(tmp_path), takes(256, 3, num_classes=3, context_channels=2, context_scale=2))
    batches = dataset.train_batches(batch_size=8, seed=0)
    mirrored = set()
    for _ in range(6):
        batch = next(batches)
        context, labels = batch["conditions"]
        for image, given, label in zip(batch["image"], context, labels, strict=True):
            straight = np.array_equal(given, image[::2, ::2, 1:])
            mirrored.add(not straight)
            original = image if straight else image[:, ::-1]
            expected = original[::2, ::2, 1:]
            np.testing.assert_array_equal(given, expected if straight else expected[:, ::-1])
            assert label == original[0, 0, 0] % 3
    assert mirrored == {True, False}
    (batch,) = eval_batches(dataset.examples("validation"), batch_size=8)
    np.testing.assert_array_equal(batch["conditions"].context[:2], batch["image"][:2, ::2, ::2, 1:])
    np.testing.assert_array_equal(batch["conditions"].labels[:2], batch["image"][:2, 0, 0, 0] % 3)


def test_data_of_an_unconditional_model_comes_alone(tmp_path):
    dataset = Dataset(pairs(tmp_path), takes(256, 3))
    assert dataset.examples("train").conditions == (None, None)
    assert next(dataset.train_batches(batch_size=2, seed=0))["conditions"] == (None, None)


@pytest.mark.parametrize("memory_gib", [4.0, 0.0])
def test_grey_is_what_pillow_calls_grey(tmp_path, memory_gib):
    images = random_images(12, 4, 5, 3)
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    config = DataConfig(source=f"folder:{tmp_path}", context="grey", memory_gib=memory_gib)
    images, conditions = Dataset(config, takes(256, 3, context_channels=1)).examples("train")
    every = np.arange(len(images))
    for image, given in zip(images[every], conditions.context[every], strict=True):
        np.testing.assert_allclose(given[..., 0], np.asarray(Image.fromarray(image).convert("L")).astype(int), atol=1)


@pytest.mark.parametrize("splits", [("",), ("train/", "test/")])
def test_folders_are_classes(tmp_path, splits):
    for first, split in enumerate(splits):
        for value, name in enumerate(("cat", "dog", "owl")):
            (tmp_path / split / name / "more").mkdir(parents=True)
            for number in range(4):
                Image.new("L", (3, 3), 10 * value + 4 * first + number).save(
                    tmp_path / split / name / "more" / f"{number}.png"
                )
    model = takes(256, 1, num_classes=3)
    dataset = Dataset(DataConfig(source=f"folder:{tmp_path}"), model)
    for split in dataset.splits:
        images, conditions = dataset.examples(split)
        np.testing.assert_array_equal(images[:, 0, 0, 0] // 10, conditions.labels)
    Image.new("L", (3, 3), 99).save(tmp_path / splits[-1] / "x.png")
    with pytest.raises(InputError, match=r"must hold a folder for each class.*; x.png is in none"):
        Dataset(DataConfig(source=f"folder:{tmp_path}"), model)


PAIRED = {"context_channels": 2, "context_scale": 2}


@pytest.mark.parametrize(
    "arrays,fields,message",
    [
        ({}, {"num_classes": 2}, r"train: labels must be integers \[18\] in \[0, 2\).*; got values from 0 to 2"),
        ({"train_labels": np.full(20, 2**32)}, {"num_classes": 2}, "got values from 4294967296 to 4294967296"),
        (
            {"train_labels": np.zeros(3, int)},
            {"num_classes": 2},
            r"train: labels must be as many as the images, 20; got shape \(3,\)",
        ),
        (
            {"train_labels": np.zeros((20, 1), int)},
            {"num_classes": 2},
            r"must be integers \[18\] .*; got int64 of shape \(18, 1\)",
        ),
        ({"train_labels": np.zeros(20)}, {"num_classes": 2}, "got float64"),
        ({"test": random_images(2, 4, 6, 3)}, {"num_classes": 3}, "test: labels must be integers .* got none"),
        ({"test": random_images(2, 4, 6, 3)}, PAIRED, "test: context must be images .* got none"),
        (
            {"train_context": random_images(20, 4, 6, 2)},
            PAIRED,
            r"context must be images of shape \(18, 2, 3, 2\); got \(18, 4, 6, 2\)",
        ),
        ({}, {**PAIRED, "context_levels": 16}, r"context: images must lie in \[0, 16\)"),
    ],
)
def test_data_that_do_not_fit_the_model_are_refused(tmp_path, arrays, fields, message):
    with pytest.raises(InputError, match=message):
        Dataset(pairs(tmp_path, **arrays), takes(256, 3, **fields))


def test_sources_without_what_is_asked_for_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", random_images(20, 4, 6, 3))
    with pytest.raises(InputError, match="train: labels must be integers .* got none"):
        Dataset(DataConfig(source=f"npy:{tmp_path}/x.npy"), takes(256, 3, num_classes=3))
    with pytest.raises(InputError, match="digits: train: context must be images .* got none"):
        Dataset(DataConfig(source="digits"), takes(17, 1, context_channels=1))
    with pytest.raises(InputError, match="model.channels must be 3 with data.context 'grey'; got 1"):
        Dataset(DataConfig(source="digits", context="grey"), takes(17, 1, context_channels=1))
    with pytest.raises(InputError, match="model.context_channels must be 1 with data.context 'grey'; got 0"):
        Dataset(DataConfig(source="digits", context="grey"), takes(17, 1))
    with pytest.raises(InputError, match="data.context must be one of paired, grey; got 'gray'"):
        DataConfig(source="digits", context="gray")


def test_grey_of_more_than_256_levels(tmp_path):
    np.savez(tmp_path / "x.npz", train=np.full((10, 2, 2, 3), 3000))
    config = DataConfig(source=f"npz:{tmp_path}/x.npz", context="grey")
    context = Dataset(config, takes(4096, 3, context_channels=1, context_levels=4096)).examples("train").conditions.context
    assert context.dtype == np.uint16
    np.testing.assert_array_equal(context, np.full((9, 2, 2, 1), 3000))
