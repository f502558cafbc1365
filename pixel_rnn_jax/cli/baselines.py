"""Scores that need no training:  python -m experiments.baselines --config=experiments/cifar_rowlstm.py

Uniform, independent pixels, and a multivariate Gaussian, on the data of a configuration. The paper quotes 8.00 (uniform) and
4.70 (Gaussian) bits/dim for CIFAR-10.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from pixel_rnn_jax.cli import command, configuration, outputs
from pixel_rnn_jax.data import Dataset, in_order
from pixel_rnn_jax.evaluation import baselines
from pixel_rnn_jax.evaluation.score import score
from pixel_rnn_jax.progress import progress_bar

CHUNK = 1000


def main(argv: Sequence[str] | None = None) -> None:
    """Fits the baselines to the training images, and prints their scores on a split."""
    parser = command.make_parser("baselines", __doc__, workdir=None)
    command.add_config_flag(parser)
    parser.add_argument("--split", help="split to score; test, or validation where there is no test, if not given")
    command.add_json_flag(parser)
    args, overrides = parser.parse_known_args(argv)
    config = configuration.read_config(args.config, overrides).to_dict()
    dataset = command.open_dataset(config)
    split = args.split or dataset.final_split
    images, levels = dataset.images(split), config["model"]["levels"]

    print(f"{len(images)} images of {dataset.config.source}, {dataset.config.preprocessing}")
    scores = {}
    for name, log_prob in (
        ("uniform", baselines.uniform(levels)),
        ("independent pixels", baselines.independent_pixels(train_images(dataset), levels)),
        ("multivariate Gaussian", baselines.gaussian(train_images(dataset), levels)),
    ):
        scores[name] = score(log_prob, split, in_order(images, batch_size=CHUNK, num_threads=1), dataset.image_shape)
        print(f"{name:22}", scores[name], flush=True)
    if args.json:
        outputs.write_json(args.json, {name: dataclasses.asdict(value) for name, value in scores.items()})


def train_images(dataset: Dataset) -> Iterator[UInt8[np.ndarray, "_ H W C"]]:
    """The training images in batches, with a bar that shows how far a baseline has got with them."""
    images = dataset.images("train")
    with progress_bar(len(images), unit="image", description="fitting", delay=2.0, leave=False) as bar:
        for batch in in_order(images, batch_size=CHUNK, num_threads=dataset.config.num_threads):
            yield batch
            bar.update(len(batch))


if __name__ == "__main__":
    command.run(main)
