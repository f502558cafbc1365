"""Measures drawing:  pixel-rnn benchmark generate --json=speed.json

Draws images with each layer of the paper at MNIST's sizes, and one image with the paper's Diagonal BiLSTM for CIFAR-10. Each
time stands beside the time of a full network pass for each sub-pixel. (`compress --json` writes how long compression takes.)
"""

import itertools
import math
import sys
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from pixel_rnn_jax.cli import flags, outputs
from pixel_rnn_jax.generation.sampling import sample
from pixel_rnn_jax.models.config import LAYERS, ModelConfig
from pixel_rnn_jax.models.pixel_rnn import PixelRNN
from pixel_rnn_jax.parallel.hardware import timed

MNIST = {"depth": 7, "features": 16, "head_features": 32, "levels": 2, "channels": 1}
CIFAR = {"depth": 12, "features": 128, "head_features": 1024, "levels": 256, "channels": 3}
SIZES, CIFAR_SIZE = [(28, 28), (56, 56)], (32, 32)
REPEATS = 3


def main(argv: Sequence[str]) -> None:
    """Measures and prints; with --json, also writes the figures."""
    parser = flags.make_parser("benchmark generate", __doc__, "--json")
    parser.add_argument("--num", type=flags.positive, default=100, help="images drawn at a time")
    args = parser.parse_args(argv)
    device = jax.devices()[0]
    print(f"jax {jax.__version__} on {device.platform} ({device.device_kind}), {args.num} images at a time", file=sys.stderr)
    mnist = [(ModelConfig(layer=layer, **MNIST), args.num, size) for layer, size in itertools.product(LAYERS, SIZES)]
    cifar = (ModelConfig(layer="diagonal_bilstm", **CIFAR), 1, CIFAR_SIZE)
    record = [measure_drawing(*case) for case in (*mnist, cifar)]
    if args.json:
        outputs.write_json(args.json, {"drawing": record})


def measure_drawing(config: ModelConfig, num: int, size: tuple[int, int]) -> dict[str, Any]:
    """Times `sample`, and one forward pass of the whole network on as many images."""
    model = PixelRNN(config)
    images = np.zeros((num, *size, config.channels), np.uint8)
    params = jax.jit(model.init)(jax.random.key(0), images[:1, :8, :8])["params"]
    first, seconds = timed(lambda: sample(model, params, jax.random.key(0), num, size), REPEATS)
    forward = jax.jit(model.apply)
    _, pass_seconds = timed(lambda: forward({"params": params}, images), REPEATS)
    naive = pass_seconds * math.prod(images.shape[1:])
    shape = "x".join(map(str, images.shape[1:]))
    print(
        f"{config.layer:16} {config.depth:2} layers, h = {config.features:3}: {num:3} of {shape}: {seconds:7.2f} s"
        f"  (first call {first:6.1f} s; a pass for each sub-pixel {naive:8.0f} s, {naive / seconds:5.0f} times as long)",
        flush=True,
    )
    return {
        "layer": config.layer, "depth": config.depth, "features": config.features, "num": num, "shape": images.shape[1:],
        "seconds": seconds, "first_call_seconds": first, "forward_pass_seconds": pass_seconds, "naive_seconds": naive,
    }  # fmt: skip
