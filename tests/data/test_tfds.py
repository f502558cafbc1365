"""TFDS sets: built here as TFDS stores them, without network or TensorFlow, and read back."""

import importlib.util

import numpy as np
import pytest
import tensorflow_datasets as tfds
from conftest import takes
from tfds_sets import random_images, store

from pixel_rnn_jax.cli import configuration, datasets
from pixel_rnn_jax.data import DataConfig, Dataset
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.training.config import TrainConfig


def as_set(images):
    return sorted(image.tobytes() for image in images)


def open_tfds(name, data_dir, *, levels=256, channels=3, **fields):
    return Dataset(DataConfig(source=f"tfds:{name}", data_dir=str(data_dir), **fields), takes(levels, channels))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    store("cifar10", folder, {"train": random_images(40, 32, 32, 3), "test": random_images(7, 32, 32, 3)})
    store(
        "binarized_mnist",
        folder,
        {split: random_images(count, 28, 28, 1, high=2) for split, count in (("train", 30), ("validation", 9), ("test", 8))},
    )
    store(
        "downsampled_imagenet/64x64", folder, {"train": random_images(9, 64, 64, 3), "validation": random_images(3, 64, 64, 3)}
    )
    return folder


def test_a_set_with_ids_is_read_in_its_own_order(stored):
    """Else the validation images carved from CIFAR-10 would not be its last ones."""
    dataset = open_tfds("cifar10", stored)
    train = random_images(40, 32, 32, 3)
    np.testing.assert_array_equal(dataset.images("train"), train[:36])
    np.testing.assert_array_equal(dataset.images("validation"), train[36:])
    np.testing.assert_array_equal(dataset.images("test"), random_images(7, 32, 32, 3))


def test_labels_come_in_the_order_of_the_images(stored):
    dataset = Dataset(DataConfig(source="tfds:cifar10", data_dir=str(stored)), takes(256, 3, num_classes=10))
    labels = [dataset.examples(split).conditions.labels for split in ("train", "validation", "test")]
    np.testing.assert_array_equal(np.concatenate(labels[:2]), np.arange(40) % 10)
    np.testing.assert_array_equal(labels[2], np.arange(7))
    with pytest.raises(InputError, match="binarized_mnist.* must have a feature label, for classes; got image"):
        Dataset(DataConfig(source="tfds:binarized_mnist", data_dir=str(stored)), takes(2, 1, num_classes=10))


def test_binarized_mnist_has_two_levels(stored):
    dataset = open_tfds("binarized_mnist", stored, levels=2, channels=1)
    for split, count in (("train", 30), ("validation", 9), ("test", 8)):
        assert as_set(dataset.images(split)) == as_set(random_images(count, 28, 28, 1, high=2))
    with pytest.raises(InputError, match="model.levels must be 2 for tfds:binarized_mnist; got 256"):
        open_tfds("binarized_mnist", stored, channels=1)


def test_images_are_reduced_to_the_size_asked_for(stored):
    dataset = open_tfds("downsampled_imagenet/64x64", stored, size=(32, 32))
    assert dataset.splits == ("train", "validation")
    means = random_images(3, 64, 64, 3).reshape(3, 32, 2, 32, 2, 3).mean((2, 4))
    read = sorted(dataset.images("validation").astype(float), key=lambda image: image[0, 0, 0])
    np.testing.assert_allclose(read, sorted(means, key=lambda image: image[0, 0, 0]), atol=1)
    with pytest.raises(InputError, match=r"train: image 0 is 64x64 pixels, smaller than data.size \(65x65\)"):
        open_tfds("downsampled_imagenet/64x64", stored, size=(65,))


