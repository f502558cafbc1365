"""The shipped configurations: the paper's models, with as many parameters as its sizes give."""

import functools
import re

import jax
import numpy as np
import pytest
from conftest import ROOT

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import configuration
from pixel_rnn_jax.data import DataConfig
from pixel_rnn_jax.models.params import abstract_params
from pixel_rnn_jax.training.config import TrainConfig, shipped_configs
from pixel_rnn_jax.training.optimizer import make_optimizer


def convolution(inputs, outputs, taps=1):
    return taps * inputs * outputs + outputs


def rest(depth, h, head, outputs, channels):
    """Stem, skip connections and head, which all models have."""
    stem = convolution(channels, 2 * h, 49)
    skips = depth * convolution(2 * h, 2 * h)
    return stem + skips + convolution(2 * h, head) + convolution(head, head) + convolution(head, outputs)


def recurrence(h, input_taps, state_taps):
    """Input-to-state with bias, state-to-state without, and the initial h and c."""
    return convolution(2 * h, 4 * h, input_taps) + state_taps * h * 4 * h + 2 * h


def pixel_cnn(h):
    return convolution(2 * h, h) + convolution(h, h, 9) + convolution(h, 2 * h)


def row_lstm(h):
    return recurrence(h, 3, 3) + convolution(h, 2 * h)


def diagonal_bilstm(h):
    return 2 * recurrence(h, 1, 2) + convolution(h, 2 * h)


def upsampling(channels, features, twice, depth=2):
    """Transposed convolutions of 4x4 taps that each double the size, then convolutions of 3x3 taps."""
    widths = [channels] + twice * [features]
    up = sum(convolution(inputs, features, 16) for inputs in widths[:-1])
    return up + convolution(widths[-1], features, 9) + (depth - 1) * convolution(features, features, 9)


COLOUR = {"head": 1024, "outputs": 3 * 256, "channels": 3}
MIXTURE = {"head": 128, "outputs": 3 * 30}  # of ten logistics
BINARY = {"head": 32, "outputs": 1, "channels": 1}
MODELS = {
    "mnist_pixelcnn": (24 * pixel_cnn(24) + rest(24, 24, **BINARY | {"head": 48}), 245_617),
    "mnist_rowlstm": (7 * row_lstm(32) + rest(7, 32, **BINARY | {"head": 64}), 314_881),
    "mnist_diagonal_bilstm": (7 * diagonal_bilstm(16) + rest(7, 16, **BINARY), 73_633),
    "mnist_diagonal_bilstm_1layer": (diagonal_bilstm(32) + rest(1, 32, **BINARY), 45_793),
    "cifar_pixelcnn": (15 * pixel_cnn(128) + rest(15, 128, **COLOUR), 6_327_296),
    "cifar_rowlstm": (12 * row_lstm(128) + rest(12, 128, **COLOUR), 10_410_752),
    "cifar_diagonal_bilstm": (12 * diagonal_bilstm(128) + rest(12, 128, **COLOUR), 9_633_536),
    "imagenet32_rowlstm": (12 * row_lstm(384) + rest(12, 384, **COLOUR), 77_101_824),
    "imagenet64_rowlstm": (4 * row_lstm(512) + rest(4, 512, **COLOUR), 47_098_624),
}
SMALL = {
    "cifar_pixelcnn_small": 4 * pixel_cnn(32) + rest(4, 32, **COLOUR | MIXTURE),
    "cifar_rowlstm_small": 4 * row_lstm(32) + rest(4, 32, **COLOUR | MIXTURE),
    "cifar_diagonal_bilstm_small": 4 * diagonal_bilstm(32) + rest(4, 32, **COLOUR | MIXTURE),
}
# Twice the model of one size; what makes a map of the small image; and the map's way into the gates of each layer.
MULTI_SCALE = {
    "mnist_multiscale": 2 * 73_633 + upsampling(1, 16, twice=2) + 7 * 2 * 16 * 64,
    "cifar_multiscale": 2 * 10_410_752 + upsampling(3, 64, twice=2) + 12 * 64 * 512,
    "imagenet64_multiscale": 2 * 47_098_624 + upsampling(3, 128, twice=1) + 4 * 128 * 2048,
}


