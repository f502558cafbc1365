"""Scores that need no training:  pixel-rnn baselines --config=cifar_rowlstm

Uniform, independent pixels and a multivariate Gaussian, fitted to the training images of a configuration. For CIFAR-10, the
paper quotes 8.00 (uniform) and 4.70 (Gaussian) bits/dim.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt

from pixel_rnn_jax.cli import command, configuration, datasets, flags, outputs
from pixel_rnn_jax.data import Dataset
from pixel_rnn_jax.data.image_set import in_order
from pixel_rnn_jax.evaluation import baselines
from pixel_rnn_jax.evaluation.score import score
from pixel_rnn_jax.progress import progress_bar
from pixel_rnn_jax.training.config import TrainConfig, with_found

CHUNK = 1000


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the scores of the baselines on a split."""
    parser = flags.make_parser("baselines", __doc__, "--config", "--split", "--json")
    args, overrides = parser.parse_known_args(argv)
    config = TrainConfig.from_config_dict(with_found(configuration.read_config(args.config, overrides)))
    dataset = datasets.open_dataset(config.data, config.model)
    split = args.split or dataset.final_split
    images, levels = dataset.images(split), config.model.levels

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
        outputs.write_json(args.json, {name: value.figures for name, value in scores.items()})


def train_images(dataset: Dataset) -> Iterator[UInt[np.ndarray, "_ H W C"]]:
    """The training images in batches, with a progress bar."""
    images = dataset.images("train")
    with progress_bar(len(images), unit="image", description="fitting", delay=2.0, leave=False) as bar:
        for batch in in_order(images, batch_size=CHUNK, num_threads=dataset.config.num_threads):
            yield batch
            bar.update(len(batch))


if __name__ == "__main__":
    command.run(main)