@pytest.mark.parametrize(
    "name,fields,message",
    [
        ("mnits", {}, "tfds:mnits cannot be opened; see tensorflow.org/datasets/catalog .*mnits.* not found"),
        (
            "downsampled_imagenet/16x16",
            {},
            "cannot be opened; see tensorflow.org/datasets/catalog .*BuilderConfig 16x16 not found",
        ),
        ("mnist:9.9.9", {}, "cannot be loaded at version 9.9.9, only"),
        ("cifar10", {"channels": 1}, "model.channels must be 3 for tfds:cifar10"),
        (
            "cifar10",
            {"levels": 8},
            "model.levels must be 256 for tfds:cifar10; got 8. data.quantize=True",
        ),
        (
            "svhn_cropped",
            {},
            r"is not at .*TFDS needs TensorFlow: pip install 'pixel_rnn_jax\[tfds\]'\. To provide the files by hand",
        ),
    ],
)
def test_what_cannot_be_read_costs_one_line(stored, monkeypatch, name, fields, message):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)  # as where TensorFlow is not installed
    with pytest.raises(InputError, match=message):
        open_tfds(name, stored, **fields)


def test_a_failed_download_says_first_what_is_tried(stored, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: object())

    def fail(self, **options):
        assert "is not at" in capsys.readouterr().err
        raise ConnectionError("no network")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(
        InputError, match=r"could not prepare it\. To provide the files by hand.*\(ConnectionError: no network\)"
    ):
        open_tfds("fashion_mnist", stored, channels=1)


def test_files_that_cannot_be_read_in_any_order_are_refused(tmp_path):
    store("mnist", tmp_path, {"train": random_images(4, 28, 28, 1)})
    info = next(tmp_path.glob("mnist/*/dataset_info.json"))
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(InputError, match="array_record"):
        open_tfds("mnist", tmp_path, channels=1)


def test_images_of_several_sizes_need_a_size(tmp_path):
    images = [*random_images(5, 40, 64, 3), *random_images(3, 64, 40, 3)]
    store("downsampled_imagenet/64x64", tmp_path, {"train": images, "validation": images})
    with pytest.raises(InputError, match=r"others are (40x64|64x40); set data.size=H,W .* cuts and reduces all"):
        open_tfds("downsampled_imagenet/64x64", tmp_path).decode()
    dataset = open_tfds("downsampled_imagenet/64x64", tmp_path, size=(20, 20))
    assert dataset.images("validation").shape == (8, 20, 20, 3)


def test_damaged_files_cost_one_line(tmp_path):
    store("mnist", tmp_path, {"train": random_images(200, 28, 28, 1)})
    folder = next(tmp_path.glob("mnist/*"))
    records, info = next(folder.glob("*array_record*")), folder / "dataset_info.json"
    whole, said = records.read_bytes(), info.read_text()
    for content in (whole[: len(whole) // 2], whole[:2000] + bytes(2000) + whole[4000:], b""):
        records.write_bytes(content)
        with pytest.raises(InputError, match=f"{folder}.* is damaged"):
            open_tfds("mnist", tmp_path, channels=1).decode()
    records.unlink()
    with pytest.raises(InputError, match=f"{folder}.* is damaged"):
        open_tfds("mnist", tmp_path, channels=1).decode()
    info.write_text(said[:40])
    with pytest.raises(InputError, match="tfds:mnist cannot be opened"):
        open_tfds("mnist", tmp_path, channels=1)
    info.unlink()
    with pytest.raises(InputError, match=f"{folder} must have a split train; got none"):
        open_tfds("mnist", tmp_path, channels=1)


def test_a_set_without_training_images_is_refused(tmp_path):
    store("mnist", tmp_path, {"test": random_images(4, 28, 28, 1)})
    with pytest.raises(InputError, match="must have a split train; got test"):
        open_tfds("mnist", tmp_path, channels=1)


def test_the_shipped_configuration_reads_it(stored):
    config = configuration.read_config("mnist_pixelcnn", [f"--config.data.data_dir={stored}"])
    config = TrainConfig.from_config_dict(config)
    assert datasets.open_dataset(config.data, config.model).image_shape == (28, 28, 1)