@functools.cache
def shapes(name):
    """Of the parameters of a configuration's model."""
    return abstract_params(prnn.make_model(prnn.ModelConfig(**configuration.read_config(name, []).model)))


def number_of_parameters(name):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes(name)))


@pytest.mark.parametrize("name", MODELS)
def test_parameter_counts(name):
    count = number_of_parameters(name)
    assert (count, count) == MODELS[name]


@pytest.mark.parametrize("name", [*SMALL, *MULTI_SCALE])
def test_parameter_counts_of_small_models_and_of_several_sizes(name):
    assert number_of_parameters(name) == {**SMALL, **MULTI_SCALE}[name]


@pytest.mark.parametrize("name", [*MODELS, *MULTI_SCALE])
def test_sizes_in_the_documentation(name):
    count = MODELS[name][1] if name in MODELS else MULTI_SCALE[name]
    (row,) = re.findall(rf"^\| `{name}\.py` \|.*", (ROOT / "docs" / "experiments.md").read_text(), re.MULTILINE)
    assert f"| {count:,} |" in row
    (row,) = re.findall(rf"^\| `{name}` \|.*", (ROOT / "docs" / "scaling.md").read_text(), re.MULTILINE)
    _, _, parameters, state, *_ = row.replace(",", "").split("|")
    assert int(parameters) == count
    assert float(state) == pytest.approx(state_size(name) / 2**20, rel=0.01)


def state_size(name):
    """Bytes of parameters, average and the optimizer's state."""
    config, params = configuration.read_config(name, []), shapes(name)
    state = jax.eval_shape(make_optimizer(TrainConfig.from_config_dict(config).optimizer, config.num_steps).init, params)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((params, params, state)))


OF_THE_PAPER = [path for path in shipped_configs().values() if path.stem != "pictures"]


@pytest.mark.parametrize("path", OF_THE_PAPER, ids=lambda path: path.stem)
def test_every_configuration_can_be_used_and_says_how(path):
    config = configuration.read_config(str(path), [])
    prnn.ModelConfig(**config.model)
    data = DataConfig(**config.data)
    assert not data.flip, "the paper trains without augmentation"
    assert (data.binarization, data.quantize) == ("none", False)
    make_optimizer(TrainConfig.from_config_dict(config).optimizer, config.num_steps)
    assert f"python -m experiments.train --config=experiments/{path.name}" in path.read_text()
    assert path.stem.startswith("digits") == (data.source == "digits")


@pytest.mark.parametrize(
    "names,source,size,batch_size,levels",
    [
        (
            ["mnist_pixelcnn", "mnist_rowlstm", "mnist_diagonal_bilstm", "mnist_diagonal_bilstm_1layer"],
            "tfds:binarized_mnist",
            None,
            16,
            2,
        ),
        (["cifar_pixelcnn", "cifar_rowlstm", "cifar_diagonal_bilstm"], "tfds:cifar10", None, 16, 256),
        (["imagenet32_rowlstm"], "tfds:downsampled_imagenet/32x32", (32, 32), 64, 256),
        (["imagenet64_rowlstm"], "tfds:downsampled_imagenet/64x64", (64, 64), 32, 256),
    ],
)
def test_data_and_batches_are_the_papers(names, source, size, batch_size, levels):
    for name in names:
        config = configuration.read_config(name, [])
        data = DataConfig(**config.data)
        assert (data.source, data.size, config.batch_size, config.model.levels) == (source, size, batch_size, levels)
        assert (config.model.residual, config.model.skip) == (name != "imagenet64_rowlstm", True)
