"""On the real data sets, where --data_dir names them: python -m pytest tests/data/test_real_data.py --data_dir=DIR"""

import time
from pathlib import Path

import numpy as np
import pytest
from conftest import make_model, takes

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import baselines
from pixel_rnn_jax.compression.container import unpack
from pixel_rnn_jax.data import DataConfig, Dataset

pytestmark = pytest.mark.slow

SETS = {
    "mnist": (256, 1, {"train": 54_000, "validation": 6_000, "test": 10_000}),
    "binarized_mnist": (2, 1, {"train": 50_000, "validation": 10_000, "test": 10_000}),
    "cifar10": (256, 3, {"train": 45_000, "validation": 5_000, "test": 10_000}),
    "downsampled_imagenet/64x64": (256, 3, None),
}


@pytest.mark.parametrize("name", SETS)
def test_tfds_and_npz_hold_the_same_images(data_dir, name):
    levels, channels, counts = SETS[name]
    npz = Path(data_dir) / f"{name.partition('/')[0]}.npz"
    datasets = [
        Dataset(DataConfig(source=source, data_dir=data_dir), takes(levels, channels))
        for source in (f"tfds:{name}", f"npz:{npz.resolve()}")
    ]
    if counts:
        assert {split: len(datasets[0].images(split)) for split in datasets[0].splits} == counts
    if name == "cifar10":  # which has ids, so that the order is the same too
        for split in ("train", "validation", "test"):
            np.testing.assert_array_equal(*[dataset.images(split) for dataset in datasets])
    stored = [sorted(image.tobytes() for split in dataset.splits for image in dataset.images(split)) for dataset in datasets]
    assert stored[0] == stored[1]


@pytest.mark.parametrize("name,test_set", [("mnist", "mnist"), ("mnist", "binarized_mnist"), ("cifar10", "cifar10")])
def test_samples_are_test_images(data_dir, name, test_set):
    levels, channels, _ = SETS[test_set]
    model = takes(levels, channels)
    samples = Dataset(DataConfig(source=f"samples:{name}"), model, carve=False).images("train")
    whole = Dataset(DataConfig(source=f"tfds:{test_set}", data_dir=data_dir), model).images("test")
    assert {image.tobytes() for image in samples} <= {image.tobytes() for image in whole}


def test_batches_of_cifar_are_made_fast(data_dir):
    dataset = Dataset(DataConfig(source="tfds:cifar10", data_dir=data_dir), takes(256, 3))
    batches = dataset.train_batches(batch_size=64, seed=0)
    next(batches)
    start = time.perf_counter()
    for _ in range(1000):
        next(batches)
    assert 64_000 / (time.perf_counter() - start) > 20_000


def test_gaussian_on_cifar_comes_near_the_published_score(data_dir, capsys):
    baselines.main(["--config=cifar_rowlstm", f"--config.data.data_dir={data_dir}"])
    scores = {line[:22].strip(): float(line.split()[-2]) for line in capsys.readouterr().out.splitlines()[1:]}
    assert scores["uniform"] == 8
    assert scores["multivariate Gaussian"] == pytest.approx(4.70, abs=0.1)


@pytest.mark.parametrize("layer,name", [("diagonal_bilstm", "binarized_mnist"), ("pixel_cnn", "cifar10")])
def test_compression_is_exact_and_as_small_as_the_likelihood(data_dir, layer, name):
    levels, channels, _ = SETS[name]
    dataset = Dataset(DataConfig(source=f"tfds:{name}", data_dir=data_dir), takes(levels, channels))
    images = dataset.images("test")[np.arange(0, 10_000, 100)]
    model, params = make_model(layer, levels=levels, channels=channels)
    blob = prnn.compress(model, params, images)
    np.testing.assert_array_equal(prnn.decompress(model, params, blob), images)
    log_prob = float(np.sum(prnn.log_prob(model, params, images)))
    nll_bytes = prnn.bits_per_dim(log_prob, images.shape[1:]) * images[0].size / 8
    assert len(unpack(blob)[1]) < 1.01 * nll_bytes + 16
